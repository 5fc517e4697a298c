// Density of a point by the ODE, a point to latent and back, and guidance.

import { covariance, group, make, number, readout, vector } from "../controls.js";
import { Plane } from "../plane.js";
import { question } from "../question.js";
import { Subject, WINDOW } from "./common.js";

export const title = "Density";
export const lead = "One ODE gives three things: the density of a point, its latent and the way back. Beside it, guidance towards a class.";

const READ = [["x", "point x"], ["value", "log p by the ODE"], ["error", "standard error"], ["interval", "95 % interval"], ["solver", "solver’s error"],
  ["evaluations", "evaluations"], ["exact", "exact log p"], ["difference", "difference"]];
const LATENT = [["latent", "latent"], ["back", "back again"], ["trip", "round trip error"]];
const GUIDED = [["mean", "mean"], ["exact_mean", "mean of the class"], ["covariance", "xx, xy, yy"], ["exact_covariance", "of the class"]];

class Density {
  constructor(context, place, intro) {
    this.context = context;
    this.at = context.near("at", context.text("at", "1.2,0.8").split(",").map(Number));
    this.plane = new Plane({ ...WINDOW, label: "Log-density and the point", onPress: (at) => this.move(at), onPoint: (at) => this.move(at),
      hover: false, caption: "Click, or drag the point. The line: its path to the latent, which lies outside." });
    this.guided = new Plane({ ...WINDOW, label: "Guided samples", caption: "" });
    this.numbers = readout("Log-density of the point", READ);
    this.guidance = readout("Guided samples", GUIDED);
    this.latent = readout("To the latent and back", LATENT);
    this.build();
    this.bind();
    place.append(intro, make("div", { className: "picture" }, this.pair = make("div", { className: "pair" }, this.plane.root, this.guided.root),
      make("div", { className: "cards" }, this.numbers.root, make("div", { className: "cards" }, this.latent.root, this.guidance.root))), this.side);
    this.plane.start();
    this.guided.start();
    this.subject.load(() => this.refresh());
  }

  build() {
    const { context } = this, { select, slider } = context.controls, keep = (key, what) => (value) => { context.keep({ [key]: value }); what(); };
    this.probes = slider({ label: "Probes", low: 1, high: 64, log: true, whole: true, value: context.number("probes", 8), name: "probes",
      onInput: (value) => { context.keep({ probes: value }); this.requestPoint(); this.question.moved(); } });
    this.probes.root.classList.add("main");
    this.question = question("density", (locked) => this.probes.lock(locked));
    this.subject = new Subject(context, "moons", keep("preset", () => this.refresh()));
    this.divergence = select({ label: "Divergence", options: [["hutchinson", "random probes"], ["hutch++", "Hutch++"], ["exact", "exact trace"]], value: context.text("divergence", "hutchinson"),
      name: "divergence", onInput: keep("divergence", () => { this.fit(); this.requestPoint(); }) });
    this.tolerance = slider({ label: "Solver’s tolerance", low: 1e-8, high: 1e-2, log: true, value: context.number("tolerance", 1e-5), name: "tolerance", onInput: keep("tolerance", () => this.requestPoint()) });
    this.scale = slider({ label: "Guidance scale w", low: 0, high: 6, value: context.number("scale", 1), name: "scale", onInput: keep("scale", () => this.requestGuidance()) });
    this.label = slider({ label: "Class (a mode)", low: 1, high: 16, whole: true, value: context.number("class", 1), name: "class", onInput: keep("class", () => this.requestGuidance()) });
    this.guides = group("Guidance", this.scale.root, this.label.root, make("p", { className: "hint" },
      "w = 1 is the class-conditional density itself. Larger w sharpens each class and leaves its true shape; no density has exactly this score at every level."));
    this.side = make("aside", { className: "side" }, this.question.root,
      group("Density", this.probes.root, this.divergence.root, this.tolerance.root, this.subject.control.root, this.subject.hint), this.guides);
  }

  /** What is shown, and the settings that it is of. */
  bind() {
    const { context, subject } = this, of = (more) => () => (subject.loaded ? { ...subject.params(), ...more() } : null);
    this.map = subject.maps([this.plane, this.guided], () => 0);
    this.point = context.panel([this.numbers.root], of(() => ({ x: this.at, divergence: this.divergence.value(), probes: this.probes.value(), tolerance: this.tolerance.value() })));
    const there = of(() => ({ x: this.at, steps: 50 }));
    this.trip = context.panel([this.latent.root], there);
    this.path = context.panel([], there, () => this.mark([]));
    this.guiding = context.panel([this.guided.root, this.guidance.root], of(() => ({ label: this.label.value() - 1, scale: this.scale.value(), n: 1500, steps: 30, seed: 0 })));
  }

  /** Hutch++ takes 6 probes or more; a mixture has as many classes as modes. */
  fit() {
    this.probes.bounds(this.divergence.value() === "hutch++" ? 6 : 1, 64);
    if (this.subject.mixture) this.label.bounds(1, this.subject.mixture.weights.length);
  }

  move(to) { const at = this.context.near("at", to); this.at = at; this.plane.pointer = at; this.context.keep({ at: at.join(",") }); this.mark([]); this.requestPoint(); this.requestLatent(); }

  mark(path) {
    const marks = [];
    for (let i = 0; i + 3 < path.length; i += 2) marks.push({ kind: "arrow", from: [path[i], path[i + 1]], to: [path[i + 2], path[i + 3]], name: "path" });
    this.plane.marks(marks);
    this.plane.handles([{ at: this.at, label: "the point", chosen: true }], (_, at) => this.move(at));
  }

  refresh() {
    if (!this.subject.loaded) return;
    this.fit();
    this.subject.backdrop(this.map, [this.plane, this.guided]);
    this.guides.hidden = this.guidance.root.hidden = this.guided.root.hidden = this.subject.isRun;
    this.pair.classList.toggle("alone", this.subject.isRun);
    this.mark([]);
    this.requestPoint();
    this.requestLatent();
    if (!this.subject.isRun) this.requestGuidance();
  }

  /** A first answer with few evaluations while the control moves, then the one that was chosen. */
  requestPoint() {
    const first = { evaluations: 13 }, ask = (instead) => this.context.ask(this.point, "density.point", "density.point", (result, { x }) => this.showPoint(result, x, instead === first), instead);
    if (!this.context.recorded) ask(first);
    this.context.rest("point", () => ask({}));
  }

  showPoint(result, x, first) {
    const about = first ? "≈ " : "", apart = result.exact === null || first ? "–" : number(result.value - result.exact, 2);
    this.numbers.set({
      x: vector(x), value: `${about}${number(result.value, 6)}`, error: first ? "–" : number(result.standard_error, 3),
      interval: result.interval ? vector(result.interval, 5) : result.no_interval, solver: `${about}${number(result.solver_error, 2)}`,
      evaluations: `${result.evaluations}${first ? " at first …" : ""}`, exact: number(result.exact, 6), difference: apart,
    });
  }

  requestLatent() {
    this.context.rest("latent", () => {
      this.context.ask(this.trip, "density.latent", "density.latent", (result, settings) => {
        this.mark(Array.from(result.path.data));
        this.latent.set({ latent: vector(result.latent, 4), back: vector(result.back, 5), trip: number(result.error, 2) });
        this.path.drawn(settings);
      });
    });
  }

  requestGuidance() {
    const ask = (instead) => {
      this.context.ask(this.guiding, "density.guidance", "density.guidance", (result, { label, scale }) => {
        this.guided.view.layer("samples", { kind: "point", data: result.samples.data, colour: "particle", size: 3, alpha: 0.8 });
        this.guided.tell(`Samples guided to class ${label + 1} at w = ${number(scale, 3)}.`);
        this.guidance.set({ mean: vector(result.mean), exact_mean: vector(result.exact.mean), covariance: covariance(result.covariance),
          exact_covariance: covariance(result.exact.covariance) });
      }, instead);
    };
    ask({ n: 200, steps: 8 }); // at once, while the control moves
    this.context.rest("guidance", () => ask({}));
  }

  close() { this.plane.close(); this.guided.close(); }
}

export function open(context, place, intro) { return new Density(context, place, intro); }
