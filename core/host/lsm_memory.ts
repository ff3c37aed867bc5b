/**
 * The memory of one LSM tree: an instance of core.wasm of its own, in which memtables, cached blocks and merges live.
 *
 *     memory   | statics, SCRATCH (window of arguments and results) | regions of 16 KiB << class ...  up to 1 GiB
 *
 * Invariants: memory only grows, freed regions are used again; a view dies when the memory grows, so views are taken
 * anew after anything that may allocate; nothing in the window outlives the call that wrote it.
 */
import type { CoreExports } from './instance.ts';
import { copyBytes } from './lsm_pack.ts';

/** A slot of the block cache: one data block, index block or filter. */
export const SLOT_SIZE = 16 << 10;
const SLOT_CLASS = 0;

const RESULTS_AT = 256;
const WINDOW_AT = 4096;

/** The memory is at its maximum: whoever bounds memtables, cache and reads has let them grow too far. */
export class LsmMemoryFull extends Error {
  constructor() {
    super('the memory of the tree is at its maximum');
    this.name = 'LsmMemoryFull';
  }
}

export class LsmMemory {
  readonly raw: CoreExports;
  /** Where small results stand. */
  readonly results: number;
  /** Where arguments are placed; `windowSize` bytes. */
  readonly window: number;
  readonly windowSize: number;
  #bytes: Uint8Array;
  #words: Uint32Array;
  #numbers: Float64Array;

  /** `raw` must belong to nobody else: `loadCore().raw` of a fresh instance. */
  constructor(raw: CoreExports) {
    const scratch = Number(raw.SCRATCH.value);
    this.raw = raw;
    this.results = scratch + RESULTS_AT;
    this.window = scratch + WINDOW_AT;
    this.windowSize = Number(raw.SCRATCH_SIZE.value) - WINDOW_AT;
    this.#bytes = new Uint8Array(raw.memory.buffer);
    this.#words = new Uint32Array(raw.memory.buffer);
    this.#numbers = new Float64Array(raw.memory.buffer);
  }

  /** The whole memory as bytes, valid until it grows: take it anew after each call that may allocate. */
  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.#remake();
    return this.#bytes;
  }

  /** The whole memory as u32 words; word i is at address 4 * i. */
  get words(): Uint32Array {
    if (this.#words.length === 0) this.#remake();
    return this.#words;
  }

  /** The whole memory as f64 numbers; number i is at address 8 * i. */
  get numbers(): Float64Array {
    if (this.#numbers.length === 0) this.#remake();
    return this.#numbers;
  }

  /** Bytes of the linear memory, of which freed regions are a part. */
  get size(): number {
    return this.raw.memory.buffer.byteLength;
  }

  /** The address of 16 KiB for a block, 16 KiB-aligned, not cleared. Throws LsmMemoryFull. */
  slotAlloc(): number {
    return this.checked(this.raw.region_alloc(SLOT_CLASS));
  }

  slotFree(address: number): void {
    this.raw.region_free(address, SLOT_CLASS);
  }

  /** Copies bytes of the host to an address, a slot for instance. */
  write(address: number, bytes: Uint8Array): void {
    copyBytes(this.bytes, address, bytes);
  }

  /** Copies numbers `from` to `from + count` of a list to an address, as f64. */
  writeNumbers(address: number, list: ArrayLike<number>, from: number, count: number): void {
    const { numbers } = this;
    const base = address / 8;
    for (let i = 0; i < count; i++) numbers[base + i] = list[from + i];
  }

  /** A copy of `size` bytes at an address. */
  read(address: number, size: number): Uint8Array {
    return this.bytes.slice(address, address + size);
  }

  /** xxh64 (seed 0) of bytes in this memory as 8 little-endian bytes, stored into out at a place. */
  hashInto(address: number, size: number, out: Uint8Array, at = 0): void {
    this.raw.xxh64_store(address, size, 0n, this.results);
    out.set(this.bytes.subarray(this.results, this.results + 8), at);
  }

  /** Passes on an address, throws when it is none. */
  checked(address: number): number {
    if (address === 0) throw new LsmMemoryFull();
    return address;
  }

  #remake(): void {
    const { buffer } = this.raw.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#numbers = new Float64Array(buffer);
  }
}
