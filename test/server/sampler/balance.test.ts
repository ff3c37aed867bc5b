/** The length-balanced split: units with weights into parts. Parts are shown by their units, `-` for an empty one. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { balance } from '../../../server/sampler/balance.ts';
import { casesOf, numbersOf, runs } from './table.ts';

/** weights | parts | units of each part | sums */
const anySize = `
  8 7 6 5 4                | 2 | 0 2, 1 3 4          | 14 16
  4 5 6 7 8                | 2 | 0 1 3, 2 4          | 16 14
  5 5 4 3 3                | 2 | 0 2, 1 3 4          | 9 11
  9 1 1 1 1 1 1 1 1 1      | 2 | 0, 1 2 3 4 5 6 7 8 9 | 9 9
  3 1 2                    | 1 | 0 1 2               | 6
  100 1 1                  | 3 | 0, 1, 2             | 100 1 1
  1 1 1 1 1 1              | 3 | 0 5, 1 3, 2 4       | 2 2 2
  1 1 1 1 1                | 2 | 0 2, 1 3 4          | 2 3
  7 5                      | 4 | 0, 1, -, -          | 7 5 0 0
                           | 2 | -, -                | 0 0
  0 0 0 0                  | 2 | 0 3, 1 2            | 0 0
  0 5 0 5                  | 2 | 0 3, 1 2            | 5 5
  3 - -4 Infinity 3        | 2 | 0 1, 2 3 4          | 3 3
  0.5 0.25 0.25            | 2 | 0, 1 2              | 0.5 0.5
`;

const equalSize = `
  8 7 6 5 4                | 2 | 0 2, 1 3 4          | 14 16
  9 1 1 1 1 1              | 2 | 0 3 5, 1 2 4        | 11 3
  9 1 1 1                  | 2 | 0 3, 1 2            | 10 2
  1 2 3 4 5 6 7 8          | 4 | 0 7, 1 6, 2 5, 3 4  | 9 9 9 9
  1 2 3 4 5 6 7 8          | 2 | 0 3 5 6, 1 2 4 7    | 18 18
  5 1                      | 3 | 0, 1, -             | 5 1 0
  0 0 0 0 0 0              | 3 | 0 5, 1 4, 2 3       | 0 0 0
`;

describe.each([
  ['any size', anySize, false],
  ['equal size', equalSize, true],
] as const)('parts of %s', (_, table, isEqualSize) => {
  test.each(casesOf(table))('%s | into %s | %s | %s', (weights, parts, units, sums) => {
    const split = balance(numbersOf(weights), { parts: Number(parts), equalSize: isEqualSize });
    expect(split.map((part) => (part.length === 0 ? '-' : part.join(' '))).join(', ')).toBe(units);
    expect(sumsOf(numbersOf(weights), split)).toEqual(numbersOf(sums));
  });
});

test('there must be a part', () => {
  expect(() => balance([1], { parts: 0 })).toThrow('part');
});

const lengths = fc.oneof(
  fc.array(fc.nat({ max: 9 }), { maxLength: 40 }),
  fc.array(fc.nat({ max: 32_768 }), { maxLength: 120 }),
  fc.array(fc.double({ min: -1, max: 1e300 }), { maxLength: 40 }),
);
const partCounts = fc.integer({ min: 1, max: 12 });

test('every unit is in one part, rising; equal sizes differ by one at most; parts go by their first unit', () => {
  const property = fc.property(lengths, partCounts, fc.boolean(), (weights, parts, isEqualSize) => {
    const split = balance(weights, { parts, equalSize: isEqualSize });
    expect(split).toHaveLength(parts);
    expect(split.flatMap((part) => [...part]).sort((a, b) => a - b)).toEqual(weights.map((_, unit) => unit));
    for (const part of split) expect([...part]).toEqual([...part].sort((a, b) => a - b));
    const firsts = split.map((part) => (part.length === 0 ? Infinity : part[0]));
    expect(firsts).toEqual([...firsts].sort((a, b) => (a === b ? 0 : a - b)));
    const sizes = split.map((part) => part.length);
    if (isEqualSize) expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  });
  fc.assert(property, runs);
});

test('sums differ by at most the largest weight; of equal sizes, by the largest step between neighbours', () => {
  const whole = fc.array(fc.nat({ max: 32_768 }), { minLength: 1, maxLength: 120 });
  const property = fc.property(
    whole,
    partCounts.filter((parts) => parts > 1),
    fc.boolean(),
    (weights, parts, isEqualSize) => {
      const spread = spreadOf(weights, balance(weights, { parts, equalSize: isEqualSize }));
      expect(spread).toBeLessThanOrEqual(isEqualSize ? widestChunk(weights, parts) : Math.max(...weights));
    },
  );
  fc.assert(property, runs);
});

test('it is the method with all its empty sets, step by step', () => {
  const property = fc.property(lengths, partCounts, fc.boolean(), (weights, parts, isEqualSize) => {
    const split = balance(weights, { parts, equalSize: isEqualSize });
    expect(split.map((part) => [...part])).toEqual(plainDifferencing(weights, parts, isEqualSize));
  });
  fc.assert(property, runs);
});

test('it is seldom worse than giving the longest unit to the lightest part', () => {
  const counts = { better: 0, same: 0, worse: 0 };
  const shapes = fc.record({
    parts: fc.constantFrom(2, 4, 8, 16),
    weights: fc.array(fc.integer({ min: 1, max: 8_192 }), { minLength: 32, maxLength: 256, size: 'max' }),
  });
  for (const { parts, weights } of fc.sample(shapes, { ...runs, numRuns: 300 })) {
    const difference = spreadOf(weights, balance(weights, { parts })) - spreadOf(weights, longestFirst(weights, parts));
    counts[difference < 0 ? 'better' : difference === 0 ? 'same' : 'worse'] += 1;
  }
  expect(counts.worse).toBeLessThanOrEqual(0.05 * 300);
  expect(counts.better).toBeGreaterThan(0.8 * 300);
});

test('10,000 units and 64 ranks', () => {
  const weights = Array.from({ length: 10_000 }, (_, unit) => (unit * 7_919) % 8_191);
  const largest = Math.max(...weights);
  for (const isEqualSize of [false, true]) {
    const split = balance(weights, { parts: 64, equalSize: isEqualSize });
    expect(spreadOf(weights, split)).toBeLessThan(0.001 * largest);
  }
});

function sumsOf(weights: readonly number[], split: readonly Iterable<number>[]): number[] {
  const length = (unit: number) => (weights[unit] > 0 && weights[unit] < Infinity ? weights[unit] : 0);
  return split.map((part) => [...part].reduce((sum, unit) => sum + length(unit), 0));
}

function spreadOf(weights: readonly number[], split: readonly Iterable<number>[]): number {
  const sums = sumsOf(weights, split);
  return Math.max(...sums) - Math.min(...sums);
}

/** Over the groups of `parts` neighbours by weight: the largest less the smallest, which is 0 when one lacks. */
function widestChunk(weights: readonly number[], parts: number): number {
  const sorted = [...weights].sort((a, b) => b - a);
  let widest = 0;
  for (let from = 0; from < sorted.length; from += parts) {
    widest = Math.max(widest, sorted[from] - (sorted[from + parts - 1] ?? 0));
  }
  return widest;
}

function longestFirst(weights: readonly number[], parts: number): number[][] {
  const split: number[][] = Array.from({ length: parts }, () => []);
  const sums = new Array<number>(parts).fill(0);
  const units = weights.map((_, unit) => unit).sort((a, b) => weights[b] - weights[a]);
  for (const unit of units) {
    const lightest = sums.indexOf(Math.min(...sums));
    split[lightest].push(unit);
    sums[lightest] += weights[unit];
  }
  return split;
}

/** Splits as lists of lists, the two widest found by looking at all. */
function plainDifferencing(weights: readonly number[], parts: number, isEqualSize: boolean): number[][] {
  const length = (unit: number) => (weights[unit] > 0 ? Math.min(weights[unit], Number.MAX_SAFE_INTEGER) : 0);
  type Sets = { sum: number; units: number[] }[];
  const order = (sets: Sets): Sets =>
    sets.sort((a, b) => b.sum - a.sum || b.units.length - a.units.length || a.units[0] - b.units[0]);
  const units = weights.map((_, unit) => unit).sort((a, b) => length(b) - length(a) || a - b);
  const open: { number: number; sets: Sets }[] = [];
  const each = isEqualSize ? parts : 1;
  for (let from = 0; from < units.length; from += each) {
    const some = units.slice(from, from + each).map((unit) => ({ sum: length(unit), units: [unit] }));
    const none = Array.from({ length: parts - some.length }, () => ({ sum: 0, units: [] as number[] }));
    open.push({ number: open.length, sets: [...some, ...none] });
  }
  for (let number = open.length; open.length > 1; number += 1) {
    const spread = ({ sets }: { sets: Sets }) => sets[0].sum - sets[parts - 1].sum;
    const [a, b] = open.sort((x, y) => spread(y) - spread(x) || x.number - y.number).splice(0, 2);
    const joined = a.sets.map((set, at) => {
      const other = b.sets[parts - 1 - at];
      return { sum: set.sum + other.sum, units: [...set.units, ...other.units] };
    });
    open.push({ number, sets: order(joined) });
  }
  const found = (open[0]?.sets ?? []).map((set) => [...set.units].sort((a, b) => a - b));
  const full = found.filter((part) => part.length > 0).sort((a, b) => a[0] - b[0]);
  return Array.from({ length: parts }, (_, part) => full[part] ?? []);
}
