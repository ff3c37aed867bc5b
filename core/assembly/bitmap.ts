/**
 * Operations on one bitmap page: 65,536 row slots, slot s is bit s % 64 of the little-endian word s / 64.
 *
 * Slots come as u32 arrays, are below 65,536, and may repeat. An operation that is given a slot or range outside the
 * page changes nothing and returns -1; otherwise it returns how many bits it changed (or found set).
 */
import { PAGE_BITS, PAGE_SIZE } from './pages';

function allInside(slots: usize, n: u32): bool {
  let highest: u32 = 0;
  for (let i: u32 = 0; i < n; i++) highest = max<u32>(highest, load<u32>(slots + ((<usize>i) << 2)));
  return highest < PAGE_BITS;
}

function wordOf(page: usize, slot: u32): usize {
  return page + (((<usize>slot) >> 6) << 3);
}

export function bits_set(page: usize, slots: usize, n: u32): i32 {
  if (!allInside(slots, n)) return -1;
  let changed: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const slot = load<u32>(slots + ((<usize>i) << 2));
    const at = wordOf(page, slot);
    const word = load<u64>(at);
    changed += <u32>(~(word >> (slot & 63)) & 1);
    store<u64>(at, word | ((<u64>1) << (slot & 63)));
  }
  return changed;
}

export function bits_clear(page: usize, slots: usize, n: u32): i32 {
  if (!allInside(slots, n)) return -1;
  let changed: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const slot = load<u32>(slots + ((<usize>i) << 2));
    const at = wordOf(page, slot);
    const word = load<u64>(at);
    changed += <u32>((word >> (slot & 63)) & 1);
    store<u64>(at, word & ~((<u64>1) << (slot & 63)));
  }
  return changed;
}

/** Writes 0 or 1 per slot to out (u8 array). */
export function bits_test(page: usize, slots: usize, n: u32, out: usize): i32 {
  if (!allInside(slots, n)) return -1;
  let found: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const slot = load<u32>(slots + ((<usize>i) << 2));
    const bit = <u32>((load<u64>(wordOf(page, slot)) >> (slot & 63)) & 1);
    store<u8>(out + i, bit);
    found += bit;
  }
  return found;
}

/** The bits of word number `word` that lie in [from, to); the word must overlap that range. */
export function rangeMask(word: u32, from: u32, to: u32): u64 {
  const start = word << 6;
  let mask: u64 = u64.MAX_VALUE;
  if (from > start) mask &= u64.MAX_VALUE << (from - start);
  if (to < start + 64) mask &= u64.MAX_VALUE >> (start + 64 - to);
  return mask;
}

function inside(from: u32, count: u32): bool {
  return from <= PAGE_BITS && count <= PAGE_BITS - from;
}

export function range_set(page: usize, from: u32, count: u32): i32 {
  if (!inside(from, count)) return -1;
  const to = from + count;
  let changed: u32 = 0;
  for (let word = from >> 6; word << 6 < to; word++) {
    const at = page + ((<usize>word) << 3);
    const mask = rangeMask(word, from, to);
    const bits = load<u64>(at);
    changed += <u32>popcnt<u64>(mask & ~bits);
    store<u64>(at, bits | mask);
  }
  return changed;
}

export function range_clear(page: usize, from: u32, count: u32): i32 {
  if (!inside(from, count)) return -1;
  const to = from + count;
  let changed: u32 = 0;
  for (let word = from >> 6; word << 6 < to; word++) {
    const at = page + ((<usize>word) << 3);
    const mask = rangeMask(word, from, to);
    const bits = load<u64>(at);
    changed += <u32>popcnt<u64>(mask & bits);
    store<u64>(at, bits & ~mask);
  }
  return changed;
}

/** How many bits of [from, from + count) are set. */
export function range_count(page: usize, from: u32, count: u32): i32 {
  if (!inside(from, count)) return -1;
  const to = from + count;
  let found: u32 = 0;
  for (let word = from >> 6; word << 6 < to; word++) {
    found += <u32>popcnt<u64>(load<u64>(page + ((<usize>word) << 3)) & rangeMask(word, from, to));
  }
  return found;
}

export function popcount(page: usize): u32 {
  let found: u64 = 0;
  for (let at = page; at < page + PAGE_SIZE; at += 8) found += popcnt<u64>(load<u64>(at));
  return <u32>found;
}
