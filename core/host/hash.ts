/**
 * xxh64 and the checksum of a body, over bytes of the host that are fed to core.wasm in windows.
 *
 *     host bytes   | window | window | ... |   each is copied into SCRATCH and hashed while it is in the cache
 *
 * Hashes are 8 raw bytes, little-endian, on hot paths; `bigint` only where a caller asks for the number.
 */
import type { CoreInstance } from './instance.ts';

/** Best of 16 KiB to 512 KiB as measured: larger gains < 3 %, smaller pays the crossing more often. */
const WINDOW_SIZE = 128 * 1024;

const BODY_STATE_SIZE = 144;
const HASH_SIZE = 8;
const BLOCKS_INITIAL = 8;

/** xxh64 of data as a number. */
export function xxh64(core: CoreInstance, data: Uint8Array, seed = 0n): bigint {
  const { raw, state, window } = core;
  if (data.length <= WINDOW_SIZE) {
    core.bytes().set(data, window);
    return BigInt.asUintN(64, raw.xxh64(window, data.length, seed));
  }
  hashWindows(core, data, seed);
  return BigInt.asUintN(64, raw.xxh64_digest(state));
}

/** xxh64 of data with seed 0 as 8 little-endian bytes, stored into out at a place. */
export function xxh64Into(core: CoreInstance, data: Uint8Array, out: Uint8Array, at = 0): void {
  const { raw, state, results, window } = core;
  if (data.length <= WINDOW_SIZE) {
    core.bytes().set(data, window);
    raw.xxh64_store(window, data.length, 0n, results);
  } else {
    hashWindows(core, data, 0n);
    raw.xxh64_digest_store(state, results);
  }
  out.set(core.bytes().subarray(results, results + HASH_SIZE), at);
}

/** Slices of data for `xxh64Many`, `count` of them. */
export interface HashSlices {
  readonly starts: Uint32Array;
  readonly lens: Uint32Array;
  readonly count: number;
}

/** What one call of `xxh64Many` takes. */
export const HASH_MANY_SIZE_MAX = 256 * 1024;
export const HASH_MANY_COUNT_MAX = 8_192;

/**
 * xxh64 with seed 0 of slices of data that is read once, in one crossing: two words for each, the low one first. The
 * words are a view, valid until the next call of this instance.
 */
export function xxh64Many(core: CoreInstance, data: Uint8Array, { starts, lens, count }: HashSlices): Uint32Array {
  if (data.length > HASH_MANY_SIZE_MAX || count > HASH_MANY_COUNT_MAX) throw new RangeError('too much for one call');
  const { raw, window } = core;
  const lists = window + HASH_MANY_SIZE_MAX;
  const out = lists + HASH_MANY_COUNT_MAX * 8;
  core.bytes().set(data, window);
  const words = core.words();
  words.set(starts.subarray(0, count), lists / 4);
  words.set(lens.subarray(0, count), lists / 4 + count);
  raw.xxh64_many(window, lists, lists + count * 4, count, 0n, out);
  return words.subarray(out / 4, out / 4 + 2 * count);
}

function hashWindows(core: CoreInstance, data: Uint8Array, seed: bigint): void {
  const { raw, state, window } = core;
  const bytes = core.bytes();
  raw.xxh64_init(state, seed);
  for (let from = 0; from < data.length; from += WINDOW_SIZE) {
    const piece = data.subarray(from, from + WINDOW_SIZE);
    bytes.set(piece, window);
    raw.xxh64_update(state, window, piece.length);
  }
}

/**
 * The checksum of one body, fed in chunks of any size as they arrive. Its state lies outside the WASM memory between
 * calls, so any number of bodies can be under way and an abandoned one costs nothing.
 */
export class BodyHasher {
  readonly #core: CoreInstance;
  readonly #state = new Uint8Array(BODY_STATE_SIZE);
  #blocks = new Uint8Array(BLOCKS_INITIAL * HASH_SIZE);
  #blocksSize = 0;
  #checksum: Uint8Array | null = null;

  constructor(core: CoreInstance) {
    this.#core = core;
    core.raw.body_init(core.state);
    this.#state.set(core.bytes().subarray(core.state, core.state + BODY_STATE_SIZE));
  }

  update(chunk: Uint8Array): void {
    if (this.#checksum) throw new Error('update after finish');
    const { raw, state, results, window } = this.#core;
    const bytes = this.#core.bytes();
    bytes.set(this.#state, state);
    for (let from = 0; from < chunk.length; from += WINDOW_SIZE) {
      const size = Math.min(WINDOW_SIZE, chunk.length - from);
      bytes.set(size === chunk.length ? chunk : chunk.subarray(from, from + size), window);
      if (raw.body_update(state, window, size, results) > 0) this.#append(bytes, results);
    }
    this.#state.set(bytes.subarray(state, state + BODY_STATE_SIZE));
  }

  /** Ends the body: closes the last block and returns the checksum, 8 little-endian bytes. */
  finish(): Uint8Array {
    if (this.#checksum) return this.#checksum;
    const { raw, state, results } = this.#core;
    const bytes = this.#core.bytes();
    bytes.set(this.#state, state);
    const closed = raw.body_finish(state, results);
    if (closed > 0) this.#append(bytes, results);
    const at = results + closed * HASH_SIZE;
    this.#checksum = bytes.slice(at, at + HASH_SIZE);
    return this.#checksum;
  }

  /** The hashes of the blocks closed so far (all after finish), 8 little-endian bytes each; a view, not a copy. */
  get blocks(): Uint8Array {
    return this.#blocks.subarray(0, this.#blocksSize);
  }

  /** A window is smaller than a block, so one call closes at most one block. */
  #append(bytes: Uint8Array, at: number): void {
    if (this.#blocksSize === this.#blocks.length) {
      const larger = new Uint8Array(this.#blocks.length * 2);
      larger.set(this.#blocks);
      this.#blocks = larger;
    }
    this.#blocks.set(bytes.subarray(at, at + HASH_SIZE), this.#blocksSize);
    this.#blocksSize += HASH_SIZE;
  }
}

/** The checksum of a body that is all there, as 8 little-endian bytes, stored into out at a place. */
export function bodyChecksumInto(core: CoreInstance, body: Uint8Array, out: Uint8Array, at = 0): void {
  const { raw, state, results, window } = core;
  const bytes = core.bytes();
  raw.body_init(state);
  for (let from = 0; from < body.length; from += WINDOW_SIZE) {
    const size = Math.min(WINDOW_SIZE, body.length - from);
    bytes.set(size === body.length ? body : body.subarray(from, from + size), window);
    raw.body_update(state, window, size, results);
  }
  const checksum = results + raw.body_finish(state, results) * HASH_SIZE;
  for (let i = 0; i < HASH_SIZE; i++) out[at + i] = bytes[checksum + i];
}

/** The header form of a checksum: 16 hex digits of the number, most significant first. */
export function checksumHex(checksum: Uint8Array): string {
  let hex = '';
  for (let i = HASH_SIZE - 1; i >= 0; i--) hex += checksum[i].toString(16).padStart(2, '0');
  return hex;
}

/** The 8 little-endian bytes of the header form, or null when it is not 16 hex digits. */
export function checksumFromHex(hex: string): Uint8Array | null {
  if (!/^[0-9a-fA-F]{16}$/.test(hex)) return null;
  const checksum = new Uint8Array(HASH_SIZE);
  for (let i = 0; i < HASH_SIZE; i++) checksum[HASH_SIZE - 1 - i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return checksum;
}
