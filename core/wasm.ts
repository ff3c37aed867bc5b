/**
 * The door to core.wasm: loads it and offers its functions over arrays of the host.
 *
 * `loadCore()` finds core.wasm beside this file (Node); elsewhere, as in a browser, pass its bytes or module. An
 * instance is cheap (under a millisecond, 600 KiB) and serves one thread; nothing is shared between instances.
 */
import { Bitmaps } from './host/bitmaps.ts';
import { bodyChecksumInto, BodyHasher, xxh64, xxh64Into, xxh64Many, type HashSlices } from './host/hash.ts';
import { CoreInstance } from './host/instance.ts';
import type { CoreExports } from './host/instance.ts';
import { chancesInto } from './host/random.ts';
import { nodeHashes, rendezvous, shardOfKey, shardsOf } from './host/routing.ts';
import { checkOffsets, gather } from './host/slices.ts';

export { PAGE_BITS, PAGE_SIZE } from './host/bitmaps.ts';
export type { Bitmaps, Scan } from './host/bitmaps.ts';
export { BodyHasher, checksumFromHex, checksumHex, HASH_MANY_COUNT_MAX, HASH_MANY_SIZE_MAX } from './host/hash.ts';
export type { HashSlices } from './host/hash.ts';
export type { CoreExports } from './host/instance.ts';

export interface Core {
  /** The exports themselves, for callers that keep their data in the WASM memory. */
  readonly raw: CoreExports;
  /** Bitmap pages of this instance. */
  readonly bitmaps: Bitmaps;
  xxh64(data: Uint8Array, seed?: bigint): bigint;
  /** xxh64 with seed 0 as 8 little-endian bytes, stored into out at a place. */
  xxh64Into(data: Uint8Array, out: Uint8Array, at?: number): void;
  /** xxh64 with seed 0 of slices of data, in one crossing: low and high word of each, valid until the next call. */
  xxh64Many(data: Uint8Array, slices: HashSlices): Uint32Array;
  /** The checksum of one body, fed in chunks as they arrive. */
  bodyHasher(): BodyHasher;
  /** The checksum of one body that is all there, as 8 little-endian bytes, stored into out at a place. */
  bodyChecksumInto(body: Uint8Array, out: Uint8Array, at?: number): void;
  shardsOf(ids: ArrayLike<number>, routing: { groupSize: number; shards: number }): Uint32Array;
  shardOfKey(key: string, shards: number): number;
  /** The hash of each node's name, 8 bytes each, for `rendezvous`. */
  nodeHashes(names: readonly string[]): Uint8Array;
  /** For each shard the indexes of its `count` best nodes, best first, row by row. */
  rendezvous(shards: ArrayLike<number>, nodes: { hashes: Uint8Array; count: number }): Uint32Array;
  /** The chance in (0, 1) of each id, always the same for a seed, into out, which may be ids. */
  chancesInto(seed: number, ids: Float64Array, out: Float64Array): void;
  /** Index of the first offset that is negative, below its predecessor or above limit; -1 when all are good. */
  checkOffsets(offsets: Int32Array | BigInt64Array, limit: number): number;
  /** Copies slices of source one behind the other to the start of out; returns the bytes written. */
  gather(source: Uint8Array, slices: { starts: Uint32Array; lens: Uint32Array }, out: Uint8Array): number;
}

export function loadCore(source: BufferSource | WebAssembly.Module = moduleBesideThisFile()): Core {
  const module = source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source);
  const core = new CoreInstance(module);
  return {
    raw: core.raw,
    bitmaps: new Bitmaps(core),
    xxh64: (data, seed) => xxh64(core, data, seed),
    xxh64Into: (data, out, at) => xxh64Into(core, data, out, at),
    xxh64Many: (data, slices) => xxh64Many(core, data, slices),
    bodyHasher: () => new BodyHasher(core),
    bodyChecksumInto: (body, out, at) => bodyChecksumInto(core, body, out, at),
    shardsOf: (ids, routing) => shardsOf(core, ids, routing),
    shardOfKey: (key, shards) => shardOfKey(core, key, shards),
    nodeHashes: (names) => nodeHashes(core, names),
    rendezvous: (shards, nodes) => rendezvous(core, shards, nodes),
    chancesInto: (seed, ids, out) => chancesInto(core, seed, ids, out),
    checkOffsets: (offsets, limit) => checkOffsets(core, offsets, limit),
    gather: (source, slices, out) => gather(core, source, slices, out),
  };
}

/** Compiled once: an instance costs a tenth of it, and a server has two. */
let compiled: WebAssembly.Module | null = null;

function moduleBesideThisFile(): WebAssembly.Module {
  return (compiled ??= new WebAssembly.Module(readBesideThisFile()));
}

/** The one place that needs Node, reached without an import so that the file loads in browsers too. */
function readBesideThisFile(): BufferSource {
  const fs = globalThis.process?.getBuiltinModule?.('node:fs');
  if (!fs) throw new Error('loadCore needs the bytes or the module of core.wasm outside Node');
  return fs.readFileSync(new URL('./core.wasm', import.meta.url));
}
