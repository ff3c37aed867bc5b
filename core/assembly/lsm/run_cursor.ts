/**
 * The cursor of a run of blocks, which the host feeds one by one.
 *
 *     source    | block | size | group | place in it | entries of the group | area |
 *     area      | parts 24 B x 16 | keys 256 B x 16 | pad | values that share bytes 256 B x 16 | pad |
 *     part      | stamp u64 | key size | value address | value size | repeats: the key is that of the entry before |
 *
 * A group is made whole at once, so that going backward costs what going forward does.
 *
 * Invariants: a key has 255 bytes and a value that shares 255 bytes at most, which `readEntry` checks; whatever the
 * bytes of a block are, reads stay inside of it and writes inside the area.
 */
import {
  beginGroup,
  groupCount,
  groupEntries,
  groupStart,
  keyBytes,
  keySize,
  nextEntry,
  openBlock,
  readEntry,
  readHead,
  shared,
  stamp,
  unshared,
  valueBytes,
  valueShared,
  valueSize,
  valueUnshared,
} from './block';
import { compareKeys, copyWords } from './bytes';
import { NEEDS_BLOCK, setCurrent, setState, SOURCE } from './cursor';

const BLOCK: usize = SOURCE;
const SIZE: usize = SOURCE + 4;
const GROUP: usize = SOURCE + 8;
const PLACE: usize = SOURCE + 12;
const ENTRIES: usize = SOURCE + 16;
const AREA: usize = SOURCE + 20;

const PART_SIZE: usize = 24;
const PART_KEY_SIZE: usize = 8;
const PART_VALUE: usize = 12;
const PART_VALUE_SIZE: usize = 16;
const PART_REPEATS: usize = 20;
const KEYS: usize = 16 * 24;
const VALUES: usize = KEYS + 16 * 256 + 8;
export const AREA_SIZE: u32 = 16 * 24 + 2 * (16 * 256 + 8);

export function areaOf(cursor: usize): usize {
  return load<usize>(cursor, AREA);
}

export function setArea(cursor: usize, area: usize): void {
  store<usize>(cursor, area, AREA);
}

/** Makes a group of the open block whole; false when it is damaged. */
function readGroup(cursor: usize, group: u32): bool {
  const area = areaOf(cursor);
  const entries = groupEntries(group);
  let at = groupStart(load<usize>(cursor, BLOCK), group);
  if (at == 0) return false;
  beginGroup();
  let key = area + KEYS;
  let value = area + VALUES;
  let sizeBefore: u32 = 0;
  for (let i: u32 = 0; i < entries; i++) {
    if (!readEntry(at)) return false;
    // What the first entry would share is nothing, so nothing before the area is read.
    copyWords(key, key - 256, shared);
    copyWords(key + shared, keyBytes, unshared);
    let valueAt = valueBytes;
    if (valueSize <= 255) {
      copyWords(value, value - 256, valueShared);
      copyWords(value + valueShared, valueBytes, valueUnshared);
      valueAt = value;
    }
    const part = area + <usize>i * PART_SIZE;
    store<u64>(part, stamp);
    store<u32>(part, keySize, PART_KEY_SIZE);
    store<usize>(part, valueAt, PART_VALUE);
    store<u32>(part, valueSize, PART_VALUE_SIZE);
    store<u32>(part, unshared == 0 && keySize == sizeBefore ? 1 : 0, PART_REPEATS);
    sizeBefore = keySize;
    at = nextEntry;
    key += 256;
    value += 256;
  }
  store<u32>(cursor, group, GROUP);
  store<u32>(cursor, entries, ENTRIES);
  return true;
}

// ---- the group of the current entry

export function placeOf(cursor: usize): u32 {
  return load<u32>(cursor, PLACE);
}

export function entriesOf(cursor: usize): u32 {
  return load<u32>(cursor, ENTRIES);
}

export function partOf(cursor: usize, place: u32): usize {
  return areaOf(cursor) + <usize>place * PART_SIZE;
}

export function keyAt(cursor: usize, place: u32): usize {
  return areaOf(cursor) + KEYS + ((<usize>place) << 8);
}

export function partKeySize(part: usize): u32 {
  return load<u32>(part, PART_KEY_SIZE);
}

export function partStamp(part: usize): u64 {
  return load<u64>(part);
}

export function partValue(part: usize): usize {
  return load<usize>(part, PART_VALUE);
}

export function partValueSize(part: usize): u32 {
  return load<u32>(part, PART_VALUE_SIZE);
}

/** Whether the entry, which is not the first of its group, has the key of the entry before it. */
export function partRepeats(part: usize): bool {
  return load<u32>(part, PART_REPEATS) != 0;
}

export function setPlace(cursor: usize, place: u32): void {
  const part = partOf(cursor, place);
  store<u32>(cursor, place, PLACE);
  setCurrent(cursor, keyAt(cursor, place), partKeySize(part), partStamp(part), partValue(part), partValueSize(part));
}

/** The order of the first key of a group of the open block against a key; 0 when it is damaged, which reading shows. */
function orderOfGroup(block: usize, group: u32, key: usize, keyLen: u32): i32 {
  const at = groupStart(block, group);
  return at == 0 || !readHead(at) ? 0 : compareKeys(keyBytes, unshared, key, keyLen);
}

/** Takes a block and goes to its first entry that may be at or behind `start`; false when it is damaged. */
export function feedForward(cursor: usize, block: usize, size: u32, start: usize, startLen: u32): bool {
  if (!openBlock(block, size)) return false;
  store<usize>(cursor, block, BLOCK);
  store<u32>(cursor, size, SIZE);
  let group: u32 = 0;
  while (startLen > 0 && group + 1 < groupCount && orderOfGroup(block, group + 1, start, startLen) < 0) group++;
  if (!readGroup(cursor, group)) return false;
  setPlace(cursor, 0);
  return true;
}

/** Takes a block and goes to its last entry that may be before `end` (-1: none); false when it is damaged. */
export function feedBackward(cursor: usize, block: usize, size: u32, end: usize, endLen: i32): bool {
  if (!openBlock(block, size)) return false;
  store<usize>(cursor, block, BLOCK);
  store<u32>(cursor, size, SIZE);
  let group = groupCount - 1;
  while (endLen >= 0 && group > 0 && orderOfGroup(block, group, end, endLen) >= 0) group--;
  if (!readGroup(cursor, group)) return false;
  setPlace(cursor, load<u32>(cursor, ENTRIES) - 1);
  return true;
}

/** Goes to the next entry, or asks for the next block; false when the block is damaged. */
export function runForward(cursor: usize): bool {
  const place = load<u32>(cursor, PLACE) + 1;
  if (place < load<u32>(cursor, ENTRIES)) {
    setPlace(cursor, place);
    return true;
  }
  const group = load<u32>(cursor, GROUP) + 1;
  if (!openBlock(load<usize>(cursor, BLOCK), load<u32>(cursor, SIZE))) return false;
  if (group == groupCount) {
    setState(cursor, NEEDS_BLOCK);
    return true;
  }
  if (group > groupCount || !readGroup(cursor, group)) return false;
  setPlace(cursor, 0);
  return true;
}

/** Goes to the entry before, or asks for the block before; false when the block is damaged. */
export function runBackward(cursor: usize): bool {
  const place = load<u32>(cursor, PLACE);
  if (place > 0) {
    setPlace(cursor, place - 1);
    return true;
  }
  const group = load<u32>(cursor, GROUP);
  if (group == 0) {
    setState(cursor, NEEDS_BLOCK);
    return true;
  }
  if (!openBlock(load<usize>(cursor, BLOCK), load<u32>(cursor, SIZE))) return false;
  if (group > groupCount || !readGroup(cursor, group - 1)) return false;
  setPlace(cursor, load<u32>(cursor, ENTRIES) - 1);
  return true;
}
