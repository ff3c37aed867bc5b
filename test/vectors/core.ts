/**
 * Makes the frozen vectors of the core from naive oracles that know nothing of core.wasm: `node test/vectors/core.ts`.
 *
 * A test compares the files with this program, so they change only on purpose. Numbers of 64 bits are strings: hashes
 * as 16 hex digits, offsets in decimal. Inputs are named by their length, so that files stay small:
 *
 *     sanity(n)    byte i = top byte of 2654435761 * 11400714785074694797^i mod 2^64       (xxHash's own test buffer)
 *     pattern(n)   65,521 bytes (i * 2654435761 mod 2^32) >> 24, repeated
 */

import { writeFileSync } from 'node:fs';
import xxhash from 'xxhash-wasm';

import { bitmapVectors } from './bitmaps.ts';
import { lsmVectors } from './lsm.ts';
import { randomVectors } from './random.ts';
import { offsetVectors, sliceVectors } from './slices.ts';

const { h64Raw } = await xxhash();

const utf8 = new TextEncoder();
const BLOCK_SIZE = 1 << 20;
const PRIME32 = 2654435761;

export function sanity(length: number): Uint8Array {
  let state = BigInt(PRIME32);
  return Uint8Array.from({ length }, () => {
    const byte = Number(state >> 56n);
    state = BigInt.asUintN(64, state * 11400714785074694797n);
    return byte;
  });
}

export function pattern(length: number): Uint8Array {
  const tile = Uint8Array.from({ length: 65521 }, (_, i) => Math.imul(i, PRIME32) >>> 24);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += tile.length) bytes.set(tile.subarray(0, length - at), at);
  return bytes;
}

export function le64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

export const hex = (value: bigint): string => value.toString(16).padStart(16, '0');

/** The checksum of a body as its definition reads. */
export function bodyOf(bytes: Uint8Array): { blocks: bigint[]; checksum: bigint } {
  const blocks = [];
  for (let at = 0; at < bytes.length; at += BLOCK_SIZE) blocks.push(h64Raw(bytes.subarray(at, at + BLOCK_SIZE)));
  const joined = new Uint8Array(blocks.length * 8);
  blocks.forEach((block, i) => joined.set(le64(block), i * 8));
  return { blocks, checksum: h64Raw(joined) };
}

/** Published at https://github.com/Cyan4973/xxHash/blob/v0.8.3/cli/xsum_sanity_check.c, XSUM_XXH64_testdata. */
const PUBLISHED: readonly [length: number, seed: number, hash: string][] = [
  [0, 0, 'ef46db3751d8e999'],
  [0, PRIME32, 'ac75fda2929b17ef'],
  [1, 0, 'e934a84adb052768'],
  [1, PRIME32, '5014607643a9b4c3'],
  [4, 0, '9136a0dca57457ee'],
  [14, 0, '8282dcc4994e35c8'],
  [14, PRIME32, 'c3bd6bf63deb6df0'],
  [222, 0, 'b641ae8cb691c174'],
  [222, PRIME32, '20cb8ab7ae10c14a'],
];

/** Keys of rows: the id of each is the 53 low bits of its hash. */
const KEYS = ['a', 'prompt-7/0', 'Grüße', '世界', '😀', ' ', 'a\0b', 'x'.repeat(1000), '1', 'naïve Σ 数'];

function hashVectors() {
  const lengths = [...Array(101).keys(), 255, 256, 257, 4095, 131071, 131072, 131073, 262144, 262145, 1000003];
  const seeds = ['0000000000000000', '0000000000000001', 'ffffffffffffffff', '9e3779b185ebca87'];
  return {
    published: PUBLISHED.map(([length, seed, xxh64]) => ({ length, seed: hex(BigInt(seed)), xxh64 })),
    own: lengths.map((length, i) => {
      const seed = seeds[i % seeds.length];
      return { length, seed, xxh64: hex(h64Raw(pattern(length), BigInt(`0x${seed}`))) };
    }),
    bodies: [0, 1, 1000, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE, 3 * BLOCK_SIZE + 12345].map(
      (length) => {
        const { blocks, checksum } = bodyOf(pattern(length));
        return { length, blocks: blocks.map(hex), checksum: hex(checksum) };
      },
    ),
    keys: KEYS.map((key) => ({ key, id: Number(h64Raw(utf8.encode(key)) & (2n ** 53n - 1n)) })),
  };
}

export function shardOf(id: number, groupSize: number, shards: number): number {
  return Number(h64Raw(le64(BigInt(id) / BigInt(groupSize))) % BigInt(shards));
}

export function nodesOf(shard: number, nodes: readonly string[], count: number): number[] {
  const score = (node: string): bigint => {
    const pair = new Uint8Array(16);
    pair.set(le64(h64Raw(utf8.encode(node))), 0);
    pair.set(le64(BigInt(shard)), 8);
    return h64Raw(pair);
  };
  const scores = nodes.map(score);
  const order = nodes.map((_, index) => index);
  order.sort((a, b) => (scores[a] === scores[b] ? a - b : scores[a] > scores[b] ? -1 : 1));
  return order.slice(0, count);
}

function routingVectors() {
  const ids = [0, 1, 2, 7, 8, 9, 63, 64, 1000003, 2 ** 31, 2 ** 32 + 5, 2 ** 40, 2 ** 53 - 1];
  const routes = [
    [1, 1],
    [1, 16],
    [8, 64],
    [3, 1021],
    [2 ** 40, 7],
  ];
  const keys = ['', 'a', 'prompt-17', 'naïve Σ 数', 'x'.repeat(100)];
  const nodes = ['http://10.0.0.1:7654', 'http://10.0.0.2:7654', 'http://10.0.0.3:7654', 'node-d', 'node-e', 'node-d'];
  const shards = [0, 1, 2, 3, 63, 1023, 65535];
  return {
    ids: routes.map(([groupSize, count]) => ({
      ids,
      groupSize,
      shards: count,
      expected: ids.map((id) => shardOf(id, groupSize, count)),
    })),
    keys: keys.map((key) => ({ key, shards: 1021, expected: Number(h64Raw(utf8.encode(key)) % 1021n) })),
    nodes: [1, 2, 6].map((count) => ({ shards, nodes, count, expected: shards.map((s) => nodesOf(s, nodes, count)) })),
  };
}

/** File name -> contents. */
export function coreVectors(): Record<string, unknown> {
  return {
    'hash.json': hashVectors(),
    'routing.json': routingVectors(),
    'bitmaps.json': bitmapVectors(),
    'random.json': randomVectors(),
    'slices.json': sliceVectors(),
    'offsets.json': offsetVectors(),
    'lsm.json': lsmVectors(),
  };
}

/** One case per line, so that a change of a vector is a change of a line. */
export function formatVectors(groups: unknown): string {
  const lists = Object.entries(groups as Record<string, unknown[]>).map(([name, cases]) => {
    return `  "${name}": [\n${cases.map((one) => `    ${JSON.stringify(one)}`).join(',\n')}\n  ]`;
  });
  return `{\n${lists.join(',\n')}\n}\n`;
}

if (import.meta.main) {
  for (const [name, groups] of Object.entries(coreVectors())) {
    writeFileSync(new URL(name, import.meta.url), formatVectors(groups));
  }
}
