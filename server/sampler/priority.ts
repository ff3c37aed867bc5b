/**
 * The priority sampler: the highest priority first, and of equal ones the earlier slot.
 *
 * A row without a priority (NaN) has priority 0, in the middle of the scale: producers that know nothing of
 * priorities go on as before, one that knows them can put a row before theirs (> 0) or behind (< 0). Infinite
 * priorities are allowed; they are the ends of the scale.
 *
 * Rows of low priority can wait for ever while higher ones keep coming. That is what priority means; who wants every
 * row to have a chance takes the weighted sampler.
 */
import { topOf } from './top.ts';

/** Places of the `count` units to take, in the order in which they are taken. Units are given in slot order. */
export function takeByPriority(priorities: ArrayLike<number>, count: number): Uint32Array {
  const keys = new Float64Array(priorities.length);
  for (let i = 0; i < keys.length; i += 1) keys[i] = Number.isNaN(priorities[i]) ? 0 : priorities[i];
  return topOf(keys, count);
}
