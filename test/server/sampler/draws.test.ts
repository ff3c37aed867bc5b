/** The weighted and the priority sampler: which places are taken, in their order. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mix52 } from '../../../server/sampler/mix.ts';
import { takeByPriority } from '../../../server/sampler/priority.ts';
import { topOf } from '../../../server/sampler/top.ts';
import { drawWeighted, weightedKey } from '../../../server/sampler/weighted.ts';
import { casesOf, numbersOf, runs } from './table.ts';

/** seed | ids | weights | count | places. The draws by chance come from a few lines of Python with integers. */
const weighted = `
  1 | 0 1 2 3 4 5                    | 1 1 1 1 1 1                | 6 | 2 5 1 0 3 4
  1 | 0 1 2 3 4 5                    | 7 7 7 7 7 7                | 6 | 2 5 1 0 3 4
  2 | 0 1 2 3 4 5                    | 1 1 1 1 1 1                | 6 | 3 1 2 0 5 4
  1 | 0 1 2 3 4 5                    | 1 1 1 1 1 1                | 2 | 2 5
  1 | 0 1 2 4 5                      | 1 1 1 1 1                  | 5 | 2 4 1 0 3
  1 | 0 1 2 3 4 5                    | 1 1 1 1 1 100              | 3 | 5 2 1
  1 | 0 1 2 3 4 5                    | 0 1 0 1 0 1                | 6 | 5 1 3 0 2 4
  1 | 0 1 2 3 4 5                    | -1 0 - 1 Infinity Infinity | 6 | 4 5 3 0 1 2
  1 | 0 1 2                          | - - -                      | 2 | 0 1
  3 | 7 4294967296 9007199254740991  | 1 2 3                      | 3 | 1 0 2
  1 | 0 1 2                          | 5e-324 1e308 1             | 3 | 1 2 0
  1 | 0 1 2                          | 1 1 1                      | 9 | 2 1 0
  1 | 0 1 2                          | 1 1 1                      | 0 |
  1 |                                |                            | 4 |
`;

test.each(casesOf(weighted, '|'))(
  'seed %s, ids %s of weights %s: the first %s are %s',
  (seed, ids, weights, count, places) => {
    const draw = drawWeighted({
      ids: numbersOf(ids),
      weights: numbersOf(weights),
      seed: Number(seed),
      count: Number(count),
    });
    expect(draw.join(' ')).toBe(places);
  },
);

/** priorities | count | places */
const priorities = `
  1 3 2                  | 3 | 1 2 0
  5 5 5 5                | 2 | 0 1
  0 1 0 1 0              | 5 | 1 3 0 2 4
  - 1 -1 - 0             | 5 | 1 0 3 4 2
  -Infinity - Infinity   | 3 | 2 1 0
  -5 -3 -4               | 1 | 1
  2 1                    | 9 | 0 1
  2 1                    | 0 |
                         | 3 |
`;

test.each(casesOf(priorities, '|'))('priorities %s: the first %s are %s', (given, count, places) => {
  expect(takeByPriority(numbersOf(given), Number(count)).join(' ')).toBe(places);
});

test('the largest keys are those that sorting finds', () => {
  const key = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true }));
  const property = fc.property(fc.array(key, { maxLength: 60 }), fc.nat({ max: 70 }), (keys, count) => {
    const sorted = keys.map((_, place) => place).sort((a, b) => (keys[a] === keys[b] ? a - b : keys[b] - keys[a]));
    expect([...topOf(Float64Array.from(keys), count)]).toEqual(sorted.slice(0, count));
  });
  fc.assert(property, runs);
});

describe('SplitMix64', () => {
  /** The outputs of seed 1234567 that are published for checks of other implementations. */
  const published = [
    6_457_827_717_110_365_317n,
    3_203_168_211_198_807_973n,
    9_817_491_932_198_370_423n,
    4_593_380_528_125_082_431n,
    16_408_922_859_458_223_821n,
  ];

  test('its published outputs', () => {
    expect(published.map((_, id) => BigInt(mix52(1_234_567, id)))).toEqual(published.map((output) => output >> 12n));
  });

  test('the same in 64-bit integers', () => {
    const word = fc.oneof(fc.maxSafeNat(), fc.nat(), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER));
    const property = fc.property(word, word, (seed, id) => {
      expect(BigInt(mix52(seed, id))).toBe(splitMix64(BigInt(seed), BigInt(id)) >> 12n);
    });
    fc.assert(property, runs);
  });

  function splitMix64(seed: bigint, id: bigint): bigint {
    const wrap = (value: bigint) => BigInt.asUintN(64, value);
    let z = wrap(seed + (id + 1n) * 0x9e3779b97f4a7c15n);
    z = wrap((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = wrap((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  }
});

describe('weights are chances', () => {
  const weights = [1, 2, 3, 4];
  const ids = [10, 11, 12, 13];
  const total = 10;
  const seeds = 20_000;
  const firstTwo = new Map<string, number>();
  for (let seed = 0; seed < seeds; seed += 1) {
    const pair = drawWeighted({ ids, weights, seed, count: 2 }).join(' ');
    firstTwo.set(pair, (firstTwo.get(pair) ?? 0) + 1);
  }
  const pairs = weights.flatMap((_, a) => weights.map((_, b) => [a, b])).filter(([a, b]) => a !== b);

  test.each(pairs)('row %i, then row %i', (a, b) => {
    const chance = (weights[a] / total) * (weights[b] / (total - weights[a]));
    const deviation = Math.sqrt(seeds * chance * (1 - chance));
    expect(Math.abs(firstTwo.get(`${a} ${b}`)! - seeds * chance)).toBeLessThan(4 * deviation);
  });
});

test('a draw is the beginning of every longer one, and other rows change nobody’s turn', () => {
  const rows = fc.uniqueArray(fc.record({ id: fc.maxSafeNat(), weight: fc.double() }), {
    selector: ({ id }) => id,
    maxLength: 40,
  });
  const property = fc.property(
    rows,
    fc.maxSafeNat(),
    fc.nat({ max: 40 }),
    fc.nat({ max: 3 }),
    (all, seed, count, left) => {
      const draw = (some: typeof all, most: number) => {
        const [ids, weights] = [some.map(({ id }) => id), some.map(({ weight }) => weight)];
        return [...drawWeighted({ ids, weights, seed, count: most })].map((place) => ids[place]);
      };
      const everything = draw(all, all.length);
      expect(draw(all, count)).toEqual(everything.slice(0, count));
      const some = all.filter((_, place) => place % 4 !== left);
      const stayed = new Set(some.map(({ id }) => id));
      expect(draw(some, some.length)).toEqual(everything.filter((id) => stayed.has(id)));
    },
  );
  fc.assert(property, runs);
});

test('keys lie from -Infinity to 0, and are never NaN', () => {
  const property = fc.property(fc.maxSafeNat(), fc.maxSafeNat(), fc.double(), (seed, id, weight) => {
    expect(weightedKey(seed, id, weight)).toBeLessThanOrEqual(0);
  });
  fc.assert(property, runs);
});
