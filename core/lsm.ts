/**
 * The door to the primitives of the LSM tree: memtables, blocks, filters and merges in the memory of a core.wasm of
 * their own.
 */
import { LsmMemory } from './host/lsm_memory.ts';
import { loadCore } from './wasm.ts';

export {
  BLOCK_SIZE_MAX,
  BlockWriter,
  checkBlock,
  checkFilter,
  checkIndex,
  FILTER_KEYS_MAX,
  indexNumbers,
  indexSeek,
} from './host/lsm_block.ts';
export type { FinishedBlock } from './host/lsm_block.ts';
export { BATCH_KEYS_MAX, KeyBatch } from './host/lsm_keys.ts';
export type { BlockItem, Group } from './host/lsm_keys.ts';
export { LsmMemory, LsmMemoryFull, SLOT_SIZE } from './host/lsm_memory.ts';
export { Memtable, Peeked } from './host/lsm_memtable.ts';
export type { PeekedRows, PutRows, RowKeys, RowsOfPut, WriteAt } from './host/lsm_memtable.ts';
export { Merge, MERGE_RUNS_MAX } from './host/lsm_merge.ts';
export type { Keep, MergedEntry, MergeOptions, MergeStep } from './host/lsm_merge.ts';
export { EntryKind, KEY_SIZE_MAX, VALUE_SIZE_MAX } from './host/lsm_pack.ts';

/** A fresh instance of core.wasm for one tree; `source` as for `loadCore`. */
export function createLsmMemory(source?: BufferSource | WebAssembly.Module): LsmMemory {
  return new LsmMemory(loadCore(source).raw);
}
