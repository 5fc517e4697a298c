// Langevin dynamics: particles that follow the score and are shaken, against the exact answer.

import { chart } from "../charts.js";
import { button, covariance, group, make, number, readout, row, vector } from "../controls.js";
import { Plane } from "../plane.js";
import { REST, paced } from "../player.js";
import { question } from "../question.js";
import { Subject, WINDOW } from "./common.js";

export const title = "Langevin";
export const lead = "Thousands of particles climb the score and are shaken by noise. Do they end where the density says?";

const READ = [["step", "step"], ["level", "level σ"], ["mean", "mean"], ["exact_mean", "exact mean"], ["covariance", "covariance (xx, xy, yy)"],
  ["exact_covariance", "exact covariance"], ["weights", "mode weights"], ["exact_weights", "exact weights"], ["w1", "sliced Wasserstein-1"],
  ["floor", "its floor", "what exact samples of the same number reach"], ["acceptance", "acceptance", "the share of proposals that the Metropolis test takes"]];

/** States that show one thing each: [label, what to set]. */
const SHOWS = [
  ["Nobody crosses", { preset: "unequal weights", mode: "one", start: "first mode", sigma: 0.1, step: 0.05, adjusted: false, steps: 200 }],
  ["Annealing crosses", { preset: "unequal weights", mode: "annealed", start: "first mode", sigma: 0.1, step: 0.5, adjusted: false, steps: 400 }],
  ["A step too large", { preset: "correlated", mode: "one", start: "wide", sigma: 0.02, step: 0.6, adjusted: false, steps: 100 }],
  ["Larger still", { preset: "correlated", mode: "one", start: "wide", sigma: 0.02, step: 0.9, adjusted: false, steps: 200 }],
  ["The same, adjusted", { preset: "correlated", mode: "one", start: "wide", sigma: 0.02, step: 0.6, adjusted: true, steps: 100 }],
];

const CAPTION = "Particles on log p_σ at the level of now.";

class Langevin {
  constructor(context, place, intro) {
    this.context = context;
    this.plane = new Plane({ ...WINDOW, label: "Particles on the log-density", caption: CAPTION });
    this.numbers = readout("Against the exact answer", READ);
    this.curve = chart({ title: "Distance to the exact answer", x: "step", y: "sliced W1, units of x", logY: true, series: [
      { label: "sliced W1", colour: "particle" }, { label: "floor", colour: "muted", dash: [6, 4] }] });
    this.build();
    this.map = this.subject.maps([this.plane], () => this.level ?? this.sigma.value());
    this.walk = context.panel([this.numbers.root, this.curve.root], () => this.settings());
    this.particles = context.panel([], () => this.settings(), () => this.clear());
    this.picture = paced((result) => this.showParticles(result));
    this.words = paced((result, curve) => this.showNumbers(result, curve), 2 * REST);
    place.append(intro, make("div", { className: "picture" }, this.plane.root, make("div", { className: "cards" }, this.numbers.root, this.curve.root)), this.side);
    this.plane.start();
    this.subject.load(() => { this.refresh(); if (context.text("play", "") === "1" && !this.run.input.disabled) this.begin(); });
  }

  build() {
    const { context } = this, { select, slider, toggle } = context.controls, keep = (key) => (value) => { context.keep({ [key]: value }); this.changed(); };
    this.run = button({ label: "Run", name: "run", primary: true, onPress: () => this.toggleRun() });
    this.question = question("langevin", (locked) => { for (const one of [this.run, ...(this.shows ?? [])]) one.lock(locked); });
    this.subject = new Subject(context, "unequal weights", keep("preset"));
    this.mode = select({ label: "Noise levels", options: [["one", "one level"], ["annealed", "annealed"]], value: context.text("mode", "one"), name: "mode",
      onInput: (value) => { this.step.set(value === "annealed" ? 0.5 : 0.05); context.keep({ step: this.step.value() }); keep("mode")(value); } });
    this.adjusted = toggle({ label: "Metropolis-adjusted", value: context.text("adjusted", "0") === "1", name: "adjusted", onInput: (on) => keep("adjusted")(on ? "1" : null) });
    this.first = select({ label: "Start", options: [["first mode", "in the first mode"], ["wide", "wide"], ["place", "at the origin"]],
      value: context.text("start", "first mode"), name: "start", onInput: keep("start") });
    this.sigma = slider({ label: "Level σ (annealed: the last one)", low: 0.02, high: 4, log: true, value: context.number("sigma", 0.1), name: "sigma", onInput: keep("sigma") });
    this.step = slider({ label: "Step size h (annealed: of σ²)", low: 0.001, high: 3, log: true, value: context.number("step", 0.05), name: "step", onInput: keep("step") });
    this.count = slider({ label: "Particles", low: 500, high: 20000, log: true, whole: true, value: context.number("n", 5000), name: "n", onInput: keep("n") });
    this.steps = slider({ label: "Steps", low: 20, high: 500, whole: true, value: context.number("steps", 300), name: "steps", onInput: keep("steps") });
    this.shows = SHOWS.map(([label, values]) => button({ label, name: "show", onPress: () => this.present(values) }));
    this.side = make("aside", { className: "side" }, this.question.root, group("Walk", row(this.run.root), this.subject.control.root, this.subject.hint, this.mode.root, this.first.root,
      this.sigma.root, this.step.root, this.adjusted.root, this.count.root, this.steps.root),
    group("See it", row(...this.shows.map((one) => one.root)), make("p", { className: "hint" }, "A step h shows a mode of variance v with variance v / (1 − h / 2v), and beyond h = 2v "
      + "the particles fly off. The Metropolis test refuses such steps: the answer is right at any h, but beyond some h nobody moves.")));
    if (this.run.input.disabled) for (const one of this.shows) one.lock(true);
  }

  changed() { this.stop(); this.drop(); this.level = null; this.context.keep({ play: null }); this.refresh(); }

  /** The particles of other settings. */
  clear() {
    this.plane.view.remove("particles");
    this.plane.tell(CAPTION);
    this.plane.caption.classList.remove("loud");
  }

  /** What a run is of. */
  settings() {
    if (!this.subject.loaded) return null;
    const annealed = this.mode.value() === "annealed";
    return {
      ...this.subject.params(), n: this.count.value(), step: this.step.value(), sigma: this.subject.level(this.sigma.value()), annealed,
      adjusted: this.adjusted.value() && !annealed && !this.subject.isRun, ...(annealed ? {} : { start: this.first.value() }), steps: this.steps.value(), every: 2, seed: 0,
    };
  }

  refresh() {
    if (!this.subject.loaded) return;
    const annealed = this.mode.value() === "annealed", { isRun } = this.subject;
    this.adjusted.lock(annealed || isRun);
    this.first.lock(annealed);
    if (isRun && this.first.value() === "first mode") this.first.set("wide");
    this.numbers.name({ exact_mean: isRun ? "mean of the run’s own samples" : "exact mean", exact_covariance: isRun ? "covariance of its own samples" : "exact covariance" });
    if (!this.running) this.back();
  }

  back() { this.subject.backdrop(this.map, [this.plane]); }

  /** Sets the controls to a state that shows something, and runs it. */
  present(values) {
    this.stop();
    const { preset, mode, start, sigma, step, adjusted, steps } = values;
    this.subject.control.set(preset);
    this.mode.set(mode);
    this.first.set(start);
    this.adjusted.set(adjusted);
    for (const [control, value] of [[this.sigma, sigma], [this.step, step], [this.steps, steps]]) control.set(value);
    this.context.keep({ play: 1, preset, mode, start, sigma, step, adjusted: adjusted ? "1" : null, steps });
    this.refresh();
    this.begin();
  }

  toggleRun() { if (this.running) this.stop(); else this.begin(); }

  stop() {
    this.running?.cancel();
    this.running = null;
    this.run.set("Run");
  }

  begin() {
    const curve = [[], [], []], settings = this.settings();
    this.drop();
    this.run.set("Stop");
    this.context.keep({ play: 1 });
    this.curve.set(curve);
    this.numbers.clear();
    this.level = null;
    this.question.moved();
    this.running = this.context.stream("langevin", "langevin.run", settings, (result) => {
      this.showState(result, curve);
      for (const one of [this.walk, this.particles]) one.drawn(settings);
    }, null, () => this.stop());
  }

  showParticles(result) {
    this.plane.view.layer("particles", { kind: "point", data: result.positions.data, colour: "particle", size: 2.6, alpha: 0.75 });
    this.plane.tell(result.diverged ? `Step ${result.step}: ${result.diverged}` : CAPTION);
    this.plane.caption.classList.toggle("loud", Boolean(result.diverged));
  }

  showState(result, curve) {
    this.picture(result);
    if (!result.diverged) {
      if (result.sigma !== this.level && !(this.subject.isRun && this.mode.value() === "annealed")) { this.level = result.sigma; this.back(); }
      curve[0].push(result.step);
      curve[1].push(result.sliced_wasserstein);
      curve[2].push(result.floor);
    }
    this.words(result, curve);
  }

  showNumbers(result, curve) {
    this.curve.set(curve);
    if (result.diverged) { this.numbers.clear(); this.numbers.set({ step: String(result.step) }); return; }
    const { exact } = result;
    this.numbers.set({
      step: String(result.step), level: number(result.sigma, 3), mean: vector(result.mean), exact_mean: vector(exact.mean),
      covariance: covariance(result.covariance), exact_covariance: covariance(exact.covariance),
      weights: result.mode_weights ? vector(result.mode_weights, 2) : "–", exact_weights: exact.mode_weights ? vector(exact.mode_weights, 2) : "–",
      w1: number(result.sliced_wasserstein), floor: number(result.floor), acceptance: this.adjusted.value() && !this.adjusted.input.disabled ? number(result.acceptance, 3) : "not applicable",
    });
  }

  /** What still waits to be drawn is of another run. */
  drop() { this.picture.drop(); this.words.drop(); }

  close() { this.drop(); this.plane.close(); this.curve.close(); }
}

export function open(context, place, intro) { return new Langevin(context, place, intro); }
