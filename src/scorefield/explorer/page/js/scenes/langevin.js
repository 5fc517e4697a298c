// Langevin dynamics: particles that follow the score and are shaken, against the exact answer.

import { chart } from "../charts.js";
import { button, group, make, number, readout, row, select, slider, toggle, vector } from "../controls.js";
import { Plane } from "../plane.js";
import { question } from "../question.js";
import { RANGE, WINDOW, offer, showField, withPresets } from "./common.js";

export const title = "Langevin";
export const lead = "Thousands of particles climb the score and are shaken by noise. Do they end where the density says?";

const QUESTION = {
  prompt: "All particles start in one mode. At one small noise level, when are the modes’ weights right?",
  options: ["After a few hundred steps, for any density", "Hardly ever: between separated modes nobody crosses",
    "At once, because the score knows the weights"],
  correct: 1,
  doing: "Press Run at one level, then switch to annealed and run again.",
  answer: "Between separated modes the density is so small that the walk takes exponentially long to cross, and the score inside a mode "
    + "hardly depends on its weight. Annealing starts where the noise has merged the modes, so particles are shared out before they part.",
  formula: "x ← x + h ∇ log p_σ(x) + √(2h) z,   σ₁ > σ₂ > … > σ_L",
  source: "Song and Ermon (2019). The Metropolis test (adjusted) removes the bias of a finite step h.",
};

const READ = [["step", "step"], ["level", "level σ"], ["mean", "mean"], ["exact_mean", "exact mean"], ["covariance", "covariance (xx, xy, yy)"],
  ["exact_covariance", "exact"], ["weights", "mode weights"], ["exact_weights", "exact"], ["w1", "sliced Wasserstein-1"],
  ["floor", "its floor", "what exact samples of the same number reach"], ["acceptance", "acceptance"]];

class Langevin {
  constructor(context, place, intro) {
    this.context = context;
    this.plane = new Plane({ ...WINDOW, label: "Particles on the log-density", caption: "Particles on log p_σ at the level of now." });
    this.numbers = readout("Against the exact answer", READ);
    this.curve = chart({ title: "Distance to the exact answer", x: "step", logY: true, series: [
      { label: "sliced W1", colour: "particle" }, { label: "floor", colour: "muted", dash: [6, 4] }] });
    this.build();
    place.append(intro, make("div", { className: "picture" }, this.plane.root, this.curve.root), this.side);
    this.plane.start();
    withPresets(context, (presets) => this.fill(presets));
  }

  build() {
    const { context } = this, keep = (key) => (value) => { context.keep({ [key]: value }); this.changed(); };
    this.run = button({ label: "Run", name: "run", primary: true, onPress: () => this.toggleRun() });
    this.question = question("langevin", QUESTION, (locked) => this.run.lock(locked));
    this.preset = select({ label: "Density", options: [["", "…"]], value: "", name: "preset", onInput: keep("preset") });
    this.mode = select({ label: "Noise levels", options: [["one", "one level"], ["annealed", "annealed"]], value: context.text("mode", "one"), name: "mode",
      onInput: (value) => { this.step.set(value === "annealed" ? 0.5 : 0.05); context.keep({ step: this.step.value() }); keep("mode")(value); } });
    this.adjusted = toggle({ label: "Metropolis-adjusted", value: context.text("adjusted", "0") === "1", name: "adjusted", onInput: (on) => keep("adjusted")(on ? "1" : null) });
    this.first = select({ label: "Start", options: [["first mode", "in the first mode"], ["wide", "wide"], ["place", "at the origin"]],
      value: context.text("start", "first mode"), name: "start", onInput: keep("start") });
    this.sigma = slider({ label: "Level σ (annealed: the last one)", low: 0.02, high: 4, log: true, value: context.number("sigma", 0.1), name: "sigma", onInput: keep("sigma") });
    this.step = slider({ label: "Step size h (annealed: of σ²)", low: 0.001, high: 3, log: true, value: context.number("step", 0.05), name: "step", onInput: keep("step") });
    this.count = slider({ label: "Particles", low: 500, high: 20000, log: true, whole: true, value: context.number("n", 5000), name: "n", onInput: keep("n") });
    this.steps = slider({ label: "Steps", low: 20, high: 500, whole: true, value: context.number("steps", 300), name: "steps", onInput: keep("steps") });
    this.side = make("aside", { className: "side" }, this.question.root, group("Walk", row(this.run.root), this.preset.root, this.mode.root, this.first.root,
      this.sigma.root, this.step.root, this.adjusted.root, this.count.root, this.steps.root), this.numbers.root);
  }

  fill(presets) {
    this.presets = presets;
    offer(this.preset, presets, this.context, "unequal weights");
    this.refresh();
  }

  mixture() { return this.presets.find((one) => one.name === this.preset.value()).mixture; }

  changed() { this.stop(); this.refresh(); }

  refresh() {
    const annealed = this.mode.value() === "annealed";
    this.adjusted.lock(annealed);
    this.first.lock(annealed);
    if (this.presets && !this.running) this.back(this.sigma.value());
  }

  back(sigma) {
    this.context.ask("field.grid", "field.grid", { mixture: this.mixture(), sigma, x_range: RANGE, y_range: RANGE, n: 96 },
      (result) => showField(this.plane.view, result, { arrows: false }));
  }

  toggleRun() { if (this.running) this.stop(); else this.begin(); }

  stop() {
    this.running?.cancel();
    this.running = null;
    this.run.set("Run");
  }

  begin() {
    const annealed = this.mode.value() === "annealed", curve = [[], [], []];
    this.run.set("Stop");
    this.curve.set(curve);
    this.level = null;
    this.question.moved();
    this.running = this.context.stream("langevin", "langevin.run", {
      mixture: this.mixture(), n: this.count.value(), step: this.step.value(), sigma: this.sigma.value(), annealed,
      adjusted: this.adjusted.value() && !annealed, start: this.first.value(), steps: this.steps.value(), every: 2, seed: 0,
    }, (result) => this.tell(result, curve), () => this.stop());
    this.running.promise.catch(() => {});
  }

  tell(result, curve) {
    this.plane.view.layer("particles", { kind: "point", data: result.positions.data, colour: "particle", size: 2.6, alpha: 0.75 });
    this.plane.caption.textContent = result.diverged ?? "Particles on log p_σ at the level of now.";
    if (result.diverged) { this.numbers.say({ step: String(result.step) }); return; }
    if (result.sigma !== this.level) { this.level = result.sigma; this.back(result.sigma); }
    const three = ([[a, b], [, c]]) => vector([a, b, c]), { exact } = result;
    this.numbers.say({
      step: String(result.step), level: number(result.sigma, 3), mean: vector(result.mean), exact_mean: vector(exact.mean),
      covariance: three(result.covariance), exact_covariance: three(exact.covariance),
      weights: vector(result.mode_weights, 2), exact_weights: vector(exact.mode_weights, 2),
      w1: number(result.sliced_wasserstein), floor: number(result.floor), acceptance: number(result.acceptance, 3),
    });
    curve[0].push(result.step);
    curve[1].push(result.sliced_wasserstein);
    curve[2].push(result.floor);
    this.curve.set(curve);
  }

  close() { this.plane.close(); this.curve.close(); }
}

export function open(context, place, intro) { return new Langevin(context, place, intro); }
