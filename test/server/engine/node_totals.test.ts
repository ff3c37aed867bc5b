/** The totals of a node follow all that happens to its partitions. */
import { expect, test } from 'vitest';
import type { Node } from '../../../server/engine/node.ts';
import { NodeTotals, type Room } from '../../../server/engine/node_totals.ts';
import { drop } from '../../../server/engine/partitions.ts';
import { StoreError } from '../../../server/errors.ts';
import { caller, declareTest, openTestNode } from '../../support/node.ts';
import { simEnv, SimFs } from '../../support/sim_env.ts';
import { putNamed, upload } from './blob_world.ts';
import { load, save } from './load_world.ts';
import { declareAll, Work } from './random_work.ts';

const DIR = '/data';
const budget = { rowsMax: 10_000, bytesMax: 1e9 };

function counted(node: Node): Room {
  const { state } = node.parts;
  const total = { rows: 0, size: 0 };
  for (const partition of state.store.partitions()) {
    total.rows += state.queue(partition).slots.rows;
    total.size += partition.bytes;
  }
  return total;
}

/** What is told to somebody whose put can never have room. */
function told(node: Node): Room {
  const refusal = (rows: number, size: number): unknown => {
    const ids = Float64Array.from({ length: rows }, (_, i) => 1e9 + i);
    const partition = node.partition('probe');
    try {
      void node.budgets.obstacle({ partition, ids, size, holds: null, deadlineMs: 0, caller });
    } catch (error) {
      if (error instanceof StoreError) return error.details.used;
      throw error;
    }
    throw new Error('there was room');
  };
  return { rows: refusal(budget.rowsMax + 1, 0) as number, size: refusal(1, budget.bytesMax + 1) as number };
}

test.each([1, 2, 3])('whatever is done, seed %i', async (seed) => {
  const env = simEnv(SimFs.withReserve(DIR));
  const { node } = await openTestNode(env, DIR, 10 << 20, { budget });
  await declareAll(node);
  await declareTest(node, 'probe');
  const work = new Work(seed);
  for (let step = 0; step < 150; step++) {
    await work.step({ node, env }).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
    });
    if (step % 3 === 0) expect(told(node)).toEqual(counted(node));
  }
  await declareTest(node, 'images', {
    fields: new Map([
      ['image', { layout: 'blob' }],
      ['note', { layout: 'text' }],
    ]),
  });
  await upload(node, 'images', 'cat');
  await putNamed(node, 'images', [1], ['cat']);
  expect(told(node)).toEqual(counted(node));
  await drop(node, 'images');
  expect(told(node)).toEqual(counted(node));
  await load(node, await save(node), true);
  expect(told(node)).toEqual(counted(node));
  expect(new NodeTotals(node.parts.state).sum()).toEqual(counted(node));
});
