// The live tail: adds events as they come to a list that the page began. It rests while nobody looks, and misses nothing then.
import { tellTimes } from "/console/assets/console.js";

const list = document.getElementById("tail");
const state = document.getElementById("tail-state");
const MOST = 50;
let source;
let last = "";

const tones = new Map(list.dataset.types.split(" ").map((type) => type.split("=")));

const line = (event) => {
  const item = document.createElement("li");
  item.className = "new";
  const time = document.createElement("time");
  time.dateTime = event.occurred_at;
  time.title = event.occurred_at;
  time.dataset.relative = "";
  const chip = document.createElement("span");
  chip.className = `chip ${tones.get(event.type) ?? "quiet"}`;
  chip.textContent = event.type;
  item.append(time, " ", chip, " ");
  if (event.pass) {
    const link = document.createElement("a");
    link.className = "id";
    link.href = `/console/passes/${encodeURIComponent(event.pass)}`;
    link.title = event.pass;
    const code = document.createElement("code");
    code.textContent = `…${event.pass.slice(-8)}`;
    link.append(code);
    item.append(link);
  }
  tellTimes(item);
  return item;
};

const take = (message) => {
  last = message.lastEventId;
  document.getElementById("tail-empty")?.remove();
  list.prepend(line(JSON.parse(message.data)));
  while (list.children.length > MOST) list.lastElementChild.remove();
  tellTimes(list);
};

const open = () => {
  const from = last ? `?cursor=${encodeURIComponent(last)}` : "";
  source = new EventSource(list.dataset.stream + from);
  source.onopen = () => {
    list.dataset.live = "yes";
    state.textContent = "Live: events are added as they come.";
  };
  source.onerror = () => {
    delete list.dataset.live;
    state.textContent = source.readyState === EventSource.CLOSED ? "Not live: load the page again." : "Connecting again …";
  };
  for (const type of tones.keys()) source.addEventListener(type, take);
};

document.addEventListener("visibilitychange", () => {
  if (document.hidden) source?.close();
  else open();
});
addEventListener("pagehide", () => source?.close());
if (!document.hidden) open();
