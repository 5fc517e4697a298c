// A square view of the plane with handles above it: pointer, keyboard and drag, in the plane's coordinates.

import { make } from "./controls.js";
import { view } from "./gl.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element of SVG with its attributes. */
export function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** {root, view, handles(list), marks(list), arrow...}: a canvas of [low, high]^2 and an SVG layer of 1000 x 1000. */
export class Plane {
  constructor({ low, high, label, caption = "", onPoint = null, onPress = null }) {
    Object.assign(this, { low, high, onPoint, onPress });
    this.canvas = make("canvas", { className: "plane", "aria-label": label, role: "img" });
    this.over = svg("svg", { viewBox: "0 0 1000 1000", class: "over" });
    this.markLayer = svg("g", {});
    this.handleLayer = svg("g", {});
    this.over.append(this.markLayer, this.handleLayer);
    this.box = make("div", { className: "plane-box" }, this.canvas, this.over);
    this.caption = make("figcaption", {}, caption);
    this.root = make("figure", { className: "stage" }, this.box, this.caption);
    this.pointer = null;
    if (onPoint || onPress) this.listen(label);
    this.view = null;
  }

  /** Starts drawing; the canvas must be in the page. */
  start() { this.view = view(this.canvas, this.low, this.high); }

  close() { this.view?.close(); }

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
    this.over.setAttribute("tabindex", "0");
    this.over.setAttribute("role", "application");
    this.over.setAttribute("aria-label", `${label}. Arrow keys move the point; Enter picks it.`);
    this.over.addEventListener("pointermove", (event) => {
      if (!this.dragging && event.target === this.over) this.point(this.toPlane(event));
    });
    this.over.addEventListener("click", (event) => {
      if (event.target === this.over && event.detail > 0) this.onPress?.(this.toPlane(event));
    });
    this.over.addEventListener("keydown", (event) => {
      if (event.target !== this.over) return;
      const move = moves(event);
      const at = this.pointer ?? [0, 0];
      if (move) this.point([at[0] + move[0] * this.stride(event), at[1] + move[1] * this.stride(event)]);
      else if (event.key === "Enter") this.onPress?.(at);
      else return;
      event.preventDefault();
    });
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
    made.addEventListener("pointerup", () => { this.dragging = false; });
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
