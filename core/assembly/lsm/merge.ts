/**
 * A merge of memtables and runs of blocks: which version comes next. What is done with it is in merge_write.ts and
 * merge_read.ts.
 *
 *     merge     | arena ... | run | written | read count | read size | cuts key | cursors | run count | ...
 *     order     cursors with a current version, the one that comes next first
 *
 * Steps return MORE (call again), NEEDS (a run needs its next block: `run`), FULL (of the writer), DONE, or DAMAGED
 * (the block of `run` is none).
 *
 * Invariants: no step takes a version while a run needs a block; `order` is right whenever a step takes one.
 */
import { allocPiece, arena_free, ARENA_FIELDS, createArena } from './arena';
import { compareKeys, copyBytes } from './bytes';
import {
  currentKey,
  currentKeySize,
  CURSOR_SIZE,
  ENDED,
  isBefore,
  NEEDS_BLOCK,
  READY,
  runOf,
  setRun,
  setState,
  setTable,
  stateOf,
  tableOf,
} from './cursor';
import { NO_MEMORY } from './lookup';
import { AREA_SIZE, areaOf, feedBackward, feedForward, runBackward, runForward, setArea } from './run_cursor';
import { refresh, seekEnd, seekStart, tableBackward, tableForward } from './table_cursor';

export const MORE: i32 = 0;
export const NEEDS: i32 = 1;
export const FULL: i32 = 2;
export const DONE: i32 = 3;
export const DAMAGED: i32 = -1;

const CHUNK_CLASS: u32 = 0;
const RUN: usize = ARENA_FIELDS;
export const WRITTEN: usize = 24;
export const READ_SIZE: usize = 28;
export const CUTS_KEY: usize = 32;
const CURSORS: usize = 40;
const RUN_COUNT: usize = 44;
const REVERSE: usize = 48;
const ORDER: usize = 52;
const READY_COUNT: usize = 56;
/** Whether a cursor was placed since the order was made. */
const PLACED: usize = 60;
const START_SIZE: usize = 64;
const END_SIZE: usize = 68;
// Fields of merge_write.ts and merge_read.ts stand from 72 to 128.
/** The key of the version that was taken last. */
export const HAS_LAST: usize = 128;
const LAST_SIZE: usize = 132;
const LAST_KEY: usize = 136;
const START: usize = 392;
const END: usize = 648;
const MERGE_SIZE: u32 = 904;

/** What `findBound` found; 0 when there is no bound. */
export let boundKey: usize = 0;
export let boundSize: u32 = 0;

function cursorAt(merge: usize, run: u32): usize {
  return load<usize>(merge, CURSORS) + <usize>run * CURSOR_SIZE;
}

export function isReverse(merge: usize): bool {
  return load<u32>(merge, REVERSE) != 0;
}

/** The cursor whose version comes next, 0 when there is none. */
export function firstCursor(merge: usize): usize {
  return load<u32>(merge, READY_COUNT) == 0 ? 0 : load<usize>(load<usize>(merge, ORDER));
}

/** Sets `boundKey` to where the first cursor is the first no longer, forward: at the next cursor or the end. */
export function findBound(merge: usize): void {
  const endSize = load<i32>(merge, END_SIZE);
  boundKey = endSize < 0 ? 0 : merge + END;
  boundSize = endSize;
  if (load<u32>(merge, READY_COUNT) < 2) return;
  const second = load<usize>(load<usize>(merge, ORDER), 4);
  const key = currentKey(second);
  const keyLen = currentKeySize(second);
  if (boundKey != 0 && compareKeys(boundKey, boundSize, key, keyLen) <= 0) return;
  boundKey = key;
  boundSize = keyLen;
}

/** A merge of a number of runs, all of which need a block or a memtable; or 0. */
export function merge_create(runs: u32, reverse: u32): usize {
  const merge = createArena(CHUNK_CLASS, MERGE_SIZE);
  if (merge == 0) return 0;
  const cursors = allocPiece(merge, runs * CURSOR_SIZE);
  const order = allocPiece(merge, runs << 2);
  if (cursors == 0 || order == 0) {
    arena_free(merge);
    return 0;
  }
  memory.fill(cursors, 0, <usize>runs * CURSOR_SIZE);
  store<usize>(merge, cursors, CURSORS);
  store<usize>(merge, order, ORDER);
  store<u32>(merge, runs, RUN_COUNT);
  store<u32>(merge, reverse, REVERSE);
  store<i32>(merge, -1, END_SIZE);
  for (let run: u32 = 0; run < runs; run++) setRun(cursorAt(merge, run), run);
  return merge;
}

/** Takes only keys of [start, end), endLen -1: without an end. Comes before everything else. */
export function merge_range(merge: usize, start: usize, startLen: u32, end: usize, endLen: i32): void {
  store<u32>(merge, startLen, START_SIZE);
  copyBytes(merge + START, start, startLen);
  store<i32>(merge, endLen, END_SIZE);
  if (endLen > 0) copyBytes(merge + END, end, endLen);
}

/** Makes a memtable the source of a run. */
export function merge_table(merge: usize, run: u32, table: usize): void {
  const cursor = cursorAt(merge, run);
  setTable(cursor, table);
  if (isReverse(merge)) seekEnd(cursor, merge + END, load<i32>(merge, END_SIZE));
  else seekStart(cursor, merge + START, load<u32>(merge, START_SIZE));
  store<u32>(merge, 1, PLACED);
}

/** Gives a run its next block; 0, DAMAGED or NO_MEMORY. */
export function merge_feed(merge: usize, run: u32, block: usize, size: u32): i32 {
  const cursor = cursorAt(merge, run);
  if (areaOf(cursor) == 0) {
    const area = allocPiece(merge, AREA_SIZE);
    if (area == 0) return NO_MEMORY;
    setArea(cursor, area);
  }
  store<u32>(merge, 1, PLACED);
  const fed = isReverse(merge)
    ? feedBackward(cursor, block, size, merge + END, load<i32>(merge, END_SIZE))
    : feedForward(cursor, block, size, merge + START, load<u32>(merge, START_SIZE));
  return fed ? 0 : DAMAGED;
}

/** The run has no more blocks. */
export function merge_finish(merge: usize, run: u32): void {
  setState(cursorAt(merge, run), ENDED);
}

/** Whether a cursor is outside the range on the side where the merge ends. */
export function isPastEnd(merge: usize, cursor: usize): bool {
  const key = currentKey(cursor);
  const keyLen = currentKeySize(cursor);
  if (isReverse(merge)) return compareKeys(key, keyLen, merge + START, load<u32>(merge, START_SIZE)) < 0;
  const endSize = load<i32>(merge, END_SIZE);
  return endSize >= 0 && compareKeys(key, keyLen, merge + END, endSize) >= 0;
}

/** Whether a cursor is outside the range on the side where the merge begins: what a first block has there. */
function isBeforeStart(merge: usize, cursor: usize): bool {
  const key = currentKey(cursor);
  const keyLen = currentKeySize(cursor);
  if (!isReverse(merge)) return compareKeys(key, keyLen, merge + START, load<u32>(merge, START_SIZE)) < 0;
  const endSize = load<i32>(merge, END_SIZE);
  return endSize >= 0 && compareKeys(key, keyLen, merge + END, endSize) >= 0;
}

/** Moves a cursor to its next version; false when its block is damaged. */
function move(merge: usize, cursor: usize): bool {
  if (tableOf(cursor) == 0) return isReverse(merge) ? runBackward(cursor) : runForward(cursor);
  if (isReverse(merge)) tableBackward(cursor);
  else tableForward(cursor);
  return true;
}

/** Places a cursor, which is not in the first `count` of the order, among them. */
function insert(merge: usize, cursor: usize, count: u32): void {
  const order = load<usize>(merge, ORDER);
  const reverse = isReverse(merge);
  let i = count;
  for (; i > 0; i--) {
    const other = load<usize>(order + ((<usize>i - 1) << 2));
    if (isBefore(cursor, other) == reverse) break;
    store<usize>(order + ((<usize>i) << 2), other);
  }
  store<usize>(order + ((<usize>i) << 2), cursor);
}

/** MORE when a version can be taken or all runs ended; NEEDS or DAMAGED. */
export function prepare(merge: usize): i32 {
  const runs = load<u32>(merge, RUN_COUNT);
  const reverse = isReverse(merge);
  let placed = load<u32>(merge, PLACED) != 0;
  for (let run: u32 = 0; run < runs; run++) {
    const cursor = cursorAt(merge, run);
    if (tableOf(cursor) != 0 && refresh(cursor, reverse)) placed = true;
    while (placed && stateOf(cursor) == READY && isBeforeStart(merge, cursor)) {
      if (!move(merge, cursor)) return stopAt(merge, run, DAMAGED);
    }
    if (stateOf(cursor) == NEEDS_BLOCK) return stopAt(merge, run, NEEDS);
  }
  if (!placed) return MORE;
  let count: u32 = 0;
  for (let run: u32 = 0; run < runs; run++) {
    const cursor = cursorAt(merge, run);
    if (stateOf(cursor) == READY) insert(merge, cursor, count++);
  }
  store<u32>(merge, count, READY_COUNT);
  store<u32>(merge, 0, PLACED);
  return MORE;
}

function stopAt(merge: usize, run: u32, status: i32): i32 {
  store<u32>(merge, run, RUN);
  return status;
}

/** Moves the first cursor on; MORE, NEEDS or DAMAGED. */
export function takeFirst(merge: usize): i32 {
  const order = load<usize>(merge, ORDER);
  const count = load<u32>(merge, READY_COUNT);
  const cursor = load<usize>(order);
  if (!move(merge, cursor)) return stopAt(merge, runOf(cursor), DAMAGED);
  const ready = stateOf(cursor) == READY;
  const reverse = isReverse(merge);
  let i: u32 = 1;
  for (; i < count; i++) {
    const other = load<usize>(order + ((<usize>i) << 2));
    if (ready && isBefore(cursor, other) != reverse) break;
    store<usize>(order + ((<usize>i - 1) << 2), other);
  }
  if (ready) store<usize>(order + ((<usize>i - 1) << 2), cursor);
  else store<u32>(merge, count - 1, READY_COUNT);
  return stateOf(cursor) == NEEDS_BLOCK ? stopAt(merge, runOf(cursor), NEEDS) : MORE;
}

// ---- the key that was taken last

export function lastKey(merge: usize): usize {
  return merge + LAST_KEY;
}

export function lastKeySize(merge: usize): u32 {
  return load<u32>(merge, LAST_SIZE);
}

export function isLastKey(merge: usize, cursor: usize): bool {
  const size = currentKeySize(cursor);
  if (load<u32>(merge, HAS_LAST) == 0 || size != lastKeySize(merge)) return false;
  return compareKeys(currentKey(cursor), size, lastKey(merge), size) == 0;
}

export function setLastKey(merge: usize, cursor: usize): void {
  const size = currentKeySize(cursor);
  store<u32>(merge, 1, HAS_LAST);
  store<u32>(merge, size, LAST_SIZE);
  copyBytes(merge + LAST_KEY, currentKey(cursor), size);
}
