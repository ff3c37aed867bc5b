/**
 * Made the frozen directories of the queue, as `make.ts` did the others.
 *
 *   node test/compat/make_queue.ts test/compat/v1-queue          all in the journal
 *   node test/compat/make_queue.ts test/compat/v1-queue-tree     two checkpoints on the way
 */
import { openTestNode } from '../support/node.ts';
import { settle, simEnv, SimFs } from '../support/sim_env.ts';
import { DIR, freeze } from './freeze.ts';
import { makeQueue, tellQueue } from './queue_world.ts';

const target = process.argv[2];
const env = simEnv(SimFs.withReserve(DIR));
const { node } = await openTestNode(env, DIR);
const tokens = await makeQueue(node, {
  checkpoint: () => (target.endsWith('-tree') ? node.checkpoints.run() : Promise.resolve()),
  pass: () => env.clock.advance(2_000).then(settle),
});
await node.makeDurable();
freeze(env.fs, target, { ...tokens, told: await tellQueue(node) });
