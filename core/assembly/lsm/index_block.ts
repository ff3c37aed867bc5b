/**
 * Index blocks: blocks whose entries are lower bounds, and whose values are the numbers a, b, c of the tree.
 *
 *     entries   | "" MAX: 0 16301 0 | "k" MAX: 16301 16377 0 | "kw" 12: ...     entry i covers [bound i, bound i + 1)
 *     value     | a | b | c |                                                  varints of a u32 each
 *
 * Invariants: a key is covered by the last entry at or before (key, LSN); keys before the first entry by none.
 */
import { block_check } from './check';
import { DAMAGED } from './block';
import { arePositions, groupAt, keyAt, keySizeAt, lsnOf, pendingAt, setMaybe } from './lookup';
import { begin, damaged, order, ordinal, skipGroups, step, valueSizeRead, writeValue } from './reader';

/** Three varints of a u32. */
const VALUE_SIZE_MAX: u32 = 15;
/** The value of the entry that was passed last, and what copies in words write behind it. */
const VALUE: usize = memory.data(24, 8);

let a: u32 = 0;
let b: u32 = 0;
let c: u32 = 0;
/** Where reading a number ended; 0 when it is none. */
let numberEnd: usize = 0;

function readNumber(at: usize, end: usize): u32 {
  let value: u64 = 0;
  for (let shift: u64 = 0; shift < 35 && at < end; shift += 7) {
    const byte: u64 = load<u8>(at++);
    value |= (byte & 127) << shift;
    if (byte < 128) {
      numberEnd = value > u32.MAX_VALUE ? 0 : at;
      return <u32>value;
    }
  }
  numberEnd = 0;
  return 0;
}

/** Reads the three numbers of the current entry; false when its value is something else. */
function readNumbers(): bool {
  const size = valueSizeRead();
  if (size > VALUE_SIZE_MAX) return false;
  writeValue(VALUE);
  const end = VALUE + size;
  a = readNumber(VALUE, end);
  if (numberEnd == 0) return false;
  b = readNumber(numberEnd, end);
  if (numberEnd == 0) return false;
  c = readNumber(numberEnd, end);
  return numberEnd == end;
}

/** Ordinal of the entry that was passed last, whose numbers are a, b, c. */
let passed: i32 = -1;

/** Passes all entries at or before (key, LSN): 1, 0 when that was the last one, or DAMAGED. */
function pass(key: usize, keyLen: u32, lsn: u64): i32 {
  if (order(key, keyLen, lsn) > 0) return 1;
  if (!skipGroups(key, keyLen, lsn)) return DAMAGED;
  while (order(key, keyLen, lsn) <= 0) {
    if (!readNumbers()) return DAMAGED;
    passed = ordinal();
    if (!step()) return damaged ? DAMAGED : 0;
  }
  return 1;
}

/**
 * Groups the positions [from, to) of pending keys by the entry that covers them, and marks all of them as maybe there;
 * returns how many groups, or DAMAGED.
 */
export function index_search(keys: usize, from: u32, to: u32, block: usize, size: u32): i32 {
  if (!arePositions(keys, from, to) || !begin(block, size)) return DAMAGED;
  const lsn = lsnOf(keys);
  let status = 1;
  let groups: u32 = 0;
  let group: usize = 0;
  let last: i32 = -1;
  passed = -1;
  for (let position = from; position < to; position++) {
    const i = pendingAt(keys, position);
    if (status > 0) status = pass(keyAt(keys, i), keySizeAt(keys, i), lsn);
    if (status == DAMAGED) return DAMAGED;
    setMaybe(keys, position, true);
    if (passed != last) {
      last = passed;
      group = groupAt(keys, groups++);
      store<u32>(group, position);
      store<u32>(group, a, 8);
      store<u32>(group, b, 12);
      store<u32>(group, c, 16);
    }
    if (last >= 0) store<u32>(group, position + 1, 4);
  }
  return groups;
}

/** Ordinal of the entry that covers (key, LSN), -1 when none does, -2 when the block is damaged. */
export function index_seek(block: usize, size: u32, key: usize, keyLen: u32, lsn: f64): i32 {
  passed = -1;
  if (!begin(block, size) || pass(key, keyLen, <u64>lsn) == DAMAGED) return -2;
  return passed;
}

/** Writes the numbers of all entries to `out` (u32 array: a, b, c, a ...); returns how many entries, or DAMAGED. */
export function index_numbers(block: usize, size: u32, out: usize): i32 {
  if (!begin(block, size)) return DAMAGED;
  let count = 0;
  do {
    if (!readNumbers()) return DAMAGED;
    store<u32>(out, a);
    store<u32>(out, b, 4);
    store<u32>(out, c, 8);
    out += 12;
    count++;
  } while (step());
  return damaged ? DAMAGED : count;
}

/** 0 for an index block of which every byte means something, else DAMAGED. */
export function index_check(block: usize, size: u32): i32 {
  if (block_check(block, size) != 0 || !begin(block, size)) return DAMAGED;
  do {
    if (!readNumbers()) return DAMAGED;
  } while (step());
  return 0;
}
