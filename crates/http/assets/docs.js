// The search field of the API documentation: hides the operations that lack one of the words.
const field = document.getElementById("search");
const nothing = document.getElementById("nothing");
const groups = [...document.querySelectorAll("nav .group")];

function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const group of groups) {
    let visible = 0;
    for (const item of group.querySelectorAll("li")) {
      const text = (item.dataset.find + " " + group.querySelector("h2").textContent).toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      if (!item.hidden) visible += 1;
    }
    group.hidden = visible === 0;
    found += visible;
  }
  nothing.hidden = found > 0;
}

field.hidden = false;
field.addEventListener("input", search);
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter") document.querySelector("nav .group li:not([hidden]) a")?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== field) {
    event.preventDefault();
    field.focus();
  }
});
