/** The benchmark runner: its arithmetic, so that it prints what the suites measured, and its command line. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { alternate, median, quantile, spread } from './bench/runner/measure.ts';
import { toResult } from './bench/runner/suite.ts';
import { tableLine } from './bench/runner/table.ts';

test('quantiles interpolate between neighbours, in any order of the values', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(quantile([0, 10], 0.25)).toBe(2.5);
  expect(spread([1, 2, 3, 4, 5])).toBeCloseTo(2 / 3);
  expect(() => median([])).toThrow(RangeError);
});

test('opponents play in turns and warm-up rounds do not count', async () => {
  const played: string[] = [];
  const play = (name: string) => () => played.push(name);
  const values = await alternate({ rounds: 2, warmUpRounds: 1, ours: play('a'), peer: play('b') });
  expect(played.join('')).toBe('ababab');
  expect(values).toEqual({ ours: [3, 5], peer: [4, 6] });
});

test.each([
  ['higher', 10, 5, 2],
  ['lower', 10, 5, 0.5],
] as const)('a ratio above 1 means that we are better, when %s is better', (better, ours, peer, ratio) => {
  const measured = { case: 'c', metric: 'm', unit: 'u', better, ours: [ours], peer: [peer], peerName: 'p' };
  expect(toResult('s', measured).ratio).toBe(ratio);
});

test('a figure that stands alone has no ratio', () => {
  const result = toResult('s', { case: 'c', metric: 'm', unit: 'ms', better: 'lower', ours: [1234.5, 0.5] });
  expect(result).toMatchObject({ suite: 's', peer: null, peerName: null, ratio: null, rounds: 2 });
  expect(tableLine(result)).toMatch(/^c +m +618 +ms +\d+ %$/);
});

const main = join(import.meta.dirname, 'bench', 'main.ts');
const usage = expect.stringMatching(
  /^npm run bench -- <suite> .*: core, index, queue, recover, wire, all\n$/,
) as string;
const usageAtTheEnd = expect.stringContaining('\nnpm run bench -- <suite> ') as string;

test.each([
  { args: ['--help'], status: 0, stdout: usage, stderr: '' },
  { args: ['nothing'], status: 2, stdout: '', stderr: usage },
  { args: ['--helpless'], status: 2, stdout: '', stderr: usageAtTheEnd },
])('bench $args ends with $status', ({ args, ...wanted }) => {
  expect(spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })).toMatchObject(wanted);
});
