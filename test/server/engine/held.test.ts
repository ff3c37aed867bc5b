/** Why bytes are still there: each reason, and the sentence that says it. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { QueueChange } from '../../../server/engine/commands.ts';
import { held, type Held } from '../../../server/engine/held.ts';
import type { Node } from '../../../server/engine/node.ts';
import { deleteRows } from '../../../server/engine/partitions.ts';
import { bodyOf, claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

let env: SimEnv;
let node: Node;

beforeEach(async () => {
  env = simEnv(SimFs.withReserve(DIR));
  ({ node } = await openTestNode(env, DIR, 9 << 20));
});

function declareQueue(queue: QueueChange): ReturnType<typeof declareTest> {
  return declareTest(node, 'p', { queue });
}

const TASKS = [{ name: 'train' }, { name: 'judge', maxAttempts: 1 }];

async function put(...ids: number[]): Promise<void> {
  await putText(node, 'p', ids, 'a', ids.map(String));
}

async function take(task: string, options: { autoAck?: boolean; leaseMs?: number } = {}): Promise<void> {
  const claim = await claimOf(node, 'p', { fields: ['a'], task, ...options });
  if (claim.kind !== 'claimed') throw new Error('nothing was claimed');
  claim.located.close();
}

const why = (id: number): Promise<Held> => held(node, { partition: 'p', id });

describe('a row that is there', () => {
  test('shows where its cells lie, and what else lies there', async () => {
    await declareQueue({});
    await put(1, 2, 3);
    await putText(node, 'p', [1], 'b', ['late']);
    await putText(node, 'p', [3], 'a', ['again']);
    const { fields, because } = await why(1);
    const bytes = bodyOf([1, 2, 3], 'a', ['1', '2', '3'], false).length;
    expect(fields.a).toMatchObject({ bytes, rows: 3, rows_live: 2 });
    expect(fields.b).toMatchObject({ rows: 1, rows_live: 1 });
    expect(fields.b.lsn).toBeGreaterThan(fields.a.lsn);
    expect(because).toBe(
      'The partition declares no tasks, so that the server never deletes rows by itself: delete it.',
    );
  });

  test('waits for tasks that were declared, and not for others', async () => {
    await declareQueue({ tasks: TASKS, release: 'consumed' });
    await put(1);
    await take('other');
    expect(await why(1)).toMatchObject({
      tasks: [
        { task: 'train', declared: true, state: 'unclaimed', returns: 0 },
        { task: 'judge', declared: true, state: 'unclaimed', returns: 0 },
        { task: 'other', declared: false, state: 'leased', returns: 0 },
      ],
      release: 'consumed',
      because: 'Declared tasks train (unclaimed), judge (unclaimed) must consume it first.',
    });
    await take('judge', { autoAck: true });
    await take('train', { leaseMs: 7_000 });
    await env.clock.advance(2_000);
    const { claims, because } = await why(1);
    const { claim } = claims.find(({ task }) => task === 'train')!;
    expect(claims).toContainEqual({ claim, task: 'train', state: 'leased', left_ms: 5_000, granted: true });
    expect(because).toBe(`Declared task train (leased by claim ${claim} for another 5000 ms) must consume it first.`);
  });

  test('may be a dead letter', async () => {
    await declareQueue({ tasks: TASKS });
    await put(1);
    await take('judge', { leaseMs: 1_000 });
    await env.clock.advance(2_000);
    expect(await why(1)).toMatchObject({
      tasks: [{ task: 'train' }, { task: 'judge', state: 'dead', returns: 1 }],
      claims: [{ task: 'judge', state: 'expired', left_ms: null, granted: false }],
      because: 'It is a dead letter of task judge: it stays until it is requeued or deleted.',
    });
  });

  test.each<[string, QueueChange, string]>([
    [
      'nobody deletes it',
      {},
      'Every declared task has consumed it, but the partition neither releases nor evicts such rows: delete it.',
    ],
    ['it is released soon', { release: 'consumed' }, 'Every declared task has consumed it: it is about to be deleted.'],
    [
      'the retention keeps it',
      { retention: { rowsMax: 10, ageMsMax: 60_000 } },
      'Every declared task has consumed it, but the retention keeps it while the partition has at most 10 rows and ' +
        'until it is 60000 ms old.',
    ],
    [
      'the retention evicts it soon',
      { retention: { rowsMax: 1 } },
      'Every declared task has consumed it: the retention is about to evict it.',
    ],
  ])('is consumed, and %s', async (_, queue, because) => {
    await declareQueue({ tasks: TASKS, ...queue });
    await put(1, 2);
    for (const { name } of TASKS) await take(name, { autoAck: true });
    expect(await why(1)).toMatchObject({ there: true, tasks: [], because });
  });
});

describe('a row that was deleted', () => {
  test('is kept by claims that were granted it, and by snapshots', async () => {
    await declareQueue({});
    await put(1, 2);
    await take('t', { leaseMs: 5_000 });
    await env.clock.advance(500);
    const { snapshot, lsn } = await node.snapshots.open(60_000);
    await put(3);
    await deleteRows(node, 'p', { ids: Float64Array.of(1), requestId: '' });
    await node.snapshots.open(60_000);
    const first = await why(1);
    const [{ claim }] = first.claims;
    expect(first).toMatchObject({
      there: false,
      fields: {},
      claims: [{ task: 't', state: 'leased', left_ms: 4_500, granted: true }],
      snapshots: [{ snapshot, lsn }],
      because: `It was deleted, but its bytes are kept for claim ${claim} and snapshot ${snapshot}.`,
    });
    await env.clock.advance(5_000);
    expect((await why(1)).because).toBe(`It was deleted, but its bytes are kept for snapshot ${snapshot}.`);
    node.snapshots.close(snapshot);
    await expect(why(1)).rejects.toMatchObject({ code: 'rows_missing', details: { missing: [1] } });
  });

  test('or never came', async () => {
    await declareQueue({});
    await expect(why(1)).rejects.toMatchObject({ code: 'rows_missing' });
  });
});
