// Looks for newer requests every two seconds and shows them without losing what is open.
const list = document.getElementById("requests");
const look = async () => {
  if (document.hidden) return;
  try {
    const reply = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
    if (!reply.ok) return;
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("requests");
    if (!fresh || fresh.dataset.newest === list.dataset.newest) return;
    const open = new Set([...list.querySelectorAll("details[open]")].map((it) => it.id));
    for (const it of fresh.querySelectorAll("details")) it.open = open.has(it.id);
    list.replaceChildren(...fresh.childNodes);
    list.dataset.newest = fresh.dataset.newest;
  } catch {
    // The server is away for a moment; the next look tries again.
  }
};
setInterval(look, 2000);
