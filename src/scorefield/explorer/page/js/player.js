// A way from 0 to 1 in time: a slider along it, and a button that plays it. Who asked for less motion sees stills.

import { button } from "./controls.js";

/** Milliseconds between two positions of a slider, and between numbers that follow a motion: a new text costs a layout. */
export const REST = 100;
const STILL = 600; // milliseconds between two stills
const STILLS = 8;

const preference = matchMedia("(prefers-reduced-motion: reduce)");

/** Calls draw with the newest of what it is given, at most once in `wait` milliseconds, for those who asked for less motion in
 * 600; drop(): what still waits is not drawn. */
export function paced(draw, wait = 0) {
  let next = null, timer = 0;
  const rest = () => (preference.matches ? STILL : wait), now = () => { timer = 0; if (next) { draw(...next); next = null; timer = setTimeout(now, rest()); } };
  const ask = (...what) => {
    if (!rest()) { draw(...what); return; }
    if (timer) { next = what; return; }
    draw(...what);
    timer = setTimeout(now, rest());
  };
  ask.drop = () => { clearTimeout(timer); timer = 0; next = null; };
  return ask;
}

export class Player {
  /** seconds: of the whole way; draw(): shows the state at `time`; said(time): it in words. */
  constructor(context, { label, seconds, draw, said = null }) {
    const time = Math.min(1, Math.max(0, context.number("time", 1)));
    Object.assign(this, { context, seconds, draw, time, playing: 0, timer: 0 });
    this.clock = context.controls.slider({ label, low: 0, high: 1, value: time, name: "time", said, onInput: (value) => { this.time = value; this.stop(); draw(); } });
    this.button = button({ label: "Play", name: "play", primary: true, onPress: () => (this.moving ? this.stop() : this.start()) });
  }

  get moving() { return Boolean(this.playing || this.timer); }

  /** Whether a text is to be written now: on the way only every 100 ms, for a new text costs a layout. */
  get saying() {
    const now = performance.now();
    if (this.moving && now - (this.said ?? 0) < REST) return false;
    this.said = now;
    return true;
  }

  /** Plays from where it stands, towards 1 or, backwards, towards 0; from the beginning where it has ended. */
  start(backwards = false) {
    const end = backwards ? 0 : 1;
    this.halt();
    this.button.set("Pause");
    if (this.time === end) this.time = 1 - end;
    if (preference.matches) this.stills(end);
    else this.motion(end);
  }

  motion(end) {
    const way = end ? 1 : -1;
    let last = performance.now(), shown = 0;
    const tick = (now) => {
      this.time = Math.min(1, Math.max(0, this.time + (way * (now - last)) / (1000 * this.seconds)));
      last = now;
      if (now - shown > REST || this.time === end) { this.clock.set(this.time); shown = now; }
      this.draw();
      if (this.time !== end && this.context.alive.value) this.playing = requestAnimationFrame(tick);
      else this.stop();
    };
    this.playing = requestAnimationFrame(tick);
  }

  stills(end) {
    const next = () => {
      this.time = Math.min(1, Math.max(0, (Math.round(this.time * STILLS) + (end ? 1 : -1)) / STILLS));
      this.clock.set(this.time);
      this.draw();
      if (this.time !== end && this.context.alive.value) this.timer = setTimeout(next, STILL);
      else this.stop();
    };
    this.timer = setTimeout(next, STILL);
  }

  /** Plays the whole way. */
  restart(backwards = false) { this.halt(); this.time = backwards ? 1 : 0; this.start(backwards); }

  halt() {
    cancelAnimationFrame(this.playing);
    clearTimeout(this.timer);
    this.playing = this.timer = 0;
  }

  stop() {
    this.halt();
    this.button.set("Play");
    if (!this.context.alive.value) return;
    this.draw(); // also what was left out on the way
    this.context.keep({ time: this.time === 1 ? null : Number(this.time.toFixed(3)) });
  }
}
