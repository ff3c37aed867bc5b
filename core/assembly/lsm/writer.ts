/**
 * Builds blocks (see block.ts) entry by entry, and collects the hashes of their keys for a filter.
 *
 *     writer    | arena ... | block | size | open count | filter keys | sizes of first, last and bound key |
 *               | LSNs: first, last, min, max, bound (f64) | entries of the finished block | - |
 *               | first key | last key | bound key | value before | next | ... |
 *
 * bound    lower bound of the block: the shortest key above the last one of the block before and not above the first
 *          one, at the highest LSN; when the block before ends with the same key, this key at the LSN below its last
 *
 * Invariants: an entry that does not fit changes nothing; a finished block stays until the next entry; all that hosts
 * read of it is filled in by `writer_finish`.
 */
import { allocPiece, arena_free, ARENA_FIELDS, createArena } from './arena';
import { GROUP_ENTRIES, LSN_MAX, SHARING_SIZE_MAX, TRAILER_SIZE } from './block';
import { commonPrefix, copyBytes, writeVarint } from './bytes';
import { buildFilter, FILTER_KEYS_MAX } from './filter';
import { DELETE } from './memtable';
import { xxh64 } from '../xxh64';

const CHUNK_CLASS: u32 = 0;
const BLOCK: usize = ARENA_FIELDS;
const SIZE: usize = 24;
const OPEN_COUNT: usize = 28;
const FILTER_KEYS: usize = 32;
const FIRST_KEY_SIZE: usize = 36;
const LAST_KEY_SIZE: usize = 40;
const BOUND_KEY_SIZE: usize = 44;
const FIRST_LSN: usize = 48;
const LAST_LSN: usize = 56;
const LSN_MIN: usize = 64;
const LSN_MAX_SEEN: usize = 72;
const BOUND_LSN: usize = 80;
const COUNT: usize = 88;
/** Where the next entry goes. */
const NEXT: usize = 1120;
const SIZE_MAX: usize = 1124;
const RESTARTS: usize = 1128;
const HASHES: usize = 1132;
const VALUE_SIZE: usize = 1136;
/** Whether there was an entry since the last reset: LAST_KEY is the key before. */
const HAS_BEFORE: usize = 1140;
const WRITER_SIZE: u32 = 1144;
const FIRST_KEY: usize = 96;
const LAST_KEY: usize = 352;
const BOUND_KEY: usize = 608;
/** The value of the entry before when others may share its bytes, and its size; else size 0. */
const VALUE: usize = 864;

/** The longest head of an entry: five varints. */
const HEAD_SIZE_MAX: u32 = 16;
/** No entry is shorter. */
const ENTRY_SIZE_MIN: u32 = 4;

/** A writer of blocks of at most `sizeMax` bytes, or 0. */
export function writer_create(sizeMax: u32): usize {
  const writer = createArena(CHUNK_CLASS, WRITER_SIZE);
  if (writer == 0) return 0;
  const block = allocPiece(writer, sizeMax);
  const restarts = allocPiece(writer, (sizeMax / ENTRY_SIZE_MIN / GROUP_ENTRIES + 1) << 1);
  const hashes = allocPiece(writer, FILTER_KEYS_MAX << 3);
  if (block == 0 || restarts == 0 || hashes == 0) {
    arena_free(writer);
    return 0;
  }
  store<usize>(writer, block, BLOCK);
  store<u32>(writer, sizeMax, SIZE_MAX);
  store<usize>(writer, restarts, RESTARTS);
  store<usize>(writer, hashes, HASHES);
  return writer;
}

/** Forgets the block under way, the keys of the filter and the key before. */
export function writer_reset(writer: usize): void {
  store<u32>(writer, 0, OPEN_COUNT);
  store<u32>(writer, 0, FILTER_KEYS);
  store<u32>(writer, 0, HAS_BEFORE);
}

/** The first entry of a block, of which `common` bytes are those of the last key of the block before. */
function beginBlock(writer: usize, key: usize, keyLen: u32, lsn: f64, common: u32): void {
  store<usize>(writer, load<usize>(writer, BLOCK), NEXT);
  store<u32>(writer, keyLen, FIRST_KEY_SIZE);
  copyBytes(writer + FIRST_KEY, key, keyLen);
  store<f64>(writer, lsn, FIRST_LSN);
  const before = load<f64>(writer, LAST_LSN);
  store<f64>(writer, lsn, LAST_LSN);
  store<f64>(writer, lsn, LSN_MIN);
  store<f64>(writer, lsn, LSN_MAX_SEEN);
  const hasBefore = load<u32>(writer, HAS_BEFORE) != 0;
  const repeats = hasBefore && common == keyLen;
  const boundSize = repeats ? keyLen : hasBefore ? common + 1 : 0;
  store<u32>(writer, boundSize, BOUND_KEY_SIZE);
  copyBytes(writer + BOUND_KEY, key, boundSize);
  store<f64>(writer, repeats ? before - 1 : <f64>LSN_MAX, BOUND_LSN);
}

/** Collects the hash of a key that is not the one before. */
function addHash(writer: usize, key: usize, keyLen: u32): void {
  const n = load<u32>(writer, FILTER_KEYS);
  store<u64>(load<usize>(writer, HASHES) + ((<usize>n) << 3), xxh64(key, keyLen, 0));
  store<u32>(writer, n + 1, FILTER_KEYS);
}

/** Adds an entry, which comes behind the one before; false when the block or the filter has no room for it. */
export function append(writer: usize, key: usize, keyLen: u32, stamp: u64, value: usize, size: u32): bool {
  const open = load<u32>(writer, OPEN_COUNT);
  const lastSize = load<u32>(writer, LAST_KEY_SIZE);
  const hasBefore = load<u32>(writer, HAS_BEFORE) != 0;
  const common = hasBefore ? commonPrefix(writer + LAST_KEY, key, min<u32>(lastSize, keyLen)) : 0;
  const keys = load<u32>(writer, FILTER_KEYS);
  const fresh = keys == 0 || common < keyLen || lastSize != keyLen;
  if (fresh && keys == FILTER_KEYS_MAX) return false;
  const restart = open % GROUP_ENTRIES == 0;
  const shared = restart ? 0 : common;
  const sharable = restart || size > SHARING_SIZE_MAX ? 0 : min<u32>(load<u32>(writer, VALUE_SIZE), size);
  const valueShared = commonPrefix(writer + VALUE, value, sharable);
  const lsn = <f64>(stamp >> 1);
  if (open == 0) {
    beginBlock(writer, key, keyLen, lsn, common);
  } else {
    const groups = open / GROUP_ENTRIES + 1;
    const used = load<usize>(writer, NEXT) - load<usize>(writer, BLOCK);
    const needed = HEAD_SIZE_MAX + keyLen - shared + size - valueShared + 2 * groups + TRAILER_SIZE;
    if (used + needed > load<u32>(writer, SIZE_MAX)) return false;
  }
  if (restart) beginGroup(writer, open / GROUP_ENTRIES);
  writeEntry(writer, key, keyLen, shared, stamp, value, size, valueShared);
  if (fresh) addHash(writer, key, keyLen);
  store<u32>(writer, open + 1, OPEN_COUNT);
  store<u32>(writer, 1, HAS_BEFORE);
  return true;
}

/** Whether a key is that of the entry before. */
export function follows(writer: usize, key: usize, keyLen: u32): bool {
  const lastSize = load<u32>(writer, LAST_KEY_SIZE);
  return (
    load<u32>(writer, HAS_BEFORE) != 0 && lastSize == keyLen && commonPrefix(writer + LAST_KEY, key, keyLen) == keyLen
  );
}

function beginGroup(writer: usize, group: u32): void {
  const start = load<usize>(writer, NEXT) - load<usize>(writer, BLOCK);
  store<u16>(load<usize>(writer, RESTARTS) + ((<usize>group) << 1), <u32>start);
  store<f64>(writer, load<f64>(writer, FIRST_LSN), LAST_LSN);
}

function writeEntry(
  writer: usize,
  key: usize,
  keyLen: u32,
  shared: u32,
  stamp: u64,
  value: usize,
  size: u32,
  valueShared: u32,
): void {
  const lsn = <f64>(stamp >> 1);
  const delta = <i64>(lsn - load<f64>(writer, LAST_LSN));
  const isDelete = stamp & 1;
  let next = writeVarint(load<usize>(writer, NEXT), shared);
  next = writeVarint(next, keyLen - shared);
  next = writeVarint(next, ((<u64>((delta << 1) ^ (delta >> 63))) << 1) | isDelete);
  if (isDelete == 0) {
    next = writeVarint(next, valueShared);
    next = writeVarint(next, size - valueShared);
  }
  copyBytes(next, key + shared, keyLen - shared);
  next += keyLen - shared;
  copyBytes(next, value + valueShared, size - valueShared);
  store<usize>(writer, next + size - valueShared, NEXT);
  copyBytes(writer + LAST_KEY + shared, key + shared, keyLen - shared);
  store<u32>(writer, keyLen, LAST_KEY_SIZE);
  if (size <= SHARING_SIZE_MAX) copyBytes(writer + VALUE + valueShared, value + valueShared, size - valueShared);
  store<u32>(writer, size <= SHARING_SIZE_MAX ? size : 0, VALUE_SIZE);
  store<f64>(writer, lsn, LAST_LSN);
  store<f64>(writer, min<f64>(lsn, load<f64>(writer, LSN_MIN)), LSN_MIN);
  store<f64>(writer, max<f64>(lsn, load<f64>(writer, LSN_MAX_SEEN)), LSN_MAX_SEEN);
}

/** Adds a packed entry (see tables.ts); 1, or 0 when the block or the filter is full. */
export function writer_add(writer: usize, packed: usize, lsn: f64): u32 {
  const keyLen: u32 = load<u8>(packed);
  const stamp = ((<u64>lsn) << 1) | (<u64>(load<u8>(packed, 1) == DELETE));
  const key = packed + 4;
  return append(writer, key, keyLen, stamp, key + keyLen, load<u16>(packed, 2)) ? 1 : 0;
}

/** Closes the block under way; returns its size, 0 when it has no entry. */
export function writer_finish(writer: usize): u32 {
  const count = load<u32>(writer, OPEN_COUNT);
  if (count == 0) return 0;
  const groups = (count + GROUP_ENTRIES - 1) / GROUP_ENTRIES;
  const restarts = load<usize>(writer, NEXT);
  memory.copy(restarts, load<usize>(writer, RESTARTS), (<usize>groups) << 1);
  const trailer = restarts + ((<usize>groups) << 1);
  store<u16>(trailer, count);
  store<u16>(trailer, groups, 2);
  store<u64>(trailer, <u64>load<f64>(writer, FIRST_LSN), 4);
  const size = <u32>(trailer - load<usize>(writer, BLOCK)) + TRAILER_SIZE;
  store<u32>(writer, size, SIZE);
  store<u32>(writer, count, COUNT);
  store<u32>(writer, 0, OPEN_COUNT);
  return size;
}

/** Writes the filter of the keys since the last one to `out` (a slot), forgets them, and returns its size. */
export function writer_filter(writer: usize, out: usize): u32 {
  const size = buildFilter(load<usize>(writer, HASHES), load<u32>(writer, FILTER_KEYS), out);
  store<u32>(writer, 0, FILTER_KEYS);
  return size;
}
