// Ways between data and noise, compared at equal noise levels: a place is the angle of a level, 0 for data, π/2 for noise.

/** The angle atan(σ / α) of every state of an answer. */
export const angles = ({ sigma, alpha }) => Float64Array.from(sigma.data, (value, i) => Math.atan2(value, alpha.data[i]));

/** σ / α at an angle. */
export const ratio = (angle) => (angle >= Math.PI / 2 - 1e-9 ? Infinity : Math.tan(angle));

/** The angle at a time from 0, pure noise, to 1, data; a picture in units of the noised law's spread moves evenly in it. */
export const angleAt = (time) => (1 - time) * (Math.PI / 2);

/** The states between which a way crosses an angle, and how far: {low, high, part}. Angles fall along it, or rise; where several
 * states have one level, the last of them counts: the others are inner evaluations of a step. */
export function crossing(way, angle) {
  const falls = way[0] >= way[way.length - 1], before = (a) => (falls ? a > angle + 1e-9 : a < angle - 1e-9);
  let low = -1;
  while (low + 1 < way.length && before(way[low + 1])) low += 1;
  if (low === way.length - 1) return { low, high: low, part: 0 };
  let high = low + 1;
  while (high + 1 < way.length && way[high + 1] === way[high]) high += 1;
  if (low < 0 || Math.abs(way[high] - angle) <= 1e-9) return { low: high, high, part: 0 };
  return { low, high, part: (way[low] - angle) / (way[low] - way[high]) };
}
