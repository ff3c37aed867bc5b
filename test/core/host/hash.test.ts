/** Hashing in the host: vectors, any cut of a body, many bodies at once, and bytes that lie in any kind of buffer. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { checksumHex, HASH_MANY_COUNT_MAX, HASH_MANY_SIZE_MAX, loadCore } from '../../../core/wasm.ts';
import { bodyOf, hex, pattern, sanity } from '../../vectors/core.ts';
import vectors from '../../vectors/hash.json' with { type: 'json' };
import { seeded } from '../assembly/raw.ts';

const core = loadCore();
const body = pattern(2_600_000);

const hexOf = (bytes: Uint8Array): string => checksumHex(bytes);
const hashesOf = (blocks: Uint8Array): string[] => {
  return Array.from({ length: blocks.length / 8 }, (_, i) => hexOf(blocks.subarray(i * 8, i * 8 + 8)));
};

test('vectors', () => {
  for (const { length, seed, xxh64 } of vectors.published) {
    expect(hex(core.xxh64(sanity(length), BigInt(`0x${seed}`)))).toBe(xxh64);
  }
  for (const { length, seed, xxh64 } of vectors.own) {
    expect(hex(core.xxh64(pattern(length), BigInt(`0x${seed}`)))).toBe(xxh64);
  }
  for (const { length, blocks, checksum } of vectors.bodies) {
    const hasher = core.bodyHasher();
    hasher.update(pattern(length));
    expect(hexOf(hasher.finish())).toBe(checksum);
    expect(hashesOf(hasher.blocks)).toEqual(blocks);
  }
});

test('a hash is stored at its place and nowhere else', () => {
  for (const size of [0, 5, 131_072, 131_073, 1_000_000]) {
    const out = new Uint8Array(24).fill(0xaa);
    core.xxh64Into(body.subarray(0, size), out, 8);
    expect(hexOf(out.subarray(8, 16))).toBe(hex(core.xxh64(body.subarray(0, size))));
    expect([...out.subarray(0, 8), ...out.subarray(16)].every((byte) => byte === 0xaa)).toBe(true);
  }
});

test('many slices are hashed as each by itself, up to what one call takes', () => {
  const data = body.subarray(0, HASH_MANY_SIZE_MAX);
  const starts = Uint32Array.from({ length: HASH_MANY_COUNT_MAX }, (_, i) => (i * 7_919) % data.length);
  const lens = starts.map((start, i) => Math.min(i % 300, data.length - start));
  const words = core.xxh64Many(data, { starts, lens, count: HASH_MANY_COUNT_MAX }).slice();
  const hashes = new BigUint64Array(words.buffer);
  for (const i of [0, 1, 31, 300, 4_095, HASH_MANY_COUNT_MAX - 1]) {
    expect(hashes[i]).toBe(core.xxh64(data.subarray(starts[i], starts[i] + lens[i])));
  }
  expect(core.xxh64Many(data, { starts, lens, count: 0 })).toHaveLength(0);
  const more = { starts, lens, count: HASH_MANY_COUNT_MAX + 1 };
  expect(() => core.xxh64Many(data, more)).toThrow(RangeError);
  const long = body.subarray(0, HASH_MANY_SIZE_MAX + 1);
  expect(() => core.xxh64Many(long, { starts, lens, count: 1 })).toThrow(RangeError);
});

test('bodies that grow side by side, in chunks of any size, do not disturb each other', () => {
  const chunks = fc.array(fc.tuple(fc.nat(2), fc.nat(400_000)), { maxLength: 12 });
  fc.assert(
    fc.property(chunks, (turns) => {
      const hashers = [core.bodyHasher(), core.bodyHasher(), core.bodyHasher()];
      const sizes = [0, 0, 0];
      for (const [which, size] of turns) {
        hashers[which].update(body.subarray(sizes[which], sizes[which] + size));
        sizes[which] = Math.min(body.length, sizes[which] + size);
        core.xxh64(body.subarray(0, 1000));
      }
      hashers.forEach((hasher, which) => {
        const expected = bodyOf(body.subarray(0, sizes[which]));
        expect(hexOf(hasher.finish())).toBe(hex(expected.checksum));
        expect(hashesOf(hasher.blocks)).toEqual(expected.blocks.map(hex));
      });
    }),
    seeded(25),
  );
});

test('blocks closed so far are there before the end', () => {
  const hasher = core.bodyHasher();
  hasher.update(body.subarray(0, 1 << 20));
  expect(hashesOf(hasher.blocks)).toEqual(
    [hex(bodyOf(body.subarray(0, 1 << 20)).checksum)].map(() => {
      return hex(bodyOf(body.subarray(0, 1 << 20)).blocks[0]);
    }),
  );
  hasher.update(body.subarray(1 << 20, (1 << 20) + 10));
  expect(hasher.blocks).toHaveLength(8);
  hasher.finish();
  expect(hasher.blocks).toHaveLength(16);
});

test('more blocks than the first room for them', () => {
  const hasher = core.bodyHasher();
  const block = pattern(1 << 20);
  for (let i = 0; i < 20; i++) hasher.update(block);
  hasher.finish();
  expect(new Set(hashesOf(hasher.blocks))).toEqual(new Set([hex(bodyOf(block).blocks[0])]));
  expect(hasher.blocks).toHaveLength(20 * 8);
});

test('finish may be asked again, update may not follow it', () => {
  const hasher = core.bodyHasher();
  hasher.update(body.subarray(0, 10));
  expect(hasher.finish()).toEqual(hasher.finish());
  expect(() => hasher.update(body)).toThrow('finish');
});

test.each([
  ['resizable', new ArrayBuffer(300_000, { maxByteLength: 1_000_000 })],
  ['shared', new SharedArrayBuffer(300_000)],
])('bytes in a %s buffer, at an odd offset', (_, buffer) => {
  const view = new Uint8Array(buffer, 3, 299_000);
  view.set(body.subarray(0, view.length));
  const hasher = core.bodyHasher();
  hasher.update(view.subarray(0, 150_001));
  if (buffer instanceof ArrayBuffer) buffer.resize(900_000);
  hasher.update(view.subarray(150_001));
  expect(hexOf(hasher.finish())).toBe(hex(bodyOf(body.subarray(0, view.length)).checksum));
  expect(core.xxh64(view)).toBe(core.xxh64(body.subarray(0, view.length)));
});

test('a memory that grew in between is looked at anew', () => {
  const grown = loadCore();
  const hasher = grown.bodyHasher();
  hasher.update(body.subarray(0, 1000));
  const before = grown.raw.memory.buffer.byteLength;
  while (grown.raw.memory.buffer.byteLength === before) grown.bitmaps.alloc();
  hasher.update(body.subarray(1000, 5000));
  expect(hexOf(hasher.finish())).toBe(hex(bodyOf(body.subarray(0, 5000)).checksum));
});

test('a body that is all there has the checksum of the same body in chunks', () => {
  const out = new Uint8Array(10);
  for (const size of [0, 1, 1_000, 131_072, 131_073, 1 << 20, (1 << 20) + 5]) {
    core.bodyChecksumInto(body.subarray(0, size), out, 1);
    expect(hexOf(out.slice(1, 9))).toBe(hex(bodyOf(body.subarray(0, size)).checksum));
    expect([out[0], out[9]]).toEqual([0, 0]);
  }
});
