// What several scenes share: the mixture in the address, and a field's reply on a view.

import { make, number } from "../controls.js";

export const WINDOW = { low: -5, high: 5 };
export const RANGE = [WINDOW.low, WINDOW.high];

/** A mixture as short text: weight,x,y,a,b,c;... and back; null for text that is none. */
export function writeMixture(mixture) {
  const short = (v) => String(Number(v.toPrecision(5)));
  return mixture.weights.map((weight, k) => {
    const [[a, b], [, c]] = mixture.covariances[k];
    return [weight, ...mixture.means[k], a, b, c].map(short).join(",");
  }).join(";");
}

export function readMixture(text) {
  const rows = (text ?? "").split(";").map((row) => row.split(",").map(Number));
  if (rows.length > 16 || rows.some((row) => row.length !== 6 || row.some((v) => !Number.isFinite(v)))) return null;
  return {
    weights: rows.map((row) => row[0]),
    means: rows.map((row) => [row[1], row[2]]),
    covariances: rows.map(([, , , a, b, c]) => [[a, b], [b, c]]),
  };
}

/** A grid reply on a plane: the map spans `depth` nats below its greatest value. */
export function showField(plane, result, { arrows = true, depth = 9, reference = 2, label = "log p" } = {}) {
  const { log_density: map, max } = result;
  if (map) plane.heat(map, max - depth, max, 1, { label, unit: " nats", ends: [`${number(max - depth, 3)} and less`, `${number(max, 3)} nats`] });
  else plane.heat(null);
  if (arrows && result.score) plane.view.arrows(result.at.data, result.score.data, result.score.shape[0], reference);
  else plane.view.arrows(null);
}

let presets = null;

/** Calls done with the named mixtures, [{name, mixture}], which are requested once. */
export function withPresets(context, done) {
  if (presets) { done(presets); return; }
  context.request("presets", "field.presets", {}, (result) => { presets = result.presets; done(presets); });
}

/** What a run that does not live in the plane reads in the scenes that draw it; nothing for the others. */
function elsewhere({ kind, name, shape }) {
  if (kind === "none" || kind === "points") return "";
  const what = { images: `images of ${shape.join(" × ")}, see the scene Images`, arrays: `records of shape ${shape.join(" × ")}`, table: `rows of ${shape[0]} columns`,
    posterior: `${shape[0]} parameters, see the scene Posterior` }[kind];
  return `The open run “${name}” is a model of ${what}. This scene draws the plane: it shows runs of two numbers, and these densities.`;
}

/** What a scene is about: a mixture by name, or the open run where that lives in the plane. */
export class Subject {
  /** first: the name of the density that is shown first; onInput(name): another one was chosen. */
  constructor(context, first, onInput) {
    const control = context.controls.select({ label: "Density", options: [["", "…"]], value: "", name: "preset", onInput });
    Object.assign(this, { context, control, first, presets: null, about: null });
    this.hint = make("p", { className: "hint", hidden: true });
  }

  /** Calls done once densities and run are there. */
  load(done) {
    this.context.about((about) => withPresets(this.context, (presets) => {
      const own = about.kind === "points" ? [["run", `your run: ${about.name}`]] : [];
      Object.assign(this, { presets, about });
      this.control.offer([...own, ...presets.map(({ name }) => [name, name])]);
      this.control.set(this.context.text("preset", own.length ? "run" : this.first));
      this.hint.textContent = elsewhere(about);
      this.hint.hidden = !this.hint.textContent;
      done();
    }));
  }

  get loaded() { return this.presets !== null; }

  get isRun() { return this.control.value() === "run"; }

  get name() { return this.isRun ? this.about.name : this.control.value(); }

  /** The mixture itself; of a run none. */
  get mixture() { return this.presets.find(({ name }) => name === this.control.value())?.mixture ?? null; }

  params() { return this.isRun ? { run: true } : { mixture: this.control.value() }; }

  /** The nearest noise level at which there is an answer. */
  level(sigma) { return this.isRun ? Math.min(this.about.sigma_max, Math.max(this.about.sigma_min, sigma)) : sigma; }

  /** The settings of the log-density at a level; that of a run costs an ODE on a coarser grid. */
  map(sigma) {
    return { ...this.params(), sigma: this.level(sigma), x_range: RANGE, y_range: RANGE, n: this.isRun ? 40 : 96, landscape: this.isRun };
  }

  /** A panel of planes that show the log-density at the level sigma(). */
  maps(planes, sigma) {
    return this.context.panel(planes.flatMap((one) => [one.box, one.bar]), () => (this.loaded ? this.map(sigma()) : null));
  }

  /** Draws it. */
  backdrop(panel, planes, options = {}) {
    this.context.ask(panel, "backdrop", "field.grid", (result) => { for (const one of planes) showField(one, result, { arrows: false, ...options }); });
  }
}
