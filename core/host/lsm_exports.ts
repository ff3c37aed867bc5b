/** The exports of core/assembly/lsm/: addresses, sizes, counts and statuses are numbers, LSNs are f64. */
export interface LsmExports {
  region_alloc(sizeClass: number): number;
  region_free(address: number, sizeClass: number): void;
  arena_free(arena: number): void;

  memtable_create(): number;
  memtable_put(table: number, packed: number, n: number, lsn: number, keepLsn: number): number;
  memtable_put_rows(table: number, prefix: number, prefixLen: number, rows: number, n: number, keepLsn: number): number;
  memtable_get(table: number, key: number, keyLen: number, lsn: number, out: number): number;
  memtable_peek_rows(
    newer: number,
    older: number,
    prefix: number,
    prefixLen: number,
    ids: number,
    n: number,
    out: number,
    outSize: number,
  ): number;
  memtable_find(table: number, keys: number): number;

  keys_create(lsn: number, capacity: number): number;
  keys_add(keys: number, packed: number, n: number): number;
  keys_add_rows(keys: number, prefix: number, prefixLen: number, ids: number, n: number): number;
  keys_sort(keys: number): void;
  keys_settle(keys: number): number;
  keys_values(keys: number, from: number, out: number, outSize: number): number;

  filter_probe(keys: number, from: number, to: number, filter: number, size: number): number;
  index_search(keys: number, from: number, to: number, block: number, size: number): number;
  block_search(keys: number, from: number, to: number, block: number, size: number): number;
  blocks_search(keys: number, items: number, n: number): number;
  block_check(block: number, size: number): number;
  index_check(block: number, size: number): number;
  filter_check(filter: number, size: number): number;
  index_numbers(block: number, size: number, out: number): number;
  index_seek(block: number, size: number, key: number, keyLen: number, lsn: number): number;

  writer_create(sizeMax: number): number;
  writer_add(writer: number, packed: number, lsn: number): number;
  writer_finish(writer: number): number;
  writer_reset(writer: number): void;
  writer_filter(writer: number, out: number): number;

  merge_create(runs: number, reverse: number): number;
  merge_range(merge: number, start: number, startLen: number, end: number, endLen: number): void;
  merge_table(merge: number, run: number, table: number): void;
  merge_feed(merge: number, run: number, block: number, size: number): number;
  merge_finish(merge: number, run: number): void;
  merge_keep(merge: number, snapshots: number, n: number, bottom: number): number;
  merge_write(merge: number, writer: number, budget: number): number;
  merge_read(merge: number, lsn: number, out: number, outSize: number, budget: number): number;
}
