import { afterEach, expect, test, vi } from 'vitest';
import { runsOr, seedOr } from './runs.ts';

afterEach(() => vi.unstubAllEnvs());

test('the environment chooses seed and runs, where it names any', () => {
  vi.stubEnv('SEED', undefined);
  vi.stubEnv('RUNS', undefined);
  expect([seedOr(7), runsOr(200)]).toEqual([7, 200]);
  vi.stubEnv('SEED', '0');
  vi.stubEnv('RUNS', '1');
  expect([seedOr(7), runsOr(200)]).toEqual([0, 1]);
});

test.each(['', 'abc', '-1', '1.5', '1e3'])('%j is refused: it would try nothing, and pass', (given) => {
  vi.stubEnv('SEED', given);
  vi.stubEnv('RUNS', given);
  expect(() => seedOr(7)).toThrow('SEED=');
  expect(() => runsOr(200)).toThrow('RUNS=');
  vi.stubEnv('RUNS', '0');
  expect(() => runsOr(200)).toThrow('RUNS=0: a whole number from 1 on');
});
