/** The failpoints of the tree: a process that ends at any of them, or gets an error there, loses nothing. */

import { expect, test } from 'vitest';
import { failpoints, type Failpoint } from '../../../server/env/failpoints.ts';
import type { Tree } from '../../../server/tree/api.ts';
import { settle, SimFs, simEnv, type SimEnv } from '../../support/sim_env.ts';
import { bytesOf, entriesOf, openSmall } from './support.ts';

const points = failpoints.filter((point) => point.startsWith('tree.'));
const ROUNDS = 14;

const entry = (round: number, i: number) => [`k${String((i * 7) % 400).padStart(3, '0')}`, `${round}`.padEnd(450, '.')];

function contentOf(rounds: number): string[] {
  const content = new Map<string, string>();
  for (let round = 1; round <= rounds; round++) {
    for (let i = 0; i < 150; i++) content.set(entry(round, i * round)[0], entry(round, i * round)[1]);
  }
  return [...content].map(([key, value]) => `${key}=${value}`).sort();
}

/** Rounds of puts, flushes and compactions; resolves to the rounds that were flushed, also when the process "ends". */
async function run(env: SimEnv, isOver: () => boolean): Promise<number> {
  let flushed = 0;
  const work = async (): Promise<void> => {
    const tree = await openSmall(env, { level0Size: 90 << 10, level0RunsMax: 3 });
    for (let round = 1; round <= ROUNDS; round++) {
      for (let i = 0; i < 150; i++) {
        const [key, value] = entry(round, i * round);
        tree.put(bytesOf(key), bytesOf(value), round);
      }
      tree.rotate();
      await flushAgain(tree, round);
      flushed = round;
      await tree.compacted();
    }
    await tree.close();
  };
  const working = work().then(() => true);
  while (!(await Promise.race([working, settle().then(() => false)])) && !isOver()) await env.clock.advance(1_000);
  return flushed;
}

/** An error leaves the frozen memtable where it is. */
async function flushAgain(tree: Tree, round: number): Promise<void> {
  await tree.flush({ round }).catch(() => tree.flush({ round }));
}

test('all of them are passed', async () => {
  const env = simEnv(new SimFs());
  env.fs.files.set('/data/tree/0000000099.sst', { current: Buffer.alloc(0), durable: Buffer.alloc(0) });
  await run(env, () => false).catch(() => 0);
  env.fs.files.delete('/data/tree/0000000099.sst');
  await run(env, () => false);
  const passed = [...env.failpoints.passes.keys()];
  expect(passed).toEqual(expect.arrayContaining(points));
});

test.each(points.flatMap((point) => [1, 2, 5].map((pass) => [point, pass] as const)))(
  'a process that ends at %s, pass %i, is found whole',
  async (point: Failpoint, pass) => {
    const env = simEnv({ fs: new SimFs(), arm: { [point]: { action: 'exit', pass } } });
    const flushed = await run(env, () => env.crashes.length > 0);
    const fs = env.fs.afterPowerCut({ keep: (_, current, durable) => (pass === 2 ? current : durable) });
    const tree = await openSmall(simEnv(fs));
    const round = Number(tree.checkpoint?.['round'] ?? 0);
    expect(round).toBeGreaterThanOrEqual(flushed);
    expect(round).toBeLessThanOrEqual(flushed + 1);
    expect(await entriesOf(tree)).toEqual(contentOf(round));
    await tree.close();
  },
);

/** After these a failure leaves nobody knows what, so that the process ends. */
const fatal: readonly Failpoint[] = ['tree.manifest.syncdir'];

test.each(points.filter((point) => !fatal.includes(point)))('an error at %s changes nothing', async (point) => {
  const env = simEnv({ fs: new SimFs(), arm: { [point]: { action: 'throw', pass: 3 } } });
  expect(await run(env, () => false)).toBe(ROUNDS);
  expect(env.crashes).toEqual([]);
  const tree = await openSmall(simEnv(env.fs));
  expect(await entriesOf(tree)).toEqual(contentOf(ROUNDS));
  await tree.close();
});
