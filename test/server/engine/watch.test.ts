/** Watches: whoever asks again and again hears each change once, in order, or that some were missed. */
import { beforeEach, describe, expect, test } from 'vitest';
import { Changes, type ChangesFound } from '../../../server/engine/changes.ts';
import { endClaim } from '../../../server/engine/claims.ts';
import type { Caller } from '../../../server/engine/commands.ts';
import type { Node } from '../../../server/engine/node.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { advance, deleteRows, drop, seal } from '../../../server/engine/partitions.ts';
import { tagRows } from '../../../server/engine/tags.ts';
import { resetTask } from '../../../server/engine/tasks.ts';
import { watch, type WatchCommand } from '../../../server/engine/watch.ts';
import { caller, claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

let env: SimEnv;
let opened: OpenedNode;
let node: Node;

beforeEach(async () => {
  env = simEnv(SimFs.withReserve(DIR));
  opened = await openTestNode(env, DIR, 9 << 20);
  ({ node } = opened);
  await declareTest(node, 'p', { fields: new Map([['a', { layout: 'bytes' }]]) });
});

function watching(more: Partial<WatchCommand> = {}, from: Caller = caller): Promise<ChangesFound> {
  return watch(node, { partition: 'p', afterLsn: null, waitMs: 0, changesMax: 100, ...more }, from);
}

/** What was told, less LSNs. */
const told = ({ changes }: ChangesFound) => changes.map(({ lsn: _, ...change }) => change);

async function claimed(take: Partial<Parameters<typeof claimOf>[2]> = {}) {
  const claim = await claimOf(node, 'p', { fields: ['a'], rowsMax: 2, task: 'trainer', ...take });
  if (claim.kind !== 'claimed') throw new Error('there is nothing to claim');
  claim.located.close();
  return claim;
}

describe('a change is told', () => {
  /** The changes that an action makes. */
  async function changesOf(action: () => Promise<unknown>): Promise<object[]> {
    const { lsn } = await watching();
    await action();
    const found = await watching({ afterLsn: lsn });
    expect(found.missed).toBe(false);
    expect(found.changes.every((change) => change.lsn > lsn && change.lsn <= found.lsn)).toBe(true);
    return told(found);
  }
  const put = { change: 'put', rows: 2, ids: [1, 2], fields: ['a'] };

  test('of a put, and of the claim that it acks', async () => {
    expect(await changesOf(() => putText(node, 'p', [1, 2], 'a', ['x', 'y']))).toEqual([put]);
    const { token } = await claimed();
    const [again, ack] = await changesOf(() => putText(node, 'p', [1, 2], 'a', ['x', 'y'], { claim: token }));
    expect(again).toEqual(put);
    expect(ack).toEqual({ change: 'ack', rows: 2, ids: [1, 2], task: 'trainer', claim: expect.any(Number) });
  });

  test('of a claim and how it ends', async () => {
    await putText(node, 'p', [1, 2, 3], 'a', ['x', 'y', 'z']);
    const ends = await changesOf(async () => {
      await endClaim(node, (await claimed()).token, 'release', '');
      await claimed({ leaseMs: 1_000 });
      await env.clock.advance(1_000);
      await endClaim(node, (await claimed()).token, 'ack', '');
      await claimed({ autoAck: true });
    });
    const rows = { rows: 2, ids: [1, 2], task: 'trainer', claim: expect.any(Number) };
    const claim = { change: 'claim', ...rows, fields: ['a'] };
    const last = { ...rows, rows: 1, ids: [3] };
    expect(ends).toEqual([
      claim,
      { change: 'release', ...rows, reason: 'released' },
      claim,
      { change: 'release', ...rows, reason: 'expired' },
      claim,
      { change: 'ack', ...rows },
      { change: 'claim', ...last, fields: ['a'] },
      { change: 'ack', ...last },
    ]);
  });

  test('of a delete with the rows that were there, of tags, and of all that has no rows', async () => {
    await putText(node, 'p', [1, 2], 'a', ['x', 'y']);
    await claimed();
    expect(
      await changesOf(async () => {
        await tagRows(node, { partition: 'p', ids: Float64Array.of(1, 2), tags: ['{"good":true}'], requestId: '' });
        await resetTask(node, { partition: 'p', task: 'trainer' });
        await deleteRows(node, 'p', { ids: Float64Array.of(2, 99), requestId: '' });
        await advance(node, 'p', 7);
        await declareTest(node, 'p', { fields: new Map([['b', { layout: 'text' }]]) });
        await seal(node, 'p');
      }),
    ).toEqual([
      { change: 'tag', rows: 2, ids: [1, 2] },
      { change: 'reset', rows: 2, task: 'trainer' },
      { change: 'delete', rows: 1, ids: [2], reason: 'asked' },
      { change: 'advance', rows: 0, version: 7 },
      { change: 'declare', rows: 0, fields: ['a', 'b'] },
      { change: 'seal', rows: 0 },
    ]);
  });

  test('of many rows without their ids', async () => {
    const ids = Array.from({ length: 257 }, (_, i) => i);
    const values = ids.map(String);
    expect(await changesOf(() => putText(node, 'p', ids.slice(1), 'a', values.slice(1)))).toMatchObject([
      { rows: 256, ids: ids.slice(1) },
    ]);
    expect(await changesOf(() => putText(node, 'p', ids, 'a', values))).toEqual([
      { change: 'put', rows: 257, fields: ['a'] },
    ]);
    const [claim] = await changesOf(() => claimed({ rowsMax: 257 }));
    expect(claim).not.toHaveProperty('ids');
  });

  test('of this partition only, and not of what the server does for itself', async () => {
    await declareTest(node, 'other');
    const others = await changesOf(async () => {
      await putText(node, 'other', [1], 'a', ['x']);
      await node.checkpoints.run();
    });
    expect(others).toEqual([]);
  });
});

describe('who waits', () => {
  test('is answered by the next change, when it is written', async () => {
    const order: string[] = [];
    const { lsn } = await watching();
    const found = watching({ afterLsn: lsn, waitMs: 5_000 });
    void found.then(() => order.push('watch'));
    await settle();
    expect([node.waits.count, order]).toEqual([1, []]);
    const { commit } = node.commit({ type: 'seal', partition: node.partition('p').id }, 'os');
    void commit.then(() => order.push('commit'));
    expect(node.waits.count).toBe(0);
    expect(await found).toEqual({ changes: [{ lsn: lsn + 1, change: 'seal', rows: 0 }], lsn: lsn + 1, missed: false });
    await settle();
    expect(order).toEqual(['commit', 'watch']);
  });

  test('is answered without changes when the time is over, up to the LSN of now', async () => {
    const { lsn } = await watching();
    await declareTest(node, 'other');
    const found = watching({ afterLsn: lsn, waitMs: 5_000 });
    await declareTest(node, 'third');
    await env.clock.advance(5_000);
    expect(await found).toEqual({ changes: [], lsn: lsn + 2, missed: false });
  });

  test('hears of now when it names no LSN', async () => {
    await putText(node, 'p', [1], 'a', ['before']);
    const found = watching({ waitMs: 5_000 });
    await putText(node, 'p', [2], 'a', ['after']);
    expect(told(await found)).toEqual([{ change: 'put', rows: 1, ids: [2], fields: ['a'] }]);
  });

  test('leaves nothing behind when the caller goes away', async () => {
    let leave = (): void => undefined;
    void watching({ waitMs: 5_000 }, { onClose: (gone) => (leave = gone) });
    await settle();
    leave();
    expect(node.waits.count).toBe(0);
    await putText(node, 'p', [1], 'a', ['x']);
  });

  test('is refused when the partition goes, or the server', async () => {
    const dropped = watching({ waitMs: 5_000 });
    const refused = expect(dropped).rejects.toMatchObject({ code: 'partition_unknown' });
    await drop(node, 'p');
    await refused;
    await declareTest(node, 'p');
    const ended = watching({ waitMs: 5_000 });
    await settle();
    const stopped = expect(ended).rejects.toMatchObject({ code: 'shutting_down' });
    node.refuseWaits();
    await stopped;
  });

  test('may be many: all are answered by one change', async () => {
    const many = Array.from({ length: 200 }, () => watching({ waitMs: 5_000 }));
    await settle();
    await seal(node, 'p');
    for (const found of await Promise.all(many)) expect(told(found)).toEqual([{ change: 'seal', rows: 0 }]);
  });
});

describe('pages', () => {
  test('of few changes follow each other without a gap; those of one LSN stay together', async () => {
    const first = await watching();
    for (let i = 0; i < 5; i++) {
      await putText(node, 'p', [i], 'a', ['x']);
      await claimed({ autoAck: true });
    }
    const pages: (string | number)[][] = [];
    for (let { lsn } = first; ;) {
      const page = await watching({ afterLsn: lsn, changesMax: 2 });
      expect(page.missed).toBe(false);
      if (page.changes.length === 0) break;
      pages.push(page.changes.map(({ change }) => change));
      lsn = page.lsn;
    }
    expect(pages).toEqual(Array.from({ length: 5 }, () => [['put'], ['claim', 'ack']]).flat());
  });

  test('whoever asks while changes come hears each once', async () => {
    let { lsn } = await watching();
    const heard: number[] = [];
    const asks = async (): Promise<void> => {
      while (heard.length < 60) {
        const found = await watching({ afterLsn: lsn, waitMs: 5_000, changesMax: 3 });
        expect(found.missed).toBe(false);
        lsn = found.lsn;
        for (const { ids } of found.changes) heard.push(...ids!);
      }
    };
    const asking = asks();
    for (let id = 0; id < 60; id++) {
      const putting = putText(node, 'p', [id], 'a', ['x']);
      if (id % 4 === 0) await putting;
    }
    await asking;
    expect(heard.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => i));
  });
});

describe('what is kept', () => {
  test('is nothing of a partition that nobody watches', async () => {
    const { lsn } = node.parts.journal;
    await putText(node, 'p', [1], 'a', ['x']);
    expect(node.changes.size).toBe(0);
    expect(await watching({ afterLsn: lsn })).toMatchObject({ changes: [], missed: true, lsn: lsn + 1 });
    expect(await watching({ afterLsn: lsn + 1 })).toMatchObject({ changes: [], missed: false });
  });

  test('a watch that missed something is told at once', async () => {
    const { lsn } = await watching();
    for (const after of [0, lsn - 1, lsn + 1, Number.MAX_SAFE_INTEGER]) {
      expect(await watching({ afterLsn: after, waitMs: 5_000 })).toEqual({ changes: [], lsn, missed: true });
    }
  });

  test('ends when nobody has asked for long, with the next change', async () => {
    const { lsn } = await watching();
    await putText(node, 'p', [1], 'a', ['x']);
    expect(node.changes.size).toBeGreaterThan(0);
    await env.clock.advance(120_001);
    await putText(node, 'p', [2], 'a', ['x']);
    expect(node.changes.size).toBe(0);
    expect(await watching({ afterLsn: lsn })).toMatchObject({ changes: [], missed: true });
  });

  test('ends with the partition: one of the same name is another', async () => {
    const { lsn } = await watching();
    await putText(node, 'p', [1], 'a', ['x']);
    await drop(node, 'p');
    expect(node.changes.size).toBe(0);
    await declareTest(node, 'p');
    expect(await watching({ afterLsn: lsn })).toMatchObject({ changes: [], missed: true });
  });

  test('is over with a restart, and the watch hears that it missed something', async () => {
    const { lsn } = await watching();
    await opened.close();
    opened = await openTestNode(env, DIR, 9 << 20);
    ({ node } = opened);
    expect(await watching({ afterLsn: lsn, waitMs: 5_000 })).toMatchObject({ changes: [], missed: true });
  });

  test('is bounded for each partition and in all; the oldest give way, and that is told', async () => {
    await declareTest(node, 'q');
    const { state, env: nodeEnv } = node.parts;
    const limits = { ringSizeMax: 10_000, sizeMax: 15_000, keptMs: 1_000_000 };
    const changes = new Changes({ state, clock: nodeEnv.clock, limits });
    const numberOf = (name: string): number => node.partition(name).id;
    const note = (name: string, lsn: number): void => {
      changes.note({ type: 'advance', partition: numberOf(name), version: lsn }, lsn);
      expect(changes.size).toBeLessThanOrEqual(limits.sizeMax);
    };
    const after = (name: string, afterLsn: number): ChangesFound =>
      changes.after(numberOf(name), afterLsn, { now: 1_000, max: 1_000 });
    changes.after(numberOf('p'), null, { now: 0, max: 1 });
    changes.after(numberOf('q'), null, { now: 0, max: 1 });
    for (let lsn = 1; lsn <= 100; lsn++) note('p', lsn);
    const { changes: kept, missed } = after('p', 50);
    expect(missed).toBe(true);
    expect(kept.at(-1)).toMatchObject({ lsn: 100 });
    const oldest = kept[0].lsn;
    expect(after('p', oldest - 1)).toMatchObject({ missed: false });
    expect(after('p', oldest - 1).changes).toHaveLength(101 - oldest);
    // Now q was asked for longest ago, but it is empty: p gives.
    after('q', 0);
    for (let lsn = 101; lsn <= 200; lsn++) note('q', lsn);
    expect(after('q', 199)).toMatchObject({ missed: false, changes: [{ lsn: 200 }] });
    expect(after('p', 99)).toMatchObject({ missed: true });
  });
});
