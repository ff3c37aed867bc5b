/**
 * The weighted sampler: rows are drawn one after the other without replacement, each time with a chance in proportion
 * to the weight among those that are left.
 *
 * Efraimidis, Spirakis: Weighted random sampling with a reservoir, Information Processing Letters 97 (2006),
 * algorithm A-ES: draw u in (0, 1) for each row, and take the rows with the largest ln(u) / weight.
 *
 *   u = (mix52(seed, id) + 1/2) / 2^52
 *
 *   weight             drawn
 *   > 0                by chance, in proportion to it
 *   infinite           before all others, in slot order
 *   0, negative, NaN   after all others, in slot order
 *
 * A row that has no weight is a row of weight NaN. The last line lets a queue run empty; `where` leaves rows out.
 *
 * Invariants: the key of a row depends on nothing but seed, id and weight. So the same seed draws the same rows, a
 * retry is the same draw, and what other rows come and go changes no row's place before another.
 */
import { mix52 } from './mix.ts';
import { topOf } from './top.ts';

export interface WeightedDraw {
  /** Of the units, in slot order: a row's id, or a group's number. Safe integers, not below 0. */
  readonly ids: ArrayLike<number>;
  /** As many. */
  readonly weights: ArrayLike<number>;
  /** A safe integer, not below 0. */
  readonly seed: number;
  readonly count: number;
}

/** Places of the units to take, in the order in which they were drawn. */
export function drawWeighted({ ids, weights, seed, count }: WeightedDraw): Uint32Array {
  const keys = new Float64Array(ids.length);
  for (let place = 0; place < keys.length; place += 1) keys[place] = weightedKey(seed, ids[place], weights[place]);
  return topOf(keys, count);
}

/** From -Infinity to 0; the larger one is drawn first. */
export function weightedKey(seed: number, id: number, weight: number): number {
  if (!(weight > 0)) return -Infinity;
  return Math.log((mix52(seed, id) + 0.5) / 2 ** 52) / weight;
}
