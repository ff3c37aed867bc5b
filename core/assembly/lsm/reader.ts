/**
 * Walks the entries of one block, for searches whose keys come in order: forward only, over whole groups at a time.
 *
 *     group   | entry | entry | entry | ...    read up to the current one
 *     KEY     the current key, made whole      PARTS   of each entry of the group: value bytes, shared, unshared
 *
 * Invariants: one walk at a time, which ends before anything else is called; everything stays inside the block, for
 * blocks that are none the walk ends with `damaged`.
 */
import {
  baseLsn,
  beginGroup,
  groupCount,
  groupEntries,
  groupStart,
  keyBytes,
  keySize,
  lsnBehind,
  nextEntry,
  openBlock,
  readEntry,
  readHead,
  shared,
  stamp,
  unshared,
  valueBytes,
  valueShared,
  valueUnshared,
} from './block';
import { compareKeys, copyBytes, copyWords } from './bytes';

/** The current key; room for what copies in words write behind it. */
export const KEY: usize = memory.data(264, 8);
const PARTS: usize = memory.data(16 * 12, 4);

let block: usize = 0;
/** Group of the current entry, and entries of it that have been read. */
let group: u32 = 0;
let read: u32 = 0;
let next: usize = 0;
export let stampRead: u64 = 0;
export let keySizeRead: u32 = 0;
export let damaged: bool = false;

/** Which entry of the block is the current one. */
export function ordinal(): u32 {
  return group * 16 + read - 1;
}

/** Goes to the first entry of a group; false when that is damaged. */
function enter(to: u32): bool {
  group = to;
  read = 0;
  next = groupStart(block, to);
  beginGroup();
  damaged = next == 0;
  return !damaged && step();
}

/** Begins a walk at the first entry; false when the block is damaged. */
export function begin(at: usize, size: u32): bool {
  block = at;
  damaged = !openBlock(at, size);
  return !damaged && enter(0);
}

/** Begins a walk at the last group that begins before (key, LSN), or at the first; false when the block is damaged. */
export function beginBefore(at: usize, size: u32, key: usize, keyLen: u32, lsn: u64): bool {
  block = at;
  damaged = !openBlock(at, size);
  if (damaged) return false;
  const low = lastBefore(0, groupCount, key, keyLen, lsn);
  return !damaged && enter(low);
}

/** Begins a walk at the first entry of a group; false when the block is damaged. */
export function beginAt(at: usize, size: u32, to: u32): bool {
  block = at;
  damaged = !openBlock(at, size);
  return !damaged && enter(to);
}

/** Whether a group of a block begins before (key, LSN). Ends the walk; false when the block is `damaged`. */
export function isGroupBefore(at: usize, size: u32, which: u32, key: usize, keyLen: u32, lsn: u64): bool {
  block = at;
  damaged = !openBlock(at, size);
  return !damaged && orderOfGroup(which, key, keyLen, lsn) < 0;
}

/** Goes to the next entry; false at the end, or when it is `damaged`. */
export function step(): bool {
  if (read == groupEntries(group)) return group + 1 < groupCount && enter(group + 1);
  if (!readEntry(next)) {
    damaged = true;
    return false;
  }
  copyWords(KEY + shared, keyBytes, unshared);
  const part = PARTS + <usize>read * 12;
  store<usize>(part, valueBytes);
  store<u32>(part, valueShared, 4);
  store<u32>(part, valueUnshared, 8);
  stampRead = stamp;
  keySizeRead = keySize;
  next = nextEntry;
  read++;
  return true;
}

/** The order of the current entry against (key, LSN); LSNs descend. */
export function order(key: usize, keyLen: u32, lsn: u64): i32 {
  const keys = compareKeys(KEY, keySizeRead, key, keyLen);
  if (keys != 0) return keys;
  const lsnRead = stampRead >> 1;
  return lsnRead == lsn ? 0 : lsnRead > lsn ? -1 : 1;
}

/** The same for the first entry of a group, which stays unread. */
function orderOfGroup(which: u32, key: usize, keyLen: u32, lsn: u64): i32 {
  const at = groupStart(block, which);
  if (at == 0 || !readHead(at)) {
    damaged = true;
    return 0;
  }
  const keys = compareKeys(keyBytes, unshared, key, keyLen);
  if (keys != 0) return keys;
  const lsnThere = lsnBehind(baseLsn, stamp);
  return lsnThere == lsn ? 0 : lsnThere > lsn ? -1 : 1;
}

/** The last of the groups from `low` (which is taken for one) to before `high` that begins before (key, LSN). */
function lastBefore(low: u32, high: u32, key: usize, keyLen: u32, lsn: u64): u32 {
  while (high - low > 1 && !damaged) {
    const middle = (low + high) >> 1;
    if (orderOfGroup(middle, key, keyLen, lsn) < 0) low = middle;
    else high = middle;
  }
  return low;
}

/** Goes on to the last group that begins before (key, LSN), if that is a later one; false when one is damaged. */
export function skipGroups(key: usize, keyLen: u32, lsn: u64): bool {
  let low = group;
  let distance: u32 = 1;
  // Keys of a batch are often close together, so the distance doubles before it is halved.
  while (low + distance < groupCount && orderOfGroup(low + distance, key, keyLen, lsn) < 0) {
    low += distance;
    distance <<= 1;
  }
  low = lastBefore(low, min<u32>(low + distance, groupCount), key, keyLen, lsn);
  return !damaged && (low == group || enter(low));
}

/** Size of the current value. */
export function valueSizeRead(): u32 {
  const part = PARTS + <usize>(read - 1) * 12;
  return load<u32>(part, 4) + load<u32>(part, 8);
}

/** Writes the current value, whose shared bytes stand with the entries before it in the group. */
export function writeValue(out: usize): void {
  let part = PARTS + <usize>(read - 1) * 12;
  let missing = load<u32>(part, 4);
  copyBytes(out + missing, load<usize>(part), load<u32>(part, 8));
  while (missing > 0) {
    part -= 12;
    const from = load<u32>(part, 4);
    if (from >= missing) continue;
    copyBytes(out + from, load<usize>(part), missing - from);
    missing = from;
  }
}
