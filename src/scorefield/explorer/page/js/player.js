// A way from 0 to 1 in time: a slider along it, and a button that plays it.

import { button } from "./controls.js";

const REST = 100; // milliseconds between two positions of the slider: a new text costs a layout

export class Player {
  /** seconds: of the whole way; draw(): shows the state at `time`. */
  constructor(context, { label, seconds, draw }) {
    Object.assign(this, { context, seconds, draw, time: 1, playing: 0 });
    this.clock = context.controls.slider({ label, low: 0, high: 1, value: 1, name: "time", onInput: (value) => { this.stop(); this.time = value; draw(); } });
    this.button = button({ label: "Play", name: "play", primary: true, onPress: () => (this.playing ? this.stop() : this.start()) });
  }

  /** Plays from where it stands; from the beginning where it has ended. */
  start() {
    let last = performance.now(), shown = 0;
    this.button.set("Pause");
    if (this.time >= 1) this.time = 0;
    const tick = (now) => {
      this.time = Math.min(1, this.time + (now - last) / (1000 * this.seconds));
      last = now;
      if (now - shown > REST || this.time === 1) { this.clock.set(this.time); shown = now; }
      this.draw();
      if (this.time < 1 && this.context.alive.value) this.playing = requestAnimationFrame(tick);
      else this.stop();
    };
    this.playing = requestAnimationFrame(tick);
  }

  /** Plays the whole way. */
  restart() { this.stop(); this.time = 0; this.start(); }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.button.set("Play");
  }
}
