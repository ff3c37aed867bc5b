/**
 * One instance of core.wasm with views over its memory; everything else in this folder stands on it.
 *
 *     SCRATCH (512 KiB)  | 0: state | 256: results | 4 KiB: window or arguments ............ |
 *
 * Invariants: a view dies when the memory grows (of what stands here, only `page_alloc` grows it), so views are taken
 * anew for each call and never kept; nothing in SCRATCH outlives the call that wrote it.
 */

import type { LsmExports } from './lsm_exports.ts';

/** The exports of core/assembly/index.ts; pointers, lengths and statuses are numbers, u64 is bigint. */
export interface CoreExports extends LsmExports {
  readonly memory: WebAssembly.Memory;
  readonly SCRATCH: WebAssembly.Global;
  readonly SCRATCH_SIZE: WebAssembly.Global;
  xxh64(ptr: number, len: number, seed: bigint): bigint;
  xxh64_store(ptr: number, len: number, seed: bigint, out: number): void;
  xxh64_many(base: number, offsets: number, lens: number, n: number, seed: bigint, out: number): void;
  xxh64_init(state: number, seed: bigint): void;
  xxh64_update(state: number, ptr: number, len: number): void;
  xxh64_digest(state: number): bigint;
  xxh64_digest_store(state: number, out: number): void;
  body_init(state: number): void;
  body_update(state: number, ptr: number, len: number, out: number): number;
  body_finish(state: number, out: number): number;
  shards_of_ids(ids: number, n: number, groupSize: bigint, shards: number, out: number): number;
  shards_of_numbers(ids: number, n: number, groupSize: number, shards: number, out: number): number;
  shard_of_bytes(ptr: number, len: number, shards: number): number;
  rendezvous(shards: number, count: number, nodeHashes: number, n: number, k: number, out: number): number;
  chances_of_ids(seed: number, ids: number, n: number, out: number): void;
  page_alloc(): number;
  page_free(page: number): void;
  pages_used(): number;
  bits_set(page: number, slots: number, n: number): number;
  bits_clear(page: number, slots: number, n: number): number;
  bits_test(page: number, slots: number, n: number, out: number): number;
  range_set(page: number, from: number, count: number): number;
  range_clear(page: number, from: number, count: number): number;
  range_count(page: number, from: number, count: number): number;
  popcount(page: number): number;
  scan_ready(...scan: [...ScanArguments, limit: number, out: number]): number;
  scan_groups(...scan: [...ScanArguments, groupSize: number, limit: number, out: number]): number;
  count_ready(...scan: ScanArguments): number;
  gather(src: number, srcLen: number, starts: number, lens: number, n: number, dst: number, dstLen: number): number;
  rebase_offsets(
    offsets: number,
    count: number,
    rows: number,
    n: number,
    outOffsets: number,
    outStarts: number,
    outLens: number,
  ): number;
  check_offsets_32(offsets: number, n: number, limit: number): number;
  check_offsets_64(offsets: number, n: number, limit: number): number;
}

export type ScanArguments = [ands: number, nAnd: number, nots: number, nNot: number, from: number, bits: number];

const RESULTS_AT = 256;
const WINDOW_AT = 4096;

export class CoreInstance {
  readonly raw: CoreExports;
  /** Addresses of the areas of SCRATCH. */
  readonly state: number;
  readonly results: number;
  readonly window: number;
  /** Bytes from `window` to the end of SCRATCH. */
  readonly windowSize: number;
  #bytes: Uint8Array;
  #words: Uint32Array;

  constructor(module: WebAssembly.Module) {
    this.raw = new WebAssembly.Instance(module).exports as unknown as CoreExports;
    const scratch = Number(this.raw.SCRATCH.value);
    this.state = scratch;
    this.results = scratch + RESULTS_AT;
    this.window = scratch + WINDOW_AT;
    this.windowSize = Number(this.raw.SCRATCH_SIZE.value) - WINDOW_AT;
    this.#bytes = new Uint8Array(this.raw.memory.buffer);
    this.#words = new Uint32Array(this.raw.memory.buffer);
  }

  /** The whole memory as bytes, valid until it grows. */
  bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.#remake();
    return this.#bytes;
  }

  /** The whole memory as u32 words, valid until it grows; word i is at address 4 * i. */
  words(): Uint32Array {
    if (this.#words.length === 0) this.#remake();
    return this.#words;
  }

  /** A copy of n u32 results at an address. */
  copyWords(at: number, n: number): Uint32Array {
    return this.words().slice(at / 4, at / 4 + n);
  }

  #remake(): void {
    this.#bytes = new Uint8Array(this.raw.memory.buffer);
    this.#words = new Uint32Array(this.raw.memory.buffer);
  }
}
