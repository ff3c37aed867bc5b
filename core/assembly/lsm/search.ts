/**
 * The batched search in a data block, and the full check of one.
 *
 *     pending keys   | a | c | c | k | ...         both are in order, so each entry is passed at most once: the version
 *     entries        | a 7 | a 3 | b 4 | c 9 ...   that an LSN sees is the first entry at or behind (key, LSN)
 */
import { DAMAGED } from './block';
import { compareKeys } from './bytes';
import { arePositions, isMaybe, isResolved, keyAt, keySizeAt, lsnOf, NO_MEMORY, pendingAt, resolve } from './lookup';
import {
  beginBefore,
  damaged,
  KEY,
  keySizeRead,
  order,
  skipGroups,
  stampRead,
  step,
  valueSizeRead,
  writeValue,
} from './reader';

/**
 * Resolves the keys at positions [from, to), those that no filter excluded, from a data block; returns how many it
 * found, DAMAGED or NO_MEMORY.
 */
export function block_search(keys: usize, from: u32, to: u32, block: usize, size: u32): i32 {
  if (!arePositions(keys, from, to)) return DAMAGED;
  const lsn = lsnOf(keys);
  let found = 0;
  let begun = false;
  for (let position = from; position < to; position++) {
    const i = pendingAt(keys, position);
    if (!isMaybe(keys, position) || isResolved(keys, i)) continue;
    const key = keyAt(keys, i);
    const keyLen = keySizeAt(keys, i);
    const ready = begun
      ? order(key, keyLen, lsn) >= 0 || skipGroups(key, keyLen, lsn)
      : beginBefore(block, size, key, keyLen, lsn);
    if (!ready) return DAMAGED;
    begun = true;
    const status = walkTo(keys, i);
    if (status < 0) return status;
    // All that follow are behind the block, too.
    if (status == OVER) return found;
    found += status;
  }
  return found;
}

/** What a walk comes to besides DAMAGED and NO_MEMORY. */
export const ABSENT: i32 = 0;
export const FOUND: i32 = 1;
export const OVER: i32 = 2;

/** Walks on to where the version of key i stands or would stand, and resolves it. */
export function walkTo(keys: usize, i: u32): i32 {
  const key = keyAt(keys, i);
  const keyLen = keySizeAt(keys, i);
  const lsn = lsnOf(keys);
  while (order(key, keyLen, lsn) < 0) {
    if (!step()) return damaged ? DAMAGED : OVER;
  }
  if (compareKeys(KEY, keySizeRead, key, keyLen) != 0) return ABSENT;
  const value = resolve(keys, i, stampRead, valueSizeRead());
  if (value == 0) return NO_MEMORY;
  writeValue(value);
  return FOUND;
}
