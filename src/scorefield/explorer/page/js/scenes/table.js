// Table: a trained model of a table's rows. Any two columns, what goes with given cells, a row's surprises.

import { button, group, make, number, readout, row } from "../controls.js";
import { Plane, svg } from "../plane.js";
import { question } from "../question.js";

export const title = "Table";
export const lead = "A trained model of a table: any two columns, what goes with the cells that you set, and what is surprising in a row.";

const READ = [["held", "this row was"], ["value", "log p of what is set"], ["percentile", "percentile among training rows"], ["most", "most surprising"]];
const DEPTH = 7, ORDER = ["few", "mixture", "many", "surprises", "density"];

/** A number from 0 to 1 that belongs to a place: points of one category are spread by it. */
const spread = (k) => ((k * 0.6180339887) % 1);

/** The cells in the address as {column: text}; nothing for text that is none. */
function readCells(text) {
  try {
    const cells = JSON.parse(text || "{}");
    return cells && typeof cells === "object" && !Array.isArray(cells) ? Object.fromEntries(Object.entries(cells).filter(([key, value]) => /^\d{1,3}$/.test(key) && typeof value === "string")) : {};
  } catch { return {}; }
}

/** Shares of places in bins: one for each category, else 30. */
function histogram(places, count) {
  const shares = new Float64Array(count), here = places.filter((u) => Number.isFinite(u) && u >= 0 && u <= 1);
  for (const u of here) shares[Math.min(count - 1, Math.floor(u * count))] += 1 / Math.max(1, here.length);
  return shares;
}

/** A stepped outline of shares in a box of 100 x 30. */
function outline(shares, top, closed) {
  const points = Array.from(shares, (share, k) => {
    const y = (30 - 29 * Math.min(1, share / top)).toFixed(1);
    return `${((100 * k) / shares.length).toFixed(1)},${y} ${((100 * (k + 1)) / shares.length).toFixed(1)},${y}`;
  }).join(" ");
  return closed ? `0,30 ${points} 100,30` : points;
}

/** What a place from 0 to 1 of a column's axis stands for. */
function value({ choices, ends: [low, high], log, time }, place) {
  const x = low + place * (high - low);
  if (choices) return choices[Math.min(choices.length - 1, Math.floor(place * choices.length))];
  if (time) return new Date(1000 * x).toISOString().slice(0, 10);
  return number(log ? Math.exp(x) : x, 4);
}

class Table {
  constructor(context, place, intro) {
    Object.assign(this, { context, place, cells: [], facts: null, pending: [], turn: 0, asked: null });
    place.append(intro);
    context.about((about) => this.load(about));
  }

  load(about) {
    this.kind = about.kind;
    if (!about.columns) {
      const what = about.kind === "none" ? "No run is open." : `The open run “${about.name}” is no model of a table.`;
      this.place.append(make("div", { className: "picture" }, group("This scene looks at a trained model of a table",
        make("p", {}, `${what} Fit one to a file of yours, or to a built-in table, then open it:`),
        make("pre", {}, "scorefield fit wine -o run --time 1m\nscorefield explore run"))));
      return;
    }
    this.context.request("about.table", "table.about", {}, (result) => this.begin(result));
  }

  begin(facts) {
    const { context } = this, { select, slider, toggle } = context.controls;
    this.facts = facts;
    this.count = facts.rows.shape[0];
    this.given = Object.fromEntries(Object.entries(readCells(context.text("given", ""))).filter(([key]) => Number(key) < facts.columns.length));
    const options = facts.columns.map(({ name }, k) => [String(k), name]);
    const drawable = facts.columns.flatMap(({ density }, k) => (density ? [k] : []));
    const [first, second] = drawable.length > 1 ? drawable : [0, Math.min(1, options.length - 1)];
    const pick = (key, label, value) => select({ label, options, value: context.text(key, String(value)), name: key, onInput: (v) => { context.keep({ [key]: v }); this.showPair(); this.work(["mixture", "density"]); } });
    [this.x, this.y] = [pick("x", "Across", first), pick("y", "Up", second)];
    this.heat = toggle({ label: "Density of the model, where both are numbers or times", value: context.text("heat", "1") === "1", name: "heat", onInput: (on) => { context.keep({ heat: on ? 1 : 0 }); this.work(["mixture", "density"]); } });
    this.index = slider({ label: "Row of the table", low: 0, high: Math.max(1, this.count - 1), whole: true, value: context.number("row", 0), name: "row", onInput: (v) => { context.keep({ row: v }); this.takeRow(); } });
    this.take = button({ label: "Set all cells to this row", name: "take", primary: true, onPress: () => this.takeRow() });
    this.clear = button({ label: "Set none", name: "clear", onPress: () => { this.given = {}; this.changed(); } });
    this.numbers = readout("The row", READ);
    this.lay();
    this.bind();
    this.question = question("table", (locked) => { this.locked = locked; for (const one of this.cells) one.lock(locked); for (const one of [this.take, this.clear, this.index]) one.lock(locked || (one !== this.clear && !this.count)); });
    this.side.prepend(this.question.root);
    this.plane.start();
    this.changed({ written: false });
  }

  /** What is shown, and the settings that it is of. */
  bind() {
    const { context } = this, given = (more) => () => ({ given: this.given, ...more });
    this.laws = context.panel([...this.cells.flatMap((one) => [one.picture, one.law]), this.plane.box], given({ n: 500 }));
    this.odd = context.panel([this.numbers.root, ...this.cells.map((one) => one.surprise)], given({}));
    this.density = context.panel([this.plane.box, this.plane.bar], () => this.heating(this.whole));
    this.rows = context.panel([this.plane.box, this.numbers.root, ...this.cells.map((one) => one.root)], () => ({ row: this.asked }));
  }

  /** Whether the map is to be the network's: of recorded ones those without given cells are, the others are the mixture's. */
  get whole() { return !this.context.recorded || !Object.keys(this.heating(true).given).length; }

  /** What the map is of. */
  heating(network) {
    const [x, y] = this.pair(), given = Object.fromEntries(Object.entries(this.given).filter(([key]) => Number(key) !== x && Number(key) !== y));
    return { x, y, given, n: network ? 24 : 32, network };
  }

  lay() {
    this.plane = new Plane({ low: 0, high: 1, plain: true, label: "Two columns", caption: "", onPress: this.count ? (at) => this.takeNearest(at) : null,
      onPoint: this.count ? (at) => this.mark(at) : null });
    this.plane.where = (at) => this.pair().map((k, side) => `${this.facts.columns[k].name}: ${value(this.facts.columns[k], at[side])}`).join(", ");
    this.cells = this.facts.columns.map((column, k) => this.cell(column, k));
    const more = this.facts.more ? ` The first ${this.facts.columns.length} columns; ${this.facts.more} more are not shown.` : "";
    const recorded = this.context.recorded ? " Here one cell is set at a time, or a whole row; the density given a cell is that of the model’s mixture alone." : "";
    const legend = make("p", { className: "legend" });
    for (const [name, text] of [["r", "real rows"], ["a", "drawn by the model, given the cells that are set"]]) legend.append(make("span", {}, make("i", { className: name }), text));
    this.side = make("aside", { className: "side" }, group("Two columns", this.x.root, this.y.root, this.heat.root),
      group("A row", this.index.root, row(this.take.root, this.clear.root), this.count ? null : make("p", { className: "hint" }, "The table that the run was fitted to is not at hand: no real rows are shown.")), this.numbers.root);
    this.place.append(make("div", { className: "picture" }, this.plane.root,
      group("What if", make("p", { className: "hint" }, `Set a cell: the model draws the others given it. Grey: real rows, all of them; line: the draws.${more}${recorded}`), legend, ...this.cells.map((one) => one.root))), this.side);
  }

  /** One line of the list: set or open, its value, the law of the column, and what is said of it. */
  cell({ name, choices }, k) {
    const recorded = this.context.recorded ? this.context.stops(`cell${k}`) ?? [] : null, listed = recorded ?? choices, fixed = make("input", { type: "checkbox" }), value = listed
      ? make("select", { className: "value", "aria-label": `${name}: value` }, ...listed.map((text) => make("option", { value: text }, text)))
      : make("input", { className: "value", type: "text", autocomplete: "off", spellcheck: false, "aria-label": `${name}: value` });
    Object.assign(fixed.dataset, { name: `set${k}` });
    Object.assign(value.dataset, { name: `cell${k}` });
    const real = svg("polygon", { class: "law-real" }), drawn = svg("polyline", { class: "law-drawn" });
    const picture = svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": `${name}: law` });
    picture.append(real, drawn);
    const law = make("span", {}), surprise = make("span", { className: "surprise" });
    Object.assign(law.dataset, { value: `law${k}` });
    Object.assign(surprise.dataset, { value: `surprise${k}` });
    const root = make("div", { className: "cell" }, make("label", {}, fixed, name), value, picture, make("div", { className: "told" }, law, surprise));
    const set = () => { if (recorded) this.given = {}; this.given[k] = value.value; this.changed(); this.question.moved(); };
    value.addEventListener("change", () => { if (value.value.trim()) set(); else { delete this.given[k]; this.changed(); } });
    fixed.addEventListener("change", () => {
      if (!fixed.checked) { delete this.given[k]; this.changed(); } else if (value.value.trim() || value.placeholder) { value.value ||= value.placeholder; set(); } else fixed.checked = false;
    });
    return { root, fixed, value, picture, real, drawn, law, surprise, choices, lock: (locked) => { fixed.disabled = value.disabled = locked || recorded?.length === 0; }, put: (text) => { if (listed && !listed.includes(text)) value.append(make("option", { value: text }, text)); value.value = text; }, first: listed?.[0] ?? "" };
  }

  takeRow() {
    if (!this.count) return;
    const row = this.asked = this.index.value();
    this.rows.check();
    this.context.request("table.row", "table.row", { index: row }, ({ given, held }) => { this.given = given; this.changed({ row, held }); this.question.moved(); });
  }

  /** The real row whose point is nearest. */
  takeNearest([x, y]) {
    if (this.locked) return;
    const { data, shape: [n, width] } = this.facts.rows, [i, j] = this.pair();
    let best = -1, least = Infinity;
    for (let k = 0; k < n; k++) {
      const away = (data[k * width + i] - x) ** 2 + (data[k * width + j] - y) ** 2;
      if (away < least) [best, least] = [k, away];
    }
    if (best >= 0) { this.index.set(best); this.context.keep({ row: best }); this.takeRow(); }
  }

  pair() { return [Number(this.x.value()), Number(this.y.value())]; }

  /** The cells that are set have changed: to a row of the table, or by hand, and then a row that is under way is not wanted any more. */
  changed({ row = null, held = null, written = true } = {}) {
    if (row === null) { this.context.drop("table.row"); this.asked = null; }
    this.held = held;
    this.rows.drawn({ row });
    if (written) this.context.keep({ given: Object.keys(this.given).length ? JSON.stringify(this.given) : null });
    this.cells.forEach((one, k) => {
      const on = Object.hasOwn(this.given, k);
      one.fixed.checked = on;
      one.root.classList.toggle("given", on);
      one.put(on ? this.given[k] : one.first);
      one.surprise.textContent = "";
    });
    this.numbers.set({ held: this.held === true ? "held out" : this.held === false ? "trained on" : "–", value: "–", percentile: "–", most: "–" });
    this.refresh();
  }

  refresh() { if (this.facts) this.work(ORDER); }

  /** Has these things computed, quick ones first; what is being computed is given up, and done again in its turn. */
  work(names) {
    this.pending = ORDER.filter((name) => names.includes(name) || this.pending.includes(name));
    this.turn += 1;
    this.step(this.turn);
  }

  step(turn) {
    const name = this.pending[0];
    if (!name || turn !== this.turn) return;
    const [query, params, answer, panel] = this.task(name), finish = () => { this.pending = this.pending.filter((other) => other !== name); this.step(turn); };
    if (!query) { answer(); finish(); return; }
    const mine = (act) => (result) => { if (turn === this.turn) act(result); };
    this.context.stream("table", query, params, mine((result) => { answer(result); panel.drawn(params); }), mine(finish)); // as a stream: a newer one ends it
  }

  /** The query of a thing to compute, its parameters, and what is done with the answer. */
  task(name) {
    const [x, y] = this.pair(), { columns } = this.facts, both = columns[x].density && columns[y].density && x !== y;
    if (this.context.recorded && (name === "few" || (name === "mixture" && this.whole) || (name === "density" && !this.whole))) return [null, null, () => {}];
    if (name === "few" || name === "many") return ["table.whatif", { given: this.given, n: name === "few" ? 60 : 500 }, (result) => { this.draws = result; this.showLaws(); this.showPair(); }, this.laws];
    if (name === "surprises") return Object.keys(this.given).length ? ["table.surprises", { given: this.given }, (result) => this.showSurprises(result), this.odd] : [null, null, () => this.odd.drawn(null)];
    this.heat.lock(!both);
    if (!both || !this.heat.value()) return [null, null, () => { this.plane.heat(null); this.density.drawn(null); }];
    // the mixture alone at once, then the network
    return ["table.density", this.heating(name === "density"), ({ log_density: map, max }) => this.plane.heat(map, max - DEPTH, max, 1,
      { label: "log p below its top", unit: " nats", from: max, ends: [`−${DEPTH} nats and less`, "0"] }), this.density];
  }

  showSurprises({ log_density: value, percentile, surprise }) {
    surprise.forEach((nats, k) => {
      const place = this.cells[k].surprise;
      place.textContent = nats === null ? "" : `surprise ${nats > 0 ? "+" : ""}${number(nats, 2)} nats`;
      place.classList.toggle("much", nats > 3);
    });
    const most = surprise.reduce((best, nats, k) => (nats !== null && (best < 0 || nats > surprise[best]) ? k : best), -1);
    this.numbers.set({ value: number(value, 4), percentile: percentile === null ? "–" : `${number(percentile, 3)} %`, most: most < 0 ? "–" : this.facts.columns[most].name });
  }

  /** The columns of a stack of rows as points of the plane; those of categories are spread. */
  points({ data, shape: [n, width] }, most) {
    const [i, j] = this.pair(), out = [], bins = [i, j].map((k) => this.facts.columns[k].choices?.length ?? 0);
    for (let k = 0; k < Math.min(n, most); k++) {
      const at = [data[k * width + i], data[k * width + j]].map((u, side) => (bins[side] ? u + ((spread(k * (side + 1) + side) - 0.5) * 0.6) / bins[side] : u));
      if (at.every(Number.isFinite)) out.push(...at);
    }
    return new Float32Array(out);
  }

  showPair() {
    const [x, y] = this.pair(), { view } = this.plane, { columns } = this.facts;
    this.plane.axes(columns[x], columns[y]);
    view.layer("rows", { kind: "point", data: this.points(this.facts.rows, 1200), colour: "exact", size: 3, alpha: 0.35 });
    if (this.draws) view.layer("draws", { kind: "point", data: this.points(this.draws.draws, 1000), colour: "particle", size: 4, alpha: 0.75 });
    this.mark();
    this.plane.caption.textContent = `${columns[x].name} across, ${columns[y].name} up.${this.count ? " A click takes the nearest row." : ""}`;
  }

  /** Marks the row that is set, and the point of the pointer or the arrow keys. */
  mark(at = null) {
    const pair = this.pair(), set = this.draws && pair.every((k) => Object.hasOwn(this.given, k)) ? pair.map((k) => this.draws.draws.data[k]) : [NaN];
    this.plane.marks([...(set.every(Number.isFinite) ? [{ kind: "dot", at: set, name: "here" }] : []), ...(at ? [{ kind: "dot", at, name: "guess" }] : [])]);
  }

  showLaws() {
    const column = ({ data, shape: [n, width] }, k) => Array.from({ length: n }, (_, at) => data[at * width + k]);
    this.cells.forEach((one, k) => {
      const { bins } = this.facts.columns[k], law = this.draws.laws[k], set = Object.hasOwn(this.given, k);
      const shares = [this.facts.rows, this.draws.draws].map((rows) => histogram(column(rows, k), bins));
      const top = Math.max(1e-9, ...shares[0], set ? 0 : Math.max(...shares[1]));
      one.real.setAttribute("points", outline(shares[0], top, true));
      one.drawn.setAttribute("points", outline(shares[1], top, false));
      one.law.textContent = set ? "set" : law.shares ? this.inShares(one.choices, law.shares.data) : `${law.median}, 90 % from ${law.low} to ${law.high}`;
      if (!one.choices && !set) one.value.placeholder = law.median;
    });
  }

  inShares(choices, shares) {
    const order = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]).filter((k) => shares[k] > 0).slice(0, 3);
    return order.map((k) => `${choices[k]} ${Math.round(100 * shares[k])} %`).join(", ");
  }

  close() { this.plane?.close(); }
}

export function open(context, place, intro) { return new Table(context, place, intro); }
