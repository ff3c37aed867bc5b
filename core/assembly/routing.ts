/**
 * Routing: which shard a row belongs to, and which nodes hold a shard.
 *
 *     shard of an id     = xxh64(le64(floor(id / group size))) % shards     siblings of a group share a shard
 *     shard of a key     = xxh64(bytes of the key) % shards
 *     score of a node    = xxh64(le64(hash of the node's name) || le64(shard)), highest score first (rendezvous)
 *
 * Every language calls these functions, so all pick the same node. Ties of scores go to the lower index.
 */
import { hashOfPair, hashOfU64, xxh64 } from './xxh64';

/** Most nodes that one call ranks. */
export const NODES_MAX: u32 = 1024;

/** Scores of the nodes ranked so far, in rank order, beside the caller's order array. */
const SCORES: usize = memory.data(8 * 1024, 16);

/** Shards of n ids (u64 array) into out (u32 array). */
export function shards_of_ids(ids: usize, n: u32, groupSize: u64, shards: u32, out: usize): i32 {
  if (groupSize == 0 || shards == 0) return -1;
  for (let i: u32 = 0; i < n; i++) {
    const key = load<u64>(ids + ((<usize>i) << 3)) / groupSize;
    store<u32>(out + ((<usize>i) << 2), <u32>(hashOfU64(key) % shards));
  }
  return 0;
}

/** The same for ids as doubles (safe integers), which is how JavaScript holds them. */
export function shards_of_numbers(ids: usize, n: u32, groupSize: f64, shards: u32, out: usize): i32 {
  const group = <u64>groupSize;
  if (group == 0 || shards == 0) return -1;
  for (let i: u32 = 0; i < n; i++) {
    const key = <u64>load<f64>(ids + ((<usize>i) << 3)) / group;
    store<u32>(out + ((<usize>i) << 2), <u32>(hashOfU64(key) % shards));
  }
  return 0;
}

/** Shard of a string key, -1 when shards is 0. */
export function shard_of_bytes(ptr: usize, len: u32, shards: u32): i32 {
  if (shards == 0) return -1;
  return <i32>(xxh64(ptr, len, 0) % shards);
}

function rankOne(shard: u64, nodeHashes: usize, n: u32, order: usize, k: u32): void {
  let ranked: u32 = 0;
  for (let node: u32 = 0; node < n; node++) {
    const score = hashOfPair(load<u64>(nodeHashes + ((<usize>node) << 3)), shard);
    let at = ranked;
    while (at > 0 && score > load<u64>(SCORES + ((<usize>(at - 1)) << 3))) at--;
    if (at == k) continue;
    if (ranked < k) ranked++;
    const moved = <usize>(ranked - at - 1);
    const scoreAt = SCORES + ((<usize>at) << 3);
    const orderAt = order + ((<usize>at) << 2);
    memory.copy(scoreAt + 8, scoreAt, moved << 3);
    memory.copy(orderAt + 4, orderAt, moved << 2);
    store<u64>(scoreAt, score);
    store<u32>(orderAt, node);
  }
}

/** For each of count shards (u32 array): the indexes of its k best of n nodes, row by row, into out (u32 array). */
export function rendezvous(shards: usize, count: u32, nodeHashes: usize, n: u32, k: u32, out: usize): i32 {
  if (n > NODES_MAX || k > n) return -1;
  for (let i: u32 = 0; i < count; i++) {
    const row = out + <usize>i * ((<usize>k) << 2);
    rankOne(load<u32>(shards + ((<usize>i) << 2)), nodeHashes, n, row, k);
  }
  return 0;
}
