// The mapping widget: choose a value of the sample, then where it goes, or the other way round. What comes of it is asked of
// the server, and shown as it is typed.

const PAUSE = 250;

const ready = (widget) => {
  const { project, action, over, prefix, sample } = widget.dataset;
  const says = widget.querySelector("[data-says]");
  const written = widget.querySelector("[data-written]");
  const from = widget.querySelector("[data-from]");
  const elsewhere = widget.querySelector("[data-elsewhere]");
  const places = () => [...widget.querySelectorAll(".place")];
  const field = (place) => place.querySelector("input");
  let path = null;
  let target = null;
  let turn = 0;
  let timer = 0;

  const hint = "Choose a value of the sample, then the place that it goes to, or the other way round. Escape lets go.";
  const tell = (text) => { says.textContent = text; };
  const mark = (selector, chosen) => {
    for (const button of widget.querySelectorAll(selector)) button.setAttribute("aria-pressed", String(button === chosen));
  };
  const letGo = () => {
    path = null;
    target = null;
    mark(".value", null);
    mark("[data-take]", null);
    tell(hint);
  };

  const show = (told) => {
    for (const place of places()) {
      const name = place.dataset.place;
      const made = told.made?.[name];
      place.querySelector("[data-made]").textContent = made === undefined ? "" : `→ ${made}`;
      const fault = told.faults?.[name] ?? "";
      place.querySelector("[data-fault]").textContent = fault;
      field(place).toggleAttribute("aria-invalid", Boolean(fault));
      if (fault) field(place).setAttribute("aria-invalid", "true");
      place.querySelector("[data-remove]").hidden = !field(place).value;
    }
    elsewhere.replaceChildren(...[told.fault, ...(told.others ?? []), told.faults?.written].filter(Boolean).map((text) => {
      const line = document.createElement("p");
      line.className = "fault";
      line.textContent = text;
      return line;
    }));
  };

  const ask = async () => {
    const mine = ++turn;
    const body = new URLSearchParams({ project, action, over, prefix, sample });
    for (const input of widget.querySelectorAll(`[name^="${CSS.escape(prefix)}."]`)) body.set(input.name, input.value);
    const answer = await fetch("/console/mapping/test", { method: "POST", body, headers: { accept: "application/json" } });
    if (mine !== turn || !answer.ok) return;
    const told = await answer.json();
    if (mine !== turn) return;
    if (told.fields && from.value === "written") {
      for (const place of places()) field(place).value = told.fields[place.dataset.place] ?? "";
    } else if (told.fields) {
      written.value = told.text;
    }
    show(told);
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(ask, PAUSE); };

  const set = (place, value) => {
    field(place).value = value;
    from.value = "fields";
    letGo();
    tell(value ? `${place.dataset.place} is taken from ${value}.` : `${place.dataset.place} is not set any more.`);
    ask();
  };

  widget.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const place = button.closest(".place");
    if (button.matches(".value")) {
      if (target) return set(target, button.dataset.path);
      path = button.dataset.path;
      mark(".value", button);
      tell(`${path} is chosen: now choose where it goes.`);
    } else if (button.matches("[data-take]")) {
      if (path) return set(place, path);
      target = place;
      mark("[data-take]", button);
      tell(`${place.dataset.place} is chosen: now choose a value of the sample.`);
    } else if (button.matches("[data-remove]")) {
      set(place, "");
      field(place).focus();
    }
  });
  widget.addEventListener("keydown", (event) => { if (event.key === "Escape") letGo(); });
  widget.addEventListener("input", (event) => {
    if (event.target === written) from.value = "written";
    else if (event.target !== from) from.value = "fields";
    soon();
  });
  from.addEventListener("change", soon);

  for (const button of widget.querySelectorAll("[data-take]")) button.hidden = false;
  for (const place of places()) place.querySelector("[data-remove]").hidden = !field(place).value;
  letGo();
};

for (const widget of document.querySelectorAll("[data-map]")) ready(widget);
