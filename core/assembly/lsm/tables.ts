/**
 * The exports of memtables that take their arguments packed: many entries, or all rows of a put, in one crossing.
 *
 *     packed    | key size u8 | kind u8 | value size u16 | key | value |  one behind the other
 *     row       | id f64 | batch f64 | ordinal f64 | LSN f64 |        one behind the other
 *               key prefix + big-endian u64 of the id, value varint(batch) varint(ordinal)
 *     peeked    | size u32 per row, DELETED or UNKNOWN | value | ...
 */
import { copyBytes, writeVarint } from './bytes';
import { beginKeys, DELETE, findNext, findVersion, put, PUT, stampOf, valueOf, valueSizeOf } from './memtable';

/** The longest row key and the longest row value, and what copies in words may write behind them. */
const ROW_KEY: usize = memory.data(264, 8);
const ROW_VALUE: usize = memory.data(32, 8);
const ROW_KEY_SIZE_MAX: u32 = 255;

const PACKED_KIND: usize = 1;
const PACKED_VALUE_SIZE: usize = 2;
const PACKED_HEAD: usize = 4;

const ROW_BATCH: usize = 8;
const ROW_ORDINAL: usize = 16;
const ROW_LSN: usize = 24;
const ROW_SIZE: usize = 32;

/** Instead of the size of a value. */
const DELETED: u32 = 0xffff_fffe;
const UNKNOWN: u32 = 0xffff_ffff;

/** Puts n packed entries at one LSN; returns how many it could: fewer when memory ends. */
export function memtable_put(table: usize, packed: usize, n: u32, lsn: f64, keepLsn: f64): u32 {
  beginKeys();
  for (let i: u32 = 0; i < n; i++) {
    const keyLen: u32 = load<u8>(packed);
    const stamp = ((<u64>lsn) << 1) | (<u64>(load<u8>(packed, PACKED_KIND) == DELETE));
    const size: u32 = load<u16>(packed, PACKED_VALUE_SIZE);
    const key = packed + PACKED_HEAD;
    const value = key + keyLen;
    if (!put(table, key, keyLen, stamp, value, size, <u64>keepLsn)) return i;
    packed = value + size;
  }
  return n;
}

/** Puts n rows, in the order of their LSNs; returns how many it could. */
export function memtable_put_rows(table: usize, prefix: usize, prefixLen: u32, rows: usize, n: u32, keepLsn: f64): u32 {
  const keyLen = prefixLen + 8;
  if (keyLen > ROW_KEY_SIZE_MAX) return 0;
  copyBytes(ROW_KEY, prefix, prefixLen);
  beginKeys();
  for (let i: u32 = 0; i < n; i++) {
    const row = rows + <usize>i * ROW_SIZE;
    store<u64>(ROW_KEY + prefixLen, bswap<u64>(<u64>load<f64>(row)));
    const afterBatch = writeVarint(ROW_VALUE, <u64>load<f64>(row, ROW_BATCH));
    const size = <u32>(writeVarint(afterBatch, <u64>load<f64>(row, ROW_ORDINAL)) - ROW_VALUE);
    const stamp = (<u64>load<f64>(row, ROW_LSN)) << 1;
    if (!put(table, ROW_KEY, keyLen, stamp, ROW_VALUE, size, <u64>keepLsn)) return i;
  }
  return n;
}

/** The kind of the version that `lsn` sees, 0 when there is none; address and size of its value (u32) go to `out`. */
export function memtable_get(table: usize, key: usize, keyLen: u32, lsn: f64, out: usize): u32 {
  const version = findVersion(table, key, keyLen, <u64>lsn);
  if (version == 0) return 0;
  store<usize>(out, valueOf(version));
  store<u32>(out, valueSizeOf(version), 4);
  return stampOf(version) & 1 ? DELETE : PUT;
}

/**
 * The newest versions of the rows of n ids (f64 array): those of `newer`, else of `older` when that is not 0. Returns
 * how many rows it reached before `outSize` bytes behind the sizes were full.
 */
export function memtable_peek_rows(
  newer: usize,
  older: usize,
  prefix: usize,
  prefixLen: u32,
  ids: usize,
  n: u32,
  out: usize,
  outSize: u32,
): u32 {
  const keyLen = prefixLen + 8;
  if (keyLen > ROW_KEY_SIZE_MAX) return 0;
  copyBytes(ROW_KEY, prefix, prefixLen);
  let at = out + ((<usize>n) << 2);
  const end = at + outSize;
  beginKeys();
  for (let i: u32 = 0; i < n; i++) {
    store<u64>(ROW_KEY + prefixLen, bswap<u64>(<u64>load<f64>(ids + ((<usize>i) << 3))));
    let version = findNext(newer, ROW_KEY, keyLen);
    if (version == 0 && older != 0) version = findVersion(older, ROW_KEY, keyLen, u64.MAX_VALUE);
    let size = UNKNOWN;
    if (version != 0) {
      size = stampOf(version) & 1 ? DELETED : valueSizeOf(version);
      if (size != DELETED) {
        if (at + size > end) return i;
        copyBytes(at, valueOf(version), size);
        at += size;
      }
    }
    store<u32>(out + ((<usize>i) << 2), size);
  }
  return n;
}
