/** The totals of a node follow all that happens to its partitions. */
import { expect, test } from 'vitest';
import type { Node } from '../../../server/engine/node.ts';
import { NodeTotals, type Room } from '../../../server/engine/node_totals.ts';
import { drop } from '../../../server/engine/partitions.ts';
import { StoreError } from '../../../server/errors.ts';
import { declareTest, openTestNode } from '../../support/node.ts';
import { simEnv, SimFs } from '../../support/sim_env.ts';
import { putNamed, upload } from './blob_world.ts';
import { load, save } from './load_world.ts';
import { declareAll, Work } from './random_work.ts';

const DIR = '/data';
const budget = { rowsMax: 1e6, bytesMax: 1e9 };

function counted(node: Node): Room {
  const { state } = node.parts;
  const total = { rows: 0, size: 0 };
  for (const partition of state.store.partitions()) {
    total.rows += state.queue(partition).slots.rows;
    total.size += partition.bytes;
  }
  return total;
}

test.each([1, 2, 3])('whatever is done, seed %i', async (seed) => {
  const env = simEnv(SimFs.withReserve(DIR));
  const { node } = await openTestNode(env, DIR, 10 << 20, { budget });
  await declareAll(node);
  const work = new Work(seed);
  for (let step = 0; step < 150; step++) {
    await work.step({ node, env }).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
    });
    if (step % 3 === 0) expect(node.budgets.used).toEqual(counted(node));
  }
  await declareTest(node, 'images', {
    fields: new Map([
      ['image', { layout: 'blob' }],
      ['note', { layout: 'text' }],
    ]),
  });
  await upload(node, 'images', 'cat');
  await putNamed(node, 'images', [1], ['cat']);
  expect(node.budgets.used).toEqual(counted(node));
  await drop(node, 'images');
  expect(node.budgets.used).toEqual(counted(node));
  await load(node, await save(node), true);
  expect(node.budgets.used).toEqual(counted(node));
  expect(new NodeTotals(node.parts.state).sum()).toEqual(counted(node));
});
