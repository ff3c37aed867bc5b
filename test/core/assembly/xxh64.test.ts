/** XXH64 against xxhash-wasm: one shot at any alignment, many at once, and streams cut anywhere. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import vectors from '../../vectors/hash.json' with { type: 'json' };
import { pattern, sanity } from '../../vectors/core.ts';
import { h64Raw, instantiate, seeded } from './raw.ts';

const raw = instantiate();
const { core } = raw;

const unsigned = (hash: bigint): bigint => BigInt.asUintN(64, hash);
const someBytes = fc.uint8Array({ maxLength: 300 });
const someSeed = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

test('published vectors', () => {
  expect(vectors.published).toHaveLength(9);
  for (const { length, seed, xxh64 } of vectors.published) {
    raw.reset();
    const at = raw.place(sanity(length));
    expect(unsigned(core.xxh64(at, length, BigInt(`0x${seed}`))), `length ${length}`).toBe(BigInt(`0x${xxh64}`));
  }
});

test('own vectors, in one shot where they fit and as a stream', () => {
  for (const { length, seed, xxh64 } of vectors.own) {
    raw.reset();
    const bytes = pattern(length);
    const state = raw.room(72);
    const window = raw.room(100_000);
    core.xxh64_init(state, BigInt(`0x${seed}`));
    for (let at = 0; at < length; at += 100_000) {
      const piece = bytes.subarray(at, at + 100_000);
      new Uint8Array(core.memory.buffer).set(piece, window);
      core.xxh64_update(state, window, piece.length);
    }
    expect(unsigned(core.xxh64_digest(state)), `length ${length}`).toBe(BigInt(`0x${xxh64}`));
    if (length > 100_000) continue;
    expect(unsigned(core.xxh64(window, length, BigInt(`0x${seed}`))), `length ${length}`).toBe(BigInt(`0x${xxh64}`));
  }
});

test('one shot equals the oracle at any alignment, as a number and stored', () => {
  fc.assert(
    fc.property(someBytes, someSeed, fc.nat(15), (bytes, seed, skew) => {
      raw.reset();
      const at = raw.place(bytes, skew);
      const out = raw.room(8);
      expect(unsigned(core.xxh64(at, bytes.length, seed))).toBe(h64Raw(bytes, seed));
      core.xxh64_store(at, bytes.length, seed, out);
      expect(raw.u64(out, 1)).toEqual([h64Raw(bytes, seed)]);
    }),
    seeded(500),
  );
});

test('many slices at once equal one at a time', () => {
  fc.assert(
    fc.property(someBytes, fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 }), someSeed, (bytes, cuts, seed) => {
      raw.reset();
      const starts = Uint32Array.from(cuts, ([start]) => start % (bytes.length + 1));
      const lens = Uint32Array.from(cuts, ([, len], i) => len % (bytes.length - starts[i] + 1));
      const base = raw.place(bytes);
      const out = raw.room(8 * cuts.length);
      core.xxh64_many(base, raw.place(starts), raw.place(lens), cuts.length, seed, out);
      const expected = Array.from(starts, (start, i) => h64Raw(bytes.subarray(start, start + lens[i]), seed));
      expect(raw.u64(out, cuts.length)).toEqual(expected);
    }),
    seeded(200),
  );
});

test('a stream cut anywhere equals one shot, and its digest may be taken at any time', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 90 }), { maxLength: 8 });
  fc.assert(
    fc.property(pieces, someSeed, (parts, seed) => {
      raw.reset();
      const state = raw.room(72);
      core.xxh64_init(state, seed);
      let seen = new Uint8Array();
      for (const part of parts) {
        core.xxh64_update(state, raw.place(part), part.length);
        seen = Uint8Array.from([...seen, ...part]);
        expect(unsigned(core.xxh64_digest(state))).toBe(h64Raw(seen, seed));
      }
      const out = raw.room(8);
      core.xxh64_digest_store(state, out);
      expect(raw.u64(out, 1)).toEqual([h64Raw(seen, seed)]);
    }),
    seeded(300),
  );
});
