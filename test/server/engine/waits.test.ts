/** Waiting claims and reads: each ends exactly once, by rows, time, its caller, the partition's end or the server's. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { endClaim, renewClaim, takeClaim } from '../../../server/engine/claims.ts';
import type { Caller, ClaimTake } from '../../../server/engine/commands.ts';
import type { Node } from '../../../server/engine/node.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, drop, seal } from '../../../server/engine/partitions.ts';
import { read } from '../../../server/engine/read.ts';
import { caller, claimOf, declareTest, openTestNode, putText, valuesOf } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

let env: SimEnv;
let opened: OpenedNode;
let node: Node;

beforeEach(async () => {
  env = simEnv(SimFs.withReserve(DIR));
  opened = await openTestNode(env, DIR, 9 << 20);
  ({ node } = opened);
  await declareTest(node, 'p');
  await putText(node, 'p', [0], 'a', ['zero']);
  await claimOf(node, 'p', { fields: ['a'], task: 'past', autoAck: true });
});

/** A caller that can go away. */
function leaving(): Caller & { leave(): void } {
  const listeners: (() => void)[] = [];
  return {
    onClose: (gone) => void listeners.push(gone),
    leave: () => {
      for (const gone of listeners) gone();
    },
  };
}

const take: ClaimTake = {
  partition: 'p',
  task: 'past',
  fields: ['a'],
  rowsMax: 8,
  rowsMin: 1,
  sampler: 'fifo',
  leaseMs: 10_000,
  waitMs: 5_000,
  autoAck: false,
  requestId: '',
};

function waitingRead(ids: readonly number[], waitMs = 5_000, from: Caller = caller): ReturnType<typeof read> {
  const select = { by: 'ids', ids: Float64Array.from(ids) } as const;
  return read(node, { partition: 'p', select, fields: ['a'], waitMs }, from);
}

function waitingNewest(afterLsn: number, waitMs = 5_000, from: Caller = caller): ReturnType<typeof read> {
  return read(node, { partition: 'p', select: { by: 'newest', afterLsn }, fields: ['a'], waitMs }, from);
}

/** One wait of each kind. */
const kinds: Record<string, (from: Caller) => Promise<{ readonly kind: string }>> = {
  claim: (from) => takeClaim(node, take, from),
  'read of rows': (from) => waitingRead([0, 1], 5_000, from),
  'read of the newest row': (from) => waitingNewest(node.parts.journal.lsn, 5_000, from),
};

describe.each(Object.entries(kinds))('a waiting %s', (name, start) => {
  test('ends with the rows, at once', async () => {
    const waiting = start(caller);
    await settle();
    expect(node.waits.count).toBe(1);
    await putText(node, 'p', [1], 'a', ['one']);
    expect((await waiting).kind).toBe(name === 'claim' ? 'claimed' : 'rows');
    expect(node.waits.count).toBe(0);
    await env.clock.advance(10_000);
  });

  test('ends by time with what is missing', async () => {
    const waiting = start(caller);
    await env.clock.advance(4_999);
    expect(node.waits.count).toBe(1);
    await env.clock.advance(1);
    const details = {
      claim: { ready: 0, leased: 0, incomplete: 0 },
      'read of rows': { missing: [1], missing_count: 1 },
      'read of the newest row': { after_lsn: node.parts.journal.lsn },
    }[name];
    expect(await waiting).toEqual({ kind: 'timed_out', details });
    expect(node.waits.count).toBe(0);
  });

  test('leaves no trace when its caller goes away', async () => {
    const from = leaving();
    let ended = false;
    void start(from).finally(() => (ended = true));
    await settle();
    from.leave();
    expect(node.waits.count).toBe(0);
    from.leave();
    await putText(node, 'p', [1], 'a', ['one']);
    await env.clock.advance(10_000);
    expect(ended).toBe(false);
    const next = await claimOf(node, 'p', { fields: ['a'], task: 'past' });
    expect(next.kind === 'claimed' && [...next.located.ids]).toEqual([1]);
  });

  test('is refused when the partition is dropped', async () => {
    const waiting = start(caller).catch((error: unknown) => error);
    await settle();
    await drop(node, 'p');
    expect(await waiting).toMatchObject({ code: 'partition_unknown', details: { dropped: true } });
    await declareTest(node, 'p');
    await putText(node, 'p', [1], 'a', ['another partition']);
    expect(node.waits.count).toBe(0);
  });

  test('is refused when the server stops, and so is one that comes later', async () => {
    const waiting = start(caller).catch((error: unknown) => error);
    await settle();
    node.refuseWaits();
    expect(await waiting).toMatchObject({ code: 'shutting_down' });
    const late = (async () => start(caller))();
    await expect(late).rejects.toMatchObject({ code: 'shutting_down' });
  });

  test('is told from one that may not wait', async () => {
    const at = { claim: 'claim', 'read of rows': 'ids', 'read of the newest row': 'newest' }[name];
    if (at === 'claim')
      expect(await takeClaim(node, { ...take, waitMs: 0 }, caller)).toMatchObject({ kind: 'timed_out' });
    if (at === 'ids') await expect(waitingRead([0, 1], 0)).rejects.toMatchObject({ code: 'rows_missing' });
    if (at === 'newest') await expect(waitingNewest(1e9, 0)).rejects.toMatchObject({ code: 'rows_missing' });
    expect(node.waits.count).toBe(0);
  });
});

describe('many who wait', () => {
  test('are served in the order of coming, each row once', async () => {
    const waiting = Array.from({ length: 50 }, () => takeClaim(node, { ...take, rowsMax: 1 }, caller));
    for (let id = 1; id <= 50; id++) await putText(node, 'p', [id], 'a', [`${id}`]);
    const outcomes = await Promise.all(waiting);
    expect(outcomes.map((one) => one.kind === 'claimed' && one.located.ids[0])).toEqual(
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
  });

  test('who leaves the line makes way for those behind', async () => {
    const first = leaving();
    void takeClaim(node, { ...take, rowsMin: 3 }, first);
    const second = takeClaim(node, { ...take, rowsMin: 1 }, caller);
    await putText(node, 'p', [1], 'a', ['one']);
    expect(node.waits.count).toBe(2);
    first.leave();
    expect(await second).toMatchObject({ kind: 'claimed' });
  });

  test('are limited; one more is refused at once, and one that ends makes room', async () => {
    const from = leaving();
    const waiting: Promise<unknown>[] = [takeClaim(node, take, from)];
    while (node.waits.count < limits.waitersMax) waiting.push(waitingRead([7], 5_000, from));
    for (const late of [() => takeClaim(node, take, caller), () => waitingRead([7]), () => waitingNewest(1e9)])
      await expect((async () => late())()).rejects.toMatchObject({ code: 'too_many_waiters' });
    from.leave();
    expect(node.waits.count).toBe(0);
    const last = takeClaim(node, take, caller);
    await putText(node, 'p', [1], 'a', ['one']);
    expect(await last).toMatchObject({ kind: 'claimed' });
  });

  test('for rows of a sealed partition end as drained, when their rows cannot come', async () => {
    const hopeless = waitingRead([0, 1]);
    const claim = takeClaim(node, take, caller);
    await settle();
    await seal(node, 'p');
    expect(await Promise.all([hopeless, claim])).toEqual([{ kind: 'drained' }, { kind: 'drained' }]);
  });

  test('for a row that was there and is deleted wait on', async () => {
    const waiting = waitingRead([0, 1]);
    await settle();
    await deleteRows(node, 'p', { ids: Float64Array.of(0), requestId: '' });
    await putText(node, 'p', [1], 'a', ['one']);
    expect(node.waits.count).toBe(1);
    await putText(node, 'p', [0], 'a', ['zero again']);
    const outcome = await waiting;
    if (outcome.kind !== 'rows') throw new Error(outcome.kind);
    expect(await valuesOf(node, outcome.located)).toMatchObject({ a: ['zero again', 'one'] });
  });
});

describe('leases', () => {
  async function claimed(options: Partial<ClaimTake> = {}): Promise<{ token: string; ids: number[] }> {
    const outcome = await claimOf(node, 'p', { fields: ['a'], task: 'past', rowsMax: 1, ...options });
    if (outcome.kind !== 'claimed') throw new Error(outcome.kind);
    outcome.located.close();
    return { token: outcome.token, ids: [...outcome.located.ids] };
  }

  test('end in the order of their deadlines, whatever the order of their grants', async () => {
    for (let id = 1; id <= 4; id++) await putText(node, 'p', [id], 'a', [`${id}`]);
    for (const leaseMs of [4_000, 1_000, 3_000, 2_000]) await claimed({ leaseMs });
    const back: number[] = [];
    for (let second = 1; second <= 4; second++) {
      const waiting = claimed({ waitMs: 60_000, leaseMs: 100_000 });
      await env.clock.advance(1_000);
      back.push(...(await waiting).ids);
    }
    expect(back).toEqual([2, 4, 3, 1]);
  });

  test('a renewed one ends later; the timer of the earlier deadline hurts nobody', async () => {
    await putText(node, 'p', [1], 'a', ['1']);
    const { token } = await claimed({ leaseMs: 1_000 });
    await env.clock.advance(900);
    renewClaim(node, token, 1_000);
    await env.clock.advance(900);
    expect(await claimOf(node, 'p', { fields: ['a'], task: 'past' })).toMatchObject({ kind: 'timed_out' });
    await env.clock.advance(200);
    expect((await claimed()).ids).toEqual([1]);
    await expect(endClaim(node, token, 'ack', '')).rejects.toMatchObject({ code: 'claim_stale' });
  });

  test('auto_ack: rows are consumed at once; a retry reads them while the lease would last', async () => {
    await putText(node, 'p', [1], 'a', ['once']);
    const first = await claimed({ autoAck: true, requestId: 'r1', leaseMs: 2_000 });
    expect(await claimOf(node, 'p', { fields: ['a'], task: 'past' })).toMatchObject({ kind: 'timed_out' });
    await deleteRows(node, 'p', { ids: Float64Array.of(1), requestId: '' });
    const retry = await claimOf(node, 'p', { fields: ['a'], task: 'past', requestId: 'r1' });
    if (retry.kind !== 'claimed') throw new Error(retry.kind);
    expect(retry.token).toBe(first.token);
    expect(await valuesOf(node, retry.located)).toMatchObject({ a: ['once'] });
    await endClaim(node, first.token, 'ack', '');
    const { store } = node.parts.state;
    expect(store.extentsAfter(0)).toHaveLength(2);
    await env.clock.advance(2_000);
    expect(store.extentsAfter(0)).toHaveLength(1);
    const late = claimOf(node, 'p', { fields: ['a'], task: 'past', requestId: 'r1' });
    await expect(late).rejects.toMatchObject({ code: 'claim_stale' });
  });
});

describe('stopping while busy', () => {
  test('a put is acknowledged and there after a start, or refused; nothing is written afterwards', async () => {
    const putting = Array.from({ length: 40 }, (_, i) =>
      putText(node, 'p', [100 + i], 'a', [`${i}`], { ack: i % 4 === 0 ? 'disk' : null }).then(
        () => 100 + i,
        (error: unknown) => error as { code: string },
      ),
    );
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    await opened.close();
    let changes = 0;
    env.fs.onChange = () => changes++;
    const outcomes = await Promise.all(putting);
    await env.clock.advance(60_000);
    expect(changes).toBe(0);
    expect(env.fs.openPaths.size).toBe(0);
    const refused = outcomes.filter((one) => typeof one !== 'number');
    for (const one of refused) expect(one).toMatchObject({ code: 'shutting_down' });
    const again = await openTestNode(simEnv(env.fs.afterCrash(), env.clock), DIR, 9 << 20);
    const ids = Float64Array.from(outcomes.filter((one) => typeof one === 'number'));
    const select = { by: 'ids', ids } as const;
    const outcome = await read(again.node, { partition: 'p', select, fields: ['a'], waitMs: 0 }, caller);
    expect(outcome.kind).toBe('rows');
  });

  test('a second start is refused until the first has ended', async () => {
    const second = openTestNode(simEnv(env.fs), DIR, 9 << 20).then(() => 'opened');
    await expect(second).rejects.toMatchObject({ code: 'ELOCKED' });
    await opened.close();
    const third = await openTestNode(simEnv(env.fs), DIR, 9 << 20);
    expect(third.node.partition('p').settings.name).toBe('p');
  });
});

test('an event that the journal took and the state did not ends the process', async () => {
  vi.spyOn(node.parts.state, 'apply').mockImplementation(() => {
    throw new Error('a broken invariant');
  });
  await expect(seal(node, 'p')).rejects.toThrow();
  expect(env.crashes).toEqual(['a seal event could not be applied']);
  vi.restoreAllMocks();
});
