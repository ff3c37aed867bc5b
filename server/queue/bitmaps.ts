/**
 * What the queue asks of its bitmaps: bits in a memory of their own, each bitmap named by a number, its address.
 *
 * A bitmap has a power of two of bits, `bitsMin` to `bitsMax`, which its owner remembers: small partitions have small
 * bitmaps. wasm_bitmaps.ts implements it on the memory of core.wasm; a plain one in the tests is its oracle.
 * One crossing per batch, never per bit: offsets come as a Uint32Array with a count, each offset only once.
 */
export interface ReadonlyBitmaps {
  readonly bitsMin: number;
  readonly bitsMax: number;
  /** Bytes that `alloc` can hand out for sure. It must not fail, so its caller asks before it changes anything. */
  bytesFree(): number;
  has(bitmap: number, offset: number): boolean;
  /** A copy of its bits / 8 bytes; bit 0 is the lowest of the first byte. */
  read(bitmap: number, bits: number): Uint8Array;
  /** How many of the first `bits` bits are ready: set in all of `present` and not in `taken` (0: none is taken). */
  countReady(present: readonly number[], taken: number, bits: number): number;
  /** The first `max` ready bits of [from, bits), rising. */
  scanReady(present: readonly number[], taken: number, from: number, bits: number, max: number): Uint32Array;
  /** The same into `out`, as many as there is room for; says how many. */
  scanReadyInto(present: readonly number[], taken: number, from: number, bits: number, out: Uint32Array): number;
  /** First offsets of the first `max` aligned runs of `groupSize` ready bits, rising. */
  scanGroups(present: readonly number[], taken: number, bits: number, groupSize: number, max: number): Uint32Array;
  /** In place of each id its chance in (0, 1), always the same for a seed (core/assembly/random.ts). */
  chances(seed: number, ids: Float64Array): void;
}

export interface Bitmaps extends ReadonlyBitmaps {
  /** A bitmap of zeros; its address is never 0. */
  alloc(bits: number): number;
  free(bitmap: number, bits: number): void;
  /** Sets the bits at offsets[0..count) and says how many were zero before. */
  set(bitmap: number, offsets: Uint32Array, count: number): number;
  /** Clears the bits at offsets[0..count) and says how many were one before. */
  clear(bitmap: number, offsets: Uint32Array, count: number): number;
  /** Copies the bits of a bitmap to the start of a longer one. */
  copy(from: number, to: number, bits: number): void;
  /** Replaces all bits by those of `bytes`, bits / 8 of them. */
  write(bitmap: number, bits: number, bytes: Uint8Array): void;
}
