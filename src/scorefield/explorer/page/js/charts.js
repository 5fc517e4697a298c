// Curves, drawn by uPlot (MIT, vendored) in the theme's colours. The legend says the values at the pointer, or at the point
// that the arrow keys choose.

import { make, number, prose } from "./controls.js";
import { theme } from "./theming.js";

/** {root, set(columns)}: columns[0] is x; series are {label, colour: css variable, dash, points}; set(columns, true): the y axis is
 * one of both signs that is logarithmic far out. Without a legend the first series alone says its values. */
export function chart({ title, x, y = "", series, logX = false, logY = false, legend = true, reverse = false, note = null, height = 180 }) {
  const frame = make("div", { className: "chart", tabIndex: 0, role: "group", "aria-label": `${title}. Left and right arrow keys read the values.` });
  const reading = make("p", { className: "values", role: "status" });
  const root = make("section", { className: "card" }, make("h2", {}, ...prose(title)), frame, reading, note);
  let columns = [[], ...series.map(() => [])], plot = null, wide = false, at = -1;
  const axis = (label, upright) => ({
    label: label || null, labelSize: 16, size: upright ? (label ? 62 : 46) : 34, stroke: theme().text("muted"), font: "11px system-ui", labelFont: "11px system-ui",
    grid: { show: upright ? !(logY || wide) : !logX, stroke: theme().text("line"), width: 1 }, ticks: { stroke: theme().text("line"), width: 1, size: 4 },
  });
  const say = (self) => {
    const k = self.cursor.idx ?? -1;
    at = k;
    const told = series.flatMap(({ label }, j) => (columns[j + 1]?.[k] === null || columns[j + 1]?.[k] === undefined ? [] : [`${label} ${number(columns[j + 1][k])}`]));
    const shown = k < 0 || k >= columns[0].length ? "" : `${x} ${number(columns[0][k])}: ${told.slice(0, legend ? 9 : 4).join(", ")}`;
    if (reading.textContent !== shown) reading.textContent = shown;
  };
  const build = () => {
    plot?.destroy();
    plot = new uPlot({
      width: Math.max(200, frame.clientWidth), height,
      scales: { x: { time: false, distr: logX ? 3 : 1, dir: reverse ? -1 : 1 }, y: { distr: logY ? 3 : wide ? 4 : 1, asinh: 1 } },
      axes: [axis(x, false), axis(y, true)],
      legend: { live: false, show: legend },
      cursor: { drag: { x: false, y: false } },
      hooks: { setCursor: [say] },
      series: [{ label: x }, ...series.map((one) => ({
        label: one.label, stroke: theme().text(one.colour), width: one.width ?? 2, dash: one.dash,
        points: { show: Boolean(one.points), size: 6 }, alpha: one.alpha ?? 1,
      }))],
    }, columns, frame);
  };
  const sizing = new ResizeObserver(() => {
    if (!frame.clientWidth) return; // not shown
    if (!plot) build();
    else plot.setSize({ width: Math.max(200, frame.clientWidth), height });
  });
  sizing.observe(frame);
  document.addEventListener("theme", build);
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], count = columns[0].length;
    if (!step || !plot || !count) return;
    event.preventDefault();
    const k = Math.min(count - 1, Math.max(0, at < 0 ? 0 : at + (reverse ? -step : step)));
    plot.setCursor({ left: plot.valToPos(columns[0][k], "x"), top: height / 3 });
  });
  return {
    root,
    set(next, far = false) {
      columns = next;
      if (far !== wide) { wide = far; if (plot) build(); } else plot?.setData(columns);
    },
    close() { sizing.disconnect(); document.removeEventListener("theme", build); plot?.destroy(); },
  };
}
