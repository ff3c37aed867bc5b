/** What the tests of samplers share: tables of cases, and how many cases properties try. */
import { runsOr, seedOr } from '../../support/runs.ts';

/** Tables in template strings: one case a line, columns between ` | `; blanks around them do not count. */
export function casesOf(table: string, separator = ' | '): string[][] {
  return table
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.split(separator).map((cell) => cell.trim()));
}

/** `3 0.5 - Infinity`; `-` is a number that is missing. */
export function numbersOf(cell: string): number[] {
  if (cell === '') return [];
  return cell.split(/\s+/).map((word) => (word === '-' ? NaN : Number(word)));
}

/** For properties: SEED=n and RUNS=n in the environment choose other cases. */
export const runs = { seed: seedOr(20_240_701), numRuns: runsOr(500) };
