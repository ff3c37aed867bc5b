/**
 * The allocator of regions: 16 KiB << class, classes 0 (a slot of the block cache) to 8 (4 MiB).
 *
 *     free lists   class 0 -> region -> region     a free region holds the address of the next one in its first word
 *                  class 1 -> ...
 *
 * A class without a free region splits one of the next class; from 1 MiB on memory grows. Regions are not joined again:
 * what a class once needed stays with it, which the bounds of memtables, cache and reads keep small.
 *
 * Invariants: a region is aligned to 16 KiB at least and never moves; memory only grows.
 */
import { growMemory } from '../pages';

/** Bytes of a region of class 0. */
const REGION_SIZE: u32 = 16384;
const CLASS_COUNT: u32 = 9;
const GROWTH_CLASS: u32 = 6;
const WASM_PAGE_BITS: u32 = 16;

const FREE: usize = memory.data(9 * 4, 4);

export function regionSize(sizeClass: u32): u32 {
  return REGION_SIZE << sizeClass;
}

/** The smallest class that holds `size` bytes; CLASS_COUNT, which nobody can allocate, when none does. */
export function classOf(size: u32): u32 {
  let sizeClass: u32 = 0;
  while (sizeClass < CLASS_COUNT && regionSize(sizeClass) < size) sizeClass++;
  return sizeClass;
}

/** A region, not cleared; 0 when the memory is at its maximum or there is no such class. */
export function region_alloc(sizeClass: u32): usize {
  if (sizeClass >= CLASS_COUNT) return 0;
  const list = FREE + ((<usize>sizeClass) << 2);
  const free = load<usize>(list);
  if (free != 0) {
    store<usize>(list, load<usize>(free));
    return free;
  }
  if (sizeClass >= GROWTH_CLASS) return growMemory(regionSize(sizeClass) >> WASM_PAGE_BITS);
  const whole = region_alloc(sizeClass + 1);
  if (whole != 0) region_free(whole + regionSize(sizeClass), sizeClass);
  return whole;
}

/** Gives a region back; freeing one twice is a bug of the caller. */
export function region_free(region: usize, sizeClass: u32): void {
  const list = FREE + ((<usize>sizeClass) << 2);
  store<usize>(region, load<usize>(list));
  store<usize>(list, region);
}
