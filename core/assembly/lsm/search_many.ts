/**
 * The search of scattered keys: many data blocks, each with one or a few of the keys. What it costs is not work but
 * waiting for memory, so that keys go through the search in step, and their loads wait together.
 *
 *     item    | from | to | block | size |    u32 each: positions of pending keys, and the block they may stand in
 *     probe   | key number | block | size | low | high | end |    per key: it stands in a group of [low, high)
 *
 *     open all blocks -> touch and halve [low, high) of all until one group is left -> touch all groups -> walk each
 *
 * Invariants: blocks stay as they are during the call; at most PROBES_MAX keys are under way.
 */
import { DAMAGED, entriesEnd, groupCount, openBlock } from './block';
import { arePositions, isMaybe, isResolved, keyAt, keySizeAt, lsnOf, pendingAt } from './lookup';
import { beginAt, damaged, isGroupBefore } from './reader';
import { block_search, FOUND, walkTo } from './search';

/** Above this one walk through the block is less than a search for each key. */
const KEYS_OF_BLOCK_MAX: u32 = 3;
/** What they touch should stay in the nearest cache. */
const PROBES_MAX: u32 = 24;
const PROBE_SIZE: usize = 24;
const BLOCK: usize = 4;
const SIZE: usize = 8;
const LOW: usize = 12;
const HIGH: usize = 16;
/** Where the entries end and the restarts begin. */
const END: usize = 20;
const ITEM_SIZE: usize = 16;
const CACHE_LINE: usize = 64;
/** Longer groups are not read ahead to their ends. */
const TOUCHED_SIZE_MAX: usize = 1024;

const PROBES: usize = memory.data(24 * 24, 8);
let probeCount: u32 = 0;
/** What was read ahead; it has no meaning. */
let touched: u32 = 0;

function probeAt(place: u32): usize {
  return PROBES + <usize>place * PROBE_SIZE;
}

/** Opens the blocks of all probes; the most groups that one has, 0 when one is damaged. */
function openAll(): u32 {
  let most: u32 = 0;
  for (let place: u32 = 0; place < probeCount; place++) {
    const probe = probeAt(place);
    if (!openBlock(load<usize>(probe, BLOCK), load<u32>(probe, SIZE))) return 0;
    store<u32>(probe, 0, LOW);
    store<u32>(probe, groupCount, HIGH);
    store<usize>(probe, entriesEnd, END);
    most = max<u32>(most, groupCount);
  }
  return most;
}

/** Reads a byte of each group that is compared next; a loop of few instructions has many loads under way. */
function touchMiddles(): void {
  for (let place: u32 = 0; place < probeCount; place++) {
    const probe = probeAt(place);
    const end = load<usize>(probe, END);
    const middle = (load<u32>(probe, LOW) + load<u32>(probe, HIGH)) >> 1;
    const start = load<usize>(probe, BLOCK) + load<u16>(end + ((<usize>middle) << 1));
    touched += load<u8>(select<usize>(start, end, start < end));
  }
}

/** Halves the groups of all probes that have more than one left; false when a block is damaged. */
function halveAll(keys: usize): bool {
  const lsn = lsnOf(keys);
  for (let place: u32 = 0; place < probeCount; place++) {
    const probe = probeAt(place);
    const low = load<u32>(probe, LOW);
    const high = load<u32>(probe, HIGH);
    if (high - low < 2) continue;
    const i = load<u32>(probe);
    const middle = (low + high) >> 1;
    const block = load<usize>(probe, BLOCK);
    const isBefore = isGroupBefore(block, load<u32>(probe, SIZE), middle, keyAt(keys, i), keySizeAt(keys, i), lsn);
    if (damaged) return false;
    // A branch would be guessed wrong half of the time, and what was loaded ahead for other probes given up.
    store<u32>(probe, select<u32>(middle, low, isBefore), LOW);
    store<u32>(probe, select<u32>(high, middle, isBefore), HIGH);
  }
  return true;
}

/** Reads a byte of each line of the groups in which the keys stand. */
function touchAll(): void {
  for (let place: u32 = 0; place < probeCount; place++) {
    const probe = probeAt(place);
    const block = load<usize>(probe, BLOCK);
    const last = load<usize>(probe, END);
    const restart = last + ((<usize>load<u32>(probe, LOW)) << 1);
    // Behind the last restart stands the count of entries, which leads nowhere: what is too long is cut off.
    const start = block + load<u16>(restart);
    const end = min<usize>(min<usize>(block + load<u16>(restart, 2), last), start + TOUCHED_SIZE_MAX);
    for (let at = start; at < end; at += CACHE_LINE) touched += load<u8>(at);
  }
}

/** Resolves the keys of all probes, which end; returns how many were found, DAMAGED or NO_MEMORY. */
function searchAll(keys: usize): i32 {
  let most = openAll();
  if (most == 0) return DAMAGED;
  for (; most > 1; most = (most + 1) >> 1) {
    touchMiddles();
    if (!halveAll(keys)) return DAMAGED;
  }
  touchAll();
  let found = 0;
  for (let place: u32 = 0; place < probeCount; place++) {
    const probe = probeAt(place);
    if (!beginAt(load<usize>(probe, BLOCK), load<u32>(probe, SIZE), load<u32>(probe, LOW))) return DAMAGED;
    const status = walkTo(keys, load<u32>(probe));
    if (status < 0) return status;
    found += <i32>(status == FOUND);
  }
  return found;
}

/**
 * Resolves pending keys, those that no filter excluded, from n data blocks; returns how many it found, DAMAGED (some
 * may be found already) or NO_MEMORY.
 */
export function blocks_search(keys: usize, items: usize, n: u32): i32 {
  let found = 0;
  probeCount = 0;
  for (let end = items + <usize>n * ITEM_SIZE; items < end; items += ITEM_SIZE) {
    const from = load<u32>(items);
    const to = load<u32>(items, 4);
    const block = load<usize>(items, 8);
    const size = load<u32>(items, 12);
    if (!arePositions(keys, from, to)) return DAMAGED;
    if (to - from > KEYS_OF_BLOCK_MAX) {
      const status = block_search(keys, from, to, block, size);
      if (status < 0) return status;
      found += status;
      continue;
    }
    for (let position = from; position < to; position++) {
      const i = pendingAt(keys, position);
      if (!isMaybe(keys, position) || isResolved(keys, i)) continue;
      const probe = probeAt(probeCount++);
      store<u32>(probe, i);
      store<usize>(probe, block, BLOCK);
      store<u32>(probe, size, SIZE);
    }
    if (probeCount + KEYS_OF_BLOCK_MAX <= PROBES_MAX) continue;
    const status = searchAll(keys);
    if (status < 0) return status;
    found += status;
    probeCount = 0;
  }
  if (probeCount == 0) return found;
  const status = searchAll(keys);
  return status < 0 ? status : found + status;
}
