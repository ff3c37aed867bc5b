/**
 * The cursor of a memtable.
 *
 *     source    | leaf | place in it | changes of the table when the cursor was placed |
 *
 * Invariants: entries and their keys never move, so a table that changed meanwhile is looked up again by the current
 * key and LSN; a leaf is empty only in an empty table.
 */
import {
  currentKey,
  currentKeySize,
  currentStamp,
  ENDED,
  READY,
  setCurrent,
  setState,
  SOURCE,
  stateOf,
  tableOf,
} from './cursor';
import { changesOf, firstLeaf, lastLeaf, leafOf, newestOf, olderOf, stampOf } from './memtable';
import { valueOf, valueSizeOf, versionAt } from './memtable';
import { entryAt, keyOf, keySizeOf, leafBefore, lowerBound, nextLeaf, nodeCount } from './nodes';

const LEAF: usize = SOURCE;
const PLACE: usize = SOURCE + 4;
const CHANGES: usize = SOURCE + 8;

function setPlace(cursor: usize, leaf: usize, place: u32): void {
  store<usize>(cursor, leaf, LEAF);
  store<u32>(cursor, place, PLACE);
  store<u32>(cursor, changesOf(tableOf(cursor)), CHANGES);
}

function setVersion(cursor: usize, entry: usize, version: usize): void {
  const key = keyOf(entry);
  setCurrent(cursor, key, keySizeOf(entry), stampOf(version), valueOf(version), valueSizeOf(version));
}

/** Goes to the newest version of the entry at a place, or of the first one behind it. */
function enterForward(cursor: usize, leaf: usize, place: u32): void {
  if (place == nodeCount(leaf)) {
    leaf = nextLeaf(leaf);
    place = 0;
  }
  if (leaf == 0) {
    setState(cursor, ENDED);
    return;
  }
  setPlace(cursor, leaf, place);
  const entry = entryAt(leaf, place);
  setVersion(cursor, entry, newestOf(entry));
}

/** Goes to the oldest version of the last entry before a place. */
function enterBackward(cursor: usize, leaf: usize, place: u32): void {
  if (place == 0) {
    leaf = leafBefore(leaf);
    place = leaf == 0 ? 0 : nodeCount(leaf);
  }
  if (leaf == 0) {
    setState(cursor, ENDED);
    return;
  }
  setPlace(cursor, leaf, place - 1);
  const entry = entryAt(leaf, place - 1);
  setVersion(cursor, entry, newerThan(entry, -1));
}

/** The oldest version of an entry whose LSN is above `lsn` (-1: the oldest of all), or 0. */
function newerThan(entry: usize, lsn: i64): usize {
  let found: usize = 0;
  let version = newestOf(entry);
  while (version != 0 && <i64>(stampOf(version) >> 1) > lsn) {
    found = version;
    version = olderOf(version);
  }
  return found;
}

/** Places the cursor on the first version of a key that is not before `start`. */
export function seekStart(cursor: usize, start: usize, startLen: u32): void {
  const table = tableOf(cursor);
  const leaf = startLen == 0 ? firstLeaf(table) : leafOf(table, start, startLen);
  enterForward(cursor, leaf, startLen == 0 ? 0 : lowerBound(leaf, start, startLen));
}

/** Places the cursor on the last version of a key that is before `end`; without an end (-1) on the last of all. */
export function seekEnd(cursor: usize, end: usize, endLen: i32): void {
  const table = tableOf(cursor);
  const leaf = endLen < 0 ? lastLeaf(table) : leafOf(table, end, endLen);
  enterBackward(cursor, leaf, endLen < 0 ? nodeCount(leaf) : lowerBound(leaf, end, endLen));
}

/** Goes to the version behind (key, LSN) of the current one. */
export function tableForward(cursor: usize): void {
  const leaf = load<usize>(cursor, LEAF);
  const place = load<u32>(cursor, PLACE);
  const entry = entryAt(leaf, place);
  const lsn = currentStamp(cursor) >> 1;
  const version: usize = lsn == 0 ? 0 : versionAt(entry, lsn - 1);
  if (version != 0) setVersion(cursor, entry, version);
  else enterForward(cursor, leaf, place + 1);
}

/** Goes to the version before (key, LSN) of the current one. */
export function tableBackward(cursor: usize): void {
  const leaf = load<usize>(cursor, LEAF);
  const place = load<u32>(cursor, PLACE);
  const entry = entryAt(leaf, place);
  const version = newerThan(entry, <i64>(currentStamp(cursor) >> 1));
  if (version != 0) setVersion(cursor, entry, version);
  else enterBackward(cursor, leaf, place);
}

/** Looks the current version up again if the table changed; returns whether it did. */
export function refresh(cursor: usize, reverse: bool): bool {
  const table = tableOf(cursor);
  if (stateOf(cursor) != READY || changesOf(table) == load<u32>(cursor, CHANGES)) return false;
  const key = currentKey(cursor);
  const keyLen = currentKeySize(cursor);
  const lsn = currentStamp(cursor) >> 1;
  const leaf = leafOf(table, key, keyLen);
  const place = lowerBound(leaf, key, keyLen);
  const entry = entryAt(leaf, place);
  setPlace(cursor, leaf, place);
  const version = reverse ? newerThan(entry, <i64>lsn - 1) : versionAt(entry, lsn);
  if (version != 0) setVersion(cursor, entry, version);
  else if (reverse) enterBackward(cursor, leaf, place);
  else enterForward(cursor, leaf, place + 1);
  return true;
}
