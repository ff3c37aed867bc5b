/** The bitmaps in WASM memory against the plain ones. */
import { loadCore } from '@transfer-queue/core/wasm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Bitmaps } from '../../../server/queue/bitmaps.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';

const sizes = fc.constantFrom(512, 1_024, 4_096, 65_536);
/** Runs, so that whole groups are there. */
const runs = fc.array(fc.record({ from: fc.nat(65_535), count: fc.integer({ min: 1, max: 400 }) }), { maxLength: 6 });

function offsetsOf(list: readonly { from: number; count: number }[], bits: number): Uint32Array {
  const offsets = new Set<number>();
  for (const { from, count } of list) for (let k = 0; k < count; k += 1) offsets.add((from + k) % bits);
  return Uint32Array.from(offsets);
}

test('every answer is that of the plain bitmaps', () => {
  const wasm = createBitmaps(loadCore());
  const { bitsMax } = wasm;
  const property = fc.property(
    sizes,
    fc.array(runs, { minLength: 1, maxLength: 4 }),
    runs,
    runs,
    fc.integer({ min: 1, max: 17 }),
    fc.integer({ min: 1, max: 300 }),
    (bits, fields, taken, cleared, groupSize, max) => {
      const answers = (bitmaps: Bitmaps): unknown[] => {
        const seen: unknown[] = [];
        const create = (list: readonly { from: number; count: number }[]): number => {
          const bitmap = bitmaps.alloc(bits);
          const offsets = offsetsOf(list, bits);
          seen.push(bitmaps.set(bitmap, offsets, offsets.length), bitmaps.set(bitmap, offsets, offsets.length));
          const gone = offsetsOf(cleared, bits);
          seen.push(bitmaps.clear(bitmap, gone, gone.length >> 1));
          return bitmap;
        };
        const present = fields.map(create);
        const takenBitmap = create(taken);
        const used = bits - (bits % groupSize);
        for (const not of [0, takenBitmap]) {
          seen.push(bitmaps.countReady(present, not, used));
          seen.push(bitmaps.scanReady(present, not, bits >> 2, used, max));
          const room = new Uint32Array(max);
          seen.push(bitmaps.scanReadyInto(present, not, bits >> 2, used, room), room);
          seen.push(bitmaps.scanGroups(present, not, used, groupSize, max));
        }
        seen.push(bitmaps.has(present[0], 0), bitmaps.has(present[0], bits - 1));
        if (bits < bitsMax) {
          const longer = bitmaps.alloc(bits * 2);
          bitmaps.copy(present[0], longer, bits);
          seen.push(bitmaps.scanReady([longer], 0, 0, bits * 2, max));
          bitmaps.free(longer, bits * 2);
        }
        for (const bitmap of present) {
          const bytes = bitmaps.read(bitmap, bits);
          const other = bitmaps.alloc(bits);
          bitmaps.set(other, Uint32Array.of(1, bits - 2), 2);
          bitmaps.write(other, bits, bytes);
          seen.push(bytes, bitmaps.scanReady([other], 0, 0, bits, bits));
          bytes.fill(0xff);
          seen.push(bitmaps.read(bitmap, bits), bitmaps.read(other, bits));
          bitmaps.free(other, bits);
        }
        const ids = Float64Array.from(present, (_, i) => i * max * bits);
        bitmaps.chances(groupSize, ids);
        seen.push(ids);
        for (const bitmap of [...present, takenBitmap]) bitmaps.free(bitmap, bits);
        return seen;
      };
      expect(answers(wasm)).toEqual(answers(createPlainBitmaps()));
    },
  );
  fc.assert(property, { seed: 1, numRuns: 100 });
});

test('a freed part comes back as zeros, and small bitmaps share a page', () => {
  const core = loadCore();
  const bitmaps = createBitmaps(core, 3 * 8_192);
  const { bitsMin, bitsMax } = bitmaps;
  const parts = Array.from({ length: 128 }, () => bitmaps.alloc(bitsMin));
  expect(core.bitmaps.pagesUsed).toBe(1);
  expect(new Set(parts).size).toBe(128);
  bitmaps.set(parts[5], Uint32Array.of(0, 511), 2);
  bitmaps.free(parts[5], bitsMin);
  const again = bitmaps.alloc(bitsMin);
  expect(again).toBe(parts[5]);
  expect(bitmaps.countReady([again], 0, bitsMin)).toBe(0);
  expect(bitmaps.bytesFree()).toBe(2 * 8_192);
  const page = bitmaps.alloc(bitsMax);
  expect(bitmaps.bytesFree()).toBe(8_192);
  bitmaps.free(page, bitsMax);
  expect(bitmaps.bytesFree()).toBe(2 * 8_192);
  for (const part of parts) bitmaps.free(part, bitsMin);
  expect(bitmaps.bytesFree()).toBe(3 * 8_192);
});
