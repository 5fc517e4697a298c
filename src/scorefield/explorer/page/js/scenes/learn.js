// Learn: a network is trained while you look; its field and the exact one.

import { chart } from "../charts.js";
import { button, group, make, number, readout, row } from "../controls.js";
import { Plane } from "../plane.js";
import { paced } from "../player.js";
import { question } from "../question.js";
import { RANGE, WINDOW, withPresets } from "./common.js";

export const title = "Learn";
export const lead = "Train a small network with each objective and watch its field converge to the exact one.";

const READ = [["step", "step"], ["loss", "loss"], ["floor", "its exact floor"], ["error", "distance to the exact field", "root mean square under the data"], ["clean", "to the clean data’s score", "which denoising at one level does not learn"], ["cost", "milliseconds a step"]];
const OBJECTIVES = [["denoising", "denoising, one level"], ["multi-level", "denoising, many levels"], ["implicit", "implicit, exact trace"],
  ["sliced", "sliced"], ["finite-difference sliced", "finite differences"], ["explicit", "explicit"]];

const NETWORKS = [["field", "a field (residual MLP)"], ["energy", "gradient of an energy"], ["linear", "linear (a Gaussian’s score)"]];

class Learn {
  constructor(context, place, intro) {
    this.context = context;
    this.planes = [["learned", "The learned field."], ["exact", "The exact field; in colour: the size of the learned one’s error."]]
      .map(([key, label]) => ({ key, plane: new Plane({ ...WINDOW, label, caption: label }) }));
    this.numbers = readout("Training", READ);
    this.curve = chart({ title: "Loss and its exact floor", x: "step", y: "loss", series: [
      { label: "loss", colour: "particle" }, { label: "floor", colour: "muted", dash: [6, 4] }] });
    this.costs = chart({ title: "Cost of a step as the dimension grows, width 64", x: "dimension", y: "milliseconds", logX: true, logY: true, series: [
      { label: "implicit", colour: "particle", points: true }, { label: "sliced", colour: "particle-b", points: true, dash: [6, 4] }, { label: "denoising", colour: "particle-c", points: true, dash: [2, 3] }] });
    this.costs.root.hidden = true;
    this.build();
    const [learned, exact] = this.planes.map((one) => one.plane);
    this.learned = context.panel([learned.root, this.numbers.root, this.curve.root], () => this.settings());
    this.error = context.panel([], () => this.settings(), () => exact.heat(null));
    this.field = context.panel([exact.box], () => this.fieldSettings());
    this.picture = paced((result) => this.showFields(result));
    place.append(intro, make("div", { className: "picture" }, make("div", { className: "pair" }, ...this.planes.map((one) => one.plane.root)),
      make("div", { className: "cards" }, this.numbers.root, this.curve.root), this.costs.root), this.side);
    for (const { plane } of this.planes) plane.start();
    withPresets(context, (presets) => this.fill(presets));
  }

  build() {
    const { context } = this, { select, slider } = context.controls, keep = (key) => (value) => { context.keep({ [key]: value, play: null }); this.stop(); this.picture.drop(); this.refresh(); };
    this.train = button({ label: "Train", name: "train", primary: true, onPress: () => (this.running ? this.stop() : this.begin()) });
    this.question = question("learn", (locked) => this.train.lock(locked));
    this.objective = select({ label: "Objective", options: OBJECTIVES, value: context.text("objective", "denoising"), name: "objective", onInput: keep("objective") });
    this.preset = select({ label: "Density", options: [["", "…"]], value: "", name: "preset", onInput: keep("preset") });
    this.sigma = slider({ label: "Level σ", low: 0.1, high: 2, log: true, value: context.number("sigma", 0.5), name: "sigma", onInput: keep("sigma") });
    this.network = select({ label: "Network", options: NETWORKS, value: context.text("network", "field"), name: "network", onInput: keep("network") });
    this.width = slider({ label: "Width of the network", low: 8, high: 128, log: true, whole: true, value: context.number("width", 64), name: "width", onInput: keep("width") });
    this.steps = slider({ label: "Steps", low: 100, high: 5000, log: true, whole: true, value: context.number("steps", 1000), name: "steps", onInput: keep("steps") });
    this.own = make("p", { className: "hint", hidden: true }, "This scene trains its own networks, where the exact field can be computed; your run is in the other scenes.");
    const cost = button({ label: "Measure the cost by dimension", name: "cost", onPress: () => this.measure() });
    this.side = make("aside", { className: "side" }, this.question.root, group("Training", row(this.train.root), this.objective.root, this.network.root, this.sigma.root, this.preset.root,
      this.width.root, this.steps.root, context.recorded ? null : row(cost.root),
      make("p", { className: "hint" }, "Denoising learns the field at σ; the others that of the data. Many levels: one network for all of them, drawn at σ."), this.own));
  }

  fill(presets) {
    this.presets = presets;
    this.preset.offer(presets.map(({ name }) => [name, name]));
    this.preset.set(this.context.text("preset", "two modes"));
    this.context.about(({ kind }) => { this.own.hidden = kind === "none"; });
    this.refresh();
    if (this.context.text("cost", "") === "1" && !this.context.recorded) this.measure();
    if (this.context.text("play", "") === "1" && !this.train.input.disabled) this.begin();
  }

  /** What is to be learned. */
  fieldSettings() {
    if (!this.presets) return null;
    const noisy = ["denoising", "multi-level"].includes(this.objective.value());
    return { mixture: this.preset.value(), sigma: noisy ? this.sigma.value() : 0, x_range: RANGE, y_range: RANGE, n: 2 };
  }

  /** What a training is of. */
  settings() {
    return { objective: this.objective.value(), mixture: this.preset.value(), sigma: this.sigma.value(), network: this.network.value(),
      width: this.width.value(), steps: this.steps.value(), x_range: RANGE, y_range: RANGE, seed: 0 };
  }

  /** The field that is to be learned, before the training. */
  refresh() {
    if (!this.presets || this.running) return;
    this.sigma.lock(!["denoising", "multi-level"].includes(this.objective.value()));
    this.context.ask(this.field, "grid", "field.grid", (result) => {
      this.planes[1].plane.view.arrows(result.at.data, result.score.data, result.score.shape[0], 2);
    });
  }

  stop() {
    this.running?.cancel();
    this.running = null;
    this.train.set("Train");
  }

  begin() {
    const curve = [[], [], []], settings = this.settings();
    this.picture.drop(); // what still waits to be drawn is of another training
    this.train.set("Stop");
    this.context.keep({ play: 1 });
    this.question.moved();
    this.running = this.context.stream("learn", "learn.train", settings, (result) => {
      this.showStep(result, curve);
      for (const one of [this.learned, this.error]) one.drawn(settings);
    }, null, () => this.stop());
  }

  showStep(result, curve) {
    if (result.at) Object.assign(this, { at: result.at, exact: result.exact });
    this.numbers.set({ step: String(result.step), loss: number(result.loss), floor: `${number(result.floor)} ± ${number(result.floor_error, 2)}`,
      error: number(result.rms), clean: number(result.rms_clean), cost: number(result.milliseconds, 3) });
    if (result.loss !== null) [result.step, result.loss, result.floor].forEach((value, k) => curve[k].push(value));
    this.curve.set(curve);
    this.picture(result);
  }

  showFields(result) {
    for (const { key, plane } of this.planes) plane.view.arrows(this.at.data, (key === "exact" ? this.exact : result.learned).data, this.at.shape[0], 2);
    this.planes[1].plane.heat(result.error, 0, 2, 0, { label: "size of the error", ends: ["0", "2 and more"] });
  }

  measure() {
    const columns = [[], [], [], []];
    this.costs.root.hidden = false;
    this.context.keep({ cost: 1 });
    this.context.stream("cost", "learn.cost", {}, (result) => {
      ["dimension", "implicit", "sliced", "denoising"].forEach((name, k) => columns[k].push(result[name]));
      this.costs.set(columns);
    });
  }

  close() { this.picture.drop(); this.curve.close(); this.costs.close(); for (const { plane } of this.planes) plane.close(); }
}

export function open(context, place, intro) { return new Learn(context, place, intro); }
