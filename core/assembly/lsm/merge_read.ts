/**
 * A merge into entries for a reader: of each key the newest version up to an LSN, deletions left out.
 *
 *     out       | key size u8 | kind u8 | value size u16 | key | value |  one behind the other, as many as fit
 *
 * Forward the newest version that the LSN sees comes first, and what follows of the same key is passed over. As long as
 * one run alone covers what comes, its groups are taken as they are, with hardly a compare. Backward the newest version
 * comes last: each version that the LSN sees replaces the candidate, which is an entry once another key comes.
 *
 * Invariants: a step that stops for want of room has taken nothing of the version that did not fit.
 */
import { allocPiece } from './arena';
import { VALUE_SIZE_MAX } from './block';
import { compareKeys, copyBytes } from './bytes';
import { currentKey, currentKeySize, currentStamp, currentValue, currentValueSize, tableOf } from './cursor';
import { NO_MEMORY } from './lookup';
import { PUT } from './memtable';
import {
  boundKey,
  boundSize,
  DONE,
  findBound,
  firstCursor,
  HAS_LAST,
  isLastKey,
  isPastEnd,
  isReverse,
  lastKey,
  lastKeySize,
  MORE,
  prepare,
  READ_SIZE,
  setLastKey,
  takeFirst,
} from './merge';
import {
  entriesOf,
  keyAt,
  partKeySize,
  partOf,
  partRepeats,
  partStamp,
  partValue,
  partValueSize,
  placeOf,
  setPlace,
} from './run_cursor';

/** The value of the candidate, whose key is the last key; its size, and whether it deletes. */
const CANDIDATE: usize = 72;
const CANDIDATE_SIZE: usize = 76;
const CANDIDATE_DELETES: usize = 80;

const HEAD_SIZE: u32 = 4;

/** Adds an entry to the output; false when it does not fit. */
function addEntry(merge: usize, out: usize, outSize: u32, key: usize, keyLen: u32, value: usize, size: u32): bool {
  const used = load<u32>(merge, READ_SIZE);
  if (used + HEAD_SIZE + keyLen + size > outSize) return false;
  const at = out + used;
  store<u8>(at, keyLen);
  store<u8>(at, PUT, 1);
  store<u16>(at, size, 2);
  copyBytes(at + HEAD_SIZE, key, keyLen);
  copyBytes(at + HEAD_SIZE + keyLen, value, size);
  store<u32>(merge, used + HEAD_SIZE + keyLen + size, READ_SIZE);
  return true;
}

/** Takes a version in forward order; false when its entry does not fit. */
function readForward(merge: usize, cursor: usize, out: usize, outSize: u32): bool {
  if (isLastKey(merge, cursor)) return true;
  const key = currentKey(cursor);
  const keyLen = currentKeySize(cursor);
  const deletes = currentStamp(cursor) & 1;
  const value = currentValue(cursor);
  if (!deletes && !addEntry(merge, out, outSize, key, keyLen, value, currentValueSize(cursor))) return false;
  setLastKey(merge, cursor);
  return true;
}

/**
 * Takes versions of a run in forward order, as far as its group goes, no other cursor comes before and entries fit;
 * returns how many. The cursor then stands at the last of them, which remains to be taken from the order.
 */
function readStretch(merge: usize, cursor: usize, lsnMax: u64, out: usize, outSize: u32, countMax: u32): u32 {
  findBound(merge);
  const from = placeOf(cursor);
  const to = min<u32>(entriesOf(cursor), from + countMax);
  const isOpen = boundKey == 0 || isBeforeBound(cursor, to - 1);
  let isTaken = isLastKey(merge, cursor);
  let place = from;
  for (; place < to; place++) {
    if (!isOpen && !isBeforeBound(cursor, place)) break;
    const part = partOf(cursor, place);
    if (place > from && !partRepeats(part)) isTaken = false;
    const stamp = partStamp(part);
    if (isTaken || stamp >> 1 > lsnMax) continue;
    if ((stamp & 1) == 0) {
      const key = keyAt(cursor, place);
      if (!addEntry(merge, out, outSize, key, partKeySize(part), partValue(part), partValueSize(part))) break;
    }
    isTaken = true;
  }
  if (place == from) return 0;
  setPlace(cursor, place - 1);
  // What a break leaves behind is another key than the last one; only a group that is over may go on with the same.
  if (isTaken) setLastKey(merge, cursor);
  return place - from;
}

function isBeforeBound(cursor: usize, place: u32): bool {
  return compareKeys(keyAt(cursor, place), partKeySize(partOf(cursor, place)), boundKey, boundSize) < 0;
}

/** Makes the candidate an entry; false when it does not fit. */
function endCandidate(merge: usize, out: usize, outSize: u32): bool {
  if (load<u32>(merge, HAS_LAST) == 0) return true;
  const value = load<usize>(merge, CANDIDATE);
  const size = load<u32>(merge, CANDIDATE_SIZE);
  const deletes = load<u32>(merge, CANDIDATE_DELETES) != 0;
  if (!deletes && !addEntry(merge, out, outSize, lastKey(merge), lastKeySize(merge), value, size)) return false;
  store<u32>(merge, 0, HAS_LAST);
  return true;
}

/** Takes a version in backward order; false when the entry of the candidate before it does not fit. */
function readBackward(merge: usize, cursor: usize, out: usize, outSize: u32): bool {
  if (!isLastKey(merge, cursor)) {
    if (!endCandidate(merge, out, outSize)) return false;
    setLastKey(merge, cursor);
  }
  const size = currentValueSize(cursor);
  copyBytes(load<usize>(merge, CANDIDATE), currentValue(cursor), size);
  store<u32>(merge, size, CANDIDATE_SIZE);
  store<u32>(merge, <u32>(currentStamp(cursor) & 1), CANDIDATE_DELETES);
  return true;
}

/** Takes up to `budget` versions and writes the entries that `lsn` sees to `out`; a step of merge.ts, or NO_MEMORY. */
export function merge_read(merge: usize, lsn: f64, out: usize, outSize: u32, budget: u32): i32 {
  store<u32>(merge, 0, READ_SIZE);
  const reverse = isReverse(merge);
  if (reverse && load<usize>(merge, CANDIDATE) == 0) {
    const candidate = allocPiece(merge, VALUE_SIZE_MAX);
    if (candidate == 0) return NO_MEMORY;
    store<usize>(merge, candidate, CANDIDATE);
  }
  const status = prepare(merge);
  if (status != MORE) return status;
  const lsnMax = <u64>lsn;
  while (budget > 0) {
    const cursor = firstCursor(merge);
    if (cursor == 0 || isPastEnd(merge, cursor)) {
      return !reverse || endCandidate(merge, out, outSize) ? DONE : MORE;
    }
    const isRun = !reverse && tableOf(cursor) == 0;
    const count = isRun ? readStretch(merge, cursor, lsnMax, out, outSize, budget) : 0;
    budget -= max<u32>(count, 1);
    if (count == 0 && currentStamp(cursor) >> 1 <= lsnMax) {
      const taken = reverse ? readBackward(merge, cursor, out, outSize) : readForward(merge, cursor, out, outSize);
      if (!taken) return MORE;
    }
    const status = takeFirst(merge);
    if (status != MORE) return status;
  }
  return MORE;
}
