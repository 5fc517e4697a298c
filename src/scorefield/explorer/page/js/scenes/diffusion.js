// Diffusion: noise forwards, and two samplers backwards from the same noise, against the exact ODE.

import { chart } from "../charts.js";
import { button, group, make, number, prose, readout, row } from "../controls.js";
import { angleAt, angles, crossing, ratio } from "../levels.js";
import { Plane } from "../plane.js";
import { Player } from "../player.js";
import { question } from "../question.js";
import { tabs } from "../tabs.js";
import { theme } from "../theming.js";
import { Subject, WINDOW } from "./common.js";

export const title = "Diffusion";
export const lead = "Noise in small steps, then two samplers back from the same noise, side by side at equal noise levels.";

const READ = [["rms", "error against the exact ODE (rms)"], ["median", "error (median)"], ["w1", "sliced Wasserstein-1 to the data"],
  ["floor", "its floor", "what exact samples of the same number reach"], ["evaluations", "evaluations of the score"]];
const GRIDS = [["karras", "Karras and others"], ["log", "even in log σ"], ["angle", "even in angle"], ["flow", "even in flow time"], ["schedule", "even in the schedule’s time"]];
const SCHEDULES = [["ve", "VE: variance exploding"], ["vp", "VP: variance preserving"], ["sub-vp", "sub-VP"], ["rectified flow", "rectified flow"]];
const PATHS = 60, LINES = 30;

/** A matrix as a picture: shade by size, colour by sign. */
function picture({ data, shape: [rows, columns] }) {
  const canvas = make("canvas", { width: columns, height: rows }), pen = canvas.getContext("2d");
  const most = data.reduce((top, value) => Math.max(top, Math.abs(value)), 1e-12);
  for (let i = 0; i < data.length; i++) {
    if (data[i] === 0) continue;
    pen.globalAlpha = 0.15 + 0.85 * Math.sqrt(Math.abs(data[i]) / most);
    pen.fillStyle = theme().text(data[i] > 0 ? "particle" : "particle-b");
    pen.fillRect(i % columns, Math.floor(i / columns), 1, 1);
  }
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `matrix of ${rows} rows and ${columns} columns; the numbers are below`);
  return canvas;
}

class Diffusion {
  constructor(context, place, intro) {
    this.context = context;
    this.both = ["a", "b"].map((name) => {
      const plane = new Plane({ ...WINDOW, label: `Samples of sampler ${name}`, caption: "" });
      return { name, plane, numbers: readout(`Sampler ${name.toUpperCase()}`, READ) };
    });
    this.curve = chart({ title: "Noise level over the steps", x: "step", y: "σ / α", logY: true, series: [
      { label: "A", colour: "particle", points: true }, { label: "B", colour: "particle-b", points: true, dash: [5, 4] }] });
    this.note = make("p", { className: "hint" });
    this.times = chart({ title: "The exact ODE in the schedule’s time", x: "time t", y: "x₁", height: 210, legend: false, reverse: true, note: this.note,
      series: Array.from({ length: LINES }, (_, k) => ({ label: k ? "" : "x₁", colour: k % 2 ? "particle-b" : "particle", width: 1.2, alpha: 0.8 })) });
    this.table = make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Coefficients of sampler A" });
    this.build();
    this.cards = tabs({ label: "Below the pictures", value: context.text("tab", "errors"), onPick: (key) => context.keep({ tab: key === "errors" ? null : key }), cards: [
      { key: "errors", title: "Errors", body: make("div", { className: "cards" }, ...this.both.map((one) => one.numbers.root)) },
      { key: "levels", title: "Noise levels", body: this.curve.root },
      { key: "time", title: "The exact ODE", body: this.times.root },
      { key: "table", title: "Table of A", body: this.tableCard = group("The table of sampler A, a row a step", this.table) },
    ] });
    this.panels();
    place.append(intro, make("div", { className: "picture" }, make("div", { className: "pair" }, ...this.both.map((one) => one.plane.root)), this.playback, this.cards.root), this.side);
    for (const one of this.both) one.plane.start();
    this.subject.load(() => this.fill());
  }

  build() {
    const { context } = this, { select, slider, toggle } = context.controls, keep = (key) => (value) => { context.keep({ [key]: value }); this.refresh(); };
    this.steps = slider({ label: "Steps (evaluations of the score)", low: 2, high: 100, log: true, whole: true, value: context.number("steps", 8), name: "steps",
      onInput: (value) => { keep("steps")(value); this.question.moved(); } });
    this.steps.root.classList.add("main");
    this.question = question("diffusion", (locked) => this.steps.lock(locked));
    this.subject = new Subject(context, "moons", keep("preset"));
    this.schedule = select({ label: "Schedule", options: SCHEDULES, value: context.text("schedule", "ve"), name: "schedule", onInput: keep("schedule") });
    this.grid = select({ label: "Levels", options: GRIDS, value: context.text("grid", "karras"), name: "grid", onInput: keep("grid") });
    this.plans = this.both.map((one) => select({ label: `Sampler ${one.name.toUpperCase()}`, options: [["", "…"]], value: "", name: one.name, onInput: keep(one.name) }));
    this.count = slider({ label: "Particles", low: 200, high: 5000, log: true, whole: true, value: context.number("n", 1500), name: "n", onInput: keep("n") });
    this.paths = toggle({ label: "Trajectories", value: context.text("paths", "1") === "1", name: "paths", onInput: (on) => { context.keep({ paths: on ? null : "0" }); this.draw(); } });
    this.seed = context.number("seed", 0);
    const again = button({ label: "Other noise", name: "seed", onPress: () => { this.seed += 1; keep("seed")(this.seed); } });
    this.player = new Player(context, { label: "Noise level σ/α of both", seconds: 5, draw: () => this.draw(), said: (time) => number(ratio(angleAt(time)), 3) });
    this.forwards = button({ label: "Forwards", name: "forwards", onPress: () => (this.ahead ? this.back() : this.forward()) });
    this.playback = make("section", { className: "card playback" }, this.player.button.root, this.forwards.root, this.player.clock.root);
    this.side = make("aside", { className: "side" }, this.question.root, group("Samplers", this.steps.root, ...this.plans.map((one) => one.root),
      this.grid.root, this.schedule.root, this.subject.control.root, this.subject.hint, this.count.root, this.paths.root, make("details", {}, make("summary", {}, "About these choices"), make("p", { className: "hint" },
        ...prose("Levels and schedule belong to samplers that take them: `euler` and `euler_maruyama` step in the schedule’s time, `default` and `calibrated` choose their own levels. "
      + "Pictures are in units of the noised law’s spread, so that they stay in their frame."))), this.context.recorded ? null : row(again.root)));
  }

  /** What is shown, and the settings that it is of. */
  panels() {
    const { context, subject } = this, ready = (settings) => () => (this.planTable ? settings() : null), cards = [[this.tableCard], []];
    this.map = subject.maps(this.both.map((one) => one.plane), () => 0);
    this.both.forEach((one, k) => { one.panel = context.panel([one.plane.root, one.numbers.root, this.curve.root, ...cards[k]], ready(() => this.sampling(k))); });
    this.lines = context.panel([this.times.root], ready(() => ({ ...subject.params(), schedule: this.schedule.value(), n: LINES, seed: this.seed })));
    const forwards = () => ({ ...subject.params(), schedule: this.schedule.value(), times: 40, n: this.count.value(), seed: this.seed });
    this.up = context.panel([], forwards, () => this.back());
  }

  fill() {
    this.context.request("plans", "diffusion.plans", {}, ({ plans }) => {
      this.plans.forEach((control, k) => {
        control.offer(plans.map(({ name, what }) => [name, name, what]));
        control.set(this.context.text(this.both[k].name, ["ddim", "dpmpp2"][k]));
      });
      this.planTable = new Map(plans.map((plan) => [plan.name, plan]));
      this.refresh();
      if (this.context.text("forwards", "") === "1") this.forward(false);
    });
  }

  refresh() {
    if (!this.planTable) return;
    if (!this.map.fresh) this.subject.backdrop(this.map, this.both.map((one) => one.plane), { depth: 7 });
    if (!this.context.recorded) this.requestSamples({ n: Math.min(this.count.value(), this.subject.isRun ? 200 : 300) });
    this.context.rest("samples", () => this.requestSamples({}));
    this.context.rest("times", () => this.requestPaths(), 300);
  }

  /** What a sampler's picture is of. */
  sampling(k) {
    const plan = this.plans[k].value(), { grid, timed } = this.planTable.get(plan), levels = grid ? { grid: this.grid.value() } : {};
    const schedule = timed || levels.grid === "schedule" ? { schedule: this.schedule.value() } : {};
    return { ...this.subject.params(), plan, ...levels, ...schedule, steps: this.steps.value(), n: this.count.value(), seed: this.seed };
  }

  /** Few particles first while a control moves, all of them once it rests. */
  requestSamples(instead) {
    for (const one of this.both) {
      if (!one.panel.fresh) this.context.ask(one.panel, `sample.${one.name}`, "diffusion.sample", (result, { plan }) => this.showSamples(one, plan, result), instead);
    }
  }

  requestPaths() {
    if (this.lines.fresh) return;
    this.context.ask(this.lines, "times", "diffusion.paths", ({ time, x, apart }) => {
      const [times, n] = x.shape;
      this.times.set([Array.from(time.data), ...Array.from({ length: n }, (_, i) => Array.from({ length: times }, (__, t) => x.data[t * n + i]))],
        x.data.some((value) => Math.abs(value) > 15));
      this.note.textContent = `First coordinates, from noise (left) to data. From the same noise every schedule ends at the same points: 100 steps, even in this one’s time, end within ${number(apart, 2)} of them `
        + "(rms, of the data’s size). Only the way there looks different.";
    });
  }

  showSamples(one, plan, result) {
    one.sampled = { positions: result.unit, way: angles(result), title: `\`${plan}\`, ${this.planTable.get(plan).what}`, step: "step", steps: result.evaluations };
    const noisy = "– (adds noise on the way)";
    one.numbers.set({ rms: result.error ? number(result.error.rms) : noisy, median: result.error ? number(result.error.median) : noisy,
      w1: number(result.sliced_wasserstein), floor: number(result.floor), evaluations: String(result.evaluations) });
    if (one.name === "a") this.showTable(result);
    one.levels = Array.from(result.sigma.data, (value, i) => value / result.alpha.data[i]);
    const longest = Math.max(...this.both.map((other) => other.levels?.length ?? 0));
    const column = (other) => Array.from({ length: longest }, (_, i) => (other.levels?.[i] > 0 ? other.levels[i] : null));
    this.curve.set([Array.from({ length: longest }, (_, i) => i), ...this.both.map(column)]);
    this.draw();
  }

  showTable({ P, E, c, text }) {
    const drawn = [["P, of x̂₀", P], ["E, of ε̂", E], ["c, of new noise", { data: c.data, shape: [c.shape[0], 1] }]];
    this.table.replaceChildren(make("div", { className: "matrices" }, ...drawn.map(([name, matrix]) => make("figure", {}, picture(matrix), make("figcaption", {}, name)))),
      make("details", {}, make("summary", {}, "In numbers"), make("pre", {}, text)));
  }

  /** Both pictures at the noise level of the clock. */
  draw() {
    const { saying } = this.player;
    for (const one of this.both) {
      const shown = (one.name === "a" && this.ahead) || one.sampled;
      if (!shown) continue;
      const { positions: { data, shape: [, n] }, way } = shown, { low, high, part } = crossing(way, angleAt(this.player.time)), positions = new Float32Array(2 * n);
      for (let i = 0; i < 2 * n; i++) positions[i] = (1 - part) * data[2 * n * low + i] + part * data[2 * n * high + i];
      if (!this.paths.value()) one.plane.view.remove("paths");
      else if (one.drawn !== shown) one.plane.view.layer("paths", { kind: "line", data: this.segments(shown.positions), colour: "exact", alpha: 0.28 });
      one.drawn = this.paths.value() ? shown : null;
      one.plane.view.layer("particles", { kind: "point", data: positions, colour: one.name === "a" ? "particle" : "particle-b", size: 3, alpha: 0.85 });
      if (!saying) continue;
      const angle = (1 - part) * way[low] + part * way[high], place = part ? `between ${shown.step}s ${low} and ${high}` : `${shown.step} ${low}`;
      one.plane.tell(`${one.name.toUpperCase()}: ${shown.title}. σ/α = ${number(ratio(angle), 3)}, ${place} of ${shown.steps}.`);
    }
  }

  segments({ data, shape: [times, n] }) {
    const paths = Math.min(PATHS, n), out = new Float32Array(4 * paths * (times - 1));
    let at = 0;
    for (let i = 0; i < paths; i++) {
      for (let t = 0; t + 1 < times; t++) {
        for (const time of [t, t + 1]) { out[at++] = data[2 * (n * time + i)]; out[at++] = data[2 * (n * time + i) + 1]; }
      }
    }
    return out;
  }

  /** The forward process of clean points in place of sampler A's picture, at the noise levels of B. */
  forward(play = true) {
    this.context.ask(this.up, "forward", "diffusion.forward", (result) => {
      this.ahead = { positions: result.positions, way: angles(result), title: "the forward process, data to noise", step: "picture", steps: result.sigma.data.length - 1 };
      this.forwards.set("Sampler A again");
      this.context.keep({ forwards: 1 });
      if (play) this.player.restart(true); else this.draw();
    });
  }

  /** Sampler A's picture again. */
  back() {
    this.ahead = null;
    this.up.drawn(null);
    this.forwards.set("Forwards");
    this.context.keep({ forwards: null });
    this.draw();
  }

  close() { this.player.stop(); this.curve.close(); this.times.close(); for (const one of this.both) one.plane.close(); }
}

export function open(context, place, intro) { return new Diffusion(context, place, intro); }
