// The globals of connectors.
(({ ask, define, parse, request, text }) => {
    const answer = (url, reply) => {
        const get = (name) => reply.headers[text(name).toLowerCase()] ?? null;
        return {
            url,
            status: reply.status,
            statusText: "",
            ok: reply.status >= 200 && reply.status < 300,
            headers: { get, has: (name) => get(name) !== null },
            text: async () => reply.body,
            json: async () => parse(reply.body),
        };
    };
    define("fetch", async (url, options) => answer(text(url), request(url, options)));
    define("getSecret", (name) => {
        const secret = ask("credential", text(name));
        if (secret === null) throw new Error(`there is no secret ${text(name)}: set secret.${text(name)}`);
        return secret;
    });
    // Lets the module register, and gives what calls what it registered: false when it did not.
    return async (main) => {
        if (typeof main !== "function") throw new Error("export default (context) => { context.register(…) }");
        const points = new Map();
        const named = (functions) => {
            const names = new Set();
            for (let it = functions; it !== null && it !== Object.prototype; it = Object.getPrototypeOf(it)) {
                for (const name of Object.getOwnPropertyNames(it)) {
                    if (name !== "constructor" && typeof functions[name] === "function") names.add(name);
                }
            }
            return [...names];
        };
        const register = (point, functions) => {
            if (functions === null || typeof functions !== "object") throw new Error(`${text(point)}: give an object of functions`);
            points.set(text(point), functions);
        };
        await main({ register });
        return {
            points: [...points].map(([point, functions]) => ({ point, functions: named(functions) })),
            call: async (point, name, names, values) => {
                const functions = points.get(point);
                const called = functions?.[name];
                if (typeof called !== "function") return false;
                if (called.length === 1) {
                    const whole = {};
                    for (let i = 0; i < names.length; i++) whole[names[i]] = values[i];
                    Object.defineProperty(whole, "toString", { value: () => text(values[0]) });
                    await called.call(functions, whole);
                } else {
                    await called.apply(functions, values);
                }
                return true;
            },
        };
    };
});
