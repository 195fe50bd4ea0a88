// A batch that moves: what the page says of it is fetched again until it rests.

const EVERY = 1000;
const moving = () => document.querySelector("[data-progress]");

const look = async () => {
  const shown = moving();
  if (!shown) return;
  try {
    const answer = await fetch(shown.dataset.progress, { headers: { accept: "text/html" } });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("[data-progress]");
      const state = next?.dataset.state;
      // What can be done is another then: the whole page is.
      if (!next || state !== shown.dataset.state) return location.reload();
      shown.replaceWith(next);
    }
  } catch { /* The server is away: it is asked again. */ }
  setTimeout(look, EVERY);
};

if (moving()?.dataset.moves === "true") setTimeout(look, EVERY);
