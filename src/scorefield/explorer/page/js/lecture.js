// For the lecture room: full screen, large type, no question to commit to, and a script of states with next and back.
// A step is an address, so that any of them can be a link.

import { button, make, prose } from "./controls.js";

/** [what is said, scene, state], in the order of a lecture. */
const STEPS = [
  ["The score points uphill, and is zero at a mode.", "field", "preset=two modes&sigma=0.1&at=1.2,0.8"],
  ["Noise widens the modes: the arrows between them turn.", "field", "preset=two modes&sigma=0.8&at=1.2,0.8"],
  ["Much noise: one hill, short arrows.", "field", "preset=two modes&sigma=4&at=1.2,0.8"],
  ["A clean point’s noised cloud, and its conditional scores.", "field", "preset=moons&sigma=0.5&at=1.5,0.75&clean=1.5,0"],
  ["One small noise level: nobody crosses, the weights stay wrong.", "langevin", "preset=unequal weights&mode=one&start=first mode&step=0.05&n=2000&play=1"],
  ["Annealed: particles are shared out before the modes part.", "langevin", "preset=unequal weights&mode=annealed&step=0.6&n=2000&play=1"],
  ["Few steps: a first-order and a second-order sampler from one noise.", "diffusion", "preset=moons&a=ddim&b=dpmpp2&steps=8"],
  ["More steps: the second one is ahead.", "diffusion", "preset=moons&a=ddim&b=dpmpp2&steps=32"],
  ["Every schedule ends at the same points.", "diffusion", "preset=moons&a=ddim&b=dpmpp2&steps=16&schedule=vp&tab=time"],
  ["Denoising learns the score of the noised data.", "learn", "objective=denoising&sigma=0.5&steps=1000&play=1"],
  ["Log-density by the ODE: more probes, a smaller error.", "density", "preset=moons&at=1.2,0.8&probes=64"],
];

const root = document.documentElement;

/** Whether the page stands within another one, as in the lessons, which ask in words of their own: the scene alone is shown. */
export const embedded = window.parent !== window;
root.toggleAttribute("data-embedded", embedded);

/** Whether the page is in this mode. */
export const lecturing = () => root.hasAttribute("data-lecture");

/** The bar with next and back; show(name, state) opens a state; names: the scenes that there are. */
export class Lecture {
  constructor(names, show) {
    Object.assign(this, { show, at: -1, steps: STEPS.filter(([, scene]) => names.includes(scene)) });
    this.said = make("p", { role: "status" });
    const step = (name, label, by) => button({ label, name, primary: by > 0, onPress: () => this.go(this.at + by) }).root;
    this.bar = make("section", { className: "lecture", hidden: true, "aria-label": "Lecture" }, step("back", "Back", -1), this.said, step("next", "Next", 1));
    document.body.append(this.bar);
    document.getElementById("lecture").addEventListener("click", () => this.toggle());
    addEventListener("keydown", (event) => {
      const by = { PageDown: 1, PageUp: -1 }[event.key]; // which presenters send
      if (!lecturing() || !by || /INPUT|SELECT/.test(event.target.tagName)) return;
      event.preventDefault();
      this.go(this.at + by);
    });
  }

  toggle() {
    if (lecturing()) { if (document.fullscreenElement) document.exitFullscreen(); this.show(null, { lecture: null }); return; }
    root.requestFullscreen?.().catch(() => {}); // where the browser allows it
    this.show(null, { lecture: "0" });
  }

  go(at) {
    const step = this.steps[Math.min(this.steps.length, Math.max(1, at)) - 1];
    this.show(step[1], { ...Object.fromEntries(new URLSearchParams(step[2])), lecture: String(this.steps.indexOf(step) + 1) });
  }

  /** The address says which step is shown: 0 is a state of one's own, null another mode. */
  opened(text) {
    this.at = Math.min(this.steps.length, Math.max(0, Math.trunc(Number(text)) || 0));
    root.toggleAttribute("data-lecture", text !== null);
    this.bar.hidden = text === null;
    document.getElementById("lecture").setAttribute("aria-pressed", String(text !== null));
    this.said.replaceChildren(`${this.at || "–"} / ${this.steps.length}  `, ...prose(this.at ? this.steps[this.at - 1][0] : "Next begins the script."));
  }
}
