/** Chance in the host, as core/assembly/random.ts defines it. */
import type { CoreInstance } from './instance.ts';

/** The chance in (0, 1) of each id into out, which may be ids. Seed and ids are safe integers >= 0. */
export function chancesInto(core: CoreInstance, seed: number, ids: Float64Array, out: Float64Array): void {
  const { raw, window, windowSize } = core;
  const placed = new Float64Array(raw.memory.buffer, window, windowSize / Float64Array.BYTES_PER_ELEMENT);
  for (let from = 0; from < ids.length; from += placed.length) {
    const some = ids.subarray(from, from + placed.length);
    placed.set(some);
    raw.chances_of_ids(seed, window, some.length, window);
    out.set(placed.subarray(0, some.length), from);
  }
}
