/** Routing against its definitions written out with another xxh64. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { le64, shardOf } from '../../vectors/core.ts';
import { h64Raw, instantiate, seeded } from './raw.ts';

const raw = instantiate();
const { core } = raw;

const someShards = fc.integer({ min: 1, max: 2 ** 32 - 1 });
const someIds = fc.array(fc.maxSafeNat(), { maxLength: 50 });

test('shards of ids, as integers and as doubles', () => {
  fc.assert(
    fc.property(
      someIds,
      fc.oneof(fc.integer({ min: 1, max: 64 }), fc.maxSafeNat()),
      someShards,
      (ids, group, shards) => {
        raw.reset();
        const groupSize = Math.max(1, group);
        const expected = ids.map((id) => shardOf(id, groupSize, shards));
        const wide = raw.place(BigUint64Array.from(ids, BigInt));
        const doubles = raw.place(Float64Array.from(ids));
        const out = raw.room(4 * ids.length);
        expect(core.shards_of_ids(wide, ids.length, BigInt(groupSize), shards, out)).toBe(0);
        expect(raw.u32(out, ids.length)).toEqual(expected);
        expect(core.shards_of_numbers(doubles, ids.length, groupSize, shards, out)).toBe(0);
        expect(raw.u32(out, ids.length)).toEqual(expected);
      },
    ),
    seeded(300),
  );
});

test('ids above 2^63 are unsigned', () => {
  raw.reset();
  const out = raw.room(4);
  core.shards_of_ids(raw.place(BigUint64Array.of(2n ** 64n - 1n)), 1, 10n, 97, out);
  expect(raw.u32(out, 1)).toEqual([Number(h64Raw(le64((2n ** 64n - 1n) / 10n)) % 97n)]);
});

test('no shards and groups of nothing are refused', () => {
  expect(core.shards_of_ids(0, 0, 1n, 0, 0)).toBe(-1);
  expect(core.shards_of_ids(0, 0, 0n, 1, 0)).toBe(-1);
  expect(core.shards_of_numbers(0, 0, 0.5, 1, 0)).toBe(-1);
  expect(core.shards_of_numbers(0, 0, NaN, 1, 0)).toBe(-1);
  expect(core.shards_of_numbers(0, 0, 1, 0, 0)).toBe(-1);
  expect(core.shard_of_bytes(0, 0, 0)).toBe(-1);
});

test('shards of keys', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 1, max: 2 ** 31 - 1 }), (key, shards) => {
      raw.reset();
      const expected = Number(h64Raw(key) % BigInt(shards));
      expect(core.shard_of_bytes(raw.place(key), key.length, shards)).toBe(expected);
    }),
    seeded(200),
  );
});

/** Few distinct hashes, so that ties happen. */
const someNodes = fc.array(fc.oneof(fc.constant(7n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), { maxLength: 30 });

function ranked(shard: number, hashes: readonly bigint[]): number[] {
  const score = (hash: bigint) => h64Raw(Uint8Array.from([...le64(hash), ...le64(BigInt(shard))]));
  const scores = hashes.map(score);
  const order = hashes.map((_, index) => index);
  return order.sort((a, b) => (scores[a] === scores[b] ? a - b : scores[a] > scores[b] ? -1 : 1));
}

test('nodes are ranked by score, ties by index', () => {
  const shardLists = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 8 });
  fc.assert(
    fc.property(someNodes, shardLists, fc.nat(30), (hashes, shards, wanted) => {
      raw.reset();
      const k = Math.min(wanted, hashes.length);
      const out = raw.room(4 * k * shards.length);
      const shardsAt = raw.place(Uint32Array.from(shards));
      const hashesAt = raw.place(BigUint64Array.from(hashes));
      expect(core.rendezvous(shardsAt, shards.length, hashesAt, hashes.length, k, out)).toBe(0);
      expect(raw.u32(out, k * shards.length)).toEqual(shards.flatMap((shard) => ranked(shard, hashes).slice(0, k)));
    }),
    seeded(300),
  );
});

test('removing a node moves only the shards that it held', () => {
  raw.reset();
  const hashes = Array.from({ length: 8 }, (_, i) => h64Raw(new TextEncoder().encode(`node-${i}`)));
  const shards = Uint32Array.from({ length: 512 }, (_, i) => i);
  const shardsAt = raw.place(shards);
  const out = raw.room(4 * shards.length);
  core.rendezvous(shardsAt, shards.length, raw.place(BigUint64Array.from(hashes)), 8, 1, out);
  const before = raw.u32(out, shards.length);
  core.rendezvous(shardsAt, shards.length, raw.place(BigUint64Array.from(hashes.slice(0, 7))), 7, 1, out);
  const after = raw.u32(out, shards.length);
  expect(after.filter((node, shard) => node !== before[shard] && before[shard] !== 7)).toEqual([]);
  const held = Array.from({ length: 8 }, (_, node) => before.filter((one) => one === node).length);
  expect(Math.min(...held)).toBeGreaterThan(30);
});

test('too many nodes, or more winners than nodes, are refused', () => {
  expect(core.rendezvous(0, 0, 0, 1025, 1, 0)).toBe(-1);
  expect(core.rendezvous(0, 0, 0, 2, 3, 0)).toBe(-1);
});
