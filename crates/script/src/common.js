// What the globals of transformations and of connectors are made of. `host` and `note` are taken away again before any other
// code runs.
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
        const pairs = Array.isArray(headers) ? headers : Object.entries(headers ?? {});
        for (const [name, value] of pairs) plain[text(name)] = text(value);
        const sent = body === undefined || body === null ? null : typeof body === "string" ? body : stringify(body);
        return ask("fetch", { url: text(url), method: text(method), headers: plain, body: sent });
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
    define("log", say);
    define("console", { log: say, info: say, warn: say, error: say, debug: say, trace: say });
    return { ask, define, parse, request, text };
})();
