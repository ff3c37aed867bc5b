/** Gather, rebase and offset checks against oracles on plain arrays. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import offsetVectors from '../../vectors/offsets.json' with { type: 'json' };
import sliceVectors from '../../vectors/slices.json' with { type: 'json' };
import { badOffsetOf, gatherOf, rebaseOf } from '../../vectors/slices.ts';
import { instantiate, seeded } from './raw.ts';

const raw = instantiate();
const { core } = raw;

/** The bytes gathered, or null when refused; `room` is what the destination holds. */
function gathered(source: Uint8Array, starts: readonly number[], lens: readonly number[], room: number) {
  raw.reset();
  const out = raw.room(room);
  const [startsAt, lensAt] = [starts, lens].map((list) => raw.place(Uint32Array.from(list)));
  const size = core.gather(raw.place(source), source.length, startsAt, lensAt, starts.length, out, room);
  return size < 0 ? null : [...raw.bytes(out, size)];
}

function rebased(offsets: readonly number[], rows: readonly number[]) {
  raw.reset();
  const [outOffsets, starts, lens] = [rows.length + 1, rows.length, rows.length].map((count) => raw.room(count * 4));
  const at = raw.place(Int32Array.from(offsets));
  const rowsAt = raw.place(Uint32Array.from(rows));
  const total = core.rebase_offsets(at, offsets.length - 1, rowsAt, rows.length, outOffsets, starts, lens);
  if (total < 0) return total;
  expect(total).toBe(raw.i32(outOffsets, rows.length + 1)[rows.length]);
  return {
    offsets: raw.i32(outOffsets, rows.length + 1),
    starts: raw.u32(starts, rows.length),
    lens: raw.u32(lens, rows.length),
  };
}

const bad32 = (offsets: readonly bigint[], limit: number, skew = 0): number => {
  raw.reset();
  return core.check_offsets_32(raw.place(Int32Array.from(offsets, Number), skew), offsets.length, limit);
};

const bad64 = (offsets: readonly bigint[], limit: number, skew = 0): number => {
  raw.reset();
  return core.check_offsets_64(raw.place(BigInt64Array.from(offsets), skew), offsets.length, limit);
};

test('slice vectors', () => {
  for (const { source, starts, lens, out } of sliceVectors.gathers) {
    const expected = out === null ? null : [...Buffer.from(out, 'hex')];
    expect(gathered(Buffer.from(source, 'hex'), starts, lens, 64)).toEqual(expected);
  }
  for (const { offsets, rows, out } of sliceVectors.rebases) expect(rebased(offsets, rows)).toEqual(out);
});

test('offset vectors', () => {
  for (const { offsets, limit, bad } of offsetVectors.int32) expect(bad32(offsets.map(BigInt), limit)).toBe(bad);
  for (const { offsets, limit, bad } of offsetVectors.int64) expect(bad64(offsets.map(BigInt), limit)).toBe(bad);
});

test('gather copies slices in order, and refuses what does not fit', () => {
  const cut = fc.tuple(fc.nat(150), fc.nat(50));
  const cuts = fc.array(fc.oneof({ weight: 40, arbitrary: cut }, { weight: 1, arbitrary: fc.constant([150, 51]) }), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 200, maxLength: 200 }), cuts, fc.nat(400), (source, slices, room) => {
      const [starts, lens] = [0, 1].map((side) => slices.map((slice) => slice[side]));
      const expected = gatherOf([...source], starts, lens);
      const fits = expected !== null && expected.length <= room;
      expect(gathered(source, starts, lens, room)).toEqual(fits ? expected : null);
    }),
    seeded(300),
  );
});

test('rebased offsets begin at 0 and their slices are the rows chosen', () => {
  const someLens = fc.array(fc.nat(1000), { maxLength: 30 });
  fc.assert(
    fc.property(fc.nat(1000), someLens, fc.array(fc.nat(31), { maxLength: 30 }), (start, lens, rows) => {
      const offsets = lens.reduce((all, len) => [...all, all[all.length - 1] + len], [start]);
      expect(rebased(offsets, rows)).toEqual(rebaseOf(offsets, rows));
    }),
    seeded(300),
  );
});

test('the first bad offset is found, wherever it stands', () => {
  const rising = fc.array(fc.nat(5), { maxLength: 40 });
  const damage = fc.option(fc.tuple(fc.nat(39), fc.integer({ min: -3, max: 130 })));
  fc.assert(
    fc.property(rising, damage, fc.nat(130), fc.nat(3), (steps, harm, limit, skew) => {
      let sum = 0;
      const offsets = steps.map((step) => BigInt((sum += step)));
      if (harm && harm[0] < offsets.length) offsets[harm[0]] = BigInt(harm[1]);
      const expected = badOffsetOf(offsets, BigInt(limit));
      expect(bad32(offsets, limit, skew)).toBe(expected);
      expect(bad64(offsets, limit, skew)).toBe(expected);
    }),
    seeded(500),
  );
});
