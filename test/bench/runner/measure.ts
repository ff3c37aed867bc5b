/** How to measure on a noisy machine: opponents in turns, one after the other, after a warm-up; then medians. */

export interface Contest {
  rounds: number;
  /** Rounds before the first that counts. */
  warmUpRounds?: number;
  /** Each call is one round; it returns what it measured. */
  ours: () => number | Promise<number>;
  peer: () => number | Promise<number>;
}

/** Plays A B A B ..., so that a slow minute of the machine hits both. */
export async function alternate({
  rounds,
  warmUpRounds = 1,
  ours,
  peer,
}: Contest): Promise<{ ours: number[]; peer: number[] }> {
  const values = { ours: [] as number[], peer: [] as number[] };
  for (let round = -warmUpRounds; round < rounds; round += 1) {
    const pair = { ours: await ours(), peer: await peer() };
    if (round < 0) continue;
    values.ours.push(pair.ours);
    values.peer.push(pair.peer);
  }
  return values;
}

/** Milliseconds that a call takes. */
export async function timeMs(call: () => unknown): Promise<number> {
  const startMs = performance.now();
  await call();
  return performance.now() - startMs;
}

/** The value below which this share of the values lies, interpolated between neighbours. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError('a quantile of no values');
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)];
  return below + (sorted[Math.ceil(place)] - below) * (place - Math.floor(place));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Distance of the quartiles as a share of the median. */
export function spread(values: readonly number[]): number {
  const middle = median(values);
  return middle === 0 ? 0 : (quantile(values, 0.75) - quantile(values, 0.25)) / middle;
}
