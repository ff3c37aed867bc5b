/**
 * Failpoints in the simulation: the workload passes all of them, and an error or a delay at any of them loses nothing.
 */
import { expect, test } from 'vitest';
import { failpoints, type Arming, type Failpoint } from '../../server/env/failpoints.ts';
import { seededRandom, simEnv, SimFs, type SimFailpoints } from '../support/sim_env.ts';
import { crashImages } from '../support/sim/crash_images.ts';
import { ignoreCrashErrors } from './crash_errors.ts';
import { explore } from './explore.ts';
import { judge } from './judge.ts';
import { FAULTS, live } from './life.ts';
import { observe } from './observe.ts';
import { abandon, DIR, openSimNode } from './open.ts';

ignoreCrashErrors();

/** Points that no simulated workload passes yet. */
const NEVER_PASSED: readonly Failpoint[] = [];

const SEEDS_MAX = 30;
const isLong = process.env.TQ_LONG === '1';
const NO_FAULTS = { sync: 0, write: 0, read: 0, full: 0 };

test('the workload passes every point', async () => {
  const seen: SimFailpoints[] = [];
  const missing = new Set<Failpoint>(failpoints);
  for (let seed = 1; seed <= SEEDS_MAX && missing.size > NEVER_PASSED.length; seed++) {
    const plant = (env: ReturnType<typeof simEnv>): ReturnType<typeof simEnv> => {
      seen.push(env.failpoints);
      return env;
    };
    await explore({ seed, imagesMax: 2, faults: { ...FAULTS, full: 0.5 }, plant });
    for (const { passes } of seen.splice(0)) for (const point of passes.keys()) missing.delete(point);
  }
  expect([...missing]).toEqual(NEVER_PASSED);
});

const armings: readonly Arming[] = [
  { action: 'throw', pass: 1 },
  { action: 'throw', pass: 3 },
  { action: 'delay', pass: 2, ms: 700 },
  ...(isLong ? ([5, 9, 17].map((pass) => ({ action: 'throw', pass })) as Arming[]) : []),
];

/** A life in which the point strikes, and a start from what it left. */
async function strike(point: Failpoint, arming: Arming): Promise<void> {
  const fs = SimFs.withReserve(DIR);
  const random = seededRandom(7);
  const options = { fs, random, life: 0, steps: 60, notes: [], allDurable: true, faults: NO_FAULTS };
  const plant = (env: ReturnType<typeof simEnv>): ReturnType<typeof simEnv> => {
    env.failpoints.arm(point, arming);
    return env;
  };
  const lived = await live({ ...options, plant }).catch(() => null);
  if (lived === null) {
    // The start itself met the error. The next one does not.
    abandon(await openSimNode(simEnv({ fs: fs.afterCrash() })));
    return;
  }
  const { disk, trace, history } = lived;
  for (const op of trace) disk.apply(op);
  const images = crashImages({ disk, boot: fs.boot, flying: [], random, cutsMax: 4 }).slice(0, 3);
  for (const image of images) {
    const env = simEnv({ fs: image.make() });
    const opened = await openSimNode(env);
    const seen = await observe({ node: opened.node, clock: env.clock, retries: [], drains: true });
    expect(judge(history, { kind: image.kind, at: disk.opCount }, seen).findings, image.label).toEqual([]);
    abandon(opened);
  }
}

test.each(failpoints)('an error or a delay at %s loses nothing', async (point) => {
  for (const arming of armings) await strike(point, arming);
});
