// Scenes as addresses: #/field?sigma=0.5. The controls live in the address, so that a state can be shared.

import { make } from "./controls.js";
import { Connection, Superseded } from "./socket.js";
import * as density from "./scenes/density.js";
import * as diffusion from "./scenes/diffusion.js";
import * as field from "./scenes/field.js";
import * as langevin from "./scenes/langevin.js";
import * as learn from "./scenes/learn.js";

const SCENES = { field, langevin, diffusion, learn, density };
const place = document.getElementById("scene"), status = document.getElementById("status");
const token = new URLSearchParams(location.search).get("token") ?? "";
const scheme = location.protocol === "https:" ? "wss" : "ws";
let now = null, written = "", ready = false;

function say(text, state) { status.textContent = text; status.dataset.state = state; }

const connection = new Connection(`${scheme}://${location.host}/ws?token=${encodeURIComponent(token)}`, (state) => {
  if (state === "open") { ready = true; say("live", "open"); now?.scene?.refresh?.(); } else say(ready ? "reconnecting" : "no connection", "lost");
});

function parse() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: Object.hasOwn(SCENES, path) ? path : "field", state: new URLSearchParams(query) };
}

/** What a scene may use: its state in the address, asks, and a place for one sentence of trouble. */
function context(name, state) {
  const trouble = make("p", { className: "trouble", role: "alert", hidden: true });
  const alive = { value: true };
  const guard = (promise, done) => promise.then((result) => {
    if (!alive.value) return;
    trouble.hidden = true;
    done?.(result);
  }).catch((error) => {
    if (!alive.value || error instanceof Superseded) return;
    trouble.textContent = error.message;
    trouble.hidden = false;
  });
  return {
    alive, trouble,
    text: (key, other) => state.get(key) ?? other,
    number: (key, other) => {
      const value = Number(state.get(key) ?? NaN);
      return Number.isFinite(value) && state.get(key) !== "" ? value : other;
    },
    keep(values) {
      for (const [key, value] of Object.entries(values)) {
        if (value === null || value === undefined || value === "") state.delete(key);
        else state.set(key, String(value));
      }
      clearTimeout(this.writing);
      this.writing = setTimeout(() => {
        if (!alive.value) return;
        written = `#/${name}${state.size ? `?${state}` : ""}`;
        history.replaceState(null, "", written);
      }, 150);
    },
    ask: (channel, ask, params, done) => guard(connection.ask(channel, ask, params), done),
    stream: (channel, ask, params, part, done) => {
      const request = connection.stream(channel, ask, params, (result) => { if (alive.value) part(result); });
      guard(request.promise, done);
      return request;
    },
    fail: (message) => { trouble.textContent = message; trouble.hidden = false; },
  };
}

function open() {
  const { name, state } = parse();
  if (now) { now.context.alive.value = false; now.scene.close(); connection.clear(); }
  const here = context(name, state), module = SCENES[name];
  place.replaceChildren();
  place.dataset.scene = name;
  document.title = `${module.title} · scorefield explorer`;
  for (const link of document.querySelectorAll("#menu a")) {
    if (link.dataset.scene === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const intro = make("header", { className: "intro" }, make("h1", {}, module.title), make("p", {}, module.lead), here.trouble);
  const scene = module.open(here, place, intro);
  now = { scene, context: here };
}

for (const [name, module] of Object.entries(SCENES)) {
  const link = make("a", { href: `#/${name}` }, module.title);
  link.dataset.scene = name;
  document.getElementById("menu").append(link);
}
addEventListener("hashchange", () => { if (location.hash !== written) { written = location.hash; open(); } });
document.getElementById("share").addEventListener("click", async (event) => {
  const link = `${location.origin}${location.pathname}${location.search}${location.hash}`;
  try { await navigator.clipboard.writeText(link); event.target.textContent = "Copied"; } catch { prompt("The address of this state", link); }
  setTimeout(() => { event.target.textContent = "Copy link"; }, 1500);
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); place.focus(); });
open();
