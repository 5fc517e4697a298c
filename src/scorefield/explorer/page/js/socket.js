// The explorer's protocol: JSON text in; a reply is text, followed by one binary frame where it holds arrays.
// On each channel one request is under way and at most one waits: a newer one takes the place of the waiting one.

const TYPES = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array };

/** A request that a newer one on its channel has replaced; nobody needs to hear of it. */
export class Superseded extends Error {}

/** The value of a reply with its arrays, each {data, shape}, taken out of the binary frame. */
export function unpack(value, buffer) {
  if (Array.isArray(value)) return value.map((item) => unpack(item, buffer));
  if (value === null || typeof value !== "object") return value;
  if ("dtype" in value && "offset" in value && "shape" in value) {
    const Type = TYPES[value.dtype];
    if (!Type) throw new Error(`the server sent an array of ${value.dtype}, which this page cannot read`);
    const bytes = buffer.slice(value.offset, value.offset + value.length);
    return { data: new Type(bytes), shape: value.shape };
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item, buffer)]));
}

export class Connection {
  constructor(url, onState) {
    this.url = url;
    this.onState = onState;
    this.next = 1;
    this.open = new Map(); // id -> request under way
    this.channels = new Map(); // channel -> {running, waiting}
    this.partial = null; // a reply whose binary frame has not come yet
    this.delay = 250;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => { this.delay = 250; this.onState("open"); this.ready = true; this.flush(); };
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = () => this.lost();
  }

  lost() {
    this.ready = false;
    this.partial = null;
    for (const slot of this.channels.values()) {
      const { running, waiting } = slot;
      slot.running = null;
      if (!running) continue;
      if (running.part || waiting) running.fail(new Superseded("the connection was lost"));
      else slot.waiting = running; // a query is a pure function: it is asked again
    }
    this.open.clear();
    this.onState("lost");
    setTimeout(() => this.connect(), this.delay);
    this.delay = Math.min(8000, 2 * this.delay);
  }

  receive(message) {
    if (typeof message !== "string") {
      const reply = this.partial;
      this.partial = null;
      if (reply) this.settle(reply, message);
      return;
    }
    const reply = JSON.parse(message);
    if (reply.binary) this.partial = reply;
    else this.settle(reply, new ArrayBuffer(0));
  }

  settle(reply, buffer) {
    const request = this.open.get(reply.id);
    if (!request) return;
    if (reply.ok && request.part && "result" in reply) request.part(unpack(reply.result, buffer));
    if (reply.ok && reply.more) return;
    this.open.delete(reply.id);
    const channel = this.channels.get(request.channel);
    if (channel && channel.running === request) channel.running = null;
    if (reply.ok) request.done(reply.result === undefined ? null : unpack(reply.result, buffer));
    else if (reply.superseded || reply.cancelled) request.fail(new Superseded("superseded"));
    else request.fail(new Error(reply.error ?? "the server gave no reason"));
    this.flush();
  }

  /** The answer to one query; the newest request of a channel wins. */
  request(channel, name, params) {
    return this.queue(channel, name, params, null).promise;
  }

  /** A stream: part(result) for every reply; {promise, cancel}. */
  stream(channel, name, params, part) {
    return this.queue(channel, name, params, part);
  }

  queue(channel, name, params, part) {
    const request = { id: this.next++, channel, name, params, part };
    request.promise = new Promise((done, fail) => { request.done = done; request.fail = fail; });
    request.cancel = () => this.cancel(request);
    const slot = this.channels.get(channel) ?? { running: null, waiting: null };
    this.channels.set(channel, slot);
    if (slot.waiting) slot.waiting.fail(new Superseded("superseded"));
    slot.waiting = request;
    if (slot.running?.part) this.cancel(slot.running);
    this.flush();
    return request;
  }

  cancel(request) {
    const slot = this.channels.get(request.channel);
    if (slot.waiting === request) { slot.waiting = null; request.fail(new Superseded("cancelled")); return; }
    if (!this.open.delete(request.id)) return;
    if (this.ready) this.socket.send(JSON.stringify({ id: this.next++, cancel: request.id }));
    if (slot.running === request) slot.running = null;
    request.fail(new Superseded("cancelled"));
    this.flush();
  }

  /** Stops what is under way on a channel: its answer is not wanted any more. */
  drop(channel) {
    const slot = this.channels.get(channel);
    if (slot?.waiting) this.cancel(slot.waiting);
    if (slot?.running) this.cancel(slot.running);
  }

  /** Stops what is under way on all channels: the scene is gone. */
  clear() { for (const channel of this.channels.keys()) this.drop(channel); }

  flush() {
    if (!this.ready) return;
    for (const slot of this.channels.values()) {
      if (slot.running || !slot.waiting) continue;
      const request = slot.waiting;
      slot.waiting = null;
      slot.running = request;
      this.open.set(request.id, request);
      this.socket.send(JSON.stringify({
        id: request.id, channel: request.channel, query: request.name, params: request.params,
      }));
    }
  }
}
