// Round numbers along an axis.

import { number } from "./controls.js";

/** About `count` ticks {at: 0 to 1, text} of an axis from low to high, at multiples of 1, 2 or 5 of a power of ten. */
export function ticks(low, high, count = 4) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((k) => k * power >= raw) ?? 10), found = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-12); k++) {
    found.push({ at: (k * step - low) / (high - low), text: number(Number((k * step).toPrecision(10)), 5) });
  }
  return found;
}
