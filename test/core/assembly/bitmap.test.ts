/** Operations on one page against a Set of slots. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import vectors from '../../vectors/bitmaps.json' with { type: 'json' };
import { instantiate, seeded } from './raw.ts';

const raw = instantiate();
const { core } = raw;
const page = core.page_alloc();

/** Slots near the seams of words are the interesting ones. */
const someSlot = fc.oneof(fc.nat(65535), fc.constantFrom(0, 1, 62, 63, 64, 65, 127, 128, 65471, 65472, 65534, 65535));
const someSlots = fc.array(someSlot, { maxLength: 40 });
const someRange = fc.tuple(someSlot, fc.oneof(fc.nat(65536), fc.nat(130)));

const place = (slots: readonly number[]) => raw.place(Uint32Array.from(slots));

function expectPage(model: Set<number>): void {
  expect(core.popcount(page)).toBe(model.size);
  const bytes = raw.bytes(page, 8192);
  expect([...model].filter((slot) => ((bytes[slot >> 3] >> (slot & 7)) & 1) === 0)).toEqual([]);
}

test('vectors', () => {
  for (const { set, clear, added, removed, left } of vectors.changes) {
    raw.reset();
    core.range_clear(page, 0, 65536);
    expect(core.bits_set(page, place(set), set.length)).toBe(added);
    expect(core.bits_clear(page, place(clear), clear.length)).toBe(removed);
    expectPage(new Set(left));
  }
});

test('any sequence of operations does what it does to a set', () => {
  const change = fc.oneof(
    fc.record({ set: someSlots }),
    fc.record({ clear: someSlots }),
    fc.record({ setRange: someRange }),
    fc.record({ clearRange: someRange }),
  );
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), someSlots, someRange, (changes, probes, probeRange) => {
      core.range_clear(page, 0, 65536);
      const model = new Set<number>();
      const rangeOf = ([start, count]: [number, number]) => {
        return Array.from({ length: Math.min(count, 65536 - start) }, (_, i) => start + i);
      };
      for (const one of changes) {
        raw.reset();
        const before = model.size;
        if ('set' in one) {
          one.set.forEach((slot) => model.add(slot));
          expect(core.bits_set(page, place(one.set), one.set.length)).toBe(model.size - before);
        } else if ('clear' in one) {
          one.clear.forEach((slot) => model.delete(slot));
          expect(core.bits_clear(page, place(one.clear), one.clear.length)).toBe(before - model.size);
        } else if ('setRange' in one) {
          const slots = rangeOf(one.setRange);
          slots.forEach((slot) => model.add(slot));
          expect(core.range_set(page, one.setRange[0], slots.length)).toBe(model.size - before);
        } else {
          const slots = rangeOf(one.clearRange);
          slots.forEach((slot) => model.delete(slot));
          expect(core.range_clear(page, one.clearRange[0], slots.length)).toBe(before - model.size);
        }
      }
      expectPage(model);
      const out = raw.room(probes.length);
      const found = probes.filter((slot) => model.has(slot)).length;
      expect(core.bits_test(page, place(probes), probes.length, out)).toBe(found);
      expect([...raw.bytes(out, probes.length)]).toEqual(probes.map((slot) => Number(model.has(slot))));
      const inRange = rangeOf(probeRange);
      const count = inRange.filter((slot) => model.has(slot)).length;
      expect(core.range_count(page, probeRange[0], inRange.length)).toBe(count);
    }),
    seeded(150),
  );
});

test('slots and ranges outside the page are refused and change nothing', () => {
  raw.reset();
  core.range_clear(page, 0, 65536);
  const slots = place([1, 65536, 2]);
  expect(core.bits_set(page, slots, 3)).toBe(-1);
  expect(core.bits_clear(page, slots, 3)).toBe(-1);
  expect(core.bits_test(page, slots, 3, raw.room(3))).toBe(-1);
  expect(core.bits_set(page, place([4294967295]), 1)).toBe(-1);
  for (const [from, count] of [
    [65536, 1],
    [65535, 2],
    [4294967295, 2],
    [1, 4294967295],
  ]) {
    expect(core.range_set(page, from, count)).toBe(-1);
    expect(core.range_clear(page, from, count)).toBe(-1);
    expect(core.range_count(page, from, count)).toBe(-1);
  }
  expect(core.range_set(page, 65536, 0)).toBe(0);
  expect(core.popcount(page)).toBe(0);
});
