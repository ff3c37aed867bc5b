/** The weighted and the priority sampler: which rows are taken, in their order. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { offerByPriority } from '../../../server/sampler/priority.ts';
import { createTop, offer, placesOf, type ColumnRows, type Top } from '../../../server/sampler/top.ts';
import { offerByWeight, weightedKey } from '../../../server/sampler/weighted.ts';
import { chanceOf } from '../../vectors/random.ts';
import { casesOf, numbersOf, runs } from './table.ts';

interface Given {
  readonly numbers: readonly number[];
  readonly count: number;
  /** Rows are offered so many at a time; default: all at once. */
  readonly step?: number;
}

function placesDrawn({ numbers, count, step = Infinity }: Given, offerSome: (top: Top, rows: ColumnRows) => void) {
  const top = createTop(count);
  const column = Float64Array.from(numbers);
  const offsets = Uint32Array.from(numbers, (_, place) => place);
  for (let from = 0; from < offsets.length; from += step) {
    offerSome(top, { first: 0, offsets: offsets.subarray(from, from + step), numbers: column });
  }
  return [...placesOf(top)];
}

function drawnByPriority(given: Given): number[] {
  return placesDrawn(given, offerByPriority);
}

function drawnByWeight(chances: readonly number[], given: Given): number[] {
  const column = Float64Array.from(chances);
  return placesDrawn(given, (top, rows) => {
    offerByWeight(top, rows, column.slice(rows.offsets[0], rows.offsets[0] + rows.offsets.length));
  });
}

/** The plain definition: the places of all keys, the largest first, of equal ones the earlier. */
function sorted(keys: readonly number[], count: number): number[] {
  const places = keys.map((_, place) => place);
  return places.sort((a, b) => (keys[a] === keys[b] ? a - b : keys[b] - keys[a])).slice(0, count);
}

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
    const chances = numbersOf(ids).map((id) => chanceOf(Number(seed), id));
    const drawn = drawnByWeight(chances, { numbers: numbersOf(weights), count: Number(count) });
    expect(drawn.join(' ')).toBe(places);
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
  1 2 3 4 5 6 7 8        | 2 | 7 6
  8 7 6 5 4 3 2 1        | 2 | 0 1
  1 9 2 9 3 9 9 9        | 2 | 1 3
  2 1                    | 9 | 0 1
  2 1                    | 0 |
                         | 3 |
`;

test.each(casesOf(priorities, '|'))('priorities %s: the first %s are %s', (given, count, places) => {
  expect(drawnByPriority({ numbers: numbersOf(given), count: Number(count) }).join(' ')).toBe(places);
});

test('the best keys are those that sorting finds', () => {
  const key = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true }));
  const property = fc.property(fc.array(key, { maxLength: 60 }), fc.nat({ max: 70 }), (keys, count) => {
    const top = createTop(count);
    keys.forEach((each, place) => offer(top, each, place));
    expect([...placesOf(top)]).toEqual(sorted(keys, count));
  });
  fc.assert(property, runs);
});

describe('whatever comes in whatever pieces, the plain definition draws the same', () => {
  /** How numbers go on from row to row. */
  const shape = fc.oneof(
    fc.constantFrom<(i: number) => number>(
      (i) => i,
      (i) => -i,
      () => 7,
      () => NaN,
      (i) => i % 10,
      (i) => 2 ** (i / 10),
      (i) => (i % 2 === 0 ? NaN : i),
      (i) => (i % 100) - i / 1_000,
      (i) => Math.abs(Math.sin(i)),
      (i) => [1e308, 5e-324, Infinity, 0, -1, NaN, 1e-300, -Infinity][i % 8],
    ),
    fc.array(fc.double(), { minLength: 1 }).map((list) => (i: number) => list[i % list.length]),
  );
  const given = fc.record({
    shape,
    rows: fc.nat(3_000),
    count: fc.oneof(fc.nat(5), fc.nat(100), fc.nat(4_000)),
    step: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 3_000 })),
  });
  const few = { ...runs, numRuns: Math.ceil(runs.numRuns / 2) };

  test('by priority', () => {
    const property = fc.property(given, ({ rows, count, step, shape: numberAt }) => {
      const numbers = Array.from({ length: rows }, (_, i) => numberAt(i));
      const keys = numbers.map((number) => (Number.isNaN(number) ? 0 : number));
      expect(drawnByPriority({ numbers, count, step })).toEqual(sorted(keys, count));
    });
    fc.assert(property, few);
  });

  test('by weight', () => {
    const property = fc.property(given, fc.maxSafeNat(), ({ rows, count, step, shape: numberAt }, seed) => {
      const numbers = Array.from({ length: rows }, (_, i) => numberAt(i));
      const chances = numbers.map((_, id) => chanceOf(seed, id));
      const keys = numbers.map((weight, i) => (weight > 0 ? Math.log(chances[i]) / weight : -Infinity));
      expect(drawnByWeight(chances, { numbers, count, step })).toEqual(sorted(keys, count));
    });
    fc.assert(property, few);
  });
});

test('a row is drawn when its key exceeds that of another by the last bit, and not when it is the same', () => {
  const nearOne = fc.nat(3).map((k) => 1 - (2 * k + 1) / 2 ** 53);
  const chances = fc.oneof(
    nearOne,
    fc.nat().map((id) => chanceOf(1, id)),
  );
  const keys = fc.oneof(
    fc.double({ min: -1, max: -1e-16, noNaN: true }),
    // A product is rounded by more than the last bit of one of these.
    fc.double({ min: -2, max: -1.9, noNaN: true }),
    fc.constantFrom(-1e-310, -5e-324, -1e-300, -1e300),
  );
  const property = fc.property(keys, chances, fc.integer({ min: -2, max: 2 }), (key, chance, bits) => {
    const weight = (Math.log(chance) / key) * (1 + bits * 2 ** -52);
    const top = createTop(1);
    offer(top, key, 0);
    const rows = { first: 1, offsets: Uint32Array.of(0), numbers: Float64Array.of(weight) };
    offerByWeight(top, rows, Float64Array.of(chance));
    expect([...placesOf(top)]).toEqual([weightedKey(chance, weight) > key ? 1 : 0]);
  });
  fc.assert(property, { ...runs, numRuns: runs.numRuns * 20 });
});

test('rows of a column that no row has a number in', () => {
  const rows = { first: 100, offsets: Uint32Array.of(3, 5, 8), numbers: undefined };
  const [byPriority, byWeight] = [createTop(2), createTop(2)];
  offerByPriority(byPriority, rows);
  offerByWeight(byWeight, rows, Float64Array.of(0.1, 0.2, 0.9));
  expect([...placesOf(byPriority)]).toEqual([103, 105]);
  expect([...placesOf(byWeight)]).toEqual([103, 105]);
});

describe('weights are chances', () => {
  const weights = [1, 2, 3, 4];
  const ids = [10, 11, 12, 13];
  const total = 10;
  const seeds = 20_000;
  const firstTwo = new Map<string, number>();
  for (let seed = 0; seed < seeds; seed += 1) {
    const chances = ids.map((id) => chanceOf(seed, id));
    const pair = drawnByWeight(chances, { numbers: weights, count: 2 }).join(' ');
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
        const chances = some.map(({ id }) => chanceOf(seed, id));
        const places = drawnByWeight(chances, { numbers: some.map(({ weight }) => weight), count: most });
        return places.map((place) => some[place].id);
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
    expect(weightedKey(chanceOf(seed, id), weight)).toBeLessThanOrEqual(0);
  });
  fc.assert(property, runs);
});
