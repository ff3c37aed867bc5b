/**
 * Failpoints in the simulation: the workload passes all of them, and an error or a delay at any of them loses nothing.
 * TQ_LONG=1 strikes at more passes.
 */
import { expect, test } from 'vitest';
import { failpoints, type Arming, type Failpoint } from '../../server/env/failpoints.ts';
import { declareTest, putText } from '../support/node.ts';
import { isLong } from '../support/runs.ts';
import { seededRandom, simEnv, SimFs, type SimEnv } from '../support/sim_env.ts';
import { crashImages } from '../support/sim/crash_images.ts';
import { ignoreCrashErrors } from './crash_errors.ts';
import { judge } from './judge.ts';
import { FAULTS, live, type Plant } from './life.ts';
import { observe } from './observe.ts';
import { DIR, openSimNode } from './open.ts';

ignoreCrashErrors();

/** Points that no simulated workload passes yet. */
const NEVER_PASSED: readonly Failpoint[] = [];

const SEEDS_MAX = 100;
const LIVES = 3;
const NO_FAULTS = { sync: 0, write: 0, read: 0, full: 0 };

test('the workloads pass every point', async () => {
  const missing = new Set<Failpoint>(failpoints);
  const plant = (env: SimEnv): SimEnv => {
    const { fail } = env;
    return { ...env, fail: (point) => (missing.delete(point), fail(point)) };
  };
  await bulk(plant);
  for (let seed = 1; seed <= SEEDS_MAX && missing.size > NEVER_PASSED.length; seed++) await lives(seed, plant);
  expect([...missing]).toEqual(NEVER_PASSED);
});

/** Lives that start from what crashes left of the ones before. */
async function lives(seed: number, plant: Plant): Promise<void> {
  const random = seededRandom(seed);
  let fs = SimFs.withReserve(DIR);
  for (let life = 0; life < LIVES; life++) {
    const options = { fs, random, life: 0, steps: 60, notes: [], allDurable: true, faults: { ...FAULTS, full: 0.5 } };
    const { disk, trace } = await live({ ...options, plant });
    for (const op of trace.slice(0, Math.ceil(trace.length * (0.5 + 0.5 * random())))) disk.apply(op);
    const images = crashImages({ disk, boot: fs.boot, flying: [], random, cutsMax: 4 });
    fs = images[Math.floor(random() * images.length)].make();
  }
}

/** As many rows as flushes and compactions take in several steps. */
async function bulk(plant: Plant): Promise<void> {
  const env = plant(simEnv({ fs: SimFs.withReserve(DIR) }));
  env.clock.creepMs = 0.5;
  const opened = await openSimNode(env);
  const { node } = opened;
  await declareTest(node, 'bulk');
  const ids = Array.from({ length: 3_000 }, (_, id) => id);
  for (let round = 0; round < 12; round++) {
    await putText(node, 'bulk', ids, 'a', ids.map(String));
    await node.checkpoints.run();
    // Compaction is paced by the clock.
    await env.clock.advance(1_000);
  }
  await opened.close();
}

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
  const plant: Plant = (env) => {
    env.failpoints.arm(point, arming);
    return env;
  };
  const lived = await live({ ...options, plant }).catch(() => null);
  if (lived === null) {
    // The start itself met the error. The next one does not.
    await (await openSimNode(simEnv({ fs: fs.afterCrash() }))).abandon();
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
    await opened.abandon();
  }
}

test.each(failpoints)('an error or a delay at %s loses nothing', async (point) => {
  for (const arming of armings) await strike(point, arming);
});
