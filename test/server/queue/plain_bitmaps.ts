/**
 * The queue's bitmaps as plain sets of numbers: the oracle of the WASM ones, and a count of what is alive. With
 * `bytesMax`, `alloc` throws beyond it, as that of the WASM ones does.
 */
import type { Bitmaps } from '../../../server/queue/bitmaps.ts';
import { chanceOf } from '../../vectors/random.ts';

export interface PlainBitmaps extends Bitmaps {
  /** Bits of all bitmaps that were not freed. */
  bitsAlive(): number;
}

export function createPlainBitmaps(bitsMin = 512, bitsMax = 65_536, bytesMax = Infinity): PlainBitmaps {
  const all = new Map<number, { bits: number; set: Set<number> }>();
  let next = 64;
  let bitsAlive = 0;

  const get = (bitmap: number): { bits: number; set: Set<number> } => {
    const found = all.get(bitmap);
    if (found === undefined) throw new Error(`no bitmap ${bitmap}`);
    return found;
  };
  const ready = (present: readonly number[], taken: number, bits: number): number[] => {
    const [first, ...others] = present.map((bitmap) => get(bitmap).set);
    return [...first]
      .filter(
        (bit) => bit < bits && others.every((other) => other.has(bit)) && !(taken !== 0 && get(taken).set.has(bit)),
      )
      .sort((a, b) => a - b);
  };

  return {
    bitsMin,
    bitsMax,
    bitsAlive: () => bitsAlive,
    bytesFree: () => bytesMax - bitsAlive / 8,
    alloc: (bits) => {
      if (bitsAlive + bits > bytesMax * 8) throw new Error('a bitmap although there is no room');
      next += 64;
      bitsAlive += bits;
      all.set(next, { bits, set: new Set() });
      return next;
    },
    free: (bitmap, bits) => {
      if (get(bitmap).bits !== bits) throw new Error(`bitmap ${bitmap} does not have ${bits} bits`);
      all.delete(bitmap);
      bitsAlive -= bits;
    },
    copy: (from, to, bits) => {
      for (const bit of get(from).set) if (bit < bits) get(to).set.add(bit);
    },
    set: (bitmap, offsets, count) => {
      const { bits, set } = get(bitmap);
      const before = set.size;
      for (const offset of offsets.subarray(0, count)) {
        if (offset >= bits) throw new Error(`bit ${offset} is outside of bitmap ${bitmap}`);
        set.add(offset);
      }
      return set.size - before;
    },
    clear: (bitmap, offsets, count) => {
      const { set } = get(bitmap);
      const before = set.size;
      for (const offset of offsets.subarray(0, count)) set.delete(offset);
      return before - set.size;
    },
    read: (bitmap, bits) => {
      const bytes = new Uint8Array(Math.ceil(bits / 8));
      for (const bit of get(bitmap).set) bytes[bit >> 3] |= 1 << (bit & 7);
      return bytes;
    },
    write: (bitmap, bits, bytes) => {
      const { set } = get(bitmap);
      set.clear();
      for (let bit = 0; bit < bits; bit += 1) if ((bytes[bit >> 3] >> (bit & 7)) % 2 === 1) set.add(bit);
    },
    has: (bitmap, offset) => get(bitmap).set.has(offset),
    countReady: (present, taken, bits) => ready(present, taken, bits).length,
    scanReady: (present, taken, from, bits, max) => {
      const found = ready(present, taken, bits).filter((bit) => bit >= from);
      return Uint32Array.from(found.slice(0, max));
    },
    scanReadyInto: (present, taken, from, bits, out) => {
      const found = ready(present, taken, bits).filter((bit) => bit >= from);
      out.set(found.slice(0, out.length));
      return Math.min(found.length, out.length);
    },
    scanGroups: (present, taken, bits, groupSize, max) => {
      const set = new Set(ready(present, taken, bits));
      const starts: number[] = [];
      for (let start = 0; start + groupSize <= bits && starts.length < max; start += groupSize) {
        let whole = true;
        for (let k = 0; k < groupSize && whole; k += 1) whole = set.has(start + k);
        if (whole) starts.push(start);
      }
      return Uint32Array.from(starts);
    },
    chances: (seed, ids) => ids.forEach((id, i) => (ids[i] = chanceOf(seed, id))),
  };
}
