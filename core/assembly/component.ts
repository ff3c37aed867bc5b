/**
 * The functions of core.wit in the canonical ABI: lists arrive as (address, count), one number is returned as it is,
 * all else as the address of a record that the host reads before it calls the post-return function.
 *
 *     result<u32>          | 0 ok, 1 error (u8), pad (3) | value (4) |
 *     result<list<T>>      | 0 ok, 1 error (u8), pad (3) | address (4) | count (4) |
 *
 * core/build.mjs exports `hash__xxh64_many` as `transfer-queue:core/hash@0.1.0#xxh64-many`, and with each function that
 * returns an i32 the post-return function `release`.
 */
import { bits_clear, bits_set, bits_test, range_clear, range_count, range_set } from './bitmap';
import { BODY_STATE_SIZE, body_finish, body_init, body_update, BLOCK_SIZE } from './body';
import { allocate, release } from './canonical';
import { page_alloc, page_free, pages_used, PAGE_BITS, PAGE_SIZE } from './pages';
import { rendezvous, shard_of_bytes, shards_of_ids } from './routing';
import { count_ready, scan_groups, scan_ready } from './scan';
import { check_offsets_32, firstBadOffset64, gather, rebase_offsets } from './slices';
import { xxh64, XXH64_STATE_SIZE, xxh64_digest, xxh64_init, xxh64_many, xxh64_update } from './xxh64';

/** The largest record that a function returns. */
const RECORD_SIZE: usize = 32;

function failed(error: u8 = 0): usize {
  const record = allocate(RECORD_SIZE);
  store<u8>(record, 1);
  store<u8>(record, error, 4);
  return record;
}

/** result<u32> of a status: negative is an error. */
function counted(status: i32): usize {
  if (status < 0) return failed();
  const record = allocate(RECORD_SIZE);
  store<u8>(record, 0);
  store<i32>(record, status, 4);
  return record;
}

function listed(address: usize, count: u32): usize {
  const record = allocate(RECORD_SIZE);
  store<u8>(record, 0);
  store<usize>(record, address, 4);
  store<u32>(record, count, 8);
  return record;
}

function wide(value: u64): usize {
  const record = allocate(RECORD_SIZE);
  store<u8>(record, 0);
  store<u64>(record, value, 8);
  return record;
}

/** A bare list, as a function without an error returns it. */
function bare(address: usize, count: u32): usize {
  const record = allocate(RECORD_SIZE);
  store<usize>(record, address, 0);
  store<u32>(record, count, 4);
  return record;
}

function insideAll(size: u32, starts: usize, lens: usize, n: u32): bool {
  for (let i: u32 = 0; i < n; i++) {
    const at = (<usize>i) << 2;
    if (<u64>load<u32>(starts + at) + load<u32>(lens + at) > size) return false;
  }
  return true;
}

// ---- hash

export function hash__xxh64(data: usize, size: u32, seed: u64): u64 {
  const hash = xxh64(data, size, seed);
  release(0);
  return hash;
}

export function hash__xxh64_many(
  data: usize,
  size: u32,
  starts: usize,
  startCount: u32,
  lens: usize,
  lenCount: u32,
  seed: u64,
): usize {
  if (startCount != lenCount || !insideAll(size, starts, lens, lenCount)) return failed();
  const out = allocate((<usize>lenCount) << 3);
  xxh64_many(data, starts, lens, lenCount, seed, out);
  return listed(out, lenCount);
}

export function hash__xxh64_init(seed: u64): usize {
  const state = allocate(XXH64_STATE_SIZE);
  xxh64_init(state, seed);
  return bare(state, XXH64_STATE_SIZE);
}

export function hash__xxh64_update(state: usize, stateSize: u32, data: usize, size: u32): usize {
  if (stateSize != XXH64_STATE_SIZE) return failed();
  xxh64_update(state, data, size);
  return listed(state, stateSize);
}

export function hash__xxh64_digest(state: usize, stateSize: u32): usize {
  return stateSize == XXH64_STATE_SIZE ? wide(xxh64_digest(state)) : failed();
}

export function hash__body_init(): usize {
  const state = allocate(BODY_STATE_SIZE);
  body_init(state);
  return bare(state, BODY_STATE_SIZE);
}

export function hash__body_update(state: usize, stateSize: u32, data: usize, size: u32): usize {
  if (stateSize != BODY_STATE_SIZE) return failed();
  const blocks = allocate((<usize>size / BLOCK_SIZE + 1) << 3);
  const closed = body_update(state, data, size, blocks);
  const record = listed(state, stateSize);
  store<usize>(record, blocks, 12);
  store<u32>(record, closed, 16);
  return record;
}

export function hash__body_finish(state: usize, stateSize: u32): usize {
  if (stateSize != BODY_STATE_SIZE) return failed();
  const hashes = allocate(16);
  const closed = body_finish(state, hashes);
  const record = allocate(RECORD_SIZE);
  store<u8>(record, 0);
  store<usize>(record, hashes, 8);
  store<u32>(record, closed, 12);
  store<u64>(record, load<u64>(hashes + ((<usize>closed) << 3)), 16);
  return record;
}

// ---- routing

export function routing__shards_of_ids(ids: usize, count: u32, groupSize: u64, shards: u32): usize {
  const out = allocate((<usize>count) << 2);
  return shards_of_ids(ids, count, groupSize, shards, out) < 0 ? failed() : listed(out, count);
}

export function routing__shard_of_bytes(key: usize, size: u32, shards: u32): usize {
  return counted(shard_of_bytes(key, size, shards));
}

export function routing__rendezvous(shards: usize, count: u32, hashes: usize, nodes: u32, k: u32): usize {
  // Checked before the allocation, which k alone could make huge.
  if (k > nodes) return failed();
  const out = allocate((<usize>count * k) << 2);
  return rendezvous(shards, count, hashes, nodes, k, out) < 0 ? failed() : listed(out, count * k);
}

// ---- bitmaps

/** Hosts of the component name pages by number; a number that can not be a page must not reach memory. */
function isPage(page: usize): bool {
  return page >= __heap_base && page % PAGE_SIZE == 0 && page <= ((<usize>memory.size()) << 16) - PAGE_SIZE;
}

function arePages(pages: usize, count: u32): bool {
  for (let i: u32 = 0; i < count; i++) {
    const page = <usize>load<u32>(pages + ((<usize>i) << 2));
    if (page != 0 && !isPage(page)) return false;
  }
  return true;
}

export function bitmaps__page_alloc(): usize {
  const page = page_alloc();
  return page == 0 ? failed() : counted(<i32>page);
}

export function bitmaps__page_free(page: usize): u32 {
  if (!isPage(page)) return 1;
  page_free(page);
  return 0;
}

export function bitmaps__pages_used(): u32 {
  return pages_used();
}

export function bitmaps__bits_set(page: usize, slots: usize, count: u32): usize {
  return isPage(page) ? counted(bits_set(page, slots, count)) : failed();
}

export function bitmaps__bits_clear(page: usize, slots: usize, count: u32): usize {
  return isPage(page) ? counted(bits_clear(page, slots, count)) : failed();
}

export function bitmaps__bits_test(page: usize, slots: usize, count: u32): usize {
  const out = allocate(count);
  return isPage(page) && bits_test(page, slots, count, out) >= 0 ? listed(out, count) : failed();
}

export function bitmaps__range_set(page: usize, start: u32, count: u32): usize {
  return isPage(page) ? counted(range_set(page, start, count)) : failed();
}

export function bitmaps__range_clear(page: usize, start: u32, count: u32): usize {
  return isPage(page) ? counted(range_clear(page, start, count)) : failed();
}

export function bitmaps__range_count(page: usize, start: u32, count: u32): usize {
  return isPage(page) ? counted(range_count(page, start, count)) : failed();
}

export function bitmaps__scan_ready(
  ands: usize,
  nAnd: u32,
  nots: usize,
  nNot: u32,
  from: u32,
  bits: u32,
  limit: u32,
): usize {
  if (!arePages(ands, nAnd) || !arePages(nots, nNot)) return failed();
  const out = allocate((<usize>min<u32>(limit, PAGE_BITS)) << 2);
  const found = scan_ready(ands, nAnd, nots, nNot, from, bits, limit, out);
  return found < 0 ? failed() : listed(out, found);
}

export function bitmaps__scan_groups(
  ands: usize,
  nAnd: u32,
  nots: usize,
  nNot: u32,
  from: u32,
  bits: u32,
  groupSize: u32,
  limit: u32,
): usize {
  if (!arePages(ands, nAnd) || !arePages(nots, nNot)) return failed();
  const out = allocate((<usize>min<u32>(limit, PAGE_BITS)) << 2);
  const found = scan_groups(ands, nAnd, nots, nNot, from, bits, groupSize, limit, out);
  return found < 0 ? failed() : listed(out, found);
}

export function bitmaps__count_ready(ands: usize, nAnd: u32, nots: usize, nNot: u32, from: u32, bits: u32): usize {
  const known = arePages(ands, nAnd) && arePages(nots, nNot);
  return known ? counted(count_ready(ands, nAnd, nots, nNot, from, bits)) : failed();
}

// ---- slices

export function slices__gather(
  source: usize,
  size: u32,
  starts: usize,
  startCount: u32,
  lens: usize,
  lenCount: u32,
): usize {
  if (startCount != lenCount || !insideAll(size, starts, lens, lenCount)) return failed();
  let total: u64 = 0;
  for (let i: u32 = 0; i < lenCount; i++) total += load<u32>(lens + ((<usize>i) << 2));
  if (total > <u64>i32.MAX_VALUE) return failed();
  const out = allocate(<usize>total);
  return listed(out, gather(source, size, starts, lens, lenCount, out, <u32>total));
}

/** Order of the enum rebase-error. */
const ROW_OUT_OF_RANGE: u8 = 0;
const TOO_LARGE: u8 = 1;

export function slices__rebase_offsets(offsets: usize, offsetCount: u32, rows: usize, rowCount: u32): usize {
  if (offsetCount == 0 && rowCount > 0) return failed(ROW_OUT_OF_RANGE);
  const size = (<usize>rowCount) << 2;
  const outOffsets = allocate(size + 4);
  const starts = allocate(size);
  const lens = allocate(size);
  const total = rebase_offsets(offsets, offsetCount - 1, rows, rowCount, outOffsets, starts, lens);
  if (total < 0) return failed(total == -1 ? ROW_OUT_OF_RANGE : TOO_LARGE);
  const record = listed(outOffsets, rowCount + 1);
  store<usize>(record, starts, 12);
  store<u32>(record, rowCount, 16);
  store<usize>(record, lens, 20);
  store<u32>(record, rowCount, 24);
  return record;
}

/** option<u32>: 0 none, 1 some. */
function optional(index: i32): usize {
  const record = allocate(RECORD_SIZE);
  store<u8>(record, index < 0 ? 0 : 1);
  store<i32>(record, index, 4);
  return record;
}

export function slices__check_offsets_s32(offsets: usize, count: u32, limit: i32): usize {
  return optional(check_offsets_32(offsets, count, limit));
}

export function slices__check_offsets_s64(offsets: usize, count: u32, limit: i64): usize {
  return optional(firstBadOffset64(offsets, count, limit));
}
