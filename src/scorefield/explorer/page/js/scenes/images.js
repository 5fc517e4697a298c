// Images: what a trained model of images makes of noise, at every level.

import { button, group, make, number, readout, row } from "../controls.js";
import { Hole, readRuns } from "../hole.js";
import { Player } from "../player.js";
import { question } from "../question.js";
import { add, remove } from "../stages.js";
import { theme } from "../theming.js";

export const title = "Images";
export const lead = "A trained model of images: samples emerging from noise, the denoiser’s view at every level, ways between two images.";

const READ = [["label", "label"], ["held", "images held out"], ["sigma", "noise level σ"], ["error", "error of x̂₀ over that of x", "root mean squares; 1 is no gain"]];
const RESTORED = [["hidden", "pixels hidden"], ["away", "error of the mean there", "root mean square"], ["spread", "spread of the draws there", "root mean square of each pixel’s standard deviation"]];
const SAMPLES = 6, LADDER = 9, DRAWS = 8;

/** A canvas without a picture, which looks like none until it has one. */
const blank = (canvas) => Object.assign(canvas, { width: 1, height: 1, className: "blank" });

/** One picture of a stack {data, shape: [..., h, w(, c)]} on a canvas, from 0 to top. */
function paint(canvas, stack, at, [height, width, colours = 1], top) {
  const size = height * width * colours, part = stack.data.subarray(at * size, (at + 1) * size);
  let low = 0, high = top;
  if (top === null) { low = Math.min(...part); high = Math.max(...part); }
  const pen = canvas.getContext("2d"), image = pen.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = (255 * (part[i * colours + (colours > 1 ? c : 0)] - low)) / (high - low || 1);
    image.data[4 * i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  canvas.classList.remove("blank");
}

/** Values (h, w) from 0 to top on a canvas, in the colours of maps. */
function paintMap(canvas, { data, shape: [height, width] }, top) {
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d"), image = pen.createImageData(width, height), { stops } = theme();
  for (let i = 0; i < data.length; i++) {
    const t = 5 * Math.min(1, Math.max(0, data[i] / (top || 1))), k = Math.min(4, Math.floor(t));
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * (stops[3 * k + c] + (t - k) * (stops[3 * k + 3 + c] - stops[3 * k + c]));
    image.data[4 * i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  canvas.classList.remove("blank");
}

/** A canvas as a file of pixels that stay squares in programs that smooth what they enlarge. */
function squares(canvas) {
  const by = Math.max(1, Math.ceil(160 / canvas.width)), large = make("canvas", { width: by * canvas.width, height: by * canvas.height }), pen = large.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(canvas, 0, 0, large.width, large.height);
  return large.toDataURL();
}

/** A row of canvases as one picture to be recorded. */
function stage(box, label) {
  const places = () => { const outer = box.getBoundingClientRect(); return [...box.querySelectorAll("canvas")].map((canvas) => { const at = canvas.getBoundingClientRect(); return [canvas, (at.left - outer.left) / outer.width, (at.top - outer.top) / outer.width, at.width / outer.width, at.height / outer.width]; }); };
  return {
    box, overlay: null, words: () => label,
    base: (pen, x, y, w) => { pen.imageSmoothingEnabled = false; for (const [canvas, u, v, across, up] of places()) pen.drawImage(canvas, x + u * w, y + v * w, across * w, up * w); pen.imageSmoothingEnabled = true; },
    vector: () => places().map(([canvas, u, v, across, up]) => `<image x="${1000 * u}" y="${1000 * v}" width="${1000 * across}" height="${1000 * up}" preserveAspectRatio="none" style="image-rendering: pixelated" href="${squares(canvas)}"/>`).join(""),
  };
}

/** A titled row of pictures of equal size: all(stack, ...) shows a stack of them, one(place, picture, ...) a single one. */
function strip(label, count) {
  const places = Array.from({ length: count }, () => ({ canvas: blank(make("canvas", { role: "img" })), caption: make("figcaption", {}) }));
  const pictures = make("div", { className: "pictures" }, ...places.map(({ canvas, caption }) => make("figure", {}, canvas, caption)));
  const root = make("div", { className: "strip" }, make("h3", {}, label), pictures);
  const show = (place, stack, from, shape, top, name) => {
    const { canvas, caption } = places[place];
    if (canvas.width !== shape[1] || canvas.height !== shape[0]) [canvas.height, canvas.width] = shape;
    paint(canvas, stack, from, shape, top);
    canvas.setAttribute("aria-label", `${label}: ${name || place + 1}`);
    caption.textContent = name;
  };
  return {
    root, stage: stage(pictures, label),
    one: (place, stack, shape, top, name = "") => show(place, stack, 0, shape, top, name),
    all: (stack, shape, top, names = [], first = 0) => places.forEach((_, at) => names[at] !== "–" && show(at, stack, first + at, shape, top, names[at] ?? "")),
  };
}

class Images {
  constructor(context, place, intro) {
    this.context = context;
    this.place = place;
    place.append(intro);
    context.about((about) => this.load(about));
  }

  load(about) {
    this.kind = about.kind;
    if (about.kind !== "images") {
      const what = about.kind === "none" ? "No run is open." : `The open run “${about.name}” is no model of images.`;
      this.place.append(make("div", { className: "picture" }, group("This scene looks at a trained model of images",
        make("p", {}, `${what} Train one on the built-in digits in a minute and a half, then open it:`),
        make("pre", {}, "scorefield demo -o demo\nscorefield explore demo/run"))));
      return;
    }
    this.build();
    this.context.request("about.images", "images.about", {}, (result) => this.begin(result));
  }

  build() {
    const { context } = this, { select, slider } = context.controls;
    const keep = (key, what) => (value) => { context.keep({ [key]: value }); what(); };
    this.seed = context.number("seed", 0);
    this.sigma = slider({ label: "Noise level σ", low: 0.05, high: 20, log: true, value: context.number("sigma", 1), name: "sigma",
      onInput: (value) => { keep("sigma", () => this.requestNoised())(value); this.question.moved(); } });
    this.sigma.root.classList.add("main");
    this.question = question("images", (locked) => this.sigma.lock(locked));
    this.index = slider({ label: "Held-out image", low: 0, high: 1, whole: true, value: 0, name: "index", onInput: keep("index", () => this.requestHeldOut()) });
    this.other = slider({ label: "Interpolate to image", low: 0, high: 1, whole: true, value: 1, name: "other", onInput: keep("other", () => this.requestInterpolations()) });
    this.label = select({ label: "Class", options: [["", "as in the data"]], value: "", name: "label", onInput: keep("label", () => this.requestSamples()) });
    this.guidance = slider({ label: "Guidance w", low: 0, high: 6, step: 0.1, value: context.number("guidance", 1), name: "guidance", onInput: keep("guidance", () => this.requestSamples()) });
    this.steps = slider({ label: "Steps", low: 2, high: 60, log: true, whole: true, value: context.number("steps", 18), name: "steps", onInput: keep("steps", () => this.requestSamples()) });
    this.player = new Player(context, { label: "Along the way: noise → image", seconds: 5, draw: () => this.drawSamples() });
    const again = button({ label: "Other noise", name: "seed", onPress: () => { this.seed += 1; context.keep({ seed: this.seed }); this.requestSamples(); this.requestNoised(); this.requestRestored(); } });
    this.numbers = readout("The held-out image", READ);
    this.restored = readout("The hidden part", RESTORED);
    this.brush = slider({ label: "Brush", low: 0.5, high: 4, step: 0.5, value: context.number("brush", 1), name: "brush", said: (v) => `${number(2 * v, 2)} pixels wide`, onInput: keep("brush", () => {}) });
    this.lay(again);
    this.bind();
  }

  /** What is shown, and the settings that it is of. */
  bind() {
    const { context } = this, held = (more) => () => (this.facts ? { index: this.index.value(), ...more() } : null);
    const here = () => ({ sigma: this.sigma.value(), seed: this.seed });
    this.samples = context.panel([this.emergence], () => (this.facts ? this.sampling() : null));
    this.one = context.panel([this.noised.root, this.numbers.root], held(here));
    this.whole = context.panel([this.damaged], held(() => ({})));
    this.returned = context.panel([this.back.root], held(() => ({ ...here(), count: SAMPLES, steps: 12 })));
    this.filled = context.panel([this.filling, this.drawn.root, this.restored.root], () => (this.hole?.some ? { index: this.index.value(), runs: this.hole.runs, n: DRAWS, steps: 30, seed: this.seed } : null));
    this.seen = context.panel(this.ladder.map((one) => one.root), held(() => ({ count: LADDER, seed: 0 })));
    this.between = ["latents", "pixels"].map((through, at) => context.panel([this.ways[at].root],
      () => (this.facts ? { i: this.index.value(), j: this.other.value(), count: LADDER, steps: 16, through } : null)));
  }

  lay(again) {
    const { context } = this;
    this.states = strip("the noisy states", SAMPLES);
    this.guesses = strip("the denoiser’s view x̂₀ of each", SAMPLES);
    this.emerging = make("figcaption", {});
    this.noised = strip("the image", 3);
    this.back = strip("ways back, one noise each", SAMPLES);
    this.ladder = [strip("noised, by σ =", LADDER), strip("the denoiser’s view x̂₀", LADDER)];
    this.ways = [strip("through the latents", LADDER), strip("through the pixels", LADDER)];
    this.mean = strip("the mean of the draws", 1);
    this.drawn = strip("draws of what it may have been", DRAWS);
    this.map = blank(make("canvas", { role: "img", "aria-label": "spread of the draws at each pixel" }));
    this.bar = make("div", { className: "bar-of-colours" });
    this.damaged = make("div", { className: "strip" }, make("h3", {}, context.recorded ? "the picture" : "paint here"));
    this.filling = make("div", { className: "filling" }, this.mean.root, make("div", { className: "strip" }, make("h3", {}, "their spread"), make("div", { className: "pictures" }, make("figure", {}, this.map)), this.bar));
    const press = (label, name, act) => { const made = button({ label, name, onPress: act }); made.lock(true); return made; }, part = (share, size) => Math.round(share * size);
    this.presses = [press("Hide a square", "square", () => { const { height: h, width: w } = this.hole; this.hole.rectangle(part(0.3, h), part(0.3, w), part(0.4, h), part(0.4, w)); }),
      press("Hide the lower half", "half", () => this.hole.rectangle(part(0.5, this.hole.height), 0, this.hole.height - part(0.5, this.hole.height), this.hole.width)),
      press("Show all again", "whole", () => this.hole.rectangle(0, 0, 0, 0))];
    this.stages = [this.damaged, this.filling].map((box, k) => stage(box, ["the damaged picture", "the mean of the draws, and their spread"][k]));
    this.stages.push(...[this.drawn, this.noised, this.back, this.states, this.guesses, ...this.ladder, ...this.ways].map((one) => one.stage));
    for (const one of this.stages) add(one);
    this.place.append(make("div", { className: "picture" },
      group("Damage it, and watch it be restored", make("div", { className: "damage" }, this.damaged, this.filling), this.drawn.root, this.brush.root, row(...this.presses.map((one) => one.root)),
        make("p", { className: "hint" }, "The pixels that are seen stay as they are; draws of the others are of the model given these. Their spread is small where the rest of the picture tells what was there.")),
      group("A held-out image, noised and brought back", make("div", { className: "twain" }, this.noised.root, this.back.root)),
      this.emergence = group("A sample emerging from noise", this.states.root, this.guesses.root, this.emerging, row(this.player.button.root, context.recorded ? null : again.root), this.player.clock.root),
      group("The denoiser’s view at every level", ...this.ladder.map((one) => one.root)),
      group("From one held-out image to another", ...this.ways.map((one) => one.root))),
    make("aside", { className: "side" }, this.question.root, group("Noise", this.sigma.root, this.index.root), this.numbers.root, this.restored.root,
      group("Samples", this.label.root, this.guidance.root, this.steps.root), group("Interpolation", this.other.root,
        make("p", { className: "hint" }, "Both images go to their latents by the probability-flow ODE; between the latents lies an arc, and the ODE brings its points back."))));
  }

  begin(about) {
    const { context } = this;
    this.facts = about;
    this.index.bounds(0, about.held - 1);
    this.other.bounds(0, about.held - 1);
    this.index.set(context.number("index", 0));
    this.other.set(context.number("other", 1));
    this.sigma.bounds(Math.max(0.05, about.sigma_min), Math.min(20, about.sigma_max));
    const classes = Array.from({ length: about.classes }, (_, k) => [String(k), `class ${k}`]);
    this.label.offer([["", "as in the data"], ...classes]);
    this.label.set(context.text("label", ""));
    this.hole = new Hole({ shape: about.shape, radius: () => this.brush.value(), onChange: () => this.damage(), paint: (canvas) => this.paintClean(canvas) });
    this.damaged.append(this.hole.canvas);
    this.hole.locked = context.recorded; // what was recorded are the holes of the buttons
    for (const one of this.presses) one.lock(false);
    const holes = context.stops("hole")?.map((runs) => runs.join(".")), kept = holes && !holes.includes(context.text("hole", "")) ? null : readRuns((context.text("hole", "") || "").split(".").filter(Boolean).map(Number), about.shape[0] * about.shape[1]);
    if (kept) this.hole.set(kept);
    this.label.root.hidden = this.guidance.root.hidden = !about.classes;
    this.requestSamples();
    this.requestHeldOut();
  }

  refresh() { if (this.facts) { this.requestSamples(); this.requestHeldOut(); } else if (!this.kind) this.context.about((about) => this.load(about)); }

  requestHeldOut() { this.requestNoised(); this.requestRestored(); this.context.rest("ladder", () => this.requestLevels()); this.requestInterpolations(); }

  sampling() {
    const label = this.label.value() === "" ? {} : { label: Number(this.label.value()) };
    return { n: SAMPLES, steps: this.steps.value(), guidance: this.facts.classes ? this.guidance.value() : 1, ...label, seed: this.seed };
  }

  requestSamples() {
    this.context.rest("samples", () => this.context.ask(this.samples, "samples", "images.sample", (result) => { this.emerged = result; this.drawSamples(); }), 60);
  }

  drawSamples() {
    const { emerged, facts } = this;
    if (!emerged) return;
    const last = emerged.states.shape[0] - 1, at = Math.round(this.player.time * last), seen = Math.min(at, last - 1);
    this.states.all(emerged.states, facts.shape, emerged.top, [], at * SAMPLES);
    this.guesses.all(emerged.guesses, facts.shape, emerged.top, [], seen * SAMPLES);
    this.emerging.textContent = `Step ${at} of ${last}, σ = ${number(emerged.sigma.data[at], 3)}.`;
  }

  /** The held-out image under the hole. */
  paintClean(canvas) {
    if (this.clean) paint(canvas, this.clean.clean, 0, this.facts.shape, this.clean.top);
  }

  /** Another part is hidden. */
  damage() {
    const { runs } = this.hole;
    this.context.keep({ hole: this.hole.some && runs.length < 400 ? runs.join(".") : null });
    this.requestRestored();
  }

  /** A first answer while one paints, then all draws. */
  requestRestored() {
    if (!this.filled.settings()) { this.nothing(); return; }
    const ask = (instead) => this.context.ask(this.filled, "restore", "images.restore", (result) => this.showRestored(result), instead);
    if (!this.context.recorded) ask({ n: 4, steps: 8 });
    this.context.rest("restore", () => ask({}));
  }

  showRestored({ draws, mean, deviation, hidden, error, spread, top }) {
    const { shape } = this.facts, most = Math.max(...deviation.data), names = Array.from({ length: DRAWS }, (_, k) => (k < draws.shape[0] ? "" : "–"));
    this.filling.hidden = this.drawn.root.hidden = false;
    this.mean.one(0, mean, shape, top, "");
    paintMap(this.map, deviation, most);
    this.bar.replaceChildren(make("span", {}, "0"), make("i", {}), make("span", {}, number(most, 3)));
    this.drawn.all(draws, shape, top, names);
    this.restored.set({ hidden: String(hidden), away: number(error, 3), spread: number(spread, 3) });
  }

  /** Nothing is hidden, so nothing is restored. */
  nothing() {
    this.filled.drawn(null);
    this.restored.clear();
    this.filling.hidden = this.drawn.root.hidden = true;
  }

  requestNoised() {
    const { context, facts } = this;
    context.ask(this.one, "noised", "images.denoise", (result, { sigma, index }) => {
      const { clean, noisy, denoised, top } = result;
      this.clean = result;
      this.hole.draw();
      this.whole.drawn({ index });
      [[clean, "clean"], [noisy, "noised"], [denoised, "x̂₀"]].forEach(([picture, name], at) => this.noised.one(at, picture, facts.shape, top, name));
      this.numbers.set({ label: result.label === null ? "none" : String(result.label), held: String(facts.held), sigma: number(sigma, 3), error: number(result.error, 3) });
    });
    context.rest("back", () => context.ask(this.returned, "back", "images.partial", (result) => this.back.all(result.frames, facts.shape, result.top)), 60);
  }

  requestLevels() {
    this.context.ask(this.seen, "ladder", "images.levels", (result) => {
      const captions = Array.from(result.sigma.data, (sigma) => number(sigma, 2));
      this.ladder[0].all(result.noisy, this.facts.shape, result.top, captions);
      this.ladder[1].all(result.denoised, this.facts.shape, result.top);
    });
  }

  requestInterpolations() {
    this.between.forEach((panel, at) => this.context.rest(`ways.${at}`, () => {
      this.context.ask(panel, `ways.${at}`, "images.interpolate", (result) => this.ways[at].all(result.frames, this.facts.shape, result.top));
    }, at ? 60 : 300));
  }

  close() { this.player?.stop(); for (const one of this.stages ?? []) remove(one); }
}

export function open(context, place, intro) { return new Images(context, place, intro); }
