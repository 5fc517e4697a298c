// A square view of the plane with handles above it: pointer, keyboard and drag, in the plane's coordinates.

import { make, number, prose } from "./controls.js";
import { add, remove } from "./stages.js";
import { view } from "./surface.js";
import { vector } from "./vector.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element of SVG with its attributes. */
export function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** What is read off a map at a place of the unit square, between its nodes. */
function read({ data, shape: [rows, columns] }, [u, v]) {
  const [x, y] = [u * (columns - 1), v * (rows - 1)], [i, j] = [Math.min(columns - 2, Math.floor(x)), Math.min(rows - 2, Math.floor(y))];
  const [f, g] = [x - i, y - j], node = (di, dj) => data[(j + dj) * columns + i + di];
  return (1 - g) * ((1 - f) * node(0, 0) + f * node(1, 0)) + g * ((1 - f) * node(0, 1) + f * node(1, 1));
}

/** {root, view, handles(list), marks(list), arrow...}: a canvas of [low, high]^2 and an SVG layer of 1000 x 1000. */
export class Plane {
  /** hover: whether the pointer, and not only a click or a key, moves the point; plain: axes are drawn by axes() alone. */
  constructor({ low, high, label, caption = "", onPoint = null, onPress = null, hover = true, plain = false }) {
    Object.assign(this, { low, high, onPoint, onPress, hover, names: ["x₁", "x₂"] });
    this.canvas = make("canvas", { className: "plane", "aria-label": label, role: "img" });
    this.over = svg("svg", { viewBox: "0 0 1000 1000", class: "over" });
    [this.axisLayer, this.markLayer, this.handleLayer] = ["axes", "", ""].map((name) => svg("g", { class: name }));
    this.over.append(this.axisLayer, this.markLayer, this.handleLayer);
    this.reading = make("output", { className: "reading", hidden: true });
    this.box = make("div", { className: "plane-box" }, this.canvas, this.over, this.reading);
    this.bar = make("div", { className: "bar-of-colours", hidden: true });
    this.caption = make("figcaption", {});
    this.tell(caption);
    this.root = make("figure", { className: "stage" }, this.box, this.bar, this.caption);
    this.pointer = this.map = this.view = null;
    this.listen(label);
    if (!plain) this.axes(...this.names.map((name) => this.scale(name)));
  }

  /** Starts drawing; the canvas must be in the page. */
  start() {
    this.view = view(this.canvas, this.low, this.high);
    this.sizing = new ResizeObserver(() => this.over.style.setProperty("--unit", `${1000 / Math.max(1, this.box.clientWidth)}px`));
    this.sizing.observe(this.box);
    this.stage = {
      box: this.box, overlay: this.over, words: () => this.caption.textContent, vector: () => vector(this.view),
      base: (pen, x, y, w, h) => { this.view.paint(); pen.drawImage(this.canvas, x, y, w, h); }, // painted in the same task: a canvas of WebGL is empty after it
    };
    add(this.stage);
  }

  close() { this.view?.close(); this.sizing?.disconnect(); if (this.stage) remove(this.stage); }

  /** Sets the caption; the same one again costs no layout. */
  tell(text) {
    if (this.told === text) return;
    this.told = text;
    this.caption.replaceChildren(...prose(text));
  }

  /** The ticks of an axis of plain numbers. */
  scale(name) {
    const step = (this.high - this.low) / 5;
    return { name, ticks: [0.5, 1.5, 2.5, 3.5, 4.5].map((k) => ({ at: k / 5, text: number(this.low + k * step, 3) })) };
  }

  /** Draws both axes, each {name, ticks: [{at, text}]} with places from 0 to 1. */
  axes(across, up) {
    this.names = [across.name, up.name];
    const text = (x, y, anchor, words, kind = "tick") => { const made = svg("text", { x, y, "text-anchor": anchor, class: kind }); made.textContent = words; return made; };
    const inside = (v) => Math.min(960, Math.max(40, v)), named = across.ticks.length && across.name.length < 4;
    const told = ({ at, text: words }) => (named && at > 0.92 ? "" : words); // the axis' name stands there
    this.axisLayer.replaceChildren(
      ...across.ticks.flatMap(({ at, text: words }) => [svg("path", { d: `M${1000 * at} 1000v-12`, class: "rule" }), text(inside(1000 * at), 978, "middle", told({ at, text: words }))]),
      ...up.ticks.flatMap(({ at, text: words }) => [svg("path", { d: `M0 ${1000 - 1000 * at}h12`, class: "rule" }), text(18, inside(1008 - 1000 * at), "start", told({ at, text: words }))]),
      ...(named ? [text(982, 978, "end", across.name, "tick name"), text(18, 40, "start", up.name, "tick name")] : []));
  }

  /** The map of an array between two values, with a bar that says what its colours mean: {label, unit, from: where its values
   * are counted from, ends: two texts}. */
  heat(array, low = 0, high = 1, contour = 1, meaning = null) {
    this.view.heat(array, low, high, contour);
    this.map = array && { array, meaning };
    this.bar.hidden = !array || !meaning;
    if (array && meaning) {
      const { label, ends } = meaning, [least, most] = ends;
      this.bar.replaceChildren(make("span", {}, ...prose(label)), make("span", {}, least), make("i", {}), make("span", {}, most));
    }
    this.say();
  }

  toPlane(event) {
    const box = this.over.getBoundingClientRect(), span = this.high - this.low;
    return [this.low + ((event.clientX - box.left) / box.width) * span,
      this.high - ((event.clientY - box.top) / box.height) * span].map((v) => Number(v.toFixed(3)));
  }

  toBox([x, y]) {
    const span = this.high - this.low;
    return [(1000 * (x - this.low)) / span, (1000 * (this.high - y)) / span];
  }

  listen(label) {
    const { over } = this, acts = this.onPoint || this.onPress;
    over.setAttribute("tabindex", "0");
    over.setAttribute("role", "application");
    over.setAttribute("aria-label", `${label}. Arrow keys ${acts ? "move the point" : "read the values"}${this.onPress ? "; Enter picks it" : ""}.`);
    over.addEventListener("pointermove", (event) => {
      if (this.dragging) return;
      this.say(this.toPlane(event));
      if (this.hover && event.target === over) this.point(this.toPlane(event));
    });
    for (const leaving of ["pointerleave", "blur"]) over.addEventListener(leaving, () => this.say(null));
    over.addEventListener("click", (event) => {
      if (event.target === over && event.detail > 0) this.onPress?.(this.toPlane(event));
    });
    over.addEventListener("keydown", (event) => {
      if (event.target !== over) return;
      const move = moves(event);
      const at = this.pointer ?? [0, 0].map(() => (this.low + this.high) / 2);
      if (move) this.point([at[0] + move[0] * this.stride(event), at[1] + move[1] * this.stride(event)]);
      else if (event.key === "Enter" && this.onPress) this.onPress(at);
      else return;
      if (move) this.say(this.pointer);
      event.preventDefault();
    });
  }

  /** Says where the pointer is and what the map has there; null: nothing; without an argument the same place again. */
  say(at = this.said) {
    this.said = at;
    this.reading.hidden = !at;
    if (at) this.reading.replaceChildren(...(this.where ? [this.values(at)] : prose(this.values(at))));
  }

  values(at) {
    const where = this.where?.(at) ?? this.names.map((name, k) => `${name} = ${number(at[k], 3)}`).join(", ");
    if (!this.map?.meaning) return where;
    const value = read(this.map.array, at.map((v) => Math.min(1, Math.max(0, (v - this.low) / (this.high - this.low)))));
    return `${where}; ${this.map.meaning.label} ≈ ${number(value - (this.map.meaning.from ?? 0), 3)}${this.map.meaning.unit ?? ""}`;
  }

  stride(event) { return ((this.high - this.low) / 100) * (event.shiftKey ? 5 : 1); }

  clamp(at) { return at.map((v) => Number(Math.min(this.high, Math.max(this.low, v)).toFixed(3))); }

  point(at) { this.pointer = this.clamp(at); this.onPoint?.(this.pointer); }

  /** Draggable handles [{at, label, colour, chosen}]; onMove(index, at), onChoose(index). */
  handles(list, onMove, onChoose = () => {}) {
    const focused = [...this.handleLayer.children].indexOf(document.activeElement);
    if (this.handleLayer.children.length !== list.length) {
      this.handleLayer.replaceChildren(...list.map((_, index) => this.handle(index)));
      this.handleLayer.children[focused]?.focus();
    }
    Object.assign(this, { onMove, onChoose, places: list.map((one) => one.at) });
    list.forEach((one, index) => {
      const [x, y] = this.toBox(one.at), made = this.handleLayer.children[index];
      made.setAttribute("cx", x);
      made.setAttribute("cy", y);
      made.setAttribute("class", `handle ${one.colour ?? ""} ${one.chosen ? "chosen" : ""}`);
      made.setAttribute("aria-label", `${one.label} at ${one.at[0]}, ${one.at[1]}; arrow keys move it`);
    });
  }

  handle(index) {
    const made = svg("circle", { r: 16, tabindex: 0, role: "button" });
    made.addEventListener("pointerdown", (event) => {
      made.setPointerCapture(event.pointerId);
      this.dragging = true;
      this.onChoose(index);
    });
    made.addEventListener("pointermove", (event) => {
      if (this.dragging && made.hasPointerCapture(event.pointerId)) this.onMove(index, this.clamp(this.toPlane(event)));
    });
    for (const end of ["pointerup", "pointercancel"]) made.addEventListener(end, () => { this.dragging = false; });
    made.addEventListener("focus", () => this.onChoose(index));
    made.addEventListener("keydown", (event) => {
      const move = moves(event);
      if (!move) return;
      event.preventDefault();
      const at = this.places[index], stride = this.stride(event);
      this.onMove(index, this.clamp([at[0] + move[0] * stride, at[1] + move[1] * stride]));
    });
    return made;
  }

  /** Marks above the picture: {kind: "arrow", from, to} | {kind: "dot", at}, each with a class name. */
  marks(list) {
    this.markLayer.replaceChildren(...list.flatMap((one) => (one.kind === "dot" ? [this.dot(one)] : this.arrow(one))));
  }

  dot({ at, name }) {
    const [x, y] = this.toBox(at);
    return svg("circle", { cx: x, cy: y, r: 9, class: `mark ${name}` });
  }

  arrow({ from, to, name }) {
    const [x0, y0] = this.toBox(from), [x1, y1] = this.toBox(to);
    const length = Math.hypot(x1 - x0, y1 - y0);
    const line = svg("line", { x1: x0, y1: y0, x2: x1, y2: y1, class: `mark ${name}` });
    if (length < 14) return [line];
    const head = Math.min(name === "thin" || name === "faint" ? 12 : 24, length / 2.5), ux = ((x1 - x0) / length) * head, uy = ((y1 - y0) / length) * head;
    const tip = `${x1 - ux - 0.45 * uy},${y1 - uy + 0.45 * ux} ${x1},${y1} ${x1 - ux + 0.45 * uy},${y1 - uy - 0.45 * ux}`;
    return [line, svg("polyline", { points: tip, class: `mark ${name}` })];
  }
}

function moves(event) {
  return { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? null;
}
