// Curves, drawn by uPlot (MIT, vendored) in the theme's colours.

import { make } from "./controls.js";
import { theme } from "./theming.js";

/** {root, set(columns)}: columns[0] is x; series are {label, colour: css variable, dash, points}; set(columns, true): the y axis is
 * one of both signs that is logarithmic far out. */
export function chart({ title, x, series, logX = false, logY = false, legend = true, reverse = false, note = null, height = 180 }) {
  const frame = make("div", { className: "chart" });
  const root = make("section", { className: "card" }, make("h2", {}, title), frame, note);
  let columns = [[], ...series.map(() => [])], plot = null, wide = false;
  const axis = (label) => ({
    label, labelSize: 16, size: label ? 46 : 46, stroke: theme().text("muted"), font: "11px system-ui", labelFont: "11px system-ui",
    grid: { show: label ? !logX : !(logY || wide), stroke: theme().text("line"), width: 1 }, ticks: { stroke: theme().text("line"), width: 1, size: 4 },
  });
  const build = () => {
    plot?.destroy();
    const across = axis(x);
    across.size = 34;
    plot = new uPlot({
      width: Math.max(200, frame.clientWidth), height,
      scales: { x: { time: false, distr: logX ? 3 : 1, dir: reverse ? -1 : 1 }, y: { distr: logY ? 3 : wide ? 4 : 1, asinh: 1 } },
      axes: [across, axis("")],
      legend: { live: false, show: legend },
      cursor: { drag: { x: false, y: false } },
      series: [{ label: x }, ...series.map((one) => ({
        label: one.label, stroke: theme().text(one.colour), width: one.width ?? 2, dash: one.dash,
        points: { show: Boolean(one.points), size: 6 }, alpha: one.alpha ?? 1,
      }))],
    }, columns, frame);
  };
  const sizing = new ResizeObserver(() => {
    if (!plot) build();
    else plot.setSize({ width: Math.max(200, frame.clientWidth), height });
  });
  sizing.observe(frame);
  document.addEventListener("theme", build);
  return {
    root,
    set(next, far = false) {
      columns = next;
      if (far !== wide) { wide = far; if (plot) build(); } else plot?.setData(columns);
    },
    close() { sizing.disconnect(); document.removeEventListener("theme", build); plot?.destroy(); },
  };
}
