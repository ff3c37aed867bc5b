/** The allocator of regions: distinct, aligned, inside memory, used again, and a status when there is none. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { instantiate, seeded } from '../raw.ts';

const CLASS_COUNT = 9;
const sizeOf = (sizeClass: number) => 16_384 << sizeClass;

test('regions in use do not overlap, and keep their bytes', () => {
  const { core } = instantiate();
  const held: { address: number; sizeClass: number; mark: number }[] = [];
  const view = ({ address, sizeClass }: { address: number; sizeClass: number }) =>
    new Uint8Array(core.memory.buffer, address, sizeOf(sizeClass));
  const turns = fc.array(fc.tuple(fc.boolean(), fc.nat(CLASS_COUNT - 1), fc.nat(255)), { maxLength: 30 });
  fc.assert(
    fc.property(turns, (some) => {
      for (const [allocate, sizeClass, mark] of some) {
        if (allocate && held.length < 20) {
          const region = { address: core.region_alloc(sizeClass), sizeClass, mark };
          expect(region.address % 16_384).toBe(0);
          expect(region.address).toBeGreaterThan(0);
          view(region).fill(mark);
          held.push(region);
        } else if (held.length > 0) {
          const [region] = held.splice(mark % held.length, 1);
          expect(view(region).every((byte) => byte === region.mark)).toBe(true);
          core.region_free(region.address, region.sizeClass);
        }
      }
    }),
    seeded(30),
  );
  for (const region of held) expect(view(region).every((byte) => byte === region.mark)).toBe(true);
});

test('what was freed is used before memory grows', () => {
  const { core } = instantiate();
  const take = () => Array.from({ length: 100 }, () => core.region_alloc(0));
  const first = take();
  const size = core.memory.buffer.byteLength;
  for (const region of first) core.region_free(region, 0);
  expect(take().sort()).toEqual(first.sort());
  expect(core.memory.buffer.byteLength).toBe(size);
});

test('a class that is none, and memory at its maximum', () => {
  const { core } = instantiate();
  expect(core.region_alloc(CLASS_COUNT)).toBe(0);
  core.memory.grow(16_384 - core.memory.buffer.byteLength / 65_536);
  for (let sizeClass = 0; sizeClass < CLASS_COUNT; sizeClass++) expect(core.region_alloc(sizeClass)).toBe(0);
  expect(core.memtable_create()).toBe(0);
  expect(core.keys_create(1, 10)).toBe(0);
  expect(core.writer_create(16_384)).toBe(0);
  expect(core.merge_create(3, 0)).toBe(0);
});

test('a writer, a batch or a merge for which memory ends half-way gives back what it had', () => {
  const { core } = instantiate();
  const regions = Array.from({ length: 3 }, () => core.region_alloc(0));
  core.memory.grow(16_384 - core.memory.buffer.byteLength / 65_536);
  for (let sizeClass = 0; sizeClass < CLASS_COUNT; sizeClass++) while (core.region_alloc(sizeClass) !== 0);
  for (const region of regions) core.region_free(region, 0);
  for (let i = 0; i < 10; i++) {
    expect(core.writer_create(65_535)).toBe(0);
    expect(core.keys_create(1, 60_000)).toBe(0);
    expect(core.memtable_create()).toBe(0);
    expect(core.merge_create(256, 0)).toBe(0);
  }
  expect([0, 0, 0].map(() => core.region_alloc(0)).sort()).toEqual(regions.sort());
});
