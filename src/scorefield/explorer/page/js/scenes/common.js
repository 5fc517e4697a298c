// What several scenes share: the mixture in the address, and a field's reply on a view.

export const WINDOW = { low: -5, high: 5 };
export const RANGE = [WINDOW.low, WINDOW.high];

/** A mixture as short text: weight,x,y,a,b,c;... and back; null for text that is none. */
export function writeMixture(mixture) {
  const short = (v) => String(Number(v.toPrecision(5)));
  return mixture.weights.map((weight, k) => {
    const [[a, b], [, c]] = mixture.covariances[k];
    return [weight, ...mixture.means[k], a, b, c].map(short).join(",");
  }).join(";");
}

export function readMixture(text) {
  const rows = (text ?? "").split(";").map((row) => row.split(",").map(Number));
  if (rows.length > 16 || rows.some((row) => row.length !== 6 || row.some((v) => !Number.isFinite(v)))) return null;
  return {
    weights: rows.map((row) => row[0]),
    means: rows.map((row) => [row[1], row[2]]),
    covariances: rows.map(([, , , a, b, c]) => [[a, b], [b, c]]),
  };
}

/** A grid reply on a view: the map spans `depth` nats below its greatest value. */
export function showField(view, result, { arrows = true, depth = 9, reference = 2 } = {}) {
  if (result.log_density) view.heat(result.log_density, result.max - depth, result.max, 1);
  else view.heat(null);
  if (arrows && result.score) view.arrows(result.at.data, result.score.data, result.score.shape[0], reference);
  else view.arrows(null);
}

let presets = null;

/** Calls done with the named mixtures, [{name, mixture}], which are asked for once. */
export function withPresets(context, done) {
  if (presets) { done(presets); return; }
  context.ask("presets", "field.presets", {}, (result) => { presets = result.presets; done(presets); });
}

/** Fills a choice of densities, of which one is the first to be shown. */
export function offer(control, known, context, first) {
  control.input.replaceChildren(...known.map(({ name }) => {
    const option = document.createElement("option");
    option.value = option.textContent = name;
    return option;
  }));
  const wanted = context.text("preset", first);
  control.set(known.some(({ name }) => name === wanted) ? wanted : known[0].name);
}
