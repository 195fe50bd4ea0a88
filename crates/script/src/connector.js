// The globals of connectors. `host` and `note` are taken away again before any other code runs.
(() => {
    const { host, note } = globalThis;
    delete globalThis.host;
    delete globalThis.note;
    const { parse, stringify } = JSON;
    const text = String;
    const ask = (what, value) => parse(host(what, stringify(value)));
    const show = (value) => {
        if (typeof value === "string") return value;
        if (value instanceof Error) return `${value.name}: ${value.message}`;
        try {
            return stringify(value) ?? text(value);
        } catch {
            return text(value);
        }
    };
    const say = (...values) => {
        let line = "";
        for (let i = 0; i < values.length; i++) line += (i ? " " : "") + show(values[i]);
        note(line);
    };
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
    const define = (name, value) =>
        Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
    define("fetch", async (url, options) => {
        const { method = "GET", headers = {}, body } = options ?? {};
        const plain = {};
        const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
        for (const [name, value] of pairs) plain[text(name)] = text(value);
        const sent = body === undefined || body === null ? null : typeof body === "string" ? body : stringify(body);
        return answer(text(url), ask("fetch", { url: text(url), method: text(method), headers: plain, body: sent }));
    });
    define("getSecret", (name) => {
        const secret = ask("credential", text(name));
        if (secret === null) throw new Error(`there is no secret ${text(name)}: set secret.${text(name)}`);
        return secret;
    });
    define("log", say);
    define("console", { log: say, info: say, warn: say, error: say, debug: say, trace: say });
    // Lets the module register, and gives what calls what it registered: false when it did not.
    return async (main) => {
        if (typeof main !== "function") throw new Error("export default (context) => { context.register(…) }");
        const points = new Map();
        const register = (point, functions) => {
            if (functions === null || typeof functions !== "object") throw new Error(`${text(point)}: give an object of functions`);
            points.set(text(point), functions);
        };
        await main({ register });
        return {
            points: [...points].map(([point, functions]) => ({ point, functions: Object.keys(functions) })),
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
})();
