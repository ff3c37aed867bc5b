/**
 * The search of many data blocks in one call: what a batch of keys asks of a file.
 *
 *     place     | from | to | filter | filter size | block | block size |    u32 each; block 0: it is not here
 *     outcome   u32, written over `from`: one of those below
 *
 * A block that was not read for a while is not in the processor's cache, and a binary search in it waits for memory at
 * every step. Before the blocks are searched one by one, their group searches are walked side by side, a step of each
 * after the other: the waits of different blocks then overlap, and the searches proper find all they need.
 *
 * Invariants: the walk side by side only reads, inside the block whatever its bytes are, and decides nothing.
 */
import { DAMAGED, entriesEnd, groupCount, openBlock } from './block';
import { headOf } from './bytes';
import { filter_probe } from './filter';
import { isMaybe, keyAt, keySizeAt, NO_MEMORY, pendingAt } from './lookup';
import { block_search } from './search';

/** Outcomes of a place. */
export const PLACE_EXCLUDED: u32 = 0;
export const PLACE_SEARCHED: u32 = 1;
/** A key may be in the block, which is not here. */
export const PLACE_NEEDS_BLOCK: u32 = 2;
export const PLACE_DAMAGED_FILTER: u32 = 3;
export const PLACE_DAMAGED_BLOCK: u32 = 4;

const TO: usize = 4;
const FILTER: usize = 8;
const FILTER_SIZE: usize = 12;
const BLOCK: usize = 16;
const BLOCK_SIZE: usize = 20;
export const PLACE_SIZE: u32 = 24;

/** Places that are walked side by side: enough to keep memory busy, few enough to stay in the cache until the search. */
const SIDE_BY_SIDE: u32 = 32;
/** Of each walk: place, key, size of the key, block, where restarts begin, low, high; all u32. */
const WALK_SIZE: usize = 28;
const WALKS: usize = memory.data(32 * 28, 8);
const KEY: usize = 4;
const KEY_SIZE: usize = 8;
const WALK_BLOCK: usize = 12;
const RESTARTS: usize = 16;
const LOW: usize = 20;
const HIGH: usize = 24;

/** Heads of entries with a flag in one of these bits are longer than five bytes, or of deletions. */
const LONG_HEAD: u64 = 0x8080818080;
const SHORT_HEAD_SIZE: usize = 5;
/** A group has about so many lines of the processor's cache; what comes behind these is fetched by itself. */
const GROUP_TOUCHED_SIZE: usize = 256;
const LINE_SIZE: usize = 64;

/** What the walk has read, kept so that no compiler leaves it out. */
let touched: u64 = 0;

/** The first key at positions [from, to) that filters did not exclude: its position, or `to`. */
function firstMaybe(keys: usize, from: u32, to: u32): u32 {
  let position = from;
  while (position < to && !isMaybe(keys, position)) position++;
  return position;
}

/** Begins the walk of a place; false when there is nothing to walk. */
function beginWalk(walk: usize, keys: usize, place: usize): bool {
  const to = load<u32>(place, TO);
  const position = firstMaybe(keys, load<u32>(place), to);
  const block = <usize>load<u32>(place, BLOCK);
  if (position == to || !openBlock(block, load<u32>(place, BLOCK_SIZE))) return false;
  const i = pendingAt(keys, position);
  store<u32>(walk, <u32>keyAt(keys, i), KEY);
  store<u32>(walk, keySizeAt(keys, i), KEY_SIZE);
  store<u32>(walk, <u32>block, WALK_BLOCK);
  store<u32>(walk, <u32>entriesEnd, RESTARTS);
  store<u32>(walk, 0, LOW);
  store<u32>(walk, groupCount, HIGH);
  return true;
}

/** One step of a walk; false when it is at its end. */
function stepWalk(walk: usize): bool {
  const low = load<u32>(walk, LOW);
  const high = load<u32>(walk, HIGH);
  const middle = (low + high) >> 1;
  const restarts = <usize>load<u32>(walk, RESTARTS);
  const at = <usize>load<u32>(walk, WALK_BLOCK) + load<u16>(restarts + ((<usize>middle) << 1));
  if (at >= restarts) return false;
  const head = load<u64>(at);
  if (high - low <= 1 || (head & LONG_HEAD) != 0) {
    for (let more: usize = LINE_SIZE; more < GROUP_TOUCHED_SIZE && at + more < restarts; more += LINE_SIZE) {
      touched += load<u8>(at + more);
    }
    return false;
  }
  const there = at + SHORT_HEAD_SIZE;
  const unshared = <i32>((head >> 8) & 127);
  const key = <usize>load<u32>(walk, KEY);
  const keySize = <i32>load<u32>(walk, KEY_SIZE);
  let left = headOf(there, unshared);
  let right = headOf(key, keySize);
  if (left == right) {
    left = headOf(there + 8, unshared - 8);
    right = headOf(key + 8, keySize - 8);
  }
  // Without a branch, which would be guessed wrong half of the time while the memory that decides it is on its way.
  store<u32>(walk, select<u32>(middle, low, left < right), LOW);
  store<u32>(walk, select<u32>(high, middle, left < right), HIGH);
  return true;
}

function walkSideBySide(keys: usize, places: usize, n: u32): void {
  let open: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const place = places + <usize>(i * PLACE_SIZE);
    const block = load<u32>(place, BLOCK);
    if (block != 0) open += <u32>beginWalk(WALKS + <usize>open * WALK_SIZE, keys, place);
  }
  while (open > 0) {
    for (let i: u32 = 0; i < open; ) {
      const walk = WALKS + <usize>i * WALK_SIZE;
      if (stepWalk(walk)) i++;
      else memory.copy(walk, WALKS + <usize>--open * WALK_SIZE, WALK_SIZE);
    }
  }
}

/** Asks the filter of a place; whether its block must be searched. */
function probe(keys: usize, place: usize): bool {
  const filter = <usize>load<u32>(place, FILTER);
  const left = filter_probe(keys, load<u32>(place), load<u32>(place, TO), filter, load<u32>(place, FILTER_SIZE));
  return left != 0;
}

/** Searches n places and writes the outcome of each; how many keys were found, or NO_MEMORY. */
export function places_search(keys: usize, places: usize, n: u32): i32 {
  let found = 0;
  for (let first: u32 = 0; first < n; first += SIDE_BY_SIDE) {
    const start = places + <usize>(first * PLACE_SIZE);
    const count = min<u32>(SIDE_BY_SIDE, n - first);
    for (let i: u32 = 0; i < count; i++) probe(keys, start + <usize>(i * PLACE_SIZE));
    walkSideBySide(keys, start, count);
    for (let i: u32 = 0; i < count; i++) {
      const status = searchPlace(keys, start + <usize>(i * PLACE_SIZE));
      if (status == NO_MEMORY) return NO_MEMORY;
      found += max<i32>(status, 0);
    }
  }
  return found;
}
