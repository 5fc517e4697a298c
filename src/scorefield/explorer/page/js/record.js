// The pictures on the page as a file: an SVG of now, or a video or a GIF of what moves while it is recorded.

import { button, make } from "./controls.js";
import { seen } from "./stages.js";
import { theme } from "./theming.js";
import { GIFEncoder, applyPalette, quantize } from "./vendor/gifenc/gifenc.js";

const GAP = 16, LINE = 22, LONGEST = { video: 120, gif: 20 }; // pixels; seconds
const GIF_SIDE = 480, GIF_PAUSE = 80, COLOURS = 128, KEPT = 10; // width of a picture; milliseconds between two frames; frames that share their colours
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap", "stroke-linejoin", "stroke-dasharray", "opacity", "font-size", "font-family", "text-anchor"];

/** The width of strokes that do not scale with their picture, as one that does: few programs but browsers know the former. */
function scaling(from, to, style) {
  const { a, b, c, d } = from.getScreenCTM(), px = Math.sqrt(Math.abs(a * d - b * c)) || 1;
  for (const name of ["stroke-width", "stroke-dasharray"]) to.style.setProperty(name, style.getPropertyValue(name).replace(/[\d.]+(?:e-?\d+)?(?:px)?/g, (one) => parseFloat(one) / px));
}

/** A text whose strokes lie behind its letters, as two: few programs but browsers paint in that order. */
function behind(text) {
  text.before(text.cloneNode(true));
  for (const one of [text, ...text.querySelectorAll("*")]) one.style.stroke = "none";
}

/** An element of SVG with the look that the style sheet gives it, as it stands alone. */
export function alone(element) {
  const copy = element.cloneNode(true), look = (from, to) => {
    const style = getComputedStyle(from);
    if (style.display === "none") { to.remove(); return; }
    for (const name of STYLES) to.style.setProperty(name, style.getPropertyValue(name));
    if (style.vectorEffect === "non-scaling-stroke") scaling(from, to, style);
    [...from.children].forEach((child, k) => look(child, to.cloned[k]));
    if (to.tagName === "text" && style.paintOrder.startsWith("stroke") && style.stroke !== "none") behind(to);
  };
  const mark = (one) => { one.cloned = [...one.children]; one.cloned.forEach(mark); };
  mark(copy);
  [...element.children].forEach((child, k) => look(child, copy.cloned[k]));
  copy.removeAttribute("style");
  return copy;
}

/** Where the pictures on screen go in one, of `side` pixels at most across each: {width, height, places: [{stage, x, y, w, h}]}. */
function layout(side = Infinity) {
  const found = seen(), places = [];
  let x = GAP, y = GAP, row = 0, width = 0, last = null;
  for (const { stage, at } of found) {
    const w = Math.round(Math.min(at.width, side)), h = Math.round((w * at.height) / at.width);
    if (last !== null && Math.abs(at.top - last) > 40) { x = GAP; y += row; row = 0; }
    last = at.top;
    places.push({ stage, x, y, w, h });
    x += w + GAP;
    row = Math.max(row, h + 2 * LINE + GAP);
    width = Math.max(width, x);
  }
  return { width: 2 * Math.ceil(width / 2), height: 2 * Math.ceil((y + row) / 2), places }; // even: some codecs take no other
}

/** A caption in at most two lines of a width, by a pen whose font is set. */
function lines(pen, words, width) {
  const found = [""];
  for (const word of words.split(/\s+/)) {
    const longer = found.at(-1) ? `${found.at(-1)} ${word}` : word;
    if (pen.measureText(longer).width <= width || !found.at(-1)) found[found.length - 1] = longer; else found.push(word);
  }
  if (found.length <= 2) return found;
  return [found[0], `${found[1]} …`];
}

const FONT = "14px system-ui, sans-serif";

/** The pictures on screen as one SVG. */
export function asSvg() {
  const { width, height, places } = layout(), pen = document.createElement("canvas").getContext("2d"), escape = (text) => text.replace(/[&<>]/g, (one) => `&#${one.codePointAt(0)};`);
  pen.font = FONT;
  const parts = places.map(({ stage, x, y, w, h }) => {
    const over = stage.overlay ? new XMLSerializer().serializeToString(alone(stage.overlay)).replace(/^<svg[^>]*>|<\/svg>$/g, "") : "";
    const text = lines(pen, stage.words(), w).map((line, k) => `<text x="${x}" y="${y + h + 18 + LINE * k}" font-family="system-ui, sans-serif" font-size="14" fill="${theme().text("text")}">${escape(line)}</text>`).join("");
    return `<svg x="${x}" y="${y}" width="${w}" height="${h}" viewBox="0 0 1000 ${(1000 * h) / w}">\n${stage.vector()}\n${over}\n</svg>\n${text}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n<rect width="${width}" height="${height}" fill="${theme().text("page")}"/>\n${parts.join("\n")}\n</svg>\n`;
}

/** Overlays as pictures, made again where they have changed. */
class Overlays {
  constructor() { this.kept = new Map(); }

  async of(stage, size) {
    const { overlay } = stage;
    if (!overlay) return null;
    const text = overlay.innerHTML, old = this.kept.get(stage);
    if (old?.text === text && old.size === size && old.theme === theme()) return old.image;
    const copy = alone(overlay), image = new Image();
    for (const [name, value] of [["width", size], ["height", size], ["xmlns", "http://www.w3.org/2000/svg"], ["viewBox", "0 0 1000 1000"]]) copy.setAttribute(name, value);
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    await image.decode();
    this.kept.set(stage, { text, size, theme: theme(), image });
    return image;
  }
}

/** Paints the pictures on screen on a canvas, as they were laid out. */
async function paint(canvas, { places }, overlays) {
  const pen = canvas.getContext("2d"), images = await Promise.all(places.map(({ stage, w }) => overlays.of(stage, w)));
  pen.fillStyle = theme().text("page");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.font = FONT;
  places.forEach(({ stage, x, y, w, h }, k) => {
    stage.base(pen, x, y, w, h);
    if (images[k]) pen.drawImage(images[k], x, y, w, h);
    pen.fillStyle = theme().text("text");
    lines(pen, stage.words(), w).forEach((line, at) => pen.fillText(line, x, y + h + 18 + LINE * at));
  });
}

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The kind of video that this browser writes, [type, ending]; MP4 where it can, which more programs play. */
export function videoKind() {
  const kinds = [["video/mp4;codecs=avc1.42E01F", "mp4"], ["video/webm;codecs=vp9", "webm"], ["video/webm", "webm"]];
  return globalThis.MediaRecorder ? kinds.find(([type]) => MediaRecorder.isTypeSupported(type)) ?? null : null;
}

/** A recording: {stop()} gives a promise of [blob, ending]. frame(): paints the next one. */
function video(canvas, frame) {
  const [type, ending] = videoKind(), recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: type, videoBitsPerSecond: 6_000_000 }), parts = [];
  let going = true;
  recorder.ondataavailable = (event) => parts.push(event.data);
  const loop = async () => { if (!going) return; await frame(); requestAnimationFrame(loop); };
  recorder.start(500);
  loop();
  return { stop: () => new Promise((done) => { going = false; recorder.onstop = () => done([new Blob(parts, { type: type.split(";")[0] }), ending]); recorder.stop(); }) };
}

function gif(canvas, frame) {
  const encoder = GIFEncoder(), pen = canvas.getContext("2d", { willReadFrequently: true }), begun = [];
  let going = true, last = null, palette = null;
  const write = (delay) => encoder.writeFrame(last.index, canvas.width, canvas.height, { palette: last.palette, delay });
  const loop = (async () => {
    while (going) {
      await frame();
      const now = performance.now(), { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
      if (begun.length % KEPT === 0) palette = quantize(data, COLOURS);
      if (last) write(Math.round(now - begun.at(-1)));
      begun.push(now);
      last = { index: applyPalette(data, palette), palette };
      await new Promise((next) => setTimeout(next, Math.max(0, GIF_PAUSE - (performance.now() - now))));
    }
  })();
  return { stop: async () => { going = false; await loop; write(1500); encoder.finish(); return [new Blob([encoder.bytes()], { type: "image/gif" }), "gif"]; } };
}

/** The menu behind the button Record. name(): what to call the files. */
export class Recorder {
  constructor(name) {
    Object.assign(this, { name, now: null, timer: 0 });
    this.said = make("p", { className: "hint", role: "status" });
    const kind = videoKind(), press = (label, key, act) => button({ label, name: `record-${key}`, onPress: act }).root;
    this.buttons = { svg: press("Picture (SVG)", "svg", () => this.picture()), video: press(kind ? `Video (${kind[1] === "mp4" ? "MP4" : "WebM"})` : "Video", "video", () => this.toggle("video")), gif: press("GIF", "gif", () => this.toggle("gif")) };
    this.buttons.video.disabled = !kind;
    this.menu = make("section", { className: "card recorder", hidden: true, "aria-label": "Record" }, make("div", { className: "row" }, ...Object.values(this.buttons)), this.said);
    document.querySelector(".bar").after(this.menu);
    this.opener = document.getElementById("record");
    this.opener.addEventListener("click", () => this.open(this.menu.hidden));
    this.menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { this.open(false); this.opener.focus(); } });
    this.open(false);
  }

  open(on) {
    this.menu.hidden = !on;
    this.opener.setAttribute("aria-expanded", String(on));
    if (on && !this.now) this.say(seen().length ? "The pictures of this scene and what is written under them. For a video or a GIF: start it here, then play or run the scene." : "There is no picture on this page to record.");
  }

  say(text) { this.said.textContent = text; }

  picture() {
    if (!seen().length) { this.open(true); return; }
    save(new Blob([asSvg()], { type: "image/svg+xml" }), `${this.name()}.svg`);
    this.say("The picture was saved.");
  }

  toggle(kind) { if (this.now) this.stop(); else this.start(kind); }

  start(kind) {
    const laid = layout(kind === "gif" ? GIF_SIDE : 900);
    if (!laid.places.length) { this.open(true); return; }
    const canvas = make("canvas", { width: laid.width, height: laid.height }), overlays = new Overlays(), begun = performance.now();
    if (kind === "gif") canvas.getContext("2d", { willReadFrequently: true });
    this.now = { kind, ...(kind === "gif" ? gif : video)(canvas, () => paint(canvas, laid, overlays)) };
    for (const [key, one] of Object.entries(this.buttons)) one.disabled = key !== kind;
    this.buttons[kind].classList.add("primary");
    this.label = this.buttons[kind].textContent;
    const tell = () => {
      const seconds = (performance.now() - begun) / 1000;
      this.buttons[kind].textContent = `Stop (${seconds.toFixed(0)} s)`;
      if (seconds > LONGEST[kind]) this.stop();
    };
    tell();
    this.timer = setInterval(tell, 500);
    this.say(`Recording, at most ${LONGEST[kind]} s.`);
  }

  async stop() {
    const { now } = this;
    if (!now) return;
    this.now = null;
    clearInterval(this.timer);
    const [blob, ending] = await now.stop();
    for (const one of Object.values(this.buttons)) { one.disabled = false; one.classList.remove("primary"); }
    this.buttons.video.disabled = !videoKind();
    this.buttons[now.kind].textContent = this.label;
    save(blob, `${this.name()}.${ending}`);
    this.say(`Saved, ${(blob.size / 1e6).toFixed(1)} MB.`);
  }
}
