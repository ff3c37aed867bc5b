/**
 * Made the data directories of this folder, which nodes of format version 1 left when they were killed. They are
 * frozen: every later version opens them and reads the same.
 *
 *   node test/compat/make.ts test/compat/v1          all in the journal
 *   node test/compat/make.ts test/compat/v1-tree     two checkpoints on the way, the journal begins at the second
 */
import { encodeBatch } from '@transfer-queue/core/arrow';
import { endClaim } from '../../server/engine/claims.ts';
import { deleteRows, drop, seal } from '../../server/engine/partitions.ts';
import { claimOf, declareTest, openTestNode, putBody, putText } from '../support/node.ts';
import { simEnv, SimFs } from '../support/sim_env.ts';
import { DIR, freeze } from './freeze.ts';

const target = process.argv[2];

const env = simEnv(SimFs.withReserve(DIR));
const { node } = await openTestNode(env, DIR);
const checkpoint = () => (target.endsWith('-tree') ? node.checkpoints.run() : Promise.resolve());

const matrices = Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
const matrixColumn = {
  name: 'matrix',
  layout: { layout: 'dense', dtype: 'float32', shape: [2, 2] },
  values: new Uint8Array(matrices.buffer),
} as const;

await declareTest(node, 'train', { groupSize: 2 });
const first = await putText(node, 'train', [1, 2, 3, 4], 'prompt', ['one', 'two', 'three', ''], { requestId: 'put-1' });
await putText(node, 'train', [2], 'prompt', ['TWO']);
await putBody(node, 'train', Buffer.concat(encodeBatch(Float64Array.of(4, 1), [matrixColumn])));
await putText(node, 'train', [9], 'prompt', ['deleted']);
await deleteRows(node, 'train', { ids: Float64Array.of(9), requestId: 'delete-1' });

await checkpoint();
await declareTest(node, 'gone');
await putText(node, 'gone', [1], 'a', ['dropped']);
await drop(node, 'gone');

await declareTest(node, 'scratch', { ack: 'memory' });
await putText(node, 'scratch', [1], 'a', ['in memory']);

await declareTest(node, 'done', { ack: 'disk' });
await putText(node, 'done', [2 ** 53 - 1, 2 ** 40], 'a', ['end', 'high']);
await seal(node, 'done');

const live = await claimOf(node, 'train', { fields: ['prompt'], rowsMax: 1, requestId: 'claim-1', leaseMs: 60_000 });
const acked = await claimOf(node, 'train', { fields: ['prompt'], rowsMax: 1, leaseMs: 60_000 });
const released = await claimOf(node, 'train', { fields: ['prompt'], rowsMax: 1, leaseMs: 60_000 });
if (live.kind !== 'claimed' || acked.kind !== 'claimed' || released.kind !== 'claimed') throw new Error('not claimed');
await checkpoint();
await putText(node, 'train', [1], 'prompt', ['after the claim']);
await putText(node, 'train', [2], 'response', ['answer'], { claim: acked.token });
await endClaim(node, released.token, 'release', '');
await node.makeDurable();
await putText(node, 'train', [5], 'prompt', ['above the watermark']);

const facts = { putLsn: first.lsn, liveToken: live.token, ackedToken: acked.token, releasedToken: released.token };
freeze(env.fs, target, { ...facts, lsn: node.parts.journal.lsn });
