/** Vectors of the chance of ids, by an oracle in integers of any size. */

const U64 = 64;

/** The output number `id` of SplitMix64 that starts at `seed`. */
export function splitMix64(seed: number, id: number): bigint {
  const wrap = (value: bigint): bigint => BigInt.asUintN(U64, value);
  let z = wrap(BigInt(seed) + (BigInt(id) + 1n) * 0x9e3779b97f4a7c15n);
  z = wrap((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = wrap((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** Its upper 52 bits as a number in (0, 1). */
export function chanceOf(seed: number, id: number): number {
  return (Number(splitMix64(seed, id) >> 12n) + 0.5) / 2 ** 52;
}

/** The outputs of seed 1234567 that are published for checks of other implementations. */
const PUBLISHED: readonly bigint[] = [
  6_457_827_717_110_365_317n,
  3_203_168_211_198_807_973n,
  9_817_491_932_198_370_423n,
  4_593_380_528_125_082_431n,
  16_408_922_859_458_223_821n,
];

export function randomVectors() {
  const published = PUBLISHED.map((output) => (Number(output >> 12n) + 0.5) / 2 ** 52);
  const ids = [0, 1, 2, 63, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER];
  const seeds = [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 45 + 3, Number.MAX_SAFE_INTEGER];
  return {
    published: [{ seed: 1_234_567, ids: PUBLISHED.map((_, id) => id), chances: published }],
    own: seeds.map((seed) => ({ seed, ids, chances: ids.map((id) => chanceOf(seed, id)) })),
  };
}
