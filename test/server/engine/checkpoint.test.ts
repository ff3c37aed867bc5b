/**
 * Nothing that a node knows is left out of its checkpoints: whatever happened, a start from the last checkpoint and the
 * journal after it finds the state that was running.
 *
 * SEED=n is the first seed and RUNS=n their number; TQ_LONG=1 runs 2,000.
 */
import { describe, expect, test, vi } from 'vitest';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { FsError } from '../../../server/env/env.ts';
import { StoreError } from '../../../server/errors.ts';
import { openTestNode, putText, readText } from '../../support/node.ts';
import { isLong, runsOr, seedOr } from '../../support/runs.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';
import { dumpNode } from './node_dump.ts';
import { declareAll, Work } from './random_work.ts';

const DIR = '/data';

async function open(env: SimEnv): Promise<OpenedNode & { env: SimEnv }> {
  return { ...(await openTestNode(env, DIR, 10 << 20)), env };
}

function afterKill({ env }: { env: SimEnv }): ReturnType<typeof open> {
  return open(simEnv(env.fs.afterCrash(), env.clock));
}

async function run(seed: number): Promise<void> {
  const work = new Work(seed);
  let node = await open(simEnv(SimFs.withReserve(DIR)));
  await declareAll(node.node);
  for (let crash = 0; crash < 4; crash++) {
    const running: Promise<unknown>[] = [];
    for (let step = 0; step < 60; step++) {
      const doing = work.step(node).catch((error: unknown) => {
        if (!(error instanceof StoreError)) throw error;
      });
      if (work.int(3) > 0) await doing;
      else running.push(doing);
      if (work.int(15) === 0) running.push(node.node.checkpoints.run());
    }
    await Promise.all(running);
    await settle();
    const before = await dumpNode(node.node);
    const again = await afterKill(node);
    expect(await dumpNode(again.node)).toEqual(before);
    node = again;
  }
  expect(node.env.crashes).toEqual([]);
}

describe('a start from a checkpoint', () => {
  const seeds = runsOr(isLong ? 2_000 : 20);
  const first = seedOr(1);
  test.each(Array.from({ length: seeds }, (_, i) => first + i))('finds the state that was running, seed %i', run);

  test('removes the journal that it does not need, and reads rows from before', async () => {
    const first = await open(simEnv(SimFs.withReserve(DIR)));
    await declareAll(first.node);
    await putText(first.node, 'p', [1, 2], 'a', ['one', 'two']);
    await first.node.checkpoints.run();
    await putText(first.node, 'p', [2], 'b', ['zwei']);
    expect([...first.env.fs.files.keys()].filter((path) => path.includes('/journal/'))).toHaveLength(1);
    const second = await afterKill(first);
    expect(second.recovery.events).toBeLessThan(5);
    expect(await readText(second.node, 'p', [2])).toEqual({ index_id: ['2'], a: ['two'], b: ['zwei'] });
    expect(await readText(second.node, 'p', [1], ['a'])).toEqual({ index_id: ['1'], a: ['one'] });
  });

  test('while the disk is full does nothing at the freeze, nor at a later one what was refused', async () => {
    const { node } = await open(simEnv(SimFs.withReserve(DIR)));
    const full = vi.spyOn(node.parts.tree, 'flush').mockRejectedValue(new FsError('ENOSPC', '/data/tree', 'write'));
    await node.checkpoints.run();
    const act = vi.fn();
    for (let i = 0; i < 3; i++) {
      await expect(node.checkpoints.atFreeze(act)).rejects.toMatchObject({ code: 'disk_full' });
    }
    full.mockRestore();
    await node.checkpoints.run();
    await node.checkpoints.run();
    expect(act).not.toHaveBeenCalled();
    await node.checkpoints.atFreeze(act);
    expect(act).toHaveBeenCalledTimes(1);
  });
});
