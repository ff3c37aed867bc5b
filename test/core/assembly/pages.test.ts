/** The allocator of bitmap pages: distinct, aligned, zeroed, recycled, and a status when memory ends. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { instantiate, seeded } from './raw.ts';

const PAGE_SIZE = 8192;

test('pages are distinct, aligned, outside SCRATCH and zeroed, also when recycled', () => {
  const { core } = instantiate();
  const scratchEnd = Number(core.SCRATCH.value) + Number(core.SCRATCH_SIZE.value);
  const held = new Set<number>();
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (turns) => {
      for (const allocate of turns) {
        if (allocate) {
          const page = core.page_alloc();
          expect(held.has(page)).toBe(false);
          expect(page % PAGE_SIZE).toBe(0);
          expect(page).toBeGreaterThanOrEqual(scratchEnd);
          expect(page + PAGE_SIZE).toBeLessThanOrEqual(core.memory.buffer.byteLength);
          expect(core.popcount(page)).toBe(0);
          core.range_set(page, 0, 65536);
          held.add(page);
        } else if (held.size > 0) {
          const [page] = held;
          held.delete(page);
          core.page_free(page);
        }
        expect(core.pages_used()).toBe(held.size);
      }
    }),
    seeded(50),
  );
  for (const page of held) expect(core.popcount(page)).toBe(65536);
});

test('at the maximum of the memory the answer is 0, and a freed page can be had again', () => {
  const { core } = instantiate();
  core.memory.grow(16384 - core.memory.buffer.byteLength / 65536);
  expect(core.page_alloc()).toBe(0);
  expect(core.pages_used()).toBe(0);
});

test('memory that is freed is used before memory grows', () => {
  const { core } = instantiate();
  const pages = Array.from({ length: 200 }, () => core.page_alloc());
  const size = core.memory.buffer.byteLength;
  for (const page of pages) core.page_free(page);
  for (let i = 0; i < 200; i++) expect(core.page_alloc()).not.toBe(0);
  expect(core.memory.buffer.byteLength).toBe(size);
});
