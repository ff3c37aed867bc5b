/** The slice and offset vectors, from oracles that work on plain arrays. Bytes are hex. */

const bytesToHex = (bytes: readonly number[]): string => Buffer.from(bytes).toString('hex');

/** null when a slice leaves the source. */
export function gatherOf(source: readonly number[], starts: readonly number[], lens: readonly number[]) {
  const out: number[] = [];
  for (let i = 0; i < starts.length; i++) {
    if (starts[i] + lens[i] > source.length) return null;
    out.push(...source.slice(starts[i], starts[i] + lens[i]));
  }
  return out;
}

/** -1 for a row out of range, -2 for a total above int32. */
export function rebaseOf(offsets: readonly number[], rows: readonly number[]) {
  const out = { offsets: [0], starts: [] as number[], lens: [] as number[] };
  for (const row of rows) {
    if (row >= offsets.length - 1) return -1;
    const total = out.offsets[out.offsets.length - 1] + offsets[row + 1] - offsets[row];
    if (total > 2 ** 31 - 1) return -2;
    out.starts.push(offsets[row]);
    out.lens.push(offsets[row + 1] - offsets[row]);
    out.offsets.push(total);
  }
  return out;
}

/** Index of the first offset that is negative, below its predecessor or above limit, -1 when all are good. */
export function badOffsetOf(offsets: readonly bigint[], limit: bigint): number {
  return offsets.findIndex((offset, i) => offset < (i > 0 ? offsets[i - 1] : 0n) || offset > limit);
}

export function sliceVectors() {
  const source = Array.from({ length: 64 }, (_, i) => (i * 37) % 256);
  const gathers = [
    { starts: [], lens: [] },
    { starts: [0], lens: [64] },
    { starts: [63, 0, 10, 10, 64], lens: [1, 3, 0, 20, 0] },
    { starts: [60], lens: [5] },
    { starts: [4294967295], lens: [1] },
    { starts: [4294967295], lens: [4294967295] },
  ];
  const rebases = [
    { offsets: [0], rows: [] },
    { offsets: [0], rows: [0] },
    { offsets: [5, 5, 9, 20], rows: [2, 0, 1, 2] },
    { offsets: [0, 1, 2], rows: [1, 4294967295] },
    { offsets: [0, 2147483647], rows: [0] },
    { offsets: [0, 2147483647], rows: [0, 0] },
    { offsets: [0, 1073741824], rows: [0, 0] },
  ];
  return {
    gathers: gathers.map(({ starts, lens }) => {
      const out = gatherOf(source, starts, lens);
      return { source: bytesToHex(source), starts, lens, out: out && bytesToHex(out) };
    }),
    rebases: rebases.map(({ offsets, rows }) => ({ offsets, rows, out: rebaseOf(offsets, rows) })),
  };
}

export function offsetVectors() {
  const rising = Array.from({ length: 21 }, (_, i) => BigInt(i * 3));
  const broken = (at: number, value: bigint) => rising.map((offset, i) => (i === at ? value : offset));
  const narrow: { offsets: bigint[]; limit: bigint }[] = [
    { offsets: [], limit: 0n },
    { offsets: [0n], limit: 0n },
    { offsets: [-1n], limit: 10n },
    { offsets: [11n], limit: 10n },
    { offsets: [3n, 3n, 3n, 3n, 3n], limit: 3n },
    { offsets: rising, limit: 60n },
    { offsets: rising, limit: 59n },
    { offsets: [0n, 2147483647n], limit: 2147483647n },
    { offsets: [0n, -2147483648n], limit: 2147483647n },
    ...[0, 1, 4, 5, 8, 19, 20].flatMap((at) => [
      { offsets: broken(at, -1n), limit: 100n },
      { offsets: broken(at, 101n), limit: 100n },
    ]),
  ];
  const wide = [
    { offsets: [0n, 2n ** 40n, 2n ** 53n - 1n], limit: 2n ** 53n - 1n },
    { offsets: [0n, 2n ** 62n], limit: 2n ** 53n - 1n },
    { offsets: [0n, -(2n ** 63n)], limit: 2n ** 53n - 1n },
    { offsets: [2n ** 32n, 1n], limit: 2n ** 40n },
  ];
  const frozen = ({ offsets, limit }: { offsets: bigint[]; limit: bigint }) => {
    return { offsets: offsets.map(String), limit: Number(limit), bad: badOffsetOf(offsets, limit) };
  };
  return { int32: narrow.map(frozen), int64: [...narrow, ...wide].map(frozen) };
}
