/** Which rows are there: what an index has to know before they are put again or removed. */
import { hasRow } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** By place: 1 for a row that is there; null when none is. */
export function knownRows(queue: PartitionQueue, ids: Float64Array): Uint8Array | null {
  let known: Uint8Array | null = null;
  if (queue.slots.rows === 0) return null;
  for (let place = 0; place < ids.length; place++) {
    if (!hasRow(queue.slots, ids[place])) continue;
    known ??= new Uint8Array(ids.length);
    known[place] = 1;
  }
  return known;
}

/** Whether none of the rows is there, and each comes once. */
export function areNew(queue: PartitionQueue, ids: Float64Array): boolean {
  return knownRows(queue, ids) === null && (isRising(ids) || new Set(ids).size === ids.length);
}

/** Those of the rows that are there, each once. Who knows which they are may say it. */
export function presentRows(
  queue: PartitionQueue,
  ids: Float64Array,
  known: Uint8Array | null = knownRows(queue, ids),
): Float64Array {
  if (known === null) return NONE;
  const present = known.includes(0) ? ids.filter((_, place) => known[place] === 1) : ids;
  return isRising(present) ? present : Float64Array.from(new Set(present));
}

const NONE = new Float64Array(0);

function isRising(ids: Float64Array): boolean {
  for (let place = 1; place < ids.length; place++) if (ids[place] <= ids[place - 1]) return false;
  return true;
}
