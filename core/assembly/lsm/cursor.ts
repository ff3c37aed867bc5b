/**
 * What the cursors of a merge have in common: the current version of a memtable or of a run of blocks.
 *
 *     cursor    | state | table | key address | key size | value address | value size | stamp u64 | source 28 B | run |
 *     order     key ascending, LSN descending, then the run; or all of it from the end to the start
 *
 * Invariants: the current version is there while the state is READY; its key and value stay until the cursor moves.
 */
import { compareKeys } from './bytes';

/** Waits for its next block, has a current version, has no more. */
export const NEEDS_BLOCK: u32 = 0;
export const READY: u32 = 1;
export const ENDED: u32 = 2;

export const CURSOR_SIZE: u32 = 64;
const STATE: usize = 0;
const TABLE: usize = 4;
const KEY: usize = 8;
const KEY_SIZE: usize = 12;
const VALUE: usize = 16;
const VALUE_SIZE: usize = 20;
const STAMP: usize = 24;
/** Where the 28 bytes of the source begin. */
export const SOURCE: usize = 32;
const RUN: usize = 60;

export function stateOf(cursor: usize): u32 {
  return load<u32>(cursor, STATE);
}

export function setState(cursor: usize, state: u32): void {
  store<u32>(cursor, state, STATE);
}

/** The memtable of the cursor, 0 for a run of blocks. */
export function tableOf(cursor: usize): usize {
  return load<usize>(cursor, TABLE);
}

export function setTable(cursor: usize, table: usize): void {
  store<usize>(cursor, table, TABLE);
}

export function runOf(cursor: usize): u32 {
  return load<u32>(cursor, RUN);
}

export function setRun(cursor: usize, run: u32): void {
  store<u32>(cursor, run, RUN);
}

export function currentKey(cursor: usize): usize {
  return load<usize>(cursor, KEY);
}

export function currentKeySize(cursor: usize): u32 {
  return load<u32>(cursor, KEY_SIZE);
}

export function currentValue(cursor: usize): usize {
  return load<usize>(cursor, VALUE);
}

export function currentValueSize(cursor: usize): u32 {
  return load<u32>(cursor, VALUE_SIZE);
}

export function currentStamp(cursor: usize): u64 {
  return load<u64>(cursor, STAMP);
}

/** Makes a version the current one. */
export function setCurrent(cursor: usize, key: usize, keyLen: u32, stamp: u64, value: usize, size: u32): void {
  store<u32>(cursor, READY, STATE);
  store<usize>(cursor, key, KEY);
  store<u32>(cursor, keyLen, KEY_SIZE);
  store<usize>(cursor, value, VALUE);
  store<u32>(cursor, size, VALUE_SIZE);
  store<u64>(cursor, stamp, STAMP);
}

/** Whether the current version of a comes before that of b in forward order. */
export function isBefore(a: usize, b: usize): bool {
  const keys = compareKeys(currentKey(a), currentKeySize(a), currentKey(b), currentKeySize(b));
  if (keys != 0) return keys < 0;
  const lsnA = currentStamp(a) >> 1;
  const lsnB = currentStamp(b) >> 1;
  return lsnA == lsnB ? runOf(a) < runOf(b) : lsnA > lsnB;
}
