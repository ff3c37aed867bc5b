/**
 * The k best of rows that are offered one after the other: those with the largest keys, and of equal ones the earlier.
 *
 *   heap of k    keys   | 2 | 5 | 3 | 9 | 5 | ...     no entry is better than those below it, at 2 * i + 1 and + 2:
 *                places | 7 | 4 | 8 | 1 | 6 | ...     the first is the worst of all
 *
 * Keys are never NaN, and rows are offered in the order of their places: so when there are k, a row needs a key above
 * the floor, that of the worst, and most rows fail at that with one comparison.
 */

/** Rows in the order of their places: row i is at first + offsets[i]. */
export interface ColumnRows {
  readonly first: number;
  readonly offsets: Uint32Array;
  /** By offset, NaN for none; undefined: no row has one. */
  readonly numbers: Float64Array | undefined;
}

export interface Top {
  readonly keys: Float64Array;
  readonly places: Float64Array;
  size: number;
  /** -Infinity until there are k. */
  floor: number;
}

export function createTop(count: number): Top {
  const floor = count === 0 ? Infinity : -Infinity;
  return { keys: new Float64Array(count), places: new Float64Array(count), size: 0, floor };
}

export function offer(top: Top, key: number, place: number): void {
  const { keys } = top;
  if (top.size < keys.length) rise(top, key, place);
  else if (key > top.floor) sink(top, key, place);
  else return;
  if (top.size === keys.length) top.floor = keys[0];
}

/** The places of the best, the best first. Empties the heap. */
export function placesOf(top: Top): Float64Array {
  const { keys, places } = top;
  const best = new Float64Array(top.size);
  while (top.size > 0) {
    top.size -= 1;
    best[top.size] = places[0];
    sink(top, keys[top.size], places[top.size]);
  }
  return best;
}

/** Adds an entry. */
function rise(top: Top, key: number, place: number): void {
  const { keys, places } = top;
  let at = top.size;
  top.size += 1;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    if (!isWorse(key, place, keys[parent], places[parent])) break;
    keys[at] = keys[parent];
    places[at] = places[parent];
    at = parent;
  }
  keys[at] = key;
  places[at] = place;
}

/** Puts an entry in the place of the worst. */
function sink({ keys, places, size }: Top, key: number, place: number): void {
  let at = 0;
  for (let child = 1; child < size; child = 2 * at + 1) {
    const other = child + 1;
    if (other < size && isWorse(keys[other], places[other], keys[child], places[child])) child = other;
    if (!isWorse(keys[child], places[child], key, place)) break;
    keys[at] = keys[child];
    places[at] = places[child];
    at = child;
  }
  keys[at] = key;
  places[at] = place;
}

function isWorse(key: number, place: number, otherKey: number, otherPlace: number): boolean {
  return key < otherKey || (key === otherKey && place > otherPlace);
}
