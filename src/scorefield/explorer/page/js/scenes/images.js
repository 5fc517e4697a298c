// Images: what a trained model of images makes of noise, at every level.

import { button, group, make, number, readout, row } from "../controls.js";
import { Player } from "../player.js";
import { question } from "../question.js";

export const title = "Images";
export const lead = "A trained model of images: samples emerging from noise, the denoiser’s view at every level, ways between two images.";

const READ = [["label", "label"], ["held", "images held out"], ["sigma", "noise level σ"], ["error", "error of x̂₀ over that of x", "root mean squares; 1 is no gain"]];
const SAMPLES = 6, LADDER = 9;

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
}

/** A titled row of pictures of equal size: all(stack, ...) shows a stack of them, one(place, picture, ...) a single one. */
function strip(label, count) {
  const places = Array.from({ length: count }, () => ({ canvas: make("canvas", { role: "img" }), caption: make("figcaption", {}) }));
  const root = make("div", { className: "strip" }, make("h3", {}, label),
    make("div", { className: "pictures" }, ...places.map(({ canvas, caption }) => make("figure", {}, canvas, caption))));
  const show = (place, stack, from, shape, top, name) => {
    const { canvas, caption } = places[place];
    if (canvas.width !== shape[1] || canvas.height !== shape[0]) [canvas.height, canvas.width] = shape;
    paint(canvas, stack, from, shape, top);
    canvas.setAttribute("aria-label", `${label}: ${name || place + 1}`);
    caption.textContent = name;
  };
  return {
    root,
    one: (place, stack, shape, top, name = "") => show(place, stack, 0, shape, top, name),
    all: (stack, shape, top, names = [], first = 0) => places.forEach((_, at) => show(at, stack, first + at, shape, top, names[at] ?? "")),
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
    const again = button({ label: "Other noise", name: "seed", onPress: () => { this.seed += 1; context.keep({ seed: this.seed }); this.requestSamples(); this.requestNoised(); } });
    this.numbers = readout("The held-out image", READ);
    this.lay(again);
    this.bind();
  }

  /** What is shown, and the settings that it is of. */
  bind() {
    const { context } = this, held = (more) => () => (this.facts ? { index: this.index.value(), ...more() } : null);
    const here = () => ({ sigma: this.sigma.value(), seed: this.seed });
    this.samples = context.panel([this.emergence], () => (this.facts ? this.sampling() : null));
    this.one = context.panel([this.noised.root, this.numbers.root], held(here));
    this.returned = context.panel([this.back.root], held(() => ({ ...here(), count: SAMPLES, steps: 12 })));
    this.seen = context.panel(this.ladder.map((one) => one.root), held(() => ({ count: LADDER, seed: 0 })));
    this.between = ["latents", "pixels"].map((through, at) => context.panel([this.ways[at].root],
      () => (this.facts ? { i: this.index.value(), j: this.other.value(), count: LADDER, steps: 16, through } : null)));
  }

  lay(again) {
    this.states = strip("the noisy states", SAMPLES);
    this.guesses = strip("the denoiser’s view x̂₀ of each", SAMPLES);
    this.emerging = make("figcaption", {});
    this.noised = strip("the image", 3);
    this.back = strip("ways back, one noise each", SAMPLES);
    this.ladder = [strip("noised, by σ =", LADDER), strip("the denoiser’s view x̂₀", LADDER)];
    this.ways = [strip("through the latents", LADDER), strip("through the pixels", LADDER)];
    this.place.append(make("div", { className: "picture" },
      group("A held-out image, noised and brought back", make("div", { className: "twain" }, this.noised.root, this.back.root)),
      this.emergence = group("A sample emerging from noise", this.states.root, this.guesses.root, this.emerging, row(this.player.button.root, again.root), this.player.clock.root),
      group("The denoiser’s view at every level", ...this.ladder.map((one) => one.root)),
      group("From one held-out image to another", ...this.ways.map((one) => one.root))),
    make("aside", { className: "side" }, this.question.root, group("Noise", this.sigma.root, this.index.root), this.numbers.root,
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
    this.label.root.hidden = this.guidance.root.hidden = !about.classes;
    this.requestSamples();
    this.requestHeldOut();
  }

  refresh() { if (this.facts) { this.requestSamples(); this.requestHeldOut(); } else if (!this.kind) this.context.about((about) => this.load(about)); }

  requestHeldOut() { this.requestNoised(); this.context.rest("ladder", () => this.requestLevels()); this.requestInterpolations(); }

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

  requestNoised() {
    const { context, facts } = this;
    context.ask(this.one, "noised", "images.denoise", (result, { sigma }) => {
      const { clean, noisy, denoised, top } = result;
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

  close() { this.player?.stop(); }
}

export function open(context, place, intro) { return new Images(context, place, intro); }
