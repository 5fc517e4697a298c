// The field: a density and its score at a noise level, and the estimates at one noisy point.

import { button, group, make, number, readout, row, vector } from "../controls.js";
import { Plane } from "../plane.js";
import { question } from "../question.js";
import { RANGE, WINDOW, Subject, readMixture, showField, writeMixture } from "./common.js";

export const title = "Field";
export const lead = "A density, its score ∇ log p, and what noise does to both. Move σ, click a clean point, drag the modes.";

const READ = [
  ["x", "x (pointer)"], ["log_density", "log p_σ(x)"], ["score", "score ∇ log p_σ(x)"],
  ["x0", "x̂₀ = E[x₀ | x]"], ["eps", "ε̂ = E[ε | x]"],
  ["first", "α x̂₀ + σ ε̂ − x", "zero up to rounding"], ["second", "score + ε̂ / σ", "zero up to rounding"],
];

const AVERAGE = [["one", "one of them"], ["mean", "mean of 400"], ["error", "its standard error"], ["marginal", "the score: their mean"]];

/** Points of a CSV text: two numbers a line, at most 5,000; a header line is passed over. */
export function readPoints(text) {
  const points = [];
  for (const line of text.split(/\r?\n/)) {
    const numbers = line.split(/[,;\t ]+/).filter((part) => part !== "").slice(0, 2).map(Number);
    if (numbers.length === 2 && numbers.every(Number.isFinite)) points.push(numbers);
    if (points.length > 5000) throw new Error("a file of more than 5,000 points is more than this page takes");
  }
  if (!points.length) throw new Error("no line of the file begins with two numbers");
  return points;
}

class Field {
  constructor(context, place, intro) {
    this.context = context;
    this.mixture = readMixture(context.text("m", "x"));
    this.points = (context.text("points", "") || "").split(";").filter(Boolean).map((pair) => pair.split(",").map(Number));
    this.source = context.text("source", ""); // of mixture, points and run
    const pair = (key, other) => context.near(key === "at" ? "x" : key, context.text(key, other).split(",").filter(Boolean).map(Number));
    this.clean = pair("clean", "");
    this.pointer = pair("at", "1.2,0.8");
    this.chosen = Math.trunc(context.number("mode", 1)) - 1;
    this.plane = new Plane({
      ...WINDOW, label: "Log-density and score arrows", onPoint: (at) => this.pointAt(at), onPress: (at) => this.press(at),
      caption: "Colour: log p_σ, one contour a nat. Arrow length: s / (s + 2) of a cell.",
    });
    this.numbers = readout("At the pointer", READ);
    this.average = readout("Conditional scores −ε/σ at the pointer", AVERAGE);
    this.build();
    this.bind();
    place.append(intro, make("div", { className: "picture" }, this.plane.root), this.side);
    this.plane.start();
    this.subject.load(() => this.fill());
  }

  /** What is shown, and the settings that it is of. */
  bind() {
    const { context } = this, here = () => this.mixture && this.subject.loaded && (this.source !== "points" || this.points.length);
    const at = (more) => () => (here() ? { ...this.about(), sigma: this.level(), ...more() } : null);
    this.map = context.panel([this.plane.box, this.plane.bar], at(() => this.fineness()));
    const point = at(() => ({ x: this.pointer, seed: 0, count: 400 }));
    this.panel = context.panel([this.numbers.root, this.average.root], point);
    this.marks = context.panel([], point, () => { this.result = null; this.showMarks(); });
    this.noised = context.panel([], () => (this.clean.length === 2 && this.source !== "points" ? at(() => ({ clean: this.clean, seed: 0, count: 300 }))() : null),
      () => { this.cloud = null; this.showMarks(); });
  }

  build() {
    const { context } = this, { select, slider, toggle } = context.controls;
    this.sigma = slider({
      label: "Noise level σ", low: 0.05, high: 8, log: true, value: context.number("sigma", 0.3), name: "sigma",
      onInput: (value) => { context.keep({ sigma: value }); this.refresh(); this.question.moved(); },
    });
    this.sigma.root.classList.add("main");
    this.question = question("field", (locked) => this.sigma.lock(locked));
    this.subject = new Subject(context, "two modes", (name) => this.take(name));
    this.weight = slider({ label: "Weight of the mode, others’ mean 1", low: 0.05, high: 4, log: true, value: 1, name: "weight", onInput: (v) => this.edit("weight", v) });
    this.spread = slider({ label: "Spread of the mode", low: 0.1, high: 2.5, log: true, value: 0.6, name: "spread", onInput: (v) => this.edit("spread", v) });
    this.arrows = toggle({ label: "Score arrows", value: context.text("arrows", "1") === "1", name: "arrows", onInput: (on) => { context.keep({ arrows: on ? null : "0" }); this.show(); } });
    const file = make("input", { type: "file", accept: ".csv,.txt", className: "file" });
    file.setAttribute("aria-label", "A CSV file of points, two numbers a line");
    file.addEventListener("change", () => this.upload(file.files[0]));
    this.modes = group("Modes", this.weight.root, this.spread.root, row(
      button({ label: "Add a mode", name: "add", onPress: () => this.add() }).root,
      button({ label: "Remove it", name: "remove", onPress: () => this.drop() }).root));
    this.own = group("Your points", make("p", { className: "hint" }, "Click in the picture to add points, or take a CSV file (two numbers a line, at most 5,000). "
      + "Their density at level σ is the mean of Gaussians around them."), file, this.count = make("p", { className: "hint", role: "status" }), row(
      button({ label: "Clear the points", name: "clear", onPress: () => this.setPoints([]) }).root));
    this.side = make("aside", { className: "side" }, this.question.root,
      group("Level and density", this.sigma.root, this.subject.control.root, this.subject.hint, this.arrows.root), this.numbers.root, this.average.root, this.modes, this.own);
  }

  fill() {
    const { subject, context } = this, own = subject.isRun && !this.mixture;
    if (!context.recorded) this.subject.control.input.append(make("option", { value: "points" }, "your own points"));
    if (!["mixture", "points"].includes(this.source)) this.source = own ? "run" : "mixture";
    if (this.source === "points") this.subject.control.set("points");
    else if (this.mixture && subject.isRun) this.subject.control.set(subject.presets[0].name);
    this.edited = Boolean(this.mixture);
    this.mixture ??= structuredClone(subject.mixture ?? subject.presets[0].mixture);
    this.choose(Math.min(this.mixture.weights.length, Math.max(1, this.chosen + 1)) - 1);
    this.refresh();
  }

  take(name) {
    this.source = ["points", "run"].includes(name) ? name : "mixture";
    this.edited = false;
    if (this.source === "mixture") this.mixture = structuredClone(this.subject.mixture);
    this.choose(0);
    this.context.keep({ preset: name === "points" ? null : name, source: this.source === "points" ? "points" : null, m: null });
    this.refresh();
  }

  /** What the picture is of; a mixture by its name until it has been changed. */
  about() {
    if (this.source === "points") return { points: this.points };
    return this.source === "mixture" && this.edited ? { mixture: this.mixture } : this.subject.params();
  }

  edit(what, value) {
    const { mixture, chosen } = this;
    if (what === "weight") {
      const rest = 1 - mixture.weights[chosen], mine = (value * rest) / (mixture.weights.length - 1), sum = rest + mine;
      mixture.weights = mixture.weights.map((w, k) => (k === chosen ? mine : w) / sum);
    } else mixture.covariances[chosen] = [[value ** 2, 0], [0, value ** 2]];
    this.change();
  }

  add() {
    const { mixture } = this;
    if (mixture.weights.length >= 16) { this.context.fail("a mixture has at most 16 modes here"); return; }
    const share = 1 / (mixture.weights.length + 1);
    mixture.weights = [...mixture.weights.map((w) => w * (1 - share)), share];
    mixture.means.push([...this.pointer]);
    mixture.covariances.push([[0.36, 0], [0, 0.36]]);
    this.chosen = mixture.weights.length - 1;
    this.change();
  }

  drop() {
    const { mixture, chosen } = this;
    if (mixture.weights.length < 2) return;
    for (const key of ["weights", "means", "covariances"]) mixture[key].splice(chosen, 1);
    const sum = mixture.weights.reduce((a, b) => a + b);
    mixture.weights = mixture.weights.map((w) => w / sum);
    this.chosen = 0;
    this.change();
  }

  change() { this.edited = true; this.context.keep({ m: writeMixture(this.mixture) }); this.refresh(); }

  choose(index) {
    this.chosen = index;
    this.context.keep({ mode: index ? index + 1 : null });
    const [[a], [, c]] = this.mixture.covariances[index];
    const mine = this.mixture.weights[index], others = this.mixture.weights.length - 1;
    this.weight.lock(!others);
    this.weight.set(others ? (mine * others) / (1 - mine) : 1);
    this.spread.set(Math.sqrt((a + c) / 2));
    this.handles();
  }

  handles() {
    const list = this.source !== "mixture" || this.context.recorded ? [] : this.mixture.means.map((at, k) => ({ at, label: `mode ${k + 1}`, chosen: k === this.chosen }));
    this.plane.handles(list, (k, at) => { this.mixture.means[k] = at; this.change(); }, (k) => { if (k !== this.chosen) this.choose(k); });
  }

  async upload(file) {
    if (!file) return;
    try {
      if (file.size > 2_000_000) throw new Error("a file of more than 2 MB is more than this page takes");
      const points = readPoints(await file.text());
      this.source = "points";
      this.subject.control.set("points");
      this.context.keep({ source: "points", preset: null, m: null });
      this.setPoints(points);
    } catch (error) { this.context.fail(error.message); }
  }

  /** The user's own points; the address holds up to 60 of them. */
  setPoints(points) {
    this.points = points;
    this.context.keep({ points: points.length <= 60 ? points.map((pair) => pair.join(",")).join(";") : null });
    this.refresh();
  }

  press(at) {
    if (this.source === "points") { this.setPoints([...this.points, at]); return; }
    this.clean = this.context.near("clean", at);
    this.context.keep({ clean: this.clean.join(",") });
    this.requestPoint();
  }

  pointAt(at) {
    const near = this.context.near("x", at);
    if (near.join() === this.pointer.join()) return;
    this.pointer = near;
    this.context.keep({ at: near.join(",") });
    this.requestPoint();
  }

  refresh() {
    if (!this.mixture || !this.subject.loaded) return;
    const points = this.source === "points", mine = this.source === "run";
    this.modes.hidden = points || mine || this.context.recorded;
    this.own.hidden = !points;
    this.handles();
    this.showOwn();
    if (points && !this.points.length) { this.nothing(); return; }
    this.requestGrid();
    this.requestPoint();
  }

  /** The user's points themselves. */
  showOwn() {
    if (this.source !== "points" || !this.points.length) this.plane.view.remove("own");
    else this.plane.view.layer("own", { kind: "point", data: new Float32Array(this.points.flat()), colour: "particle", size: this.points.length > 500 ? 3 : 6, alpha: 0.9 });
    this.count.textContent = `${this.points.length.toLocaleString("en")} ${this.points.length === 1 ? "point" : "points"} in the picture.${this.points.length > 60 ? " An address holds up to 60: a link will not bring these." : ""}`;
  }

  /** There is no density yet. */
  nothing() {
    Object.assign(this, { grid: null, result: null, cloud: null });
    this.plane.heat(null);
    this.plane.view.arrows(null);
    this.numbers.clear();
    this.average.root.hidden = true;
    for (const panel of [this.map, this.panel, this.marks, this.noised]) panel.drawn(null);
    this.showMarks();
  }

  /** How fine a map is drawn: one of points costs their number a node, one of a run an ODE. */
  fineness() {
    const window = { x_range: RANGE, y_range: RANGE };
    if (this.source === "run") return { ...window, n: 40, landscape: true };
    return this.source === "points" ? { ...window, n: this.points.length > 1500 ? 64 : 96 } : { ...window, n: 96, landscape: false };
  }

  /** The field; where it is costly the arrows first, or a coarse one, and the whole once the level rests. */
  requestGrid() {
    const ask = (instead) => this.context.ask(this.map, "field.grid", "field.grid", (result) => { this.grid = result; this.show(); }, instead);
    const many = this.source === "points" && this.points.length > 150;
    if (this.source === "run") ask({ n: 2, landscape: false });
    else if (many) ask({ n: Math.max(16, Math.min(96, Math.floor(Math.sqrt(1.5e6 / this.points.length)))), arrows: 16 });
    else { ask({}); return; }
    this.context.rest("grid", () => ask({}));
  }

  level() { return this.source === "run" ? this.subject.level(this.sigma.value()) : this.sigma.value(); }

  show() { if (this.grid) showField(this.plane, this.grid, { arrows: this.arrows.value(), label: "log p_σ" }); }

  requestPoint() {
    if (this.source === "points" && !this.points.length) return;
    this.context.ask(this.panel, "field.point", "field.point", (result, params) => {
      this.result = { ...result, x: params.x };
      this.showPoint();
      this.showMarks();
      this.marks.drawn(params);
    });
    if (!this.noised.settings()) return;
    this.context.ask(this.noised, "field.cloud", "field.cloud", (result, { clean }) => { this.cloud = { ...result, clean }; this.showMarks(); });
  }

  showPoint() {
    const { x, score, x0, eps, residuals, candidates, log_density: value } = this.result;
    this.numbers.set({
      x: vector(x), log_density: value === null ? "– (scene Density)" : number(value, 5), score: vector(score, 4), x0: vector(x0, 4), eps: vector(eps, 4),
      first: number(residuals.pair, 2), second: number(residuals.tweedie, 2),
    });
    this.average.root.hidden = !candidates;
    if (!candidates) return;
    const { conditional, mean, standard_error: error } = candidates;
    this.average.set({ one: vector(conditional.data.slice(0, 2)), mean: vector(mean), error: vector(error, 2), marginal: vector(score) });
  }

  /** The estimates at the pointer and a clean point's cloud, above the picture. */
  showMarks() {
    const { result, cloud } = this, marks = [];
    if (result) {
      const { x, x0, candidates } = result, from = candidates?.points.data ?? [];
      for (let i = 0; i < Math.min(24, from.length); i += 2) marks.push({ kind: "arrow", from: x, to: [from[i], from[i + 1]], name: "faint" });
      marks.push({ kind: "arrow", from: x, to: x0, name: "score" }, { kind: "dot", at: x0, name: "guess" }, { kind: "dot", at: x, name: "here" });
    }
    if (cloud) this.addCloud(cloud, marks); else this.plane.view.remove("cloud");
    this.plane.marks(marks);
    const thin = result?.candidates ? " Thin: to clean points that x may come from." : "";
    const click = this.source === "points" ? "Click: one more point." : "Click: a clean point’s cloud.";
    this.plane.tell(cloud ? "Dots: the clean point’s noised cloud; thin arrows: their conditional scores, −ε/σ, each back to the clean point."
      : result ? `Arrow length: s / (s + 2) of a cell. Bold arrow: from x to x̂₀, along the score.${thin} ${click}` : click);
  }

  addCloud({ points: { data }, clean }, marks) {
    this.plane.view.layer("cloud", { kind: "point", data, colour: "exact", size: 3.5, alpha: 0.75 });
    for (let i = 0; i < 24; i += 2) marks.push({ kind: "arrow", from: [data[i], data[i + 1]], to: clean, name: "thin" });
    marks.push({ kind: "dot", at: clean, name: "clean" });
  }

  close() { this.plane.close(); }
}

export function open(context, place, intro) { return new Field(context, place, intro); }
