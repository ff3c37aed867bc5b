/** Chance in the host: vectors, any seed and id, long lists, and in place. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { loadCore } from '../../../core/wasm.ts';
import { chanceOf } from '../../vectors/random.ts';
import vectors from '../../vectors/random.json' with { type: 'json' };

const core = loadCore();

function chances(seed: number, ids: readonly number[]): number[] {
  const out = new Float64Array(ids.length);
  core.chancesInto(seed, Float64Array.from(ids), out);
  return [...out];
}

test('vectors', () => {
  for (const { seed, ids, chances: expected } of [...vectors.published, ...vectors.own]) {
    expect(chances(seed, ids)).toEqual(expected);
  }
});

test('the same in integers of any size, and never 0 or 1', () => {
  const word = fc.oneof(fc.maxSafeNat(), fc.nat(), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER));
  const property = fc.property(word, fc.array(word), (seed, ids) => {
    const found = chances(seed, ids);
    expect(found).toEqual(ids.map((id) => chanceOf(seed, id)));
    for (const chance of found) expect(chance > 0 && chance < 1).toBe(true);
  });
  fc.assert(property, { seed: 20_240_701, numRuns: 500 });
});

test('lists longer than one crossing, in place', () => {
  const ids = Float64Array.from({ length: 140_000 }, (_, i) => i * 977);
  core.chancesInto(7, ids, ids);
  for (const i of [0, 65_023, 65_024, 130_047, 130_048, 139_999]) expect(ids[i]).toBe(chanceOf(7, i * 977));
});
