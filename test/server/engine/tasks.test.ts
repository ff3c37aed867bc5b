/** Tasks: what operators see of leases and dead letters, and what it does to queue these anew or to begin anew. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { endClaim } from '../../../server/engine/claims.ts';
import type { ClaimTake } from '../../../server/engine/commands.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { describe as describePartition, drop, seal } from '../../../server/engine/partitions.ts';
import { rowStatus } from '../../../server/engine/read.ts';
import { listDeadLetters, listLeases, requeue, resetTask } from '../../../server/engine/tasks.ts';
import { claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';
const train = { partition: 'p', task: 'train' };
const firstPage = { from: 0, rowsMax: 100 };

let env: SimEnv;
let opened: OpenedNode;

beforeEach(async () => {
  env = simEnv(SimFs.withReserve(DIR));
  opened = await openTestNode(env, DIR, 9 << 20);
  await declareTest(opened.node, 'p', { queue: { tasks: [{ name: 'train', maxAttempts: 1 }] } });
});

async function put(from: number, to: number, field = 'a'): Promise<void> {
  const ids = range(from, to);
  await putText(opened.node, 'p', ids, field, ids.map(String));
}

/** The token of a claim. */
async function take(rowsMax: number, more: Partial<ClaimTake> = {}): Promise<string> {
  const claim = await claimOf(opened.node, 'p', { fields: ['a'], task: 'train', rowsMax, ...more });
  if (claim.kind !== 'claimed') throw new Error(`the claim ended as ${claim.kind}`);
  claim.located.close();
  return claim.token;
}

/** Rows become dead letters. */
async function kill(rows: number): Promise<void> {
  await endClaim(opened.node, await take(rows), 'release', '');
}

function described(task: string): unknown {
  const { tasks } = describePartition(opened.node, opened.node.partition('p'));
  return (tasks as Record<string, unknown>)[task];
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

test('a journal that requeues dead letters of a partition that is gone, as earlier versions did, is read', async () => {
  await put(0, 2);
  await kill(2);
  const { id } = opened.node.partition('p');
  await drop(opened.node, 'p');
  const event = { type: 'requeue', partition: id, task: 'train', ids: Float64Array.of(0, 1) } as const;
  const { rows, commit } = opened.node.commit(event, 'os');
  await commit;
  expect(rows).toBe(0);
  await declareTest(opened.node, 'q');
  opened = await openTestNode(simEnv(env.fs.afterCrash(), env.clock), DIR, 9 << 20);
  expect(opened.node.partition('q').dropped).toBe(false);
});

describe('leases', () => {
  test('are listed in the order of their grants, with their first rows', async () => {
    await put(0, 40);
    await put(0, 40, 'b');
    await take(20, { leaseMs: 60_000 });
    await env.clock.advance(1_000);
    const token = await take(2, { task: 'other', fields: ['b', 'a'], leaseMs: 5_000 });
    const lists = await listLeases(opened.node, 'p');
    expect(lists).toEqual([
      {
        claim: lists[0].claim,
        task: 'train',
        rows: 20,
        ids: range(0, 16),
        attempts_max: 1,
        lease_ms: 60_000,
        left_ms: 59_000,
        fields: ['a'],
      },
      {
        claim: lists[0].claim + 1,
        task: 'other',
        rows: 2,
        ids: [0, 1],
        attempts_max: 1,
        lease_ms: 5_000,
        left_ms: 5_000,
        fields: ['b', 'a'],
      },
    ]);
    await endClaim(opened.node, token, 'release', '');
    await take(3, { task: 'other' });
    expect((await listLeases(opened.node, 'p'))[1]).toMatchObject({ ids: [0, 1, 2], attempts_max: 2 });
  });

  test('that ended, or expired, are not listed', async () => {
    await put(0, 4);
    await endClaim(opened.node, await take(1), 'ack', '');
    await take(1, { leaseMs: 100 });
    await take(1, { autoAck: true });
    await env.clock.advance(100);
    expect(await listLeases(opened.node, 'p')).toEqual([]);
    await expect(listLeases(opened.node, 'q')).rejects.toMatchObject({ code: 'partition_unknown' });
  });

  test('after a restart have their full length', async () => {
    await put(0, 2);
    await take(2, { leaseMs: 5_000 });
    await env.clock.advance(3_000);
    env = simEnv(env.fs.afterCrash(), env.clock);
    opened = await openTestNode(env, DIR, 9 << 20);
    expect(await listLeases(opened.node, 'p')).toMatchObject([{ ids: [0, 1], left_ms: 5_000, fields: ['a'] }]);
  });
});

describe('a declared task', () => {
  test('is there before its first claim', async () => {
    const counts = { ready: 0, leased: 0, consumed: 0, incomplete: 0, dead: 0, skipped: 0, claims: 0 };
    expect(described('train')).toEqual(counts);
    expect(await listDeadLetters(opened.node, train, firstPage)).toEqual({ ids: [], attempts: [], next: null });
  });

  test('counts with others up to the limit', async () => {
    const tasks = range(1, limits.tasksPerPartitionMax).map((n) => ({ name: `t${n}` }));
    await put(0, 1);
    await take(1, { task: 'other', autoAck: true });
    const declared = declareTest(opened.node, 'p', { queue: { tasks } });
    await expect(declared).rejects.toMatchObject({ code: 'too_many_tasks' });
    await declareTest(opened.node, 'p', { queue: { tasks: tasks.slice(1) } });
    await expect(take(1, { task: 'more' })).rejects.toMatchObject({ code: 'too_many_tasks' });
  });
});

describe('dead letters', () => {
  test('are listed page by page', async () => {
    await put(0, 10);
    await kill(7);
    const first = await listDeadLetters(opened.node, train, { from: 0, rowsMax: 4 });
    expect(first).toEqual({ ids: [0, 1, 2, 3], attempts: [1, 1, 1, 1], next: 4 });
    const second = await listDeadLetters(opened.node, train, { from: first.next!, rowsMax: 4 });
    expect(second).toEqual({ ids: [4, 5, 6], attempts: [1, 1, 1], next: null });
    expect(described('train')).toMatchObject({ ready: 3, dead: 7, incomplete: 0 });
    const row = await rowStatus(opened.node, { partition: 'p', id: 3 });
    expect(row.tasks).toEqual({ train: { state: 'dead', attempt: 1 } });
  });

  test('let a sealed partition drain, and come back when they are queued anew', async () => {
    await put(0, 2);
    await seal(opened.node, 'p');
    await take(2, { leaseMs: 100 });
    const waiting = claimOf(opened.node, 'p', { fields: ['a'], task: 'train', waitMs: 5_000 });
    await env.clock.advance(100);
    expect(await waiting).toMatchObject({ kind: 'drained' });
    expect(await requeue(opened.node, train, Float64Array.of(1, 5))).toMatchObject({ rows: 1 });
    await take(1);
    expect((await listDeadLetters(opened.node, train, firstPage)).ids).toEqual([0]);
  });

  test('that are queued anew are granted to who waits', async () => {
    await put(0, 3);
    await kill(3);
    const waiting = claimOf(opened.node, 'p', { fields: ['a'], task: 'train', rowsMax: 3, rowsMin: 3, waitMs: 5_000 });
    expect(await requeue(opened.node, train, null)).toMatchObject({ rows: 3 });
    const claim = await waiting;
    expect(claim).toMatchObject({ kind: 'claimed', attempts: Uint16Array.of(1, 1, 1) });
    expect(await requeue(opened.node, train, null)).toMatchObject({ rows: 0 });
  });

  test('that are more than one event holds are all queued anew', async () => {
    const count = limits.listRowsMax + 10;
    await put(0, count);
    await kill(limits.claimRowsMax);
    await kill(10);
    expect(await requeue(opened.node, train, null)).toMatchObject({ rows: count });
    expect(described('train')).toMatchObject({ ready: count, dead: 0 });
  });

  test('of a partition that is replaced on the way are not those of its successor', async () => {
    const replaced = async (): Promise<void> => {
      await drop(opened.node, 'p');
      await declareTest(opened.node, 'p', { queue: { tasks: [{ name: 'train', maxAttempts: 1 }] } });
      await put(0, 3);
      await kill(3);
    };
    await put(0, 3);
    await kill(3);
    for (const ids of [null, Float64Array.of(1)]) {
      const { promise: room, resolve } = Promise.withResolvers<void>();
      vi.spyOn(opened.node, 'journalRoom').mockReturnValueOnce(room);
      const asked = requeue(opened.node, train, ids);
      const refused = expect(asked).rejects.toMatchObject({ code: 'partition_unknown', details: { dropped: true } });
      await replaced();
      resolve();
      await refused;
    }
    expect(env.crashes).toEqual([]);
    expect(described('train')).toMatchObject({ ready: 0, dead: 3 });
  });

  test('outlive a restart, by the journal and by a checkpoint', async () => {
    await put(0, 4);
    await take(2, { leaseMs: 100 });
    await env.clock.advance(100);
    await kill(1);
    for (const checkpoint of [false, true]) {
      if (checkpoint) await opened.node.checkpoints.run();
      env = simEnv(env.fs.afterCrash(), env.clock);
      opened = await openTestNode(env, DIR, 9 << 20);
      expect((await listDeadLetters(opened.node, train, firstPage)).ids).toEqual([0, 1, 2]);
    }
  });

  test('of a task that nobody knows are refused', async () => {
    const other = { ...train, task: 'other' };
    await expect(listDeadLetters(opened.node, other, firstPage)).rejects.toMatchObject({ code: 'task_unknown' });
    await expect(requeue(opened.node, other, null)).rejects.toMatchObject({ code: 'task_unknown' });
    await expect(resetTask(opened.node, other, '')).rejects.toMatchObject({ code: 'task_unknown' });
  });
});

describe('a task that begins anew', () => {
  test('gets all rows again; its claims are stale and their grants are gone', async () => {
    await put(0, 6);
    await endClaim(opened.node, await take(1), 'ack', '');
    await kill(1);
    await take(1, { leaseMs: 100 });
    await env.clock.advance(100);
    const token = await take(2, { requestId: 'same' });
    const waiting = claimOf(opened.node, 'p', { fields: ['a'], task: 'train', rowsMax: 6, rowsMin: 6, waitMs: 5_000 });
    expect(await resetTask(opened.node, train, '')).toMatchObject({ rows: 5 });
    const claim = await waiting;
    if (claim.kind !== 'claimed') throw new Error(claim.kind);
    expect([...claim.located.ids]).toEqual(range(0, 6));
    expect(claim.attempts).toEqual(new Uint16Array(6).fill(1));
    await expect(endClaim(opened.node, token, 'ack', '')).rejects.toMatchObject({ code: 'claim_stale' });
    await expect(take(2, { requestId: 'same' })).rejects.toMatchObject({ code: 'claim_stale' });
    claim.located.close();
    await settle();
    expect([...opened.node.parts.state.grants.all()]).toHaveLength(1);
    expect(described('train')).toMatchObject({ leased: 6, consumed: 0, dead: 0, claims: 1 });
  });

  test('leaves other tasks alone', async () => {
    await put(0, 2);
    const token = await take(2, { task: 'other' });
    await take(2);
    await resetTask(opened.node, train, '');
    await endClaim(opened.node, token, 'ack', '');
    expect(described('other')).toMatchObject({ consumed: 2 });
    expect(described('train')).toMatchObject({ ready: 2, leased: 0 });
  });

  test('does so once, however often the request is sent', async () => {
    await put(0, 3);
    await take(2);
    const first = await resetTask(opened.node, train, 'again');
    await take(1);
    expect(await resetTask(opened.node, train, 'again')).toEqual(first);
    expect(described('train')).toMatchObject({ leased: 1 });
    for (const checkpoint of [false, true]) {
      if (checkpoint) await opened.node.checkpoints.run();
      env = simEnv(env.fs.afterCrash(), env.clock);
      opened = await openTestNode(env, DIR, 9 << 20);
      expect(await resetTask(opened.node, train, 'again')).toEqual(first);
    }
    await expect(take(1, { requestId: 'again' })).rejects.toMatchObject({ code: 'request_id_reused' });
  });

  test('stays so after a restart', async () => {
    await put(0, 3);
    await opened.node.checkpoints.run();
    await endClaim(opened.node, await take(2), 'ack', '');
    await opened.node.checkpoints.run();
    await resetTask(opened.node, train, '');
    await opened.node.checkpoints.run();
    env = simEnv(env.fs.afterCrash(), env.clock);
    opened = await openTestNode(env, DIR, 9 << 20);
    expect(described('train')).toMatchObject({ ready: 3, consumed: 0 });
    await take(3);
  });
});
