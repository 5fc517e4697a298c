// Whatever stands on the page belongs to settings. A panel knows those that its result was computed for: where the ones on
// screen are others, the result is greyed, or gone where it would lie on a picture of others, until its own comes.

const PATIENCE = 250; // milliseconds in which the next result may come before one of other settings is greyed

const long = new WeakMap(); // an array of many entries -> its text: such ones are replaced, and never changed

/** The same text for equal parameters, whatever their order. */
export function key(value) {
  if (Array.isArray(value)) {
    if (long.has(value)) return long.get(value);
    const text = `[${value.map(key).join()}]`;
    if (value.length > 200) long.set(value, text);
    return text;
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${name}:${key(value[name])}`).join()}}`;
}

const greyed = new WeakMap(); // element -> the panels that grey it

function grey(root, panel, on) {
  const panels = greyed.get(root) ?? new Set();
  greyed.set(root, panels);
  if (on) panels.add(panel); else panels.delete(panel);
  root.toggleAttribute("data-stale", panels.size > 0);
}

/** The panels of one scene. */
export class Panels {
  constructor() { this.all = []; }

  /** Elements that show a result of settings(), an object or null for none; gone(): takes it away, where it is not to be greyed. */
  panel(roots, settings, gone = null) {
    const made = new Panel(roots, settings, gone);
    this.all.push(made);
    return made;
  }

  /** The settings may have changed. */
  check() { for (const one of this.all) one.check(); }

  close() { for (const one of this.all) clearTimeout(one.timer); }
}

class Panel {
  constructor(roots, settings, gone) {
    Object.assign(this, { roots, settings, gone, of: null, timer: 0 });
  }

  /** A result that was computed for these settings has been drawn; null: there is none any more. */
  drawn(settings) {
    clearTimeout(this.timer);
    this.timer = 0;
    this.of = settings && key(settings);
    this.check();
  }

  /** Whether the result of the settings on screen is there. */
  get fresh() { return this.of !== null && this.current; }

  get current() {
    if (this.of === null) return true;
    const wanted = this.settings();
    return wanted !== null && key(wanted) === this.of;
  }

  check() {
    if (this.current) {
      clearTimeout(this.timer);
      this.timer = 0;
      this.mark(false);
    } else this.timer ||= setTimeout(() => this.expire(), PATIENCE);
  }

  expire() {
    this.timer = 0;
    if (this.current) return;
    if (!this.gone) { this.mark(true); return; }
    this.of = null;
    this.gone();
  }

  mark(on) { for (const root of this.roots) grey(root, this, on); }
}
