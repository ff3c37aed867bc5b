/**
 * The claim scan: slots of a page that are in all AND pages (fields that they need), in no NOT page (consumed, leased).
 *
 *     ready = and[0] & and[1] & ... & ~not[0] & ~not[1] & ...     over [fromBit, bits)
 *
 * Pages come as arrays of u32 addresses. A null page among AND has no slot (the field has no values here), among NOT it
 * takes none away; no AND page at all means every slot. `bits` is the part of the page in use: with groups of n it is
 * the largest multiple of n, so that no group crosses a page. -1 when bits or fromBit lie outside the page.
 *
 * The pages are first joined into READY, 16 bytes at a time; scanning that is then independent of the count of pages.
 */
import { rangeMask } from './bitmap';
import { PAGE_BITS } from './pages';

const READY: usize = memory.data(8192, 16);

/** Joins the pages into the words of READY that overlap [from, bits); false when nothing can be ready. */
function join(ands: usize, nAnd: u32, nots: usize, nNot: u32, from: u32, bits: u32): bool {
  for (let i: u32 = 0; i < nAnd; i++) {
    if (load<u32>(ands + ((<usize>i) << 2)) == 0) return false;
  }
  if (from >= bits) return false;
  const start = (<usize>(from >> 7)) << 4;
  const end = (<usize>((bits + 127) >> 7)) << 4;
  memory.fill(READY + start, 0xff, end - start);
  for (let i: u32 = 0; i < nAnd; i++) {
    const page = <usize>load<u32>(ands + ((<usize>i) << 2));
    for (let at = start; at < end; at += 16) {
      v128.store(READY + at, v128.and(v128.load(READY + at), v128.load(page + at)));
    }
  }
  for (let i: u32 = 0; i < nNot; i++) {
    const page = <usize>load<u32>(nots + ((<usize>i) << 2));
    if (page == 0) continue;
    for (let at = start; at < end; at += 16) {
      v128.store(READY + at, v128.andnot(v128.load(READY + at), v128.load(page + at)));
    }
  }
  maskWord(from >> 6, from, bits);
  maskWord((bits - 1) >> 6, from, bits);
  return true;
}

function maskWord(word: u32, from: u32, bits: u32): void {
  const at = READY + ((<usize>word) << 3);
  store<u64>(at, load<u64>(at) & rangeMask(word, from, bits));
}

function readyWord(word: u32): u64 {
  return load<u64>(READY + ((<usize>word) << 3));
}

function outside(from: u32, bits: u32): bool {
  return bits > PAGE_BITS || from > PAGE_BITS;
}

/** The first `limit` ready slots into out (u32 array), in order; returns their count. */
export function scan_ready(
  ands: usize,
  nAnd: u32,
  nots: usize,
  nNot: u32,
  from: u32,
  bits: u32,
  limit: u32,
  out: usize,
): i32 {
  if (outside(from, bits)) return -1;
  if (limit == 0 || !join(ands, nAnd, nots, nNot, from, bits)) return 0;
  let found: u32 = 0;
  for (let word = from >> 6; word << 6 < bits; word++) {
    for (let rest = readyWord(word); rest != 0; rest &= rest - 1) {
      store<u32>(out + ((<usize>found) << 2), (word << 6) + <u32>ctz<u64>(rest));
      if (++found == limit) return found;
    }
  }
  return found;
}

/** Whether all slots of [start, start + size) are ready. */
function runReady(start: u32, size: u32): bool {
  const end = start + size;
  for (let word = start >> 6; word << 6 < end; word++) {
    const mask = rangeMask(word, start, end);
    if ((readyWord(word) & mask) != mask) return false;
  }
  return true;
}

/** The first `limit` groups whose slots are all ready, as start slots (multiples of groupSize) into out (u32 array). */
export function scan_groups(
  ands: usize,
  nAnd: u32,
  nots: usize,
  nNot: u32,
  from: u32,
  bits: u32,
  groupSize: u32,
  limit: u32,
  out: usize,
): i32 {
  if (outside(from, bits) || groupSize == 0 || groupSize > PAGE_BITS) return -1;
  if (limit == 0 || !join(ands, nAnd, nots, nNot, from, bits)) return 0;
  let found: u32 = 0;
  let start = ((from + groupSize - 1) / groupSize) * groupSize;
  while (start + groupSize <= bits) {
    const word = start >> 6;
    if (readyWord(word) == 0) {
      // Most words of a consumed region are empty: the next candidate starts in a later word.
      start = ((((word + 1) << 6) + groupSize - 1) / groupSize) * groupSize;
      continue;
    }
    if (runReady(start, groupSize)) {
      store<u32>(out + ((<usize>found) << 2), start);
      if (++found == limit) return found;
    }
    start += groupSize;
  }
  return found;
}

/** How many slots of [from, bits) are ready. */
export function count_ready(ands: usize, nAnd: u32, nots: usize, nNot: u32, from: u32, bits: u32): i32 {
  if (outside(from, bits)) return -1;
  if (!join(ands, nAnd, nots, nNot, from, bits)) return 0;
  let found: u64 = 0;
  for (let word = from >> 6; word << 6 < bits; word++) found += popcnt<u64>(readyWord(word));
  return <i32>found;
}
