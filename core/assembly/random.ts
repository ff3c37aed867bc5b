/**
 * Chance that is always the same for a (seed, id): the upper 52 bits of output number `id` of SplitMix64, started at
 * `seed`, as a number in (0, 1).
 *
 *     z = seed + (id + 1) * 0x9e3779b97f4a7c15
 *     z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9        all modulo 2^64
 *     z = (z ^ z >>> 27) * 0x94d049bb133111eb
 *     u = ((z ^ z >>> 31) >>> 12 + 1/2) / 2^52       exact: so many bits that a double can still hold them and a half
 *
 * Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014; the constants are those of Vigna's
 * splitmix64.c.
 */

function splitMix(seed: u64, id: u64): u64 {
  let z = seed + (id + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/** u of each of n ids into out, which may be ids. All are f64s, seed and ids safe integers not below 0. */
export function chances_of_ids(seed: f64, ids: usize, n: u32, out: usize): void {
  const start = <u64>seed;
  for (let i: u32 = 0; i < n; i++) {
    const at = (<usize>i) << 3;
    const bits = splitMix(start, <u64>load<f64>(ids + at)) >> 12;
    store<f64>(out + at, (<f64>bits + 0.5) / 4503599627370496.0);
  }
}
