/**
 * A merge into blocks: which versions are needed, and which deletions.
 *
 *     versions of a key, newest first     9      7 del    5      3 del         snapshots 8, 4; bottom
 *     seen by                             all    8        -      4
 *     written                             9      7 del    no     no: nothing is left that it would hide
 *
 * A version is needed when it is the newest of its key, or when a snapshot sees it: the snapshot's LSN is not below its
 * own and below that of the next newer version. At the bottom, where nothing older lies deeper, deletions are held back
 * until an older version of the key is written behind them.
 *
 * Invariants: the memtables of the merge do not change between its steps; a step that stops at a full writer goes on
 * with the same version.
 */
import { allocPiece } from './arena';
import { currentKey, currentKeySize, currentStamp, currentValue, currentValueSize } from './cursor';
import { NO_MEMORY } from './lookup';
import {
  CUTS_KEY,
  DONE,
  firstCursor,
  FULL,
  isLastKey,
  isPastEnd,
  lastKey,
  lastKeySize,
  MORE,
  prepare,
  setLastKey,
  takeFirst,
  WRITTEN,
} from './merge';
import { append, follows } from './writer';

const SNAPSHOTS: usize = 72;
const SNAPSHOT_COUNT: usize = 76;
const BOTTOM: usize = 80;
/** LSNs of the deletions of the last key that are held back, how many, and how many of them are written. */
const HELD: usize = 84;
const HELD_COUNT: usize = 88;
const HELD_WRITTEN: usize = 92;
/** What becomes of the first version, 0 until that is decided. */
const VERDICT: usize = 96;
/** LSN of the version before, of the same key. */
const NEWER_LSN: usize = 104;

const DROP: u32 = 1;
const HOLD: u32 = 2;
const WRITE: u32 = 3;

/** Takes the LSNs of snapshots (f64 array, ascending); 0 or NO_MEMORY. */
export function merge_keep(merge: usize, snapshots: usize, n: u32, bottom: u32): i32 {
  const copies = allocPiece(merge, n << 3);
  // The newest version may be held, and one per snapshot.
  const held = allocPiece(merge, (n + 1) << 3);
  if (copies == 0 || held == 0) return NO_MEMORY;
  for (let i: usize = 0; i < (<usize>n) << 3; i += 8) store<u64>(copies + i, <u64>load<f64>(snapshots + i));
  store<usize>(merge, copies, SNAPSHOTS);
  store<u32>(merge, n, SNAPSHOT_COUNT);
  store<u32>(merge, bottom, BOTTOM);
  store<usize>(merge, held, HELD);
  return 0;
}

/** Whether a snapshot sees the version `lsn` although there is a newer one. */
function isSeen(merge: usize, lsn: u64, newerLsn: u64): bool {
  const snapshots = load<usize>(merge, SNAPSHOTS);
  const count = load<u32>(merge, SNAPSHOT_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    const snapshot = load<u64>(snapshots + ((<usize>i) << 3));
    if (snapshot >= lsn) return snapshot < newerLsn;
  }
  return false;
}

function judge(merge: usize, cursor: usize): u32 {
  const stamp = currentStamp(cursor);
  const lsn = stamp >> 1;
  if (isLastKey(merge, cursor)) {
    const newerLsn = load<u64>(merge, NEWER_LSN);
    // The same version may come from two runs; and runs out of order must not fill HELD beyond its room.
    if (lsn >= newerLsn) return DROP;
    store<u64>(merge, lsn, NEWER_LSN);
    if (!isSeen(merge, lsn, newerLsn)) return DROP;
  } else {
    setLastKey(merge, cursor);
    store<u64>(merge, lsn, NEWER_LSN);
    store<u32>(merge, 0, HELD_COUNT);
    store<u32>(merge, 0, HELD_WRITTEN);
  }
  return stamp & 1 && load<u32>(merge, BOTTOM) ? HOLD : WRITE;
}

function hold(merge: usize, lsn: u64): void {
  const count = load<u32>(merge, HELD_COUNT);
  store<u64>(load<usize>(merge, HELD) + ((<usize>count) << 3), lsn);
  store<u32>(merge, count + 1, HELD_COUNT);
}

function countWritten(merge: usize): void {
  store<u32>(merge, load<u32>(merge, WRITTEN) + 1, WRITTEN);
}

/** Writes the deletions that were held back; false when the writer is full. */
function writeHeld(merge: usize, writer: usize): bool {
  const held = load<usize>(merge, HELD);
  const count = load<u32>(merge, HELD_COUNT);
  for (let i = load<u32>(merge, HELD_WRITTEN); i < count; i++) {
    const stamp = (load<u64>(held + ((<usize>i) << 3)) << 1) | 1;
    if (!append(writer, lastKey(merge), lastKeySize(merge), stamp, 0, 0)) return false;
    store<u32>(merge, i + 1, HELD_WRITTEN);
    countWritten(merge);
  }
  return true;
}

function write(merge: usize, writer: usize, cursor: usize): bool {
  if (!writeHeld(merge, writer)) return false;
  const key = currentKey(cursor);
  const keyLen = currentKeySize(cursor);
  if (!append(writer, key, keyLen, currentStamp(cursor), currentValue(cursor), currentValueSize(cursor))) return false;
  countWritten(merge);
  return true;
}

/** Takes up to `budget` versions and writes those that are needed; a step of merge.ts. */
export function merge_write(merge: usize, writer: usize, budget: u32): i32 {
  const status = prepare(merge);
  if (status != MORE) return status;
  for (; budget > 0; budget--) {
    const cursor = firstCursor(merge);
    if (cursor == 0 || isPastEnd(merge, cursor)) return DONE;
    let verdict = load<u32>(merge, VERDICT);
    if (verdict == 0) verdict = judge(merge, cursor);
    if (verdict == HOLD) hold(merge, currentStamp(cursor) >> 1);
    if (verdict == WRITE && !write(merge, writer, cursor)) {
      store<u32>(merge, verdict, VERDICT);
      store<u32>(merge, follows(writer, currentKey(cursor), currentKeySize(cursor)), CUTS_KEY);
      return FULL;
    }
    store<u32>(merge, 0, VERDICT);
    const status = takeFirst(merge);
    if (status != MORE) return status;
  }
  return MORE;
}
