// The globals of RudderStack's transformations.
(({ ask, define, parse, request, text }) => {
    const read = (body) => {
        try {
            return parse(body);
        } catch {
            return body;
        }
    };
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
    // What a metadata call knows of an event; nothing of one that it does not know.
    return (known) => (event) => {
        const id = event?.messageId;
        return typeof id === "string" && Object.hasOwn(known, id) ? { ...known[id] } : {};
    };
});
