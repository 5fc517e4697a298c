// A corner plot: the law of each parameter on the diagonal, of each pair below it. Drawn as SVG, in the theme's colours.

import { make, number } from "./controls.js";
import { svg } from "./plane.js";
import { add, remove } from "./stages.js";
import { theme } from "./theming.js";
import { ticks } from "./ticks.js";

const LEFT = 104, TOP = 8, BOTTOM = 96, GAP = 10, SIDE = 1000, BINS = 40;

/** Shares of places from 0 to 1 in bins. */
function shares(places) {
  const found = new Float64Array(BINS);
  for (const u of places) if (u >= 0 && u <= 1) found[Math.min(BINS - 1, Math.floor(u * BINS))] += 1 / places.length;
  return found;
}

/** One column of a stack {data, shape: [n, d]}. */
export const column = ({ data, shape: [n, d] }, k) => Float64Array.from({ length: n }, (_, i) => data[i * d + k]);

export class Corner {
  /** axes: [{name, low, high}]; behind: places of simulations {data, shape} on them. */
  constructor(axes, behind) {
    Object.assign(this, { axes, behind, d: axes.length });
    this.cell = (SIDE - LEFT - GAP * this.d) / this.d;
    this.height = (SIDE - TOP - BOTTOM - GAP * (this.d - 1)) / this.d;
    this.over = svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, class: "corner", role: "img", "aria-label": `Corner plot of ${axes.map(({ name }) => name).join(", ")}; the numbers are beside it` });
    this.reading = make("output", { className: "reading", hidden: true });
    this.box = make("div", { className: "corner-box" }, this.over, this.reading);
    this.caption = make("figcaption", {});
    this.root = make("figure", { className: "stage" }, this.box, this.caption);
    this.draws = this.truth = null;
    this.lay();
    this.over.addEventListener("pointermove", (event) => this.say(event));
    this.over.addEventListener("pointerleave", () => { this.reading.hidden = true; });
    this.sizing = new ResizeObserver(() => this.over.style.setProperty("--unit", `${SIDE / Math.max(1, this.box.clientWidth)}px`));
  }

  start() {
    this.sizing.observe(this.box);
    const back = () => theme().text("card");
    this.stage = {
      box: this.box, overlay: this.over, words: () => this.caption.textContent, vector: () => `<rect width="${SIDE}" height="${SIDE}" fill="${back()}"/>`,
      base: (pen, x, y, w, h) => { pen.fillStyle = back(); pen.fillRect(x, y, w, h); },
    };
    add(this.stage);
  }

  close() { this.sizing.disconnect(); if (this.stage) remove(this.stage); }

  /** Where the panel in a row and a column begins. */
  origin(row, at) { return [LEFT + at * (this.cell + GAP), TOP + row * (this.height + GAP)]; }

  lay() {
    const { d, cell, height, axes } = this, text = (x, y, anchor, words, more = {}) => { const made = svg("text", { x, y, "text-anchor": anchor, class: "tick", ...more }); made.textContent = words; return made; };
    this.panels = [];
    for (let row = 0; row < d; row++) {
      for (let at = 0; at <= row; at++) {
        const [x, y] = this.origin(row, at), clip = svg("svg", { x, y, width: cell, height, viewBox: "0 0 1 1", preserveAspectRatio: "none" });
        const behind = svg("path", { class: row === at ? "law-real" : "cloud-real" }), drawn = svg("path", { class: row === at ? "law-drawn" : "cloud-drawn" }), truth = svg("path", { class: "truth" });
        clip.append(behind, drawn, truth);
        this.over.append(svg("rect", { x, y, width: cell, height, class: "panel" }), clip);
        this.panels.push({ row, at, behind, drawn, truth });
        behind.setAttribute("d", row === at ? this.law(this.behind, at, true) : this.cloud(this.behind, at, row, 300));
      }
    }
    for (let k = 0; k < d; k++) {
      const [x, y] = this.origin(d - 1, k), marks = ticks(axes[k].low, axes[k].high, d > 3 ? 2 : 3), base = y + height;
      for (const { at, text: words } of marks) {
        this.over.append(svg("path", { d: `M${x + at * cell} ${base}v8`, class: "rule" }), text(Math.min(x + at * cell, x + cell - 22), base + 38, "middle", words));
        if (!k) continue;
        const [left, top] = this.origin(k, 0), up = top + (1 - at) * height;
        this.over.append(svg("path", { d: `M${left} ${up}h-8`, class: "rule" }), text(left - 12, up + 8, "end", words));
      }
      this.over.append(text(x + cell / 2, base + 82, "middle", axes[k].name, { class: "tick name" }));
      const [, top] = this.origin(k, 0), middle = [26, top + height / 2];
      if (k) this.over.append(text(...middle, "middle", axes[k].name, { class: "tick name", transform: `rotate(-90 ${middle.join(" ")})` }));
    }
  }

  /** The outline of a law in a panel of side 1, or what it covers; a flat line where all of it lies beyond the axis. */
  law(stack, k, closed, top = null) {
    if (!stack?.shape[0]) return "";
    const parts = shares(column(stack, k)), most = (top ?? Math.max(...parts)) || 1;
    const line = Array.from(parts, (share, i) => `${(i / BINS).toFixed(4)},${(1 - (0.94 * share) / most).toFixed(4)}H${((i + 1) / BINS).toFixed(4)}`).join("L");
    return closed ? `M0,1L${line}V1Z` : `M${line}`;
  }

  /** Points of a pair as one path: each a line of no length with a round end. */
  cloud({ data, shape: [n, d] }, across, up, most = Infinity) {
    const parts = [];
    for (let i = 0; i < Math.min(n, most); i++) {
      const [u, v] = [data[i * d + across], data[i * d + up]];
      if (u >= 0 && u <= 1 && v >= 0 && v <= 1) parts.push(`M${u.toFixed(4)} ${(1 - v).toFixed(4)}h0`);
    }
    return parts.join("");
  }

  /** Draws {data, shape: [n, d]} on axes from 0 to 1, and the true parameters, where they are known, else null. */
  show(draws, truth) {
    for (const { row, at, drawn, truth: mark } of this.panels) {
      drawn.setAttribute("d", row === at ? this.law(draws, at, false) : this.cloud(draws, at, row, 1000));
      const [u, v] = truth ? [at, row].map((k) => (truth[k] - this.axes[k].low) / (this.axes[k].high - this.axes[k].low)) : [];
      mark.setAttribute("d", !truth ? "" : row === at ? `M${u} 0V1` : `M${u} 0V1M0 ${1 - v}H1`);
    }
  }

  /** The values under the pointer. */
  say(event) {
    const box = this.over.getBoundingClientRect(), [x, y] = [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
    const inside = this.panels.find(({ row, at }) => { const [left, top] = this.origin(row, at); return x >= left && x <= left + this.cell && y >= top && y <= top + this.height; });
    this.reading.hidden = !inside;
    if (!inside) return;
    const { row, at } = inside, [left, top] = this.origin(row, at), value = (k, part) => `${this.axes[k].name} = ${number(this.axes[k].low + part * (this.axes[k].high - this.axes[k].low), 3)}`;
    this.reading.textContent = row === at ? value(at, (x - left) / this.cell) : `${value(at, (x - left) / this.cell)}, ${value(row, 1 - (y - top) / this.height)}`;
  }
}
