/** Routing in the host: shards of ids and keys, and the nodes of a shard, as core/assembly/routing.ts defines them. */
import { xxh64Into } from './hash.ts';
import type { CoreInstance } from './instance.ts';

/** Ids (8 bytes) and their shards (4 bytes) of one crossing share the window. */
const IDS_PER_CALL = 16 * 1024;
const NODES_MAX = 1024;
const SHARDS_PER_CALL = 4096;

/** The shard of each id; ids are safe integers >= 0. */
export function shardsOf(
  core: CoreInstance,
  ids: ArrayLike<number>,
  { groupSize, shards }: { groupSize: number; shards: number },
): Uint32Array {
  const out = new Uint32Array(ids.length);
  const inputs = new Float64Array(core.raw.memory.buffer, core.window, IDS_PER_CALL);
  const results = core.window + IDS_PER_CALL * 8;
  for (let from = 0; from < ids.length; from += IDS_PER_CALL) {
    const count = Math.min(IDS_PER_CALL, ids.length - from);
    for (let i = 0; i < count; i++) inputs[i] = ids[from + i];
    const status = core.raw.shards_of_numbers(core.window, count, groupSize, shards, results);
    if (status < 0) throw new RangeError(`group size ${groupSize} and shards ${shards} must be positive`);
    out.set(core.words().subarray(results / 4, results / 4 + count), from);
  }
  return out;
}

/** The shard of a string key, by its UTF-8 bytes. */
export function shardOfKey(core: CoreInstance, key: string, shards: number): number {
  const encoded = new TextEncoder().encode(key);
  if (encoded.length > core.windowSize) throw new RangeError(`key of ${encoded.length} bytes is too long`);
  core.bytes().set(encoded, core.window);
  const shard = core.raw.shard_of_bytes(core.window, encoded.length, shards);
  if (shard < 0) throw new RangeError('shards must be positive');
  return shard;
}

/** The hash of each node's name, 8 little-endian bytes each: computed once per shard map. */
export function nodeHashes(core: CoreInstance, names: readonly string[]): Uint8Array {
  const hashes = new Uint8Array(names.length * 8);
  const encoder = new TextEncoder();
  names.forEach((name, index) => xxh64Into(core, encoder.encode(name), hashes, index * 8));
  return hashes;
}

/** For each shard the indexes of its `count` best nodes, best first: row i is out[i * count .. (i + 1) * count). */
export function rendezvous(
  core: CoreInstance,
  shards: ArrayLike<number>,
  { hashes, count }: { hashes: Uint8Array; count: number },
): Uint32Array {
  const nodes = hashes.length / 8;
  if (nodes > NODES_MAX || count > nodes) throw new RangeError(`cannot rank ${count} of ${nodes} nodes`);
  const out = new Uint32Array(shards.length * count);
  const inputs = core.window + NODES_MAX * 8;
  const results = inputs + SHARDS_PER_CALL * 4;
  const shardsPerCall = Math.max(1, Math.min(SHARDS_PER_CALL, Math.floor((32 * 1024) / Math.max(1, count))));
  core.bytes().set(hashes, core.window);
  for (let from = 0; from < shards.length; from += shardsPerCall) {
    const calls = Math.min(shardsPerCall, shards.length - from);
    const words = core.words();
    for (let i = 0; i < calls; i++) words[inputs / 4 + i] = shards[from + i];
    core.raw.rendezvous(inputs, calls, core.window, nodes, count, results);
    out.set(words.subarray(results / 4, results / 4 + calls * count), from * count);
  }
  return out;
}
