// A run of a posterior: what one observation says of the parameters, as the observation is moved.

import { button, group, make, number, prose, readout, row } from "../controls.js";
import { Corner } from "../corner.js";
import { Plane } from "../plane.js";
import { question } from "../question.js";
import { ticks } from "../ticks.js";

export const title = "Posterior";
export const lead = "A trained posterior: move what was observed, and watch what it says of the parameters.";

const MOST = 6, DRAWS = 1000, STEPS = 20; // parameters in the corner, draws, evaluations of each
const FIRST = { n: 250, steps: 10 }; // of the answer while the observation moves

/** Numbers of the address, or null. */
function readNumbers(text, count) {
  const values = (text ?? "").split(",").filter((part) => part !== "").map(Number);
  return values.length === count && values.every(Number.isFinite) ? values : null;
}

class Posterior {
  constructor(context, place, intro) {
    Object.assign(this, { context, place });
    place.append(intro);
    context.about((about) => this.load(about));
  }

  load(about) {
    this.kind = about.kind;
    if (about.kind !== "posterior") {
      const what = about.kind === "none" ? "No run is open." : `The open run “${about.name}” is no posterior.`;
      this.place.append(make("div", { className: "picture" }, group("This scene looks at a posterior learned from simulations",
        make("p", {}, `${what} Fit one to a table of simulations, parameters and what was simulated with them, then open it:`),
        make("pre", {}, "scorefield fit sims.csv --parameters a,b -o run\nscorefield explore run"))));
      return;
    }
    this.context.request("about.posterior", "posterior.about", {}, (result) => this.begin(result));
  }

  begin(facts) {
    const { context } = this, { select, slider } = context.controls, { observed, parameters } = facts;
    Object.assign(this, { facts, theta: null, row: null, asked: null });
    this.x = (context.recorded ? null : readNumbers(context.text("x", ""), observed.length)) ?? facts.first;
    this.corner = new Corner(parameters.slice(0, MOST), facts.theta);
    this.inputs = observed.map(({ name, low, high }, k) => slider({ label: name, low: Math.min(low, this.x[k]), high: Math.max(high, this.x[k]), value: this.x[k], name: `x${k}`, onInput: (value) => this.set(k, value) }));
    const options = observed.map(({ name }, k) => [String(k), name]), pick = (key, label, value) => select({ label, options, value: context.text(key, String(value)), name: key, onInput: (v) => { context.keep({ [key]: v }); this.showObserved(); } });
    [this.across, this.up] = [pick("across", "Across", 0), pick("up", "Up", Math.min(1, observed.length - 1))];
    this.index = slider({ label: "Simulation held out", low: 0, high: Math.max(1, facts.held - 1), whole: true, value: context.number("row", 0), name: "row", onInput: (v) => this.take(v) });
    this.takes = button({ label: "Observe this simulation", name: "take", primary: true, onPress: () => this.take(this.index.value()) });
    this.numbers = readout("The parameters: median, and 90 % interval", parameters.map(({ name }, k) => [`law${k}`, name]));
    this.question = question("posterior", (locked) => { for (const one of [...this.inputs, this.index, this.takes]) one.lock(locked); if (!facts.held) { this.index.lock(true); this.takes.lock(true); } this.locked = locked; });
    this.lay();
    this.answer = context.panel([this.corner.root, this.numbers.root, this.note], () => ({ x: this.x, n: DRAWS, steps: STEPS, seed: 0 }));
    this.taken = context.panel([this.corner.root, this.plane.box, this.numbers.root, this.note, ...this.inputs.map((one) => one.root)], () => ({ row: this.asked }));
    this.taken.drawn({ row: this.asked });
    this.corner.start();
    this.plane.start();
    const kept = context.number("row", context.recorded ? 0 : -1);
    if (kept >= 0 && facts.held) this.take(this.index.value()); else this.refresh();
    this.showObserved();
  }

  lay() {
    const { facts } = this, more = facts.parameters.length - MOST;
    this.plane = new Plane({ low: 0, high: 1, plain: true, label: "Two observed numbers", caption: "", onPress: (at) => this.drag(at), hover: false });
    this.plane.where = (at) => this.pair().map((k, side) => `${facts.observed[k].name} = ${number(this.value(k, at[side]), 3)}`).join(", ");
    this.note = make("p", { className: "hint" });
    const legend = make("p", { className: "legend" });
    for (const [name, text] of [["a", "draws given the observation"], ["r", facts.held ? "simulations held out" : "no simulations at hand"], ["e", "true parameters of the simulation that is observed"]]) legend.append(make("span", {}, make("i", { className: name }), text));
    this.side = make("aside", { className: "side" }, this.question.root, this.context.recorded ? null : group("What was observed", ...this.inputs.map((one) => one.root)), this.numbers.root,
      group("A simulation in its place", this.index.root, row(this.takes.root), facts.held ? null : make("p", { className: "hint" }, "The run’s folder holds no simulations that were held out.")));
    const rest = more > 0 ? make("p", { className: "hint" }, `The first ${MOST} parameters; ${more} more are in the list of numbers alone.`) : null;
    this.place.append(make("div", { className: "picture" }, make("div", { className: "pair" }, this.corner.root, this.plane.root),
      make("div", { className: "cards" }, group("Reading it", legend, this.note, rest), group("Which observed numbers are drawn", this.across.root, this.up.root))), this.side);
    this.corner.caption.textContent = "On the diagonal each parameter’s law, below it each pair’s; grey: all simulations.";
  }

  pair() { return [Number(this.across.value()), Number(this.up.value())]; }

  /** What a place from 0 to 1 stands for, of an observed column. */
  value(k, place) { const { low, high } = this.facts.observed[k]; return low + place * (high - low); }

  /** One number of the observation is moved. */
  set(k, value) {
    this.x = this.x.map((old, j) => (j === k ? value : old));
    this.changed();
  }

  drag(places) {
    if (this.locked) return;
    const pair = this.pair(), recorded = this.context.stops("x");
    if (recorded) { this.takeNearest(pair, places, recorded); return; }
    this.x = this.x.map((old, k) => { const side = pair.lastIndexOf(k); return side < 0 ? old : Number(this.value(k, places[side]).toPrecision(5)); });
    for (const k of pair) this.inputs[k].set(this.x[k]);
    this.changed();
  }

  /** Of the observations that were recorded the one that is nearest in the picture. */
  takeNearest(pair, places, recorded) {
    const away = (one) => pair.reduce((sum, k, side) => sum + (one[k] - places[side]) ** 2, 0);
    const best = recorded.reduce((at, one, k) => (away(one) < away(recorded[at]) ? k : at), 0);
    this.index.set(best);
    if (best !== this.row) this.take(best);
  }

  /** An observation of one's own: no true parameters are known of it. */
  changed() {
    this.context.drop("posterior.held"); // one that is under way is not wanted any more
    Object.assign(this, { theta: null, row: null, asked: null });
    this.taken.drawn({ row: null });
    this.context.keep({ x: this.x.join(","), row: null });
    this.question.moved();
    this.showObserved();
    this.refresh();
  }

  take(index) {
    if (!this.facts.held) return;
    const row = this.asked = Math.min(index, this.facts.held - 1);
    this.context.keep({ x: null, row }); // what is chosen stands in the link, whether it has come or not
    this.context.request("posterior.held", "posterior.held", { index: row }, ({ x, theta }) => {
      Object.assign(this, { x, theta, row });
      this.taken.drawn({ row });
      this.context.panels.check();
      this.inputs.forEach((one, k) => one.set(x[k]));
      this.question.moved();
      this.showObserved();
      this.refresh();
    });
  }

  /** A first answer of few draws while the observation moves, then all of them. */
  refresh() {
    if (!this.facts) return;
    const ask = (instead) => this.context.ask(this.answer, "posterior.draw", "posterior.draw", (result) => this.show(result), instead);
    if (!this.context.recorded) ask(FIRST);
    this.context.rest("posterior", () => ask({}));
  }

  show({ draws, laws, beyond, outside }) {
    this.corner.show(draws, this.theta);
    laws.forEach(({ low, median, high }, k) => this.numbers.set({ [`law${k}`]: `${number(median, 3)} (${number(low, 3)} to ${number(high, 3)})${this.theta ? `; true ${number(this.theta[k], 3)}` : ""}` }));
    const away = beyond ? ` ${beyond} lie beyond an axis.` : "", odd = outside.length ? ` No simulation reaches this observation, and the answer is a guess: ${outside.join("; ")}.` : "";
    this.note.replaceChildren(...prose(`${draws.shape[0].toLocaleString("en")} draws.${away}${odd}`));
    this.note.classList.toggle("trouble-hint", Boolean(odd));
  }

  /** The simulations in two observed columns, and the observation, to be dragged. */
  showObserved() {
    const { facts } = this, pair = this.pair(), { data, shape: [n, k] } = facts.x, points = new Float32Array(2 * n);
    for (let i = 0; i < n; i++) pair.forEach((at, side) => { points[2 * i + side] = data[i * k + at]; });
    this.plane.axes(...pair.map((at) => { const { name, low, high } = facts.observed[at]; return { name, ticks: ticks(low, high, 5) }; }));
    this.plane.view.layer("simulations", { kind: "point", data: points, colour: "exact", size: 3, alpha: 0.35 });
    const here = pair.map((at) => (this.x[at] - facts.observed[at].low) / (facts.observed[at].high - facts.observed[at].low));
    this.plane.handles([{ at: this.plane.clamp(here), label: "the observation", chosen: true }], (_, at) => this.drag(at));
    this.plane.tell(`${facts.observed[pair[0]].name} across, ${facts.observed[pair[1]].name} up. Drag the point, or click; arrow keys move it.`);
  }

  close() { this.corner?.close(); this.plane?.close(); }
}

export function open(context, place, intro) { return new Posterior(context, place, intro); }
