/** What the frozen directories of the queue hold: how it was made, and what a node says of it. */
import { endClaim } from '../../server/engine/claims.ts';
import type { ClaimTake } from '../../server/engine/commands.ts';
import type { Node } from '../../server/engine/node.ts';
import { advance, describe, seal } from '../../server/engine/partitions.ts';
import { listRows, tagRows } from '../../server/engine/tags.ts';
import { listDeadLetters, listLeases, requeue, resetTask } from '../../server/engine/tasks.ts';
import { upload, putNamed } from '../server/engine/blob_world.ts';
import { load, save, type Saved } from '../server/engine/load_world.ts';
import { bodyOf, claimOf, declareTest, openTestNode, putBody, putText } from '../support/node.ts';
import { simEnv, SimFs } from '../support/sim_env.ts';
import { DIR } from './freeze.ts';

export const PART = { name: 'ranks', number: 1, parts: 2, part: 0 };
const LEASE_MS = 60_000;
const images = ['cat', 'dog', 'cat'];

/** Tokens of what is leased, and what became of requests. */
export interface QueueTokens {
  readonly liveToken: string;
  readonly rankToken: string;
  readonly tagLsn: number;
  readonly resetLsn: number;
}

async function take(node: Node, partition: string, more: Partial<ClaimTake>): Promise<string> {
  const claim = await claimOf(node, partition, { fields: ['a'], rowsMax: 1, leaseMs: LEASE_MS, ...more });
  if (claim.kind !== 'claimed') throw new Error(`not claimed: ${claim.kind}`);
  claim.located.close();
  return claim.token;
}

/** What happens to the node while it is worked with. */
interface Meanwhile {
  /** Called twice. */
  checkpoint(): Promise<unknown>;
  /** Time passes: what is done in the background is done then. */
  pass(): Promise<unknown>;
}

export async function makeQueue(node: Node, meanwhile: Meanwhile): Promise<QueueTokens> {
  const declared = [{ name: 'train', maxAttempts: 2 }, { name: 'look' }];
  await declareTest(node, 'steps', {
    queue: { tasks: declared, numbers: ['version', 'reward'], rowsMax: 100, pace: { rowsPerVersion: 8, maxAhead: 9 } },
  });
  const ids = [0, 1, 2, 3, 4, 5, 6, 7];
  const tags = ids.map((id) => JSON.stringify({ version: id < 2 ? 1 : 3, reward: id / 4, status: 'new' }));
  const values = ids.map((id) => `a ${id}`);
  await putBody(node, 'steps', bodyOf(ids, 'a', values, true, tags));
  const status = ['{"status":"finished","reward":1.5}', '{"status":null,"note":{"by":"hand"}}'];
  const tagged = await tagRows(node, {
    partition: 'steps',
    ids: Float64Array.of(2, 4),
    tags: status,
    requestId: 'tag-1',
  });
  await advance(node, 'steps', 4);
  // Rows 0 and 1 are too old; 2 and 3 become dead letters, of which 3 is queued anew.
  const window = { by: 'version', maxStaleness: 2, onStale: 'skip' } as const;
  for (let attempt = 0; attempt < 2; attempt++) {
    for (const id of [2, 3]) {
      await endClaim(node, await take(node, 'steps', { task: 'train', ids: Float64Array.of(id) }), 'release', '');
    }
  }
  await meanwhile.checkpoint();
  await requeue(node, { partition: 'steps', task: 'train' }, Float64Array.of(3));
  await endClaim(node, await take(node, 'steps', { task: 'train', sampler: 'fifo', window, rowsMax: 2 }), 'ack', '');
  const liveToken = await take(node, 'steps', { task: 'train', where: 'reward > 1.1', requestId: 'claim-1' });
  await endClaim(node, await take(node, 'steps', { task: 'look', rowsMax: 4 }), 'ack', '');
  const reset = await resetTask(node, { partition: 'steps', task: 'look' }, 'reset-1');
  await endClaim(node, await take(node, 'steps', { task: 'look', rowsMax: 3 }), 'ack', '');
  const rankToken = await take(node, 'steps', { task: 'ranks', rowsMax: 4, batch: PART });
  await makeOthers(node, meanwhile);
  return { liveToken, rankToken, tagLsn: tagged.lsn, resetLsn: reset.lsn };
}

/** Blobs, rows that were released, and a partition that came with a load. */
async function makeOthers(node: Node, { checkpoint, pass }: Meanwhile): Promise<void> {
  await declareTest(node, 'images', {
    fields: new Map([
      ['image', { layout: 'blob' }],
      ['note', { layout: 'text' }],
    ]),
  });
  for (const image of new Set(images)) await upload(node, 'images', image);
  await putNamed(node, 'images', [1, 2, 3], images);
  await declareTest(node, 'window', { queue: { tasks: [{ name: 'train' }], release: 'consumed' } });
  await putText(node, 'window', [1, 2, 3], 'a', ['one', 'two', 'three']);
  await endClaim(node, await take(node, 'window', { task: 'train', rowsMax: 2 }), 'ack', '');
  await pass();
  await checkpoint();
  await load(node, await savedElsewhere());
  await putText(node, 'loaded', [8], 'a', ['a 8']);
  await seal(node, 'loaded');
}

/** Of a node of its own: a save makes a checkpoint. */
async function savedElsewhere(): Promise<Saved[]> {
  const { node } = await openTestNode(simEnv(SimFs.withReserve(DIR)), DIR);
  await declareTest(node, 'loaded', { groupSize: 2, queue: { numbers: ['version'] } });
  await putBody(node, 'loaded', bodyOf([0, 7], 'a', ['a 0', 'a 7'], true, ['{"version":1}', '{"by":"other"}']));
  await endClaim(node, await take(node, 'loaded', { task: 'train' }), 'ack', '');
  return save(node);
}

/** What a node says of all that, as data. */
export async function tellQueue(node: Node): Promise<Record<string, unknown>> {
  const told: Record<string, unknown> = {};
  for (const name of ['steps', 'images', 'window', 'loaded']) {
    const { lsn: _, bytes: __, blobs, waiters: ___, ...described } = describe(node, node.partition(name));
    const all = { partition: name, ids: null, where: null, ready: null, from: 0, rowsMax: 100 };
    const { ids, tags, numbers } = await listRows(node, all);
    const rows = ids.map((id, row) => ({ id, tags: tags[row], numbers: numbers.map((of) => String(of[row])) }));
    told[name] = { described, blobs: (blobs as { count: number }).count, rows };
  }
  const leases = (await listLeases(node, 'steps')).map(({ task, ids, lease_ms: ms, fields }) => ({
    task,
    ids,
    ms,
    fields,
  }));
  const letters = await listDeadLetters(node, { partition: 'steps', task: 'train' }, { from: 0, rowsMax: 10 });
  return { ...told, leases, letters: [...letters.ids] };
}
