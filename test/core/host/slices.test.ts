/** Offset checks over windows and gathers by both ways, in the host. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { loadCore } from '../../../core/wasm.ts';
import { pattern } from '../../vectors/core.ts';
import offsetVectors from '../../vectors/offsets.json' with { type: 'json' };
import sliceVectors from '../../vectors/slices.json' with { type: 'json' };
import { gatherOf } from '../../vectors/slices.ts';
import { seeded } from '../assembly/raw.ts';

const core = loadCore();

function gathered(source: Uint8Array, starts: readonly number[], lens: readonly number[]): number[] {
  const out = new Uint8Array(lens.reduce((sum, len) => sum + len, 0) + 4).fill(0xaa);
  const size = core.gather(source, { starts: Uint32Array.from(starts), lens: Uint32Array.from(lens) }, out);
  expect([...out.subarray(size)]).toEqual([0xaa, 0xaa, 0xaa, 0xaa]);
  return [...out.subarray(0, size)];
}

test('offset vectors', () => {
  for (const { offsets, limit, bad } of offsetVectors.int32) {
    expect(core.checkOffsets(Int32Array.from(offsets, Number), limit)).toBe(bad);
  }
  for (const { offsets, limit, bad } of offsetVectors.int64) {
    expect(core.checkOffsets(BigInt64Array.from(offsets, BigInt), limit)).toBe(bad);
  }
});

test('a bad offset on either side of a seam between windows', () => {
  const offsets = Int32Array.from({ length: 200_000 }, (_, i) => i * 2);
  const wide = BigInt64Array.from(offsets, BigInt);
  expect(core.checkOffsets(offsets, 399_998)).toBe(-1);
  expect(core.checkOffsets(wide, 399_998)).toBe(-1);
  for (const at of [1, 32_766, 32_767, 32_768, 65_534, 65_535, 65_536, 131_070, 131_071, 199_999]) {
    const [narrowValue, wideValue] = [offsets[at], wide[at]];
    offsets[at] = narrowValue - 3;
    wide[at] = wideValue - 3n;
    expect(core.checkOffsets(offsets, 399_998)).toBe(at);
    expect(core.checkOffsets(wide, 399_998)).toBe(at);
    offsets[at] = narrowValue;
    wide[at] = wideValue;
  }
  expect(core.checkOffsets(offsets, 399_997)).toBe(199_999);
  expect(core.checkOffsets(offsets.subarray(1, 1), 0)).toBe(-1);
});

test('gather vectors', () => {
  for (const { source, starts, lens, out } of sliceVectors.gathers) {
    const bytes = Buffer.from(source, 'hex');
    if (out === null) {
      const slices = { starts: Uint32Array.from(starts), lens: Uint32Array.from(lens) };
      expect(() => core.gather(bytes, slices, new Uint8Array(100))).toThrow(RangeError);
    } else {
      expect(gathered(bytes, starts, lens)).toEqual([...Buffer.from(out, 'hex')]);
    }
  }
});

test('short slices close together, long ones, and ones far apart', () => {
  const source = pattern(2_000_000);
  const plain = [...source];
  const slices = fc.array(fc.tuple(fc.nat(), fc.nat(2000)), { maxLength: 60 });
  fc.assert(
    fc.property(slices, fc.constantFrom(3000, 60_000, 1_990_000), (pairs, span) => {
      const starts = pairs.map(([start]) => 5000 + (start % span));
      const lens = pairs.map(([, len]) => len % (source.length - 5000 - span));
      expect(gathered(source, starts, lens)).toEqual(gatherOf(plain, starts, lens));
    }),
    seeded(20),
  );
});

test('what does not fit throws', () => {
  const slices = { starts: Uint32Array.of(0, 4), lens: Uint32Array.of(4, 4) };
  expect(() => core.gather(new Uint8Array(7), slices, new Uint8Array(8))).toThrow(RangeError);
  expect(() => core.gather(new Uint8Array(8), slices, new Uint8Array(7))).toThrow(RangeError);
  expect(() => core.gather(new Uint8Array(8), { ...slices, lens: Uint32Array.of(1) }, new Uint8Array(8))).toThrow();
});
