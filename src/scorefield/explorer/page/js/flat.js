// The same view drawn with Canvas2D, for browsers without WebGL2.

import { theme } from "./theming.js";
import { coloured } from "./vector.js";

const css = (rgb, alpha) => `rgba(${rgb.map((v) => Math.round(255 * v)).join(",")},${alpha})`;

export class Flat {
  constructor(canvas, low, high) {
    Object.assign(this, { canvas, low, high, layers: new Map(), field: null, vectors: null, frames: [] });
    this.context = canvas.getContext("2d");
    this.redraw = () => this.resize();
    this.resizing = new ResizeObserver(this.redraw);
    this.resizing.observe(canvas);
    document.addEventListener("theme", this.redraw);
    this.resize();
  }

  resize() {
    const side = Math.max(64, this.canvas.clientWidth);
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    this.draw();
  }

  heat(array, low, high) { this.field = array && { array, low, high }; this.draw(); }

  arrows(places, arrows, cells, reference) {
    this.vectors = places && { places, arrows, cells, reference };
    this.draw();
  }

  layer(name, spec) { this.layers.set(name, spec); this.draw(); }

  remove(name) { this.layers.delete(name); this.draw(); }

  draw() {
    if (this.pending || this.gone) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint(); });
  }

  place(x, y) {
    const side = this.canvas.width, span = this.high - this.low;
    return [((x - this.low) / span) * side, (1 - (y - this.low) / span) * side];
  }

  paint() {
    const start = performance.now(), colours = theme(), side = this.canvas.width;
    this.context.fillStyle = css([...colours.stops.slice(0, 3)], 1);
    this.context.fillRect(0, 0, side, side);
    if (this.field) this.paintHeat(colours.stops);
    if (this.vectors) this.paintArrows(colours.arrow);
    for (const layer of this.layers.values()) this.paintLayer(layer, colours);
    this.frames.push([start, performance.now() - start]);
    if (this.frames.length > 240) this.frames.shift();
  }

  paintHeat(stops) {
    this.context.drawImage(coloured(this.field, stops), 0, 0, this.canvas.width, this.canvas.height);
  }

  paintArrows(ink) {
    const { places, arrows, cells, reference } = this.vectors, pen = this.context;
    pen.strokeStyle = css([...ink.slice(0, 3)], ink[3]);
    pen.beginPath();
    for (let i = 0; i < places.length; i += 2) {
      const norm = Math.hypot(arrows[i], arrows[i + 1]) || 1e-9;
      const reach = ((this.canvas.width / cells) * norm) / (norm + reference);
      const [x, y] = this.place(places[i], places[i + 1]);
      const dx = (arrows[i] / norm) * reach * 0.5, dy = (-arrows[i + 1] / norm) * reach * 0.5;
      pen.moveTo(x - dx, y - dy);
      pen.lineTo(x + dx, y + dy);
      pen.lineTo(x + 0.3 * dx + 0.4 * dy, y + 0.3 * dy - 0.4 * dx);
    }
    pen.stroke();
  }

  paintLayer(layer, colours) {
    const pen = this.context, paint = css(colours.css(layer.colour), layer.alpha ?? 1), size = layer.size ?? 4;
    pen.fillStyle = paint;
    pen.strokeStyle = paint;
    pen.beginPath();
    for (let i = 0; i < layer.data.length; i += 2) {
      const [x, y] = this.place(layer.data[i], layer.data[i + 1]);
      if (layer.kind === "point") pen.fillRect(x - size / 2, y - size / 2, size, size);
      else if (i % 4 === 0) pen.moveTo(x, y);
      else pen.lineTo(x, y);
    }
    if (layer.kind === "line") pen.stroke();
  }

  close() {
    this.gone = true;
    cancelAnimationFrame(this.pending);
    this.resizing.disconnect();
    document.removeEventListener("theme", this.redraw);
  }
}
