/** Retention: what is evicted, what never is, and that a restart knows as much as the running node. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { QueueChange } from '../../../server/engine/commands.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { advance, describe as describePartition } from '../../../server/engine/partitions.ts';
import { claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

let env: SimEnv;
let opened: OpenedNode;

beforeEach(async () => {
  env = simEnv(SimFs.withReserve(DIR));
  opened = await openTestNode(env, DIR, 9 << 20);
});

const TASKS = [{ name: 'train' }, { name: 'judge' }];

function declareQueue(queue: QueueChange): ReturnType<typeof declareTest> {
  return declareTest(opened.node, 'p', { queue: { tasks: TASKS, ...queue } });
}

async function put(from: number, to: number): Promise<void> {
  const ids = Array.from({ length: to - from }, (_, i) => from + i);
  await putText(opened.node, 'p', ids, 'a', ids.map(String));
}

/** The task consumes the next rows. */
async function consume(task: string, rowsMax: number): Promise<void> {
  const claim = await claimOf(opened.node, 'p', { fields: ['a'], task, rowsMax, autoAck: true });
  if (claim.kind === 'claimed') claim.located.close();
}

/** After the end of the process, by a stop, which makes a checkpoint, or a kill, which leaves the journal. */
async function restart(how: 'stop' | 'kill'): Promise<void> {
  if (how === 'stop') {
    await opened.node.checkpoints.run();
    await opened.close();
  }
  env = simEnv(env.fs.afterCrash(), env.clock);
  opened = await openTestNode(env, DIR, 9 << 20);
}

/** The ids that are there after the passes of some seconds. */
async function idsAfter(ms: number): Promise<number[]> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    await env.clock.advance(1_000);
    await settle();
  }
  const partition = opened.node.partition('p');
  return [...(await partition.index.scan({ start: 0, end: 1e9, rowsMax: 1e6 }))];
}

function described(): Record<string, unknown> {
  return describePartition(opened.node, opened.node.partition('p'));
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('retention by count', () => {
  test('removes the oldest rows that all declared tasks consumed, and counts them', async () => {
    await declareQueue({ retention: { rowsMax: 4 } });
    await put(0, 10);
    expect(await idsAfter(2_000)).toEqual(range(0, 10));
    await consume('train', 8);
    expect(await idsAfter(2_000)).toEqual(range(0, 10));
    await consume('judge', 3);
    expect(await idsAfter(2_000)).toEqual(range(3, 10));
    await consume('judge', 7);
    await consume('other', 1);
    expect(await idsAfter(2_000)).toEqual(range(6, 10));
    expect(described()).toMatchObject({ evicted: 6, rows: 4, rows_admitted: 10, retention: { rows_max: 4 } });
  });

  test('leaves rows that are leased, and rows of a task that never claimed', async () => {
    await declareQueue({ retention: { rowsMax: 1 } });
    await put(0, 4);
    await consume('train', 4);
    const leased = await claimOf(opened.node, 'p', { fields: ['a'], task: 'judge', rowsMax: 2, leaseMs: 60_000 });
    expect(leased.kind).toBe('claimed');
    expect(await idsAfter(3_000)).toEqual(range(0, 4));
    await consume('judge', 2);
    expect(await idsAfter(3_000)).toEqual([0, 1]);
  });

  test('removes many rows in small events', async () => {
    await declareQueue({ retention: { rowsMax: 100 } });
    await put(0, 5_000);
    for (const { name } of TASKS) for (let i = 0; i < 5; i++) await consume(name, 1_000);
    expect(await idsAfter(3_000)).toEqual(range(4_900, 5_000));
    expect(described()).toMatchObject({ evicted: 4_900 });
  });
});

describe('retention by age', () => {
  test('removes consumed rows once they are old, not before', async () => {
    await declareQueue({ retention: { ageMsMax: 60_000 } });
    await put(0, 3);
    await env.clock.advance(30_000);
    await put(3, 6);
    for (const { name } of TASKS) await consume(name, 5);
    expect(await idsAfter(29_000)).toEqual(range(0, 6));
    expect(await idsAfter(3_000)).toEqual(range(3, 6));
    expect(await idsAfter(27_000)).toEqual(range(3, 6));
    expect(await idsAfter(4_000)).toEqual([5]);
    expect(await idsAfter(200_000)).toEqual([5]);
    expect(described()).toMatchObject({ evicted: 5 });
  });

  test('counts from its declaration for rows that were there', async () => {
    await declareQueue({});
    await put(0, 3);
    for (const { name } of TASKS) await consume(name, 3);
    await env.clock.advance(100_000);
    await declareQueue({ retention: { ageMsMax: 10_000 } });
    expect(await idsAfter(9_000)).toEqual(range(0, 3));
    expect(await idsAfter(3_000)).toEqual([]);
  });

  test('remembers little, however many puts come', async () => {
    await declareQueue({ retention: { ageMsMax: 6_400 } });
    const { arrivals } = opened.node.parts.state.queue(opened.node.partition('p'));
    expect(arrivals).toEqual([]);
    for (let id = 0; id < 400; id++) {
      await putText(opened.node, 'p', [id], 'a', ['v']);
      await env.clock.advance(37);
    }
    const marks = opened.node.parts.state.queue(opened.node.partition('p')).arrivals;
    expect(marks.length).toBeLessThanOrEqual(66);
    expect(marks.at(-1)!.lastMs - marks[0].lastMs).toBeGreaterThanOrEqual(6_400);
  });
});

describe.each(['stop', 'kill'] as const)('after a %s', (how) => {
  test('ages, counts and the version are what they were', async () => {
    await declareQueue({ retention: { rowsMax: 8, ageMsMax: 60_000 } });
    await put(0, 10);
    for (const { name } of TASKS) await consume(name, 10);
    expect(await idsAfter(2_000)).toEqual(range(2, 10));
    await advance(opened.node, 'p', 7);
    await env.clock.advance(20_000);
    await put(10, 12);
    const before = opened.node.parts.state.queue(opened.node.partition('p'));
    await restart(how);
    const after = opened.node.parts.state.queue(opened.node.partition('p'));
    expect(after.arrivals).toEqual(before.arrivals);
    expect(described()).toMatchObject({ evicted: before.evicted, rows_admitted: 12, version: 7 });
    expect(await idsAfter(30_000)).toEqual(range(4, 12));
    expect(await idsAfter(12_000)).toEqual([10, 11]);
  });
});
