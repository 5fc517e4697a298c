// Answers that were recorded: the transport of a page without a server. It sends nothing; what was not recorded is an error.

import { key } from "./results.js";
import { Superseded } from "./socket.js";

const PAUSE = 90; // milliseconds between two parts of a stream

async function unzipped(id) {
  const text = atob(document.getElementById(id).textContent), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** An array out of the frame, {data, shape}; pictures were kept in 16 bits. */
function array({ dtype, shape, offset, low, step }, frame) {
  const size = shape.reduce((a, b) => a * b, 1);
  if (dtype === "float32") return { data: new Float32Array(frame, offset, size), shape };
  return { data: Float32Array.from(new Uint16Array(frame, offset, size), (value) => low + step * value), shape };
}

/** A value with its arrays; of stacked answers the one at a place. */
function unpack(value, frame, at) {
  if (Array.isArray(value)) return value.map((item) => unpack(item, frame, at));
  if (value === null || typeof value !== "object") return value;
  if ("dtype" in value) return array(value, frame);
  if ("each" in value) {
    const { data, shape } = array(value.each, frame), size = data.length / shape[0], part = data.subarray(at * size, (at + 1) * size);
    return value.as === "number" ? part[0] : value.as === "list" ? Array.from(part) : { data: part, shape: shape.slice(1) };
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, unpack(item, frame, at)]));
}

export class Recorded {
  constructor() {
    this.recorded = true;
    this.running = new Map(); // channel -> stream
    this.latest = new Map(); // channel -> request
  }

  /** Reads the recording. */
  async load() {
    const [text, frame] = await Promise.all(["recording", "frame"].map(unzipped));
    const { stops, entries } = JSON.parse(new TextDecoder().decode(text));
    Object.assign(this, { values: stops, frame });
    this.entries = new Map(entries.map((entry) => [entry.query + key(entry.params) + (entry.over ?? ""), entry]));
    return this;
  }

  stops(scene) { return this.values[scene] ?? {}; }

  find(name, params) {
    const whole = this.entries.get(name + key(params));
    if (whole) return [whole, 0];
    for (const over of Object.keys(params)) {
      const { [over]: value, ...others } = params, entry = this.entries.get(name + key(others) + over);
      const at = entry?.values.findIndex((one) => key(one) === key(value)) ?? -1;
      if (at >= 0) return [entry, at];
    }
    throw new Error("This page holds recorded answers, and this is not among them; the explorer itself computes any.");
  }

  async request(channel, name, params) {
    const request = {};
    this.latest.set(channel, request);
    await null;
    if (this.latest.get(channel) !== request) throw new Superseded("superseded");
    const [entry, at] = this.find(name, params);
    return unpack(entry.result, this.frame, at);
  }

  stream(channel, name, params, part) {
    this.running.get(channel)?.cancel();
    const stream = {};
    stream.promise = new Promise((done, fail) => {
      stream.cancel = () => { clearTimeout(stream.timer); fail(new Superseded("cancelled")); };
      const parts = [];
      const next = () => {
        if (!parts.length) { done(null); return; }
        part(unpack(parts.shift(), this.frame, 0));
        stream.timer = setTimeout(next, PAUSE);
      };
      stream.timer = setTimeout(() => {
        try { const [entry] = this.find(name, params); parts.push(...(entry.parts ?? [entry.result])); } catch (error) { fail(error); return; }
        next();
      });
    });
    this.running.set(channel, stream);
    return stream;
  }

  /** What is under way on a channel is not wanted any more. */
  drop(channel) {
    this.running.get(channel)?.cancel();
    this.running.delete(channel);
    this.latest.delete(channel);
  }

  clear() {
    for (const stream of this.running.values()) stream.cancel();
    this.running.clear();
    this.latest.clear();
  }
}
