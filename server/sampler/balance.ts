/**
 * The length-balanced split: units (rows, or whole groups) with weights (lengths) into parts, one for each
 * data-parallel rank, so that the sums of the parts differ little and no rank waits long for another.
 *
 * The largest differencing method of Karmarkar and Karp (The differencing method of set partitioning, UCB/CSD 82/113,
 * 1982), k-way as in Michiels, Korst, Aarts, van Leeuwen (Performance ratios for the Karmarkar-Karp differencing
 * method, 2003), which is also what verl balances by:
 *
 *   split    k sums, the largest first; its spread is the first minus the last
 *   start    one split for each unit: that unit, and k - 1 empty sets
 *   join     the two splits with the largest spreads: largest with smallest, second with second smallest, ...
 *   end      one split is left
 *
 * With `equalSize` a split starts with k units that are neighbours by weight, so that each join adds one unit to each
 * part; when k does not divide the number of units, the last split has the rest, and sizes differ by one at most.
 *
 * Invariants:
 * - a joined split spreads no wider than the wider of the two, so the parts differ by at most the largest weight (with
 *   `equalSize`: by at most the largest difference inside a first split);
 * - empty sets are not stored, so that many splits of few sets cost what they hold; O(n (log n + k log k)) at most;
 * - ties go by the order of the units, so that every asker computes the same parts.
 */
import { invariant } from '../errors.ts';
import { createHeap, popFirst, pushEntry, replaceFirst } from './heap.ts';

/** Units of one part, as a list through `Splits.next`: joining two is one write. */
interface UnitSet {
  sum: number;
  size: number;
  readonly first: number;
  last: number;
}

interface Splits {
  /** The unit behind this one in its set; -1 for none. */
  readonly next: Int32Array;
  readonly sets: UnitSet[][];
  readonly spreads: number[];
}

export interface BalanceOptions {
  /** How many; at least 1. */
  readonly parts: number;
  /** Parts have the same number of units, or differ by one where that cannot be. Default false. */
  readonly equalSize?: boolean;
}

/**
 * For each part its units, rising; the parts by their first unit, empty ones last, so that no rank always has the
 * heaviest. A weight that is no length (negative, NaN, infinite) counts as 0: the unit must go somewhere.
 */
export function balance(weights: ArrayLike<number>, options: BalanceOptions): Uint32Array[] {
  const { parts, equalSize = false } = options;
  invariant(Number.isSafeInteger(parts) && parts >= 1, 'there is a part to put units into');
  const lengths = Float64Array.from(weights, lengthOf);
  const units = Uint32Array.from(lengths, (_, unit) => unit).sort((a, b) => lengths[b] - lengths[a] || a - b);
  const splits = startSplits(lengths, units, { parts, unitsEach: equalSize ? parts : 1 });
  const sets = units.length === 0 ? [] : joinAll(splits, parts);
  const found = sets.map((set) => unitsOf(splits, set)).sort((a, b) => a[0] - b[0]);
  return Array.from({ length: parts }, (_, part) => found[part] ?? new Uint32Array(0));
}

/** Bounded, so that no sum is infinite and no spread NaN. */
function lengthOf(weight: number): number {
  return weight >= 0 && weight < Infinity ? Math.min(weight, Number.MAX_SAFE_INTEGER) : 0;
}

function startSplits(
  lengths: Float64Array,
  units: Uint32Array,
  { parts, unitsEach }: { readonly parts: number; readonly unitsEach: number },
): Splits {
  const splits: Splits = { next: new Int32Array(units.length).fill(-1), sets: [], spreads: [] };
  for (let from = 0; from < units.length; from += unitsEach) {
    const sets = Array.from(units.subarray(from, from + unitsEach), (unit) => {
      return { sum: lengths[unit], size: 1, first: unit, last: unit };
    });
    addSplit(splits, sets, parts);
  }
  return splits;
}

function addSplit(splits: Splits, sets: UnitSet[], parts: number): void {
  splits.sets.push(sets);
  splits.spreads.push(sets[0].sum - (sets.length < parts ? 0 : sets[sets.length - 1].sum));
}

/** Joins until one split is left. Splits that were joined give their memory back at once. */
function joinAll(splits: Splits, parts: number): readonly UnitSet[] {
  const { sets, spreads } = splits;
  const heap = createHeap(sets.length, (a, b) => spreads[a] > spreads[b] || (spreads[a] === spreads[b] && a < b));
  for (let split = 0; split < sets.length; split += 1) pushEntry(heap, split);
  while (heap.size > 1) {
    const wider = popFirst(heap);
    const other = heap.entries[0];
    addSplit(splits, join(splits, sets[wider], sets[other], parts), parts);
    sets[wider] = sets[other] = [];
    replaceFirst(heap, sets.length - 1);
  }
  return sets[heap.entries[0]];
}

/** The i-th largest of one meets the i-th smallest of the other; what meets an empty set stays as it is. */
function join(splits: Splits, left: UnitSet[], right: readonly UnitSet[], parts: number): UnitSet[] {
  const joined = left;
  for (let place = right.length - 1; place >= 0; place -= 1) {
    const partner = parts - 1 - place;
    if (partner >= left.length) joined.push(right[place]);
    else append(splits, left[partner], right[place]);
  }
  return joined.sort((a, b) => b.sum - a.sum || b.size - a.size || a.first - b.first);
}

function append(splits: Splits, set: UnitSet, tail: UnitSet): void {
  splits.next[set.last] = tail.first;
  set.last = tail.last;
  set.sum += tail.sum;
  set.size += tail.size;
}

function unitsOf(splits: Splits, set: UnitSet): Uint32Array {
  const units = new Uint32Array(set.size);
  for (let unit = set.first, at = 0; unit >= 0; unit = splits.next[unit], at += 1) units[at] = unit;
  return units.sort();
}
