/**
 * What a cell or a tag may show, from what is known of its writes.
 *
 *   write   |--ok--|        |---unknown ...
 *   look              |----|          may show either; not what was there before the first
 *
 * A write may be seen from its invoke on; it is certainly over for a look when a later one was certainly done between.
 */
import { endOf, outcomeOf, type Call } from './history.ts';

export interface Write {
  readonly value: string;
  readonly at: number;
  readonly ended: number;
  readonly isSure: boolean;
}

/** Several tries of one request act once: from the first invoke, and by the first answer. */
export function writeOf(tries: readonly Call[]): Omit<Write, 'value'> | null {
  const outcomes = tries.map(outcomeOf);
  if (outcomes.every((outcome) => outcome === 'fail')) return null;
  const sure = tries.filter((_, index) => outcomes[index] === 'ok').map(endOf);
  return {
    at: Math.min(...tries.map(({ invoke }) => invoke.at)),
    ended: Math.min(Infinity, ...sure),
    isSure: sure.length > 0,
  };
}

/** Values that a look between `from` and `to` may show; undefined among them: nothing. */
export function possibleValues(writes: readonly Write[], from: number, to: number): (string | undefined)[] {
  const done = writes.filter((write) => write.isSure && write.ended < from);
  const isOver = (write: Write): boolean => done.some((later) => later.at > write.ended);
  const seen = writes.filter((write) => write.at <= to && !isOver(write)).map((write) => write.value);
  return done.length === 0 ? [...seen, undefined] : seen;
}
