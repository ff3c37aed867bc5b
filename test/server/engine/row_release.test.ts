/** Release: rows that all declared tasks consumed go soon, and no other rows ever do. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import type { ClaimTake, QueueChange } from '../../../server/engine/commands.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, seal } from '../../../server/engine/partitions.ts';
import { resetTask } from '../../../server/engine/tasks.ts';
import { StoreError } from '../../../server/errors.ts';
import { claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';
const TASKS = [{ name: 'train' }, { name: 'judge' }];

let env: SimEnv;
let opened: OpenedNode;

beforeEach(async () => {
  env = simEnv(SimFs.withReserve(DIR));
  opened = await openTestNode(env, DIR, 9 << 20);
});

function declareQueue(queue: QueueChange = {}): ReturnType<typeof declareTest> {
  return declareTest(opened.node, 'p', { queue: { tasks: TASKS, release: 'consumed', ...queue } });
}

async function put(from: number, to: number, field = 'a', options = {}): Promise<void> {
  const ids = Array.from({ length: to - from }, (_, i) => from + i);
  await putText(opened.node, 'p', ids, field, ids.map(String), options);
}

/** The token of a claim. */
async function take(task: string, rowsMax: number, more: Partial<ClaimTake> = {}): Promise<string> {
  const claim = await claimOf(opened.node, 'p', { fields: ['a'], task, rowsMax, ...more });
  if (claim.kind !== 'claimed') throw new Error(`the claim ended as ${claim.kind}`);
  claim.located.close();
  return claim.token;
}

async function consume(task: string, rowsMax: number): Promise<void> {
  await endClaim(opened.node, await take(task, rowsMax), 'ack', '');
}

async function restart(): Promise<void> {
  env = simEnv(env.fs.afterCrash(), env.clock);
  opened = await openTestNode(env, DIR, 9 << 20);
}

/** The ids that are there after a while. */
async function idsAfter(ms: number): Promise<number[]> {
  for (let passed = 0; passed < ms; passed += 50) {
    await env.clock.advance(50);
    await settle();
  }
  const partition = opened.node.partition('p');
  return [...(await partition.index.scan({ start: 0, end: 1e9, rowsMax: 1e6 }))];
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('rows that all declared tasks consumed', () => {
  test('go soon after the last ack, whoever else claims them', async () => {
    await declareQueue();
    await put(0, 10);
    await consume('train', 6);
    const other = await take('other', 10);
    expect(await idsAfter(200)).toEqual(range(0, 10));
    await consume('judge', 4);
    expect(await idsAfter(100)).toEqual(range(4, 10));
    await endClaim(opened.node, other, 'ack', '');
    expect(env.crashes).toEqual([]);
  });

  test('go after an ack that a put carries, and after a claim that consumes at once', async () => {
    await declareQueue();
    await put(0, 4);
    const token = await take('train', 2);
    await put(10, 11, 'b', { claim: token });
    await take('judge', 4, { autoAck: true });
    expect(await idsAfter(100)).toEqual([2, 3, 10]);
    await take('train', 2, { autoAck: true });
    expect(await idsAfter(100)).toEqual([10]);
  });

  test('stay while they are leased, dead, or not consumed by one task', async () => {
    await declareQueue({ tasks: [{ name: 'train', maxAttempts: 1 }, { name: 'judge' }] });
    await put(0, 6);
    await take('judge', 6, { autoAck: true });
    await take('train', 1, { leaseMs: 60_000 });
    await endClaim(opened.node, await take('train', 1), 'release', '');
    await take('train', 1, { leaseMs: 100 });
    await take('train', 2, { autoAck: true });
    expect(await idsAfter(500)).toEqual([0, 1, 2, 5]);
  });

  test('go in small events, between which others have their turns', async () => {
    await declareQueue();
    await put(0, 5_000);
    await take('train', 5_000, { autoAck: true });
    await take('judge', 5_000, { autoAck: true });
    const commits = vi.spyOn(opened.node, 'commit');
    expect(await idsAfter(200)).toEqual([]);
    const sizes = commits.mock.calls.map(([event]) => event.type === 'delete' && event.ids.length);
    expect(sizes).toEqual([1_024, 1_024, 1_024, 1_024, 904]);
    expect(commits.mock.calls[0][0]).toMatchObject({ type: 'delete', reason: 'released', requestId: '' });
  });

  test('let a task that waits in a sealed partition end', async () => {
    await declareQueue({ tasks: [{ name: 'train' }] });
    await put(0, 2);
    await put(0, 1, 'b');
    await seal(opened.node, 'p');
    const waiting = claimOf(opened.node, 'p', { task: 'other', fields: ['b'], rowsMax: 2, rowsMin: 2, waitMs: 5_000 });
    await consume('train', 2);
    expect(await idsAfter(100)).toEqual([]);
    expect(await waiting).toMatchObject({ kind: 'drained' });
  });
});

describe('the declaration', () => {
  test('never releases by default; a later one releases what was consumed before', async () => {
    await declareQueue({ release: undefined });
    await put(0, 3);
    await consume('train', 3);
    await consume('judge', 2);
    expect(await idsAfter(500)).toEqual([0, 1, 2]);
    await declareQueue();
    expect(await idsAfter(100)).toEqual([2]);
  });

  test('that keeps rows again, or waits for another task, is heeded at once', async () => {
    await declareQueue();
    await put(0, 3);
    await consume('train', 3);
    await consume('judge', 1);
    await declareQueue({ release: 'never' });
    await consume('judge', 1);
    expect(await idsAfter(500)).toEqual([0, 1, 2]);
    await declareQueue({ tasks: [...TASKS, { name: 'third' }] });
    expect(await idsAfter(500)).toEqual([0, 1, 2]);
    await consume('third', 1);
    expect(await idsAfter(500)).toEqual([1, 2]);
  });

  test('of rows that are no more than in memory is heeded, too', async () => {
    await declareTest(opened.node, 'p', { ack: 'memory', queue: { tasks: TASKS, release: 'consumed' } });
    await put(0, 3);
    await consume('train', 3);
    await consume('judge', 2);
    expect(await idsAfter(100)).toEqual([2]);
  });
});

describe('what comes between', () => {
  test('a task that begins anew keeps its rows', async () => {
    await declareQueue();
    await put(0, 3);
    await consume('train', 3);
    await consume('judge', 3);
    await resetTask(opened.node, { partition: 'p', task: 'judge' }, '');
    expect(await idsAfter(500)).toEqual([0, 1, 2]);
    await consume('judge', 2);
    expect(await idsAfter(100)).toEqual([2]);
  });

  test('rows that were deleted and put again are new ones', async () => {
    await declareQueue();
    await put(0, 2);
    await consume('train', 2);
    await consume('judge', 2);
    await deleteRows(opened.node, 'p', { ids: Float64Array.of(0), requestId: '' });
    await put(0, 1);
    expect(await idsAfter(100)).toEqual([0]);
  });

  test.each(['from the journal', 'from a checkpoint'])('a restart %s goes on with it', async (from) => {
    await declareQueue();
    await put(0, 4);
    await consume('train', 4);
    await consume('judge', 3);
    if (from === 'from a checkpoint') await opened.node.checkpoints.run();
    await restart();
    expect(await idsAfter(100)).toEqual([3]);
    await restart();
    expect(await idsAfter(100)).toEqual([3]);
  });

  test('a full disk: it is tried again later', async () => {
    await declareQueue();
    await put(0, 2);
    await consume('train', 2);
    await consume('judge', 1);
    const admit = vi.spyOn(opened.node.checkpoints, 'admit').mockRejectedValueOnce(new StoreError('disk_full'));
    expect(await idsAfter(1_000)).toEqual([0, 1]);
    await consume('judge', 1);
    expect(await idsAfter(10_000)).toEqual([]);
    expect(admit).toHaveBeenCalledTimes(3);
    expect(env.crashes).toEqual([]);
  });

  test('the end of the node waits for the events that are under way', async () => {
    await declareQueue();
    await put(0, 3_000);
    await take('train', 3_000, { autoAck: true });
    await take('judge', 3_000, { autoAck: true });
    await env.clock.advance(50);
    await opened.close();
    expect(env.crashes).toEqual([]);
    opened = await openTestNode(env, DIR, 9 << 20);
    expect(await idsAfter(200)).toEqual([]);
  });

  test('a partition that is dropped while its rows are released', async () => {
    await declareQueue();
    await put(0, 3_000);
    await take('train', 3_000, { autoAck: true });
    await take('judge', 3_000, { autoAck: true });
    await env.clock.advance(50);
    opened.node.commit({ type: 'drop', partition: opened.node.partition('p').id }, 'os');
    await declareQueue();
    await put(0, 2);
    expect(await idsAfter(500)).toEqual([0, 1]);
    expect(env.crashes).toEqual([]);
  });
});
