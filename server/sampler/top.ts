/**
 * The k largest of n keys, by a heap of k: O(n + k log k log(n / k)) for keys in random order, O(n log k) at most.
 *
 * Of equal keys the one that stands earlier comes first. Keys are never NaN.
 */
import { createHeap, popFirst, pushEntry, replaceFirst } from './heap.ts';

/** The places of the `count` largest keys, or of all when there are fewer; the largest first. */
export function topOf(keys: Float64Array, count: number): Uint32Array {
  const kept = createHeap(Math.min(count, keys.length), (a, b) => keys[a] < keys[b] || (keys[a] === keys[b] && a > b));
  const capacity = kept.entries.length;
  for (let place = 0; place < capacity; place += 1) pushEntry(kept, place);
  if (capacity > 0) {
    for (let place = capacity; place < keys.length; place += 1) {
      if (keys[place] > keys[kept.entries[0]]) replaceFirst(kept, place);
    }
  }
  const places = new Uint32Array(capacity);
  for (let rank = capacity - 1; rank >= 0; rank -= 1) places[rank] = popFirst(kept);
  return places;
}
