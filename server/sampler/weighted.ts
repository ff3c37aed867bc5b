/**
 * The weighted sampler: rows are drawn one after the other without replacement, each time with a chance in proportion
 * to the weight among those that are left.
 *
 * Efraimidis, Spirakis: Weighted random sampling with a reservoir, Information Processing Letters 97 (2006),
 * algorithm A-ES: draw u in (0, 1) for each row, its chance, and take the rows with the largest ln(u) / weight.
 *
 *   weight             drawn
 *   > 0                by chance, in proportion to it
 *   infinite           before all others, in slot order
 *   0, negative, NaN   after all others, in slot order
 *
 * A row that has no weight is a row of weight NaN. The last line lets a queue run empty; `where` leaves rows out.
 *
 * Invariants: the key of a row depends on nothing but its chance, which is always the same for a seed and an id
 * (core/assembly/random.ts), and its weight. So the same seed draws the same rows, a retry is the same draw, and what
 * other rows come and go changes no row's place before another.
 */
import { offer, type ColumnRows, type Top } from './top.ts';

/*
 * Most rows fail without a logarithm. Their key must exceed the floor, so ln(u) the product of floor and weight, and
 * for u = 2^e * (1 + m)
 *
 *   ln(u) <= (e + m + bend * m * (1 - m)) * ln 2        bend = 1 / ln 2 - 1, the rise of log2(1 + m) - m at 0
 *
 * which is 0.02 more at most, and 1.3 times as near to 0 near 1. In the upper word of a double, e + 1023 stands in
 * front of 20 bits of m, together 2^20 times as much. What they lack of m makes less than half of LEFT_OUT; and what is
 * rounded here, of numbers from -37 to 0, and in the logarithm is far less than the other half.
 */
const SLOPE = Math.LN2 / 2 ** 20;
const BEND = (0.4427 * Math.LN2) / 2 ** 40;
const LEFT_OUT = 2 ** -19;
const START = LEFT_OUT - 1_023 * Math.LN2;

/** Offers rows, which follow those that were offered before; row i has chances[i]. */
export function offerByWeight(top: Top, rows: ColumnRows, chances: Float64Array): void {
  const { first, offsets, numbers } = rows;
  const words = new Uint32Array(chances.buffer, chances.byteOffset, 2 * chances.length);
  const next = (from: number): number => nextToOffer(top, rows, words, from);
  for (let i = next(0); i < offsets.length; i = next(i + 1)) {
    const weight = numbers === undefined ? NaN : numbers[offsets[i]];
    offer(top, weightedKey(chances[i], weight), first + offsets[i]);
  }
}

/** From -Infinity to 0; the larger one is drawn first. */
export function weightedKey(chance: number, weight: number): number {
  return weight > 0 ? Math.log(chance) / weight : -Infinity;
}

/** The next row, from row `from` on, whose key may exceed the floor; words: of its chances, the upper one second. */
function nextToOffer(top: Top, { offsets, numbers }: ColumnRows, words: Uint32Array, from: number): number {
  if (top.size < top.keys.length) return from;
  if (numbers === undefined) return offsets.length;
  const { floor } = top;
  for (let i = from; i < offsets.length; i += 1) {
    const high = words[2 * i + 1];
    const part = high & 0xfffff;
    const most = high * SLOPE + part * (0x100000 - part) * BEND + START;
    // Of a weight that is not positive the product is not negative, or NaN.
    if (most > floor * numbers[offsets[i]]) return i;
  }
  return offsets.length;
}
