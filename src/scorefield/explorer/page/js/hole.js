// A picture with a part that is hidden: painted over with the pointer, or with the arrow keys and the space bar.

import { make } from "./controls.js";
import { theme } from "./theming.js";

/** Pixels row by row as lengths of runs, seen, hidden, seen, ... */
export function writeRuns(hidden) {
  const runs = [0];
  let now = 0;
  for (const value of hidden) { if (value !== now) { runs.push(0); now = value; } runs[runs.length - 1] += 1; }
  return runs;
}

/** The pixels of such runs, or null where they are not so many. */
export function readRuns(runs, size) {
  if (runs.some((run) => !Number.isInteger(run) || run < 0) || runs.reduce((a, b) => a + b, 0) !== size) return null;
  return Uint8Array.from(runs.flatMap((run, k) => Array(run).fill(k % 2)));
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export class Hole {
  /** shape: [height, width] of the picture; radius(): of the brush, in pixels; onChange(): another part is hidden; paint(canvas): draws the whole picture. */
  constructor({ shape: [height, width], radius, onChange, paint }) {
    Object.assign(this, { height, width, radius, onChange, paint, hidden: new Uint8Array(height * width), at: [Math.floor(height / 2), Math.floor(width / 2)], keyed: false, locked: false });
    this.canvas = make("canvas", { width, height, className: "hole", tabIndex: 0, role: "application", "aria-label": "The picture. Paint over a part to hide it; arrow keys move the brush, the space bar hides, Backspace shows again." });
    this.canvas.dataset.name = "hole";
    this.listen();
  }

  get some() { return this.hidden.some(Boolean) && !this.hidden.every(Boolean); }

  get runs() { return writeRuns(this.hidden); }

  set(hidden) { this.hidden = hidden; this.draw(); }

  listen() {
    const { canvas } = this, place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientY - box.top) / box.height) * this.height, ((event.clientX - box.left) / box.width) * this.width];
    };
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = place(event);
      this.keyed = false;
      this.brush(last, event.shiftKey ? 0 : 1);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last || !canvas.hasPointerCapture(event.pointerId)) return;
      const next = place(event), steps = Math.max(1, Math.ceil(Math.hypot(next[0] - last[0], next[1] - last[1])));
      for (let k = 1; k <= steps; k++) this.brush(last.map((v, side) => v + ((next[side] - v) * k) / steps), event.shiftKey ? 0 : 1, k < steps);
      last = next;
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
    canvas.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (move) { this.at = [0, 1].map((side) => Math.min([this.height, this.width][side] - 1, Math.max(0, this.at[side] + move[side]))); this.keyed = true; this.draw(); }
      else if (event.key === " " || event.key === "Enter") this.brush(this.at.map((v) => v + 0.5), 1);
      else if (event.key === "Backspace" || event.key === "Delete") this.brush(this.at.map((v) => v + 0.5), 0);
      else return;
      event.preventDefault();
    });
    canvas.addEventListener("blur", () => { this.keyed = false; this.draw(); });
  }

  /** Hides (1) or shows (0) the pixels under the brush. */
  brush([row, column], value, more = false) {
    if (this.locked) return;
    const reach = this.radius();
    let changed = false;
    for (let i = 0; i < this.height; i++) {
      for (let j = 0; j < this.width; j++) {
        const near = Math.hypot(i + 0.5 - row, j + 0.5 - column) <= reach || (Math.floor(row) === i && Math.floor(column) === j);
        if (near && this.hidden[i * this.width + j] !== value) { this.hidden[i * this.width + j] = value; changed = true; }
      }
    }
    if (more) return;
    this.draw();
    if (changed || value) this.onChange();
  }

  /** Hides a rectangle, and nothing else. */
  rectangle(top, left, height, width) {
    const hidden = new Uint8Array(this.height * this.width);
    for (let i = top; i < top + height; i++) hidden.fill(1, i * this.width + left, i * this.width + left + width);
    this.set(hidden);
    this.onChange();
  }

  draw() {
    this.paint(this.canvas);
    const pen = this.canvas.getContext("2d");
    pen.fillStyle = theme().text("particle-b");
    for (let k = 0; k < this.hidden.length; k++) if (this.hidden[k]) pen.fillRect(k % this.width, Math.floor(k / this.width), 1, 1);
    if (this.keyed) { pen.fillStyle = theme().text("particle"); pen.fillRect(this.at[1], this.at[0], 1, 1); }
  }
}
