/** The checksum of a body: blocks of 1 MiB and the hash of their hashes, however the windows fall. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { bodyOf, pattern } from '../../vectors/core.ts';
import { instantiate, seeded } from './raw.ts';

const BLOCK_SIZE = 1 << 20;
const WINDOW_SIZE = 256 * 1024;
const raw = instantiate();
const { core } = raw;

/** Feeds a body in windows of the given sizes, repeated, as a host does. */
function hashed(body: Uint8Array, windowSizes: readonly number[]): { blocks: bigint[]; checksum: bigint } {
  raw.reset();
  const state = raw.room(144);
  const out = raw.room(16);
  const window = raw.room(WINDOW_SIZE);
  const blocks: bigint[] = [];
  core.body_init(state);
  for (let at = 0, turn = 0; at < body.length; turn++) {
    const piece = body.subarray(at, at + windowSizes[turn % windowSizes.length]);
    new Uint8Array(core.memory.buffer).set(piece, window);
    blocks.push(...raw.u64(out, core.body_update(state, window, piece.length, out)));
    at += piece.length;
  }
  const last = core.body_finish(state, out);
  const [...hashes] = raw.u64(out, last + 1);
  return { blocks: [...blocks, ...hashes.slice(0, last)], checksum: hashes[last] };
}

test.each([0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE, 2 * BLOCK_SIZE + 77])(
  'a body of %i bytes in full windows',
  (length) => {
    const body = pattern(length);
    expect(hashed(body, [WINDOW_SIZE])).toEqual(bodyOf(body));
  },
);

test('windows of any size give the same hashes', () => {
  const body = pattern(BLOCK_SIZE + 300_000);
  const sizes = fc.array(fc.integer({ min: 20_000, max: WINDOW_SIZE }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.nat(body.length), sizes, (length, windowSizes) => {
      expect(hashed(body.subarray(0, length), windowSizes)).toEqual(bodyOf(body.subarray(0, length)));
    }),
    seeded(40),
  );
});

test('a window that spans several blocks closes each of them', () => {
  raw.reset();
  const state = raw.room(144);
  const out = raw.room(64);
  core.body_init(state);
  // Straight over the whole memory of the module, which need not be SCRATCH: what matters is the length.
  core.memory.grow(64);
  const body = pattern(3 * BLOCK_SIZE + 5);
  const at = core.memory.buffer.byteLength - 60 * 65536;
  new Uint8Array(core.memory.buffer).set(body, at);
  expect(core.body_update(state, at, body.length, out)).toBe(3);
  expect(raw.u64(out, 3)).toEqual(bodyOf(body).blocks.slice(0, 3));
  expect(core.body_finish(state, out)).toBe(1);
  expect(raw.u64(out, 2)).toEqual([bodyOf(body).blocks[3], bodyOf(body).checksum]);
});
