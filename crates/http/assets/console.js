// Comfort on every page of the console: times that go on, ids that can be copied, forms that are sent once.

const units = [["day", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const distance = (then) => {
  const seconds = Math.round((Date.now() - then) / 1000);
  const away = Math.abs(seconds);
  if (away < 10) return seconds < 0 ? "in a moment" : "just now";
  if (away >= 30 * 86400) return new Date(then).toISOString().slice(0, 10);
  const [unit, size] = units.find(([, size]) => away >= size);
  const count = Math.floor(away / size);
  const says = `${count} ${unit}${unit === "day" && count > 1 ? "s" : ""}`;
  return seconds < 0 ? `in ${says}` : `${says} ago`;
};

/** Brings the times below an element up to date. */
export const tellTimes = (within = document) => {
  for (const time of within.querySelectorAll("time[data-relative]")) {
    const then = Date.parse(time.dateTime);
    if (!Number.isNaN(then)) time.textContent = distance(then);
  }
};
setInterval(tellTimes, 10_000);

/** Shows the buttons that copy; called again for what a script adds. */
export const readyCopies = (within = document) => {
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("button.copy[hidden]")) button.hidden = false;
};
readyCopies();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.dataset.copied = "yes";
  setTimeout(() => delete button.dataset.copied, 1500);
});

// A second press while the first is under way would do nothing more (forms carry their own name), but it would wait in line.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  form.setAttribute("aria-busy", "true");
});
// Back in time by the browser's button: the form may be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

document.querySelector(".faults[tabindex]")?.focus();

// What is folded as a menu closes when something else is pressed.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const open of document.querySelectorAll("details.menu[open]")) open.open = false;
});
