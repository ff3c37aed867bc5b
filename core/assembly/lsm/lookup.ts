/**
 * A batch of keys to look up: sorted once, then asked of memtables, filters and blocks until each is resolved.
 *
 *     keys      | arena ... | capacity | pending count | addresses | results | pending | groups | maybe | hashes | ...
 *     address   | key size u8 | key |                                  u32 per key, in the order of the host
 *     result    | kind u32 | value address u32 | value size u32 | - | LSN f64 |            per key, kind 0: none yet
 *     pending   u32 per position: the key's number; positions are in order of the keys' bytes
 *     maybe     u8 per position: 0 when a filter says that the key is not there
 *
 * Invariants: a value that is found is copied into the arena; positions change only in `keys_settle`.
 */
import { allocPiece, ARENA_FIELDS, arena_free, createArena } from './arena';
import { copyBytes } from './bytes';
import { DELETE, findVersion, PUT, stampOf, valueOf, valueSizeOf } from './memtable';
import { sortKeys } from './sort';
import { xxh64 } from '../xxh64';

const CHUNK_CLASS: u32 = 0;
const COUNT: usize = ARENA_FIELDS;
const PENDING_COUNT: usize = ARENA_FIELDS + 4;
const ADDRESSES: usize = ARENA_FIELDS + 8;
const RESULTS: usize = ARENA_FIELDS + 12;
const PENDING: usize = ARENA_FIELDS + 16;
const GROUPS: usize = ARENA_FIELDS + 20;
const MAYBE: usize = ARENA_FIELDS + 24;
const HASHES: usize = ARENA_FIELDS + 28;
const HASHED: usize = ARENA_FIELDS + 32;
const LSN: usize = ARENA_FIELDS + 36;
const KEYS_SIZE: u32 = 64;

const RESULT_SIZE: u32 = 24;
const VALUE_AT: usize = 4;
const VALUE_SIZE: usize = 8;
const RESULT_LSN: usize = 16;
/** A group of positions with one index entry: from, to, and its three numbers. */
export const GROUP_SIZE: u32 = 20;

export const NO_MEMORY: i32 = -2;

// ---- what searches use

export function keyAt(keys: usize, i: u32): usize {
  return load<usize>(load<usize>(keys, ADDRESSES) + ((<usize>i) << 2)) + 1;
}

export function keySizeAt(keys: usize, i: u32): u32 {
  return load<u8>(load<usize>(load<usize>(keys, ADDRESSES) + ((<usize>i) << 2)));
}

/** The number of the key at a position. */
export function pendingAt(keys: usize, position: u32): u32 {
  return load<u32>(load<usize>(keys, PENDING) + ((<usize>position) << 2));
}

export function lsnOf(keys: usize): u64 {
  return load<u64>(keys, LSN);
}

export function groupAt(keys: usize, i: u32): usize {
  return load<usize>(keys, GROUPS) + <usize>i * GROUP_SIZE;
}

export function isMaybe(keys: usize, position: u32): bool {
  return load<u8>(load<usize>(keys, MAYBE) + position) != 0;
}

export function setMaybe(keys: usize, position: u32, maybe: bool): void {
  store<u8>(load<usize>(keys, MAYBE) + position, maybe);
}

/** Whether [from, to) are positions of pending keys. */
export function arePositions(keys: usize, from: u32, to: u32): bool {
  return from <= to && to <= load<u32>(keys, PENDING_COUNT);
}

function resultAt(keys: usize, i: u32): usize {
  return load<usize>(keys, RESULTS) + <usize>i * RESULT_SIZE;
}

export function isResolved(keys: usize, i: u32): bool {
  return load<u32>(resultAt(keys, i)) != 0;
}

/** Room for the value of key i, which becomes its result; 0 without memory. */
export function resolve(keys: usize, i: u32, stamp: u64, size: u32): usize {
  const value = allocPiece(keys, size + 8);
  if (value == 0) return 0;
  const result = resultAt(keys, i);
  store<u32>(result, stamp & 1 ? DELETE : PUT);
  store<usize>(result, value, VALUE_AT);
  store<u32>(result, size, VALUE_SIZE);
  store<f64>(result, <f64>(stamp >> 1), RESULT_LSN);
  return value;
}

/** The hash of key i, made when a filter first asks for one. */
export function hashAt(keys: usize, i: u32): u64 {
  const hashes = load<usize>(keys, HASHES);
  if (load<u32>(keys, HASHED) == 0) {
    const count = load<u32>(keys, PENDING_COUNT);
    for (let position: u32 = 0; position < count; position++) {
      const j = pendingAt(keys, position);
      store<u64>(hashes + ((<usize>j) << 3), xxh64(keyAt(keys, j), keySizeAt(keys, j), 0));
    }
    store<u32>(keys, 1, HASHED);
  }
  return load<u64>(hashes + ((<usize>i) << 3));
}

// ---- making

/** A batch for up to `capacity` keys that looks for versions up to `lsn`; 0 without memory. */
export function keys_create(lsn: f64, capacity: u32): usize {
  const keys = createArena(CHUNK_CLASS, KEYS_SIZE);
  if (keys == 0) return 0;
  store<u64>(keys, <u64>lsn, LSN);
  const made =
    allocArray(keys, ADDRESSES, capacity * 4) &&
    allocArray(keys, RESULTS, capacity * RESULT_SIZE) &&
    allocArray(keys, PENDING, capacity * 4) &&
    allocArray(keys, GROUPS, capacity * GROUP_SIZE) &&
    allocArray(keys, MAYBE, capacity) &&
    allocArray(keys, HASHES, capacity * 8);
  if (made) return keys;
  arena_free(keys);
  return 0;
}

function allocArray(keys: usize, field: usize, size: u32): bool {
  const array = allocPiece(keys, size);
  store<usize>(keys + field, array);
  if (array != 0) memory.fill(array, 0, size);
  return array != 0;
}

/** Room for one more key, whose bytes the caller writes behind its size; 0 without memory. */
function addKey(keys: usize, keyLen: u32): usize {
  // Keys are read in words.
  const at = allocPiece(keys, keyLen + 9);
  if (at == 0) return 0;
  const i = load<u32>(keys, COUNT);
  store<u8>(at, keyLen);
  store<usize>(load<usize>(keys, ADDRESSES) + ((<usize>i) << 2), at);
  store<u32>(keys, i + 1, COUNT);
  return at + 1;
}

/** Adds n keys that stand one behind the other, each behind its size; 0, or NO_MEMORY. */
export function keys_add(keys: usize, packed: usize, n: u32): i32 {
  for (let i: u32 = 0; i < n; i++) {
    const size: u32 = load<u8>(packed);
    const key = addKey(keys, size);
    if (key == 0) return NO_MEMORY;
    copyBytes(key, packed + 1, size);
    packed += 1 + size;
  }
  return 0;
}

/** Adds the keys prefix + big-endian u64 of n ids (f64 array); 0, or NO_MEMORY. */
export function keys_add_rows(keys: usize, prefix: usize, prefixLen: u32, ids: usize, n: u32): i32 {
  for (let i: u32 = 0; i < n; i++) {
    const key = addKey(keys, prefixLen + 8);
    if (key == 0) return NO_MEMORY;
    copyBytes(key, prefix, prefixLen);
    store<u64>(key + prefixLen, bswap<u64>(<u64>load<f64>(ids + ((<usize>i) << 3))));
  }
  return 0;
}

/** Ends adding: all keys are pending, in order of their bytes. */
export function keys_sort(keys: usize): void {
  const count = load<u32>(keys, COUNT);
  const pending = load<usize>(keys, PENDING);
  for (let i: u32 = 0; i < count; i++) store<u32>(pending + ((<usize>i) << 2), i);
  // Hashes and groups are not in use yet.
  sortKeys(load<usize>(keys, ADDRESSES), count, pending, load<usize>(keys, HASHES), load<usize>(keys, GROUPS));
  store<u32>(keys, count, PENDING_COUNT);
}

/** Takes resolved keys out of the pending ones; returns how many are left. */
export function keys_settle(keys: usize): u32 {
  const pending = load<usize>(keys, PENDING);
  const count = load<u32>(keys, PENDING_COUNT);
  let left: u32 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const i = pendingAt(keys, position);
    if (isResolved(keys, i)) continue;
    store<u32>(pending + ((<usize>left) << 2), i);
    left++;
  }
  store<u32>(keys, left, PENDING_COUNT);
  return left;
}

/**
 * Copies the values of keys from number `from` on to `out`, one behind the other, as many as fit into `outSize`, which
 * is at least one; returns the number of the first key that was not reached.
 */
export function keys_values(keys: usize, from: u32, out: usize, outSize: u32): u32 {
  const count = load<u32>(keys, COUNT);
  const end = out + outSize;
  for (let i = from; i < count; i++) {
    const result = resultAt(keys, i);
    if (load<u32>(result) != PUT) continue;
    const size = load<u32>(result, VALUE_SIZE);
    if (out + size > end) return i;
    copyBytes(out, load<usize>(result, VALUE_AT), size);
    out += size;
  }
  return count;
}

/** Resolves pending keys from a memtable; returns how many are left, or NO_MEMORY. */
export function memtable_find(table: usize, keys: usize): i32 {
  const count = load<u32>(keys, PENDING_COUNT);
  const lsn = lsnOf(keys);
  for (let position: u32 = 0; position < count; position++) {
    const i = pendingAt(keys, position);
    const version = findVersion(table, keyAt(keys, i), keySizeAt(keys, i), lsn);
    if (version == 0) continue;
    const size = valueSizeOf(version);
    const value = resolve(keys, i, stampOf(version), size);
    if (value == 0) return NO_MEMORY;
    copyBytes(value, valueOf(version), size);
  }
  return keys_settle(keys);
}
