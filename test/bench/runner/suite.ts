/**
 * What a benchmark suite is: a file `test/bench/<suite>.ts` that exports `run`.
 *
 *     export async function run({ quick, report }: BenchContext): Promise<void> {
 *       const { ours, peer } = await alternate({ rounds: quick ? 5 : 15, ours: putOnce, peer: copyOnce });
 *       report({ case: 'put 64 MiB', metric: 'rate', unit: 'GB/s', better: 'higher', ours, peer, peerName: 'memcpy' });
 *     }
 *
 * A suite checks the bytes that it moved, and throws when they are wrong.
 */

import { median, spread } from './measure.ts';

export interface BenchContext {
  /** Fewer rounds and smaller sizes: all suites together stay under five minutes. */
  readonly quick: boolean;
  report(measured: Measured): void;
}

export interface Measured {
  case: string;
  metric: string;
  unit: string;
  better: 'higher' | 'lower';
  /** One value per round. */
  ours: readonly number[];
  /** One value per round of the named opponent; absent where the figure stands alone. */
  peer?: readonly number[];
  peerName?: string;
}

/** One line of the `--json` file. */
export interface Result {
  suite: string;
  case: string;
  metric: string;
  unit: string;
  ours: number;
  peer: number | null;
  peerName: string | null;
  /** Above 1 we are better, whichever way the metric counts. */
  ratio: number | null;
  better: 'higher' | 'lower';
  rounds: number;
  /** Of our values: distance of the quartiles, as a share of the median. */
  spread: number;
}

export interface Suite {
  name: string;
  run: (context: BenchContext) => Promise<void>;
}

export function toResult(suite: string, measured: Measured): Result {
  const { better, peerName = null } = measured;
  const ours = median(measured.ours);
  const peer = measured.peer === undefined ? null : median(measured.peer);
  return {
    suite,
    case: measured.case,
    metric: measured.metric,
    unit: measured.unit,
    ours,
    peer,
    peerName,
    ratio: peer === null ? null : better === 'higher' ? ours / peer : peer / ours,
    better,
    rounds: measured.ours.length,
    spread: spread(measured.ours),
  };
}
