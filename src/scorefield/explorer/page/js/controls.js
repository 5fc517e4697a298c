// Controls and readouts: native elements with labels, so that the keyboard and screen readers work.

/** An element with properties and children; strings become text. */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key === "role" || key === "for") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A text as nodes: `words` of a program as code, p_σ with a subscript. */
export function prose(text) {
  return text.split(/(`[^`]+`|(?<![\p{L}\d_])\p{L}_[\p{L}\d](?![\p{L}\d_]))/u).filter(Boolean).flatMap((part) => {
    if (part.length > 2 && part.startsWith("`")) return [make("code", {}, part.slice(1, -1))];
    return /^\p{L}_.$/u.test(part) ? [part[0], make("sub", {}, part.slice(2))] : [part];
  });
}

let serial = 0;

/** A number in four digits, with a true minus sign. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "undefined";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

export const vector = (values, digits = 3) => `(${Array.from(values, (v) => number(v, digits)).join(", ")})`;

/** A covariance as text: xx, xy, yy. */
export const covariance = ([[a, b], [, c]]) => vector([a, b, c]);

/** The place among stops that is nearest to a value. */
const nearest = (stops, v) => stops.reduce((best, one, at) => (Math.abs(one - v) < Math.abs(stops[best] - v) ? at : best), 0);

/** A slider of value(position); log scale where `log`; only at `stops` where given; said(v): a value in words. Returns {root, input, value(), set(v)}. */
export function slider({ label, low, high, value, log = false, step = null, whole = false, stops = null, name, said = null, onInput }) {
  const id = `control-${serial++}`;
  const to = (v) => (stops ? nearest(stops, v) : log ? Math.log(v / low) / Math.log(high / low) : v);
  const from = (p) => {
    if (stops) return stops[p];
    const v = log ? low * (high / low) ** p : p;
    return whole ? Math.round(v) : Number(v.toPrecision(4));
  };
  const scale = stops ? { min: 0, max: stops.length - 1, step: 1 }
    : { min: log ? 0 : low, max: log ? 1 : high, step: log ? 0.002 : step ?? (whole ? 1 : (high - low) / 400) };
  const input = make("input", { type: "range", id, ...scale });
  input.dataset.name = name;
  const shown = make("output", { for: id });
  const show = () => {
    const text = said ? said(held) : number(held, 3);
    shown.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  let held = value; // as it was given: the slider's own grid is coarser
  const control = {
    root: make("div", { className: "control", hidden: stops?.length === 1 }, make("label", { for: id }, label), shown, input),
    input,
    value: () => held,
    set: (v) => { held = stops ? stops[nearest(stops, v)] : Math.min(high, Math.max(low, v)); input.value = to(held); show(); },
    lock: (locked) => { input.disabled = locked; },
    bounds: (least, most) => {
      if (stops) return; // recorded values are within them
      [low, high] = [least, most];
      if (!log) [input.min, input.max] = [least, most];
      control.set(held);
    },
  };
  control.set(value);
  input.addEventListener("input", () => { held = from(Number(input.value)); show(); onInput(held); });
  return control;
}

/** A choice among [value, text] pairs; of those only `stops` where given. */
export function select({ label, options, value, stops = null, name, onInput }) {
  const id = `control-${serial++}`, input = make("select", { id });
  const offer = (pairs) => input.replaceChildren(...pairs.filter(([key]) => !stops || stops.includes(key)).map(([key, text, hint]) => make("option", { value: key, title: hint ?? "" }, text)));
  offer(options);
  input.dataset.name = name;
  const set = (v) => { input.value = v; if (input.selectedIndex < 0) input.selectedIndex = 0; };
  set(value);
  input.addEventListener("change", () => onInput(input.value));
  return {
    offer, set,
    root: make("div", { className: "control" }, make("label", { for: id }, label), input),
    input, value: () => input.value, lock: (locked) => { input.disabled = locked; },
  };
}

export function toggle({ label, value, stops = null, name, onInput }) {
  const id = `control-${serial++}`;
  const input = make("input", { type: "checkbox", id, checked: value });
  input.dataset.name = name;
  input.addEventListener("change", () => onInput(input.checked));
  return {
    root: make("div", { className: "control check", hidden: stops?.length === 1 }, input, make("label", { for: id }, label)),
    input, value: () => input.checked, set: (v) => { input.checked = v; }, lock: (locked) => { input.disabled = locked; },
  };
}

export function button({ label, name, primary = false, onPress }) {
  const input = make("button", { type: "button", className: primary ? "primary" : "" }, label);
  input.dataset.name = name;
  input.addEventListener("click", onPress);
  return { root: input, input, lock: (locked) => { input.disabled = locked; }, set: (text) => { input.textContent = text; } };
}

/** A titled group of controls. */
export function group(title, ...roots) {
  return make("section", { className: "card" }, make("h2", {}, title), ...roots);
}

export const row = (...roots) => make("div", { className: "row" }, ...roots);

/** A table of named numbers: set({key: text}); keys are [key, label, hint] in order. */
export function readout(title, keys) {
  const cells = new Map();
  const body = make("dl", { className: "readout" });
  for (const [key, label, hint] of keys) {
    const cell = make("dd", {}, "–");
    cell.dataset.value = key;
    cells.set(key, cell);
    body.append(make("div", { title: hint ?? "" }, make("dt", {}, ...prose(label)), cell));
  }
  return {
    root: make("section", { className: "card" }, make("h2", {}, title), body),
    name(labels) { for (const [key, text] of Object.entries(labels)) cells.get(key).previousSibling.replaceChildren(...prose(text)); },
    clear() { for (const cell of cells.values()) cell.textContent = "–"; },
    set(values) {
      for (const [key, text] of Object.entries(values)) {
        const cell = cells.get(key), value = typeof text === "number" ? number(text) : text;
        if (cell.textContent !== value) cell.textContent = value;
      }
    },
  };
}

/** The three controls with values, kept to those of `stops`: {name: values}. */
export function controls(stops) {
  const kept = (make) => (spec) => make({ ...spec, stops: stops[spec.name] ?? null });
  return { slider: kept(slider), select: kept(select), toggle: kept(toggle) };
}
