// Cards that take turns in one place.

import { make } from "./controls.js";

let serial = 0;

/** {root, pick(key)}: of cards [{key, title, body}] one is shown; onPick(key). Arrow keys move along the titles. */
export function tabs({ label, cards, value, onPick }) {
  const places = cards.map(({ key, title, body }) => {
    const id = `tab-${serial++}`;
    const head = make("button", { type: "button", role: "tab", id, "aria-controls": `${id}-body` }, title);
    head.dataset.name = `tab-${key}`;
    return { key, head, body: make("div", { role: "tabpanel", id: `${id}-body`, "aria-labelledby": id }, body) };
  });
  const pick = (wanted) => {
    const chosen = places.find(({ key }) => key === wanted) ?? places[0];
    for (const { head, body } of places) {
      const on = head === chosen.head;
      head.setAttribute("aria-selected", on);
      head.tabIndex = on ? 0 : -1;
      body.hidden = !on;
    }
    return chosen;
  };
  const heads = make("div", { className: "tabs", role: "tablist", "aria-label": label }, ...places.map(({ head }) => head));
  places.forEach(({ key, head }, at) => {
    head.addEventListener("click", () => { pick(key); onPick(key); });
    head.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = places[(at + step + places.length) % places.length];
      pick(next.key);
      next.head.focus();
      onPick(next.key);
    });
  });
  pick(value);
  return { root: make("div", { className: "tabbed" }, heads, ...places.map(({ body }) => body)), pick };
}
