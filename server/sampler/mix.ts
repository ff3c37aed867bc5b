/**
 * A random number for each (seed, id) that is always the same: the output number `id` of SplitMix64 started at `seed`.
 *
 *   z = seed + (id + 1) * 0x9e3779b97f4a7c15
 *   z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9        all modulo 2^64
 *   z = (z ^ z >>> 27) * 0x94d049bb133111eb
 *   z ^ z >>> 31
 *
 * Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014; the constants are those of Vigna's
 * splitmix64.c. It is written in pairs of 32-bit words, so that nothing is allocated for a row; a language with
 * 64-bit integers gets the same numbers by the four lines above. A word is right modulo 2^32 only: bit operators and
 * Math.imul look at no more, and sums of words stay far below 2^53, so they are exact.
 */

/** The upper 52 bits, as an integer: so many that a double can still hold them with a half added. */
export function mix52(seed: number, id: number): number {
  const countLow = (id + 1) >>> 0;
  const countHigh = Math.floor((id + 1) / 2 ** 32);
  const low0 = (seed >>> 0) + (Math.imul(countLow, 0x7f4a7c15) >>> 0);
  const carry = low0 > 0xffffffff ? 1 : 0;
  const high0 = Math.floor(seed / 2 ** 32) + carry + timesHigh(countHigh, countLow, 0x9e3779b9, 0x7f4a7c15);

  const low1 = low0 ^ ((low0 >>> 30) | (high0 << 2));
  const high1 = timesHigh(high0 ^ (high0 >>> 30), low1, 0xbf58476d, 0x1ce4e5b9);
  const low2 = Math.imul(low1, 0x1ce4e5b9);

  const low3 = low2 ^ ((low2 >>> 27) | (high1 << 5));
  const high2 = timesHigh(high1 ^ (high1 >>> 27), low3, 0x94d049bb, 0x133111eb);
  const low4 = Math.imul(low3, 0x133111eb);

  const low = low4 ^ ((low4 >>> 31) | (high2 << 1));
  const high = high2 ^ (high2 >>> 31);
  return (high >>> 0) * 2 ** 20 + (low >>> 12);
}

/** The upper word of the lower 64 bits of a product; the lower word is Math.imul(aLow, bLow). */
function timesHigh(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return carriedHigh(aLow, bLow) + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh);
}

/** The upper word of the product of two words, by halves of words: a double does not hold the whole product. */
function carriedHigh(a: number, b: number): number {
  const lows = (a & 0xffff) * (b & 0xffff);
  const middle = (a >>> 16) * (b & 0xffff) + (lows >>> 16);
  const other = (a & 0xffff) * (b >>> 16) + (middle & 0xffff);
  return (a >>> 16) * (b >>> 16) + (middle >>> 16) + (other >>> 16);
}
