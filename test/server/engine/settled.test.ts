/** What a read shows is as safe as the level of its partition says: no crash that this level survives takes it back. */
import { describe as group, expect, test } from 'vitest';
import type { ListRows } from '../../../server/engine/commands.ts';
import { endClaim } from '../../../server/engine/claims.ts';
import type { Node } from '../../../server/engine/node.ts';
import { advance, deleteRows, seal } from '../../../server/engine/partitions.ts';
import { read, readCell, rowStatus } from '../../../server/engine/read.ts';
import { listRows, tagTexts } from '../../../server/engine/tags.ts';
import { listDeadLetters, listLeases } from '../../../server/engine/tasks.ts';
import { watch } from '../../../server/engine/watch.ts';
import { caller, claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';
const ALL: Omit<ListRows, 'partition'> = { ids: null, where: null, ready: null, from: 0, rowsMax: 9 };
const ids = Float64Array.of(1);

const reads: Readonly<Record<string, (node: Node, name: string) => Promise<unknown>>> = {
  read: (node, partition) => read(node, { partition, select: { by: 'ids', ids }, fields: null, waitMs: 0 }, caller),
  newest: (node, partition) => {
    const select = { by: 'newest', afterLsn: 0 } as const;
    return read(node, { partition, select, fields: null, waitMs: 0 }, caller);
  },
  cell: (node, partition) => readCell(node, { partition, id: 1, field: 'a' }),
  status: (node, partition) => rowStatus(node, { partition, id: 1 }),
  list: (node, partition) => listRows(node, { partition, ...ALL }),
  tags: (node, partition) => tagTexts(node, node.partition(partition), ids),
  leases: (node, partition) => listLeases(node, partition),
  'dead letters': (node, partition) => listDeadLetters(node, { partition, task: 't' }, { from: 0, rowsMax: 9 }),
  watch: (node, partition) => watch(node, { partition, afterLsn: 0, waitMs: 0, changesMax: 9 }, caller),
};

interface Held {
  readonly node: Node;
  /** Lets the sync, or the write, go on. */
  readonly open: () => void;
}

/** A put to partition `p` of this level, and one to `os`, are on their way to the disk. */
async function held(level: 'os' | 'disk', at: 'write' | 'datasync'): Promise<Held & { env: SimEnv }> {
  const env = simEnv(SimFs.withReserve(DIR));
  const { node } = await openTestNode(env, DIR);
  const queue = { tasks: [{ name: 't' }] };
  for (const [name, ack] of [
    ['p', level],
    ['os', 'os'],
    ['memory', 'memory'],
  ] as const) {
    await declareTest(node, name, { ack, queue });
    await putText(node, name, [1], 'a', ['before']);
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  env.fs.gate = (action, path) => (action === at && path.includes('/journal/') ? promise : Promise.resolve());
  for (const name of ['p', 'os']) void putText(node, name, [1], 'a', ['now']);
  await settle();
  return { node, env, open: resolve };
}

/** Which of these settle by now. */
async function settled(work: Readonly<Record<string, Promise<unknown>>>): Promise<string[]> {
  const done: string[] = [];
  for (const [name, one] of Object.entries(work)) void one.then(() => done.push(name));
  for (let turn = 0; turn < 20; turn++) await settle();
  return done.sort();
}

const names = Object.keys(reads).sort();
const of = (node: Node, partition: string): Record<string, Promise<unknown>> =>
  Object.fromEntries(names.map((name) => [name, reads[name](node, partition)]));

group('reads', () => {
  test('of a disk partition wait for the sync of its puts, others do not', async () => {
    const { node, open } = await held('disk', 'datasync');
    const waiting = of(node, 'p');
    expect(await settled(waiting)).toEqual([]);
    expect(await settled(of(node, 'os'))).toEqual(names);
    expect(await settled(of(node, 'memory'))).toEqual(names);
    open();
    await Promise.all(Object.values(waiting));
    expect(await settled(of(node, 'p'))).toEqual(names);
  });

  test('of an os partition wait for the write of its puts, those of a memory partition for nothing', async () => {
    const { node, open } = await held('os', 'write');
    const waiting = of(node, 'p');
    expect(await settled(waiting)).toEqual([]);
    expect(await settled(of(node, 'memory'))).toEqual(names);
    open();
    await Promise.all(Object.values(waiting));
  });

  test('of a disk partition ask for no sync of their own', async () => {
    const { node, env, open } = await held('disk', 'datasync');
    open();
    await Promise.all(Object.values(of(node, 'p')));
    await putText(node, 'os', [2], 'a', ['os']);
    const { syncs } = env.fs;
    await Promise.all(Object.values(of(node, 'p')));
    expect(env.fs.syncs).toBe(syncs);
  });
});

test('what is said again of a disk partition waits for the sync of what was said first', async () => {
  const { node, open, env } = await held('disk', 'datasync');
  open();
  const claimed = await claimOf(node, 'p', { fields: ['a'], task: 't' });
  if (claimed.kind !== 'claimed') throw new Error(claimed.kind);
  await node.makeDurable();
  const { promise, resolve } = Promise.withResolvers<void>();
  env.fs.gate = (action, path) => (action === 'datasync' && path.includes('/journal/') ? promise : Promise.resolve());
  const acts: Record<string, () => Promise<number>> = {
    ack: () => endClaim(node, claimed.token, 'ack', ''),
    advance: () => advance(node, 'p', 7),
    delete: () => deleteRows(node, 'p', { ids: Float64Array.of(1), requestId: 'once' }).then(({ lsn }) => lsn),
    seal: () => seal(node, 'p'),
  };
  const twice = Object.entries(acts).flatMap(([name, act]): [string, Promise<number>][] => [
    [name, act()],
    [`${name} again`, act()],
  ]);
  expect(await settled(Object.fromEntries(twice))).toEqual([]);
  resolve();
  const lsns = await Promise.all(twice.map(([, one]) => one));
  // The LSN that is said again is none from before it was so.
  for (let place = 0; place < lsns.length; place += 2) expect(lsns[place + 1]).toBeGreaterThanOrEqual(lsns[place]);
});

group('what others are told of an end waits for its sync as well:', () => {
  const ask = (part: number) => {
    const batch = { name: 'b', number: 0, part, parts: 2 };
    return { fields: ['a'], task: 't', rowsMax: 9, rowsMin: 9, batch };
  };
  const ends: Readonly<Record<string, (node: Node) => Record<string, Promise<unknown>>>> = {
    'a batch that is empty': (node) => ({
      'who was first': claimOf(node, 'p', ask(0)),
      'who comes later': claimOf(node, 'p', ask(0)),
      'another part': claimOf(node, 'p', { ...ask(1), waitMs: 1_000 }),
    }),
    'a partition that is drained': (node) => {
      const select = { by: 'ids', ids: Float64Array.of(77) } as const;
      const waiting = {
        'a claim': claimOf(node, 'p', { fields: ['a'], task: 't', rowsMax: 9, rowsMin: 9, waitMs: 1_000 }),
        'a read': read(node, { partition: 'p', select, fields: null, waitMs: 1_000 }, caller),
      };
      return { ...waiting, seal: seal(node, 'p'), 'a claim of a batch': claimOf(node, 'p', ask(0)) };
    },
  };

  test.each(Object.keys(ends))('%s', async (name) => {
    const { node, open, env } = await held('disk', 'datasync');
    open();
    const claimed = await claimOf(node, 'p', { fields: ['a'], task: 't' });
    if (claimed.kind !== 'claimed') throw new Error(claimed.kind);
    await endClaim(node, claimed.token, 'ack', '');
    const { promise, resolve } = Promise.withResolvers<void>();
    env.fs.gate = (action, path) => (action === 'datasync' && path.includes('/journal/') ? promise : Promise.resolve());
    const told = ends[name](node);
    expect(await settled(told)).toEqual([]);
    resolve();
    await Promise.all(Object.values(told));
  });
});
