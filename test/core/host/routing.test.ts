/** Routing in the host: vectors, long lists, and what is refused. */

import { expect, test } from 'vitest';

import { loadCore } from '../../../core/wasm.ts';
import { nodesOf, shardOf } from '../../vectors/core.ts';
import vectors from '../../vectors/routing.json' with { type: 'json' };

const core = loadCore();

test('vectors', () => {
  for (const { ids, groupSize, shards, expected } of vectors.ids) {
    expect([...core.shardsOf(ids, { groupSize, shards })]).toEqual(expected);
    expect([...core.shardsOf(Float64Array.from(ids), { groupSize, shards })]).toEqual(expected);
  }
  for (const { key, shards, expected } of vectors.keys) expect(core.shardOfKey(key, shards)).toBe(expected);
  for (const { shards, nodes, count, expected } of vectors.nodes) {
    expect([...core.rendezvous(shards, { hashes: core.nodeHashes(nodes), count })]).toEqual(expected.flat());
  }
});

test('lists longer than one crossing', () => {
  const ids = Array.from({ length: 40_000 }, (_, i) => i * 977);
  const shards = core.shardsOf(ids, { groupSize: 8, shards: 251 });
  for (const i of [0, 16_383, 16_384, 32_767, 32_768, 39_999]) expect(shards[i]).toBe(shardOf(ids[i], 8, 251));
  const names = Array.from({ length: 12 }, (_, i) => `node-${i}`);
  const order = core.rendezvous(shards, { hashes: core.nodeHashes(names), count: 3 });
  expect(order).toHaveLength(120_000);
  for (const i of [0, 4095, 4096, 10_922, 10_923, 39_999]) {
    expect([...order.subarray(i * 3, i * 3 + 3)]).toEqual(nodesOf(shards[i], names, 3));
  }
});

test('nothing in, nothing out', () => {
  expect(core.shardsOf([], { groupSize: 1, shards: 1 })).toHaveLength(0);
  expect(core.rendezvous([], { hashes: core.nodeHashes(['a']), count: 1 })).toHaveLength(0);
  expect(core.rendezvous([1, 2], { hashes: core.nodeHashes([]), count: 0 })).toHaveLength(0);
});

test('what can not be routed throws', () => {
  expect(() => core.shardsOf([1], { groupSize: 0, shards: 1 })).toThrow(RangeError);
  expect(() => core.shardsOf([1], { groupSize: 1, shards: 0 })).toThrow(RangeError);
  expect(() => core.shardOfKey('a', 0)).toThrow(RangeError);
  expect(() => core.shardOfKey('a'.repeat(600_000), 1)).toThrow(RangeError);
  expect(() => core.rendezvous([1], { hashes: core.nodeHashes(['a']), count: 2 })).toThrow(RangeError);
  const crowd = core.nodeHashes(Array.from({ length: 1025 }, (_, i) => `${i}`));
  expect(() => core.rendezvous([1], { hashes: crowd, count: 1 })).toThrow(RangeError);
});
