// Scenes as addresses: #/field?sigma=0.5. The controls live in the address, so that a state can be shared.

import { controls, make, prose } from "./controls.js";
import { Lecture } from "./lecture.js";
import { Recorder } from "./record.js";
import { Panels } from "./results.js";
import { Superseded } from "./socket.js";

const place = document.getElementById("scene"), status = document.getElementById("status");

/** What one scene may use: its state in the address, its controls, requests, and a place for one sentence of trouble. */
function context(name, state, connection, address) {
  const trouble = make("p", { className: "trouble", role: "alert", hidden: true });
  const alive = { value: true }, timers = new Map(), panels = new Panels();
  const say = (message) => { trouble.replaceChildren(...prose(message)); trouble.hidden = false; };
  const guard = (promise, done) => promise.then((result) => {
    if (!alive.value) return;
    trouble.hidden = true;
    done?.(result);
  }).catch((error) => {
    if (!alive.value || error instanceof Superseded) return;
    say(error.message);
  });
  const later = (key, work, wait) => {
    clearTimeout(timers.get(key));
    timers.set(key, setTimeout(() => { if (alive.value) work(); }, wait));
  };
  return {
    alive, trouble, panels,
    recorded: connection.recorded ?? false,
    /** The values of a control that were recorded; null where any is answered. */
    stops: (key) => connection.stops?.(name)[key] ?? null,
    controls: controls(connection.stops?.(name) ?? {}),
    /** The recorded point that is nearest; without a recording the point itself. */
    near(key, at) {
      const points = connection.stops?.(name)[key];
      const away = (one) => (one[0] - at[0]) ** 2 + (one[1] - at[1]) ** 2;
      return points && at.length === 2 ? points.reduce((best, one) => (away(one) < away(best) ? one : best)) : at;
    },
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
      panels.check();
      later("address", () => address(name, `#/${name}${state.size ? `?${state}` : ""}`), 150);
    },
    panel: (roots, settings, gone) => panels.panel(roots, settings, gone),
    request: (channel, query, params, done) => guard(connection.request(channel, query, params), done),
    /** The answer of a channel that is under way is not wanted any more. */
    drop: (channel) => connection.drop(channel),
    /** part(result) for every reply, done() after the last one; ended(): it is over, however it ended, unless it was cancelled. */
    stream: (channel, query, params, part, done, ended = null) => {
      let cancelled = false;
      const request = connection.stream(channel, query, params, (result) => { if (alive.value) part(result); });
      guard(request.promise, done).then(() => { if (alive.value && !cancelled) ended?.(); });
      return { cancel: () => { cancelled = true; request.cancel(); } };
    },
    /** A request for a panel: its settings, or others that stand in for them until they are answered. Without settings nothing is asked, and no answer drawn. */
    ask: (panel, channel, query, done, instead = {}) => {
      const settings = panel.settings();
      if (settings === null) return null;
      const params = { ...settings, ...instead };
      return guard(connection.request(channel, query, params), (result) => {
        if (panel.fresh || panel.settings() === null) return; // this one was of other settings, or stood in for what has come
        done(result, params);
        panel.drawn(params);
      });
    },
    /** Does costly work once the controls have rested. */
    rest: (key, work, wait = 220) => later(key, work, connection.recorded ? 0 : wait),
    fail: say,
  };
}

/** Shows the scenes, {name: module}, over a connection: connect(onState) makes one and calls onState("open" or "lost"). */
export function start(scenes, connect) {
  let now = null, written = "", ready = false, about = null;
  const first = Object.keys(scenes)[0];
  const setStatus = (text, state) => { status.textContent = text; status.dataset.state = state; };
  const connection = connect((state, text = "live") => {
    if (state === "open") { ready = true; setStatus(text, "open"); now?.scene?.refresh?.(); } else setStatus(ready ? "reconnecting" : "no connection", "lost");
  });
  const parse = () => {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    return { name: Object.hasOwn(scenes, path) ? path : first, state: new URLSearchParams(query) };
  };

  const address = (name, text) => {
    if (parse().name !== name || location.hash !== written) return; // another state was chosen meanwhile, and is about to open
    history.replaceState(null, "", text);
    written = location.hash;
  };

  const lecture = new Lecture(Object.keys(scenes), (name, values) => {
    const here = parse(), state = name ? new URLSearchParams() : here.state;
    for (const [key, value] of Object.entries(values)) if (value === null) state.delete(key); else state.set(key, value);
    location.hash = `#/${name ?? here.name}${state.size ? `?${state}` : ""}`;
  });

  const recorder = new Recorder(() => `scorefield-${parse().name}`);
  const open = () => {
    recorder.stop(); // of the scene that is left
    recorder.open(false);
    written = location.hash;
    const { name, state } = parse();
    lecture.opened(state.get("lecture"));
    if (now) { now.context.alive.value = false; now.context.panels.close(); now.scene.close(); connection.clear(); }
    const here = context(name, state, connection, address), module = scenes[name];
    here.about = (done) => {
      if (about) { done(about); return; }
      here.request("about", "session.about", {}, (result) => { about = result; done(about); });
    };
    place.replaceChildren();
    place.dataset.scene = name;
    document.title = `${module.title} · scorefield explorer`;
    for (const link of document.querySelectorAll("#menu a")) {
      if (link.dataset.scene === name) { link.setAttribute("aria-current", "page"); link.scrollIntoView({ inline: "nearest", block: "nearest" }); }
      else link.removeAttribute("aria-current");
    }
    const intro = make("header", { className: "intro" }, make("h1", {}, module.title), make("p", {}, module.lead),
      here.recorded ? make("p", { className: "hint" }, ...prose("Every number on this page was computed beforehand, by the library, for the values at which its controls stop; the page itself only draws. `scorefield explore` computes any, live.")) : null, here.trouble);
    now = { scene: module.open(here, place, intro), context: here };
  };

  // after the control's own listeners: what they changed is compared with what is shown
  for (const kind of ["input", "change", "click", "keydown", "pointerup"]) place.addEventListener(kind, () => setTimeout(() => now?.context.panels.check()));

  for (const [name, module] of Object.entries(scenes)) {
    const link = make("a", { href: `#/${name}` }, module.title);
    link.dataset.scene = name;
    document.getElementById("menu").append(link);
  }
  addEventListener("hashchange", () => { if (location.hash !== written) open(); });
  document.getElementById("share").addEventListener("click", async (event) => {
    try { await navigator.clipboard.writeText(location.href); event.target.textContent = "Copied"; } catch { prompt("The address of this state", location.href); }
    setTimeout(() => { event.target.textContent = "Copy link"; }, 1500);
  });
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); place.focus(); });
  open();
}
