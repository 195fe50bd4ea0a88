// The globals of RudderStack's transformations. `host` and `note` are taken away again before any other code runs.
(() => {
    const { host, note } = globalThis;
    delete globalThis.host;
    delete globalThis.note;
    const { parse, stringify } = JSON;
    const text = String;
    const ask = (what, value) => parse(host(what, stringify(value)));
    const request = (url, options) => {
        const { method = "GET", headers = {}, body } = options ?? {};
        const plain = {};
        for (const name in headers) plain[name] = text(headers[name]);
        const sent = body === undefined || body === null ? null : typeof body === "string" ? body : stringify(body);
        return ask("fetch", { url: text(url), method: text(method), headers: plain, body: sent });
    };
    const read = (body) => {
        try {
            return parse(body);
        } catch {
            return body;
        }
    };
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
    const define = (name, value) =>
        Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
    define("fetch", async (url, options) => {
        try {
            return parse(request(url, options).body);
        } catch {
            return "ERROR";
        }
    });
    define("fetchV2", async (url, options) => {
        const reply = request(url, options);
        return { url: text(url), status: reply.status, headers: reply.headers, body: read(reply.body) };
    });
    define("geolocation", async (ip) => ask("place", text(ip)));
    define("getCredential", (key) => ask("credential", text(key)) ?? undefined);
    define("log", say);
    define("console", { log: say, info: say, warn: say, error: say, debug: say });
    // What a metadata call knows of an event; nothing of one that it does not know.
    return (known) => (event) => {
        const id = event?.messageId;
        return typeof id === "string" && Object.hasOwn(known, id) ? { ...known[id] } : {};
    };
})();
