/** Slots against a plain Map: every live row has its own slot, and the slot gives its id back. */
import { expect, test } from 'vitest';
import {
  createSlots,
  deleteRows,
  idAt,
  insertRows,
  offsetOf,
  pageOf,
  slotOf,
  type Slots,
} from '../../../server/queue/slots.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';

/** Ways in which ids come: dense, with a shard in the high bits, scattered, from the very end. */
const kinds: Record<string, (i: number) => number> = {
  dense: (i) => i,
  sharded: (i) => (i % 50) * 2 ** 40 + Math.floor(i / 50),
  scattered: (i) => Math.imul(i, 0x9e3779b1) >>> 0,
  'from the end': (i) => Number.MAX_SAFE_INTEGER - i,
  'multiples of 2^32': (i) => i * 2 ** 32,
};

function checkAll(slots: Slots, live: ReadonlySet<number>): void {
  const seen = new Set<number>();
  for (const id of live) {
    const slot = slotOf(slots, id);
    const page = pageOf(slots, slot)!;
    expect(idAt(slots, page, offsetOf(slots, slot))).toBe(id);
    seen.add(slot);
  }
  expect(seen.size).toBe(live.size);
  expect(slots.rows).toBe(live.size);
}

test.each(Object.keys(kinds).flatMap((kind) => [1, 3].map((groupSize) => [kind, groupSize] as const)))(
  'ids %s, groups of %i',
  (kind, groupSize) => {
    const bitmaps = createPlainBitmaps(8, 64);
    const slots = createSlots(groupSize, bitmaps);
    const live = new Set<number>();
    const idOf = kinds[kind];
    for (let round = 0; round < 40; round += 1) {
      const put = Float64Array.from({ length: 100 }, (_, i) => idOf(round * 70 + i));
      insertRows(slots, { ids: put, fields: [round % 3] });
      for (const id of put) live.add(id);
      const gone = [...live].filter((_, i) => (i * 7 + round) % 3 === 0);
      deleteRows(slots, Float64Array.from(gone, (id) => slotOf(slots, id)).sort());
      for (const id of gone) {
        live.delete(id);
        expect(slotOf(slots, id)).toBe(-1);
      }
      if (round % 8 === 0) checkAll(slots, live);
    }
    checkAll(slots, live);
    deleteRows(slots, Float64Array.from(live, (id) => slotOf(slots, id)).sort());
    expect(slots.table.size + slots.pages.length + bitmaps.bitsAlive()).toBe(0);
  },
);
