// A view of the plane as SVG: its map as a small picture with contours on it, arrows, points and lines as they are.

import { theme } from "./theming.js";

const SIDE = 1000;

const hex = (rgb) => `rgb(${Array.from(rgb, (v) => Math.round(255 * v)).join(",")})`;

/** A small canvas with the colours of a map (n, m) between two values, the first row below. */
export function coloured({ array: { data, shape: [rows, columns] }, low, high }, stops) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: columns, height: rows });
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const t = 5 * Math.min(1, Math.max(0, (data[i] - low) / (high - low))), k = Math.min(4, Math.floor(t));
    const at = 4 * ((rows - 1 - Math.floor(i / columns)) * columns + (i % columns));
    for (let c = 0; c < 3; c++) image.data[at + c] = 255 * (stops[3 * k + c] + (t - k) * (stops[3 * k + 3 + c] - stops[3 * k + c]));
    image.data[at + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** Where the lines of a map at every `contour` below its top cross its cells: the two ends of a piece for each. */
export function contours({ array: { data, shape: [rows, columns] }, low, high, contour }) {
  const parts = [], place = (j, i) => `${((SIDE * j) / (columns - 1)).toFixed(1)} ${(SIDE - (SIDE * i) / (rows - 1)).toFixed(1)}`;
  if (!(contour > 0)) return "";
  for (let level = high - contour; level > low; level -= contour) {
    for (let i = 0; i + 1 < rows; i++) {
      for (let j = 0; j + 1 < columns; j++) {
        const corners = [[j, i], [j + 1, i], [j + 1, i + 1], [j, i + 1]], values = corners.map(([x, y]) => data[y * columns + x]), ends = [];
        for (let k = 0; k < 4; k++) {
          const [a, b] = [values[k], values[(k + 1) % 4]];
          if ((a < level) === (b < level)) continue;
          const part = (level - a) / (b - a), [from, to] = [corners[k], corners[(k + 1) % 4]];
          ends.push(place(from[0] + part * (to[0] - from[0]), from[1] + part * (to[1] - from[1])));
        }
        for (let k = 0; k + 1 < ends.length; k += 2) parts.push(`M${ends[k]}L${ends[k + 1]}`);
      }
    }
  }
  return parts.join("");
}

/** Elements of SVG, as text, that show a view in a square of 1000. */
export function vector(view) {
  const colours = theme(), span = view.high - view.low, px = SIDE / Math.max(1, view.canvas.clientWidth);
  const x = (v) => (((v - view.low) / span) * SIDE).toFixed(1), y = (v) => (((view.high - v) / span) * SIDE).toFixed(1);
  const parts = [`<rect width="${SIDE}" height="${SIDE}" fill="${hex(colours.stops.slice(0, 3))}"/>`];
  if (view.field) {
    const { array: { shape: [rows, columns] } } = view.field, [w, h] = [SIDE / (columns - 1), SIDE / (rows - 1)]; // nodes lie at the middles of pixels
    parts.push(`<image x="${-w / 2}" y="${-h / 2}" width="${SIDE + w}" height="${SIDE + h}" preserveAspectRatio="none" href="${coloured(view.field, colours.stops).toDataURL()}"/>`);
    parts.push(`<path d="${contours(view.field)}" fill="none" stroke="${hex(colours.contour.slice(0, 3))}" stroke-opacity="${colours.contour[3].toFixed(2)}" stroke-width="${px.toFixed(2)}"/>`);
  }
  const layers = [...view.layers.values()], still = layers.filter((one) => one.still), moving = layers.filter((one) => !one.still);
  if (view.vectors) parts.push(arrows(view, x, y, px, colours.arrow));
  for (const layer of [...still, ...moving]) parts.push(drawn(layer, x, y, px, colours));
  return parts.join("\n");
}

function arrows({ vectors: { places, arrows: pointing, cells, reference } }, x, y, px, ink) {
  const cell = SIDE / cells, parts = [];
  for (let i = 0; i < places.length; i += 2) {
    const norm = Math.hypot(pointing[i], pointing[i + 1]) || 1e-9, reach = (cell * norm) / (norm + reference);
    if (reach < 3) continue;
    const [cx, cy] = [Number(x(places[i])), Number(y(places[i + 1]))], [dx, dy] = [(pointing[i] / norm) * reach * 0.5, (-pointing[i + 1] / norm) * reach * 0.5], head = Math.min(1, (12 * px) / reach);
    const at = (u, v) => `${(cx + u * dx - v * dy).toFixed(1)} ${(cy + u * dy + v * dx).toFixed(1)}`;
    parts.push(`M${at(-1, 0)}L${at(1, 0)}M${at(1 - head, 0.5 * head)}L${at(1, 0)}L${at(1 - head, -0.5 * head)}`);
  }
  return `<path d="${parts.join("")}" fill="none" stroke="${hex(ink.slice(0, 3))}" stroke-opacity="${ink[3].toFixed(2)}" stroke-width="${(1.5 * px).toFixed(2)}"/>`;
}

function drawn({ kind, data, colour, size = 4, alpha = 1 }, x, y, px, colours) {
  const parts = [];
  for (let i = 0; i + 1 < data.length; i += 2) {
    if (!Number.isFinite(data[i]) || !Number.isFinite(data[i + 1])) continue;
    parts.push(kind === "point" ? `M${x(data[i])} ${y(data[i + 1])}h0` : `${i % 4 ? "L" : "M"}${x(data[i])} ${y(data[i + 1])}`);
  }
  const width = kind === "point" ? size * px : px;
  return `<path d="${parts.join("")}" fill="none" stroke="${hex(colours.css(colour))}" stroke-opacity="${alpha}" stroke-width="${width.toFixed(2)}" stroke-linecap="${kind === "point" ? "round" : "butt"}"/>`;
}
