/**
 * The exports of core.wasm: batched functions over linear memory, no managed objects, no imports.
 *
 *     memory   | 1 KiB reserved: 0 is no address | statics | SCRATCH: windows, arguments | bitmap pages, regions ... |
 *
 * Hosts place arguments anywhere in SCRATCH and read results from there. Pointers are addresses, lengths and counts are
 * u32. A bad argument is a status (-1), never a trap.
 */
export {
  xxh64,
  xxh64_store,
  xxh64_many,
  xxh64_init,
  xxh64_update,
  xxh64_digest,
  xxh64_digest_store,
  XXH64_STATE_SIZE,
} from './xxh64';
export { body_init, body_update, body_finish, BODY_STATE_SIZE } from './body';
export { shards_of_ids, shards_of_numbers, shard_of_bytes, rendezvous, NODES_MAX } from './routing';
export { chances_of_ids } from './random';
export { page_alloc, page_free, pages_used, PAGE_SIZE, PAGE_BITS } from './pages';
export { bits_set, bits_clear, bits_test, range_set, range_clear, range_count, popcount } from './bitmap';
export { scan_ready, scan_groups, count_ready } from './scan';
export { gather, rebase_offsets, check_offsets_32, check_offsets_64 } from './slices';
export { region_alloc, region_free } from './lsm/regions';
export { arena_free } from './lsm/arena';
export { memtable_create } from './lsm/memtable';
export { memtable_put, memtable_put_rows, memtable_get, memtable_peek_rows } from './lsm/tables';
export { keys_create, keys_add, keys_add_rows, keys_sort, keys_settle, keys_values, memtable_find } from './lsm/lookup';
export { block_search } from './lsm/search';
export { blocks_search } from './lsm/search_many';
export { block_check } from './lsm/check';
export { index_check, index_numbers, index_search, index_seek } from './lsm/index_block';
export { filter_check, filter_probe } from './lsm/filter';
export { writer_create, writer_add, writer_finish, writer_reset, writer_filter } from './lsm/writer';
export { merge_create, merge_range, merge_table, merge_feed, merge_finish } from './lsm/merge';
export { merge_keep, merge_write } from './lsm/merge_write';
export { merge_read } from './lsm/merge_read';

export const SCRATCH_SIZE: u32 = 1 << 19;
export const SCRATCH: usize = memory.data(1 << 19, 64);

export * from './component';
export { cabi_realloc } from './canonical';
export { release } from './canonical';
