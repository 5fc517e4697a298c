// What several scenes share: the mixture in the address, and a field's reply on a view.

export const WINDOW = { low: -6, high: 6 };
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
  const grid = result.log_density;
  let top = -Infinity;
  for (const value of grid.data) if (value > top) top = value;
  view.heat(grid, top - depth, top, 1);
  if (!arrows || !result.scores) { view.arrows(null); return; }
  const { shape, data } = result.scores, places = new Float32Array(2 * shape[0] * shape[1]);
  if (result.places) places.set(result.places.data);
  else {
    for (let row = 0; row < shape[0]; row++) {
      for (let column = 0; column < shape[1]; column++) {
        const at = 2 * (row * shape[1] + column);
        places[at] = WINDOW.low + ((WINDOW.high - WINDOW.low) * column) / (shape[1] - 1);
        places[at + 1] = WINDOW.low + ((WINDOW.high - WINDOW.low) * row) / (shape[0] - 1);
      }
    }
  }
  view.arrows(places, data, shape[0], reference);
}

export const PRESET_NAMES = (presets) => presets.map((one) => [one.name, one.label ?? one.name.replaceAll("_", " ")]);

/** Loads the named mixtures once for the page. */
let presets = null;
export function withPresets(context, done) {
  if (presets) { done(presets); return; }
  context.ask("presets", "field.presets", {}, (result) => { presets = result.presets; done(presets); });
}
