/** Batches that several askers share: each part has one answer, whoever asks, however often, and across restarts. */
import { beforeEach, describe, expect, test } from 'vitest';
import { endClaim, takeClaim } from '../../../server/engine/claims.ts';
import type { Caller, ClaimOutcome, ClaimTake } from '../../../server/engine/commands.ts';
import type { Node } from '../../../server/engine/node.ts';
import { seal } from '../../../server/engine/partitions.ts';
import { requeue } from '../../../server/engine/tasks.ts';
import { claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

let env: SimEnv;
let node: Node;

beforeEach(async () => {
  env = simEnv(SimFs.withReserve(DIR));
  ({ node } = await openTestNode(env, DIR, 10 << 20));
  await declareTest(node, 'p');
  await put(0, 8);
});

async function put(from: number, count: number): Promise<void> {
  const ids = Array.from({ length: count }, (_, i) => from + i);
  await putText(
    node,
    'p',
    ids,
    'a',
    ids.map((id) => `row ${id}`),
  );
}

async function restart(fs = env.fs.afterCrash()): Promise<void> {
  env = simEnv(fs, env.clock);
  ({ node } = await openTestNode(env, DIR, 10 << 20));
}

interface Ask {
  readonly number?: number;
  readonly parts?: number;
}

function ask(part: number, { number = 0, parts = 2 }: Ask = {}, more: Partial<ClaimTake> = {}): Promise<ClaimOutcome> {
  const batch = { name: 'train', number, part, parts };
  return claimOf(node, 'p', { fields: ['a'], rowsMax: 4, rowsMin: 4, batch, ...more });
}

/** Token and rows, or how it ended. */
function shown(outcome: ClaimOutcome): string {
  if (outcome.kind === 'drained') return 'drained';
  if (outcome.kind === 'timed_out') return outcome.details.empty === true ? 'empty' : 'timed out';
  return `${[...outcome.located.ids].join(' ')} of ${outcome.token}`;
}

function rowsOf(outcome: ClaimOutcome): string {
  return shown(outcome).split(' of ')[0];
}

async function asked(...args: Parameters<typeof ask>): Promise<string> {
  return shown(await ask(...args));
}

describe('whoever asks for a part', () => {
  test('gets what the first one got, and the other part has other rows', async () => {
    const first = await asked(0);
    const second = await asked(1);
    expect([first, second].map((text) => text.split(' of ')[0])).toEqual(['0 1', '2 3']);
    expect(await asked(1)).toBe(second);
    expect(await asked(0)).toBe(first);
    expect(rowsOf(await ask(1, { number: 1 }))).toBe('6 7');
  });

  test('gets the same when all ask at once and wait', async () => {
    const asking = [0, 1, 0, 1, 1].map((part) =>
      asked(part, { number: 7 }, { rowsMax: 12, rowsMin: 12, waitMs: 5_000 }),
    );
    const later = asked(0, { number: 8 }, { rowsMax: 12, rowsMin: 12, waitMs: 1_000 });
    await settle();
    expect(node.waits.count).toBe(6);
    await put(8, 6);
    const answers = await Promise.all(asking);
    expect(answers.map((text) => text.split(' of ')[0])).toEqual([
      '0 1 2 3 4 5',
      '6 7 8 9 10 11',
      '0 1 2 3 4 5',
      '6 7 8 9 10 11',
      '6 7 8 9 10 11',
    ]);
    expect(new Set(answers).size).toBe(2);
    expect(node.waits.count).toBe(1);
    await env.clock.advance(1_000);
    expect(await later).toBe('empty');
  });

  test('gets the same although the first asker went away before it was served', async () => {
    const listeners: (() => void)[] = [];
    const leaving: Caller = { onClose: (gone) => void listeners.push(gone) };
    const batch = { name: 'train', number: 0, part: 0, parts: 2 };
    void takeClaim(node, { ...take, batch, rowsMax: 12, rowsMin: 12 }, leaving);
    const other = asked(1, {}, { rowsMax: 12, rowsMin: 12, waitMs: 5_000 });
    for (const gone of listeners) gone();
    await put(8, 4);
    expect((await other).split(' of ')[0]).toBe('6 7 8 9 10 11');
    expect(rowsOf(await ask(0))).toBe('0 1 2 3 4 5');
  });

  test('need not stand in line once it was drawn, and a retry need not either', async () => {
    const granted = await asked(0, {}, { requestId: 'once' });
    const waiting = asked(0, { number: 1 }, { rowsMax: 8, rowsMin: 8, waitMs: 1_000 });
    expect(await asked(1, {}, { waitMs: 1_000 })).toContain('2 3 of');
    expect(await asked(0, {}, { requestId: 'once', waitMs: 1_000 })).toBe(granted);
    await env.clock.advance(1_000);
    expect(await waiting).toBe('empty');
  });

  test('with other parts is told so', async () => {
    await ask(0);
    await expect(ask(0, { parts: 4 })).rejects.toMatchObject({ code: 'batch_conflict', details: { parts: 2 } });
  });

  test('gets rows for which nobody must ack, also when another asks later', async () => {
    const first = await asked(0, {}, { autoAck: true });
    expect(await asked(0, {}, { autoAck: true })).toBe(first);
    expect(rowsOf(await ask(1))).toBe('2 3');
    await env.clock.advance(10_000);
    await expect(ask(1)).rejects.toMatchObject({ code: 'claim_stale' });
  });
});

describe('over crashes and leases', () => {
  test('a part has the same token after a restart, also from a checkpoint, and as often as one asks', async () => {
    const [first, second] = [await asked(0), await asked(1)];
    await restart();
    expect([await asked(0), await asked(1)]).toEqual([first, second]);
    await node.checkpoints.run();
    await restart();
    expect([await asked(1), await asked(0)]).toEqual([second, first]);
    const token = first.split(' of ')[1];
    await endClaim(node, token, 'ack', '');
    await expect(ask(0)).rejects.toMatchObject({
      code: 'claim_stale',
      details: { reason: 'the claim of this part ended' },
    });
    expect(await asked(1)).toBe(second);
  });

  test('what a crash cut off is drawn anew, and nobody was told of the rest', async () => {
    const images: SimEnv['fs'][] = [];
    env.fs.onChange = () => void images.push(env.fs.afterCrash());
    const told = await asked(0);
    env.fs.onChange = () => undefined;
    const seen = new Set<string>();
    for (const fs of [...images, env.fs.afterCrash()]) {
      await restart(fs);
      const [first, second] = [await ask(0), await ask(1)];
      seen.add(`${rowsOf(first)} | ${rowsOf(second)}`);
      expect(shown(await ask(0))).toBe(shown(first));
    }
    expect(told).toContain('0 1 of');
    expect([...seen]).toEqual(['0 1 | 2 3']);
  });

  test('a part whose lease ran out has the same rows under another token', async () => {
    const [first, second] = [await asked(0), await asked(1)];
    await env.clock.advance(10_000);
    const other = await asked(1);
    expect(other).toContain('2 3 of');
    expect(other).not.toBe(second);
    expect(await asked(1)).toBe(other);
    await expect(endClaim(node, second.split(' of ')[1], 'ack', '')).rejects.toMatchObject({ code: 'claim_stale' });
    await endClaim(node, first.split(' of ')[1], 'ack', '');
    await expect(ask(0)).rejects.toMatchObject({ code: 'claim_stale' });
  });

  test('a part that was given back gets other rows when its own went elsewhere', async () => {
    const first = await asked(0);
    await endClaim(node, first.split(' of ')[1], 'release', '');
    expect(rowsOf(await claimOf(node, 'p', { fields: ['a'], rowsMax: 2 }))).toBe('0 1');
    expect(rowsOf(await ask(0))).toBe('4 5');
    expect(rowsOf(await ask(1))).toBe('2 3');
  });
});

describe('a batch without rows', () => {
  const more = { rowsMax: 20, rowsMin: 20 };

  test('is empty for all, as soon as the first of them has no more time, and stays so', async () => {
    const waits = [1_000, 5_000, 9_000].map((waitMs, i) => asked(i % 2, {}, { ...more, waitMs }));
    await env.clock.advance(1_000);
    expect(await Promise.all(waits)).toEqual(['empty', 'empty', 'empty']);
    expect(node.waits.count).toBe(0);
    await put(8, 20);
    expect(await asked(1, {}, more)).toBe('empty');
    await restart();
    expect(await asked(1, {}, more)).toBe('empty');
    expect((await ask(0, { number: 1 }, more)).kind).toBe('claimed');
  });

  test('is drained for all, whatever comes back later', async () => {
    const all = await claimOf(node, 'p', { fields: ['a'], rowsMax: 8 });
    await seal(node, 'p');
    const waiting = asked(0, {}, { ...more, waitMs: 5_000 });
    if (all.kind === 'claimed') await endClaim(node, all.token, 'ack', '');
    expect(await waiting).toBe('drained');
    await restart();
    expect(await asked(1, {}, more)).toBe('drained');
  });

  test('is drained for good, and a later one has the dead letters that are queued anew', async () => {
    await declareTest(node, 'p', { queue: { tasks: [{ name: 'task', maxAttempts: 1 }] } });
    await seal(node, 'p');
    const all = await claimOf(node, 'p', { fields: ['a'], rowsMax: 8 });
    if (all.kind !== 'claimed') throw new Error(all.kind);
    await endClaim(node, all.token, 'release', '');
    expect([await asked(0), await asked(1)]).toEqual(['drained', 'drained']);
    await requeue(node, { partition: 'p', task: 'task' }, null);
    expect([await asked(0), await asked(1)]).toEqual(['drained', 'drained']);
    expect([rowsOf(await ask(0, { number: 1 })), rowsOf(await ask(1, { number: 1 }))]).toEqual(['0 1', '2 3']);
  });

  test('has empty parts when there are fewer rows than parts', async () => {
    const parts = await Promise.all([0, 1, 2].map((part) => ask(part, { parts: 3 }, { rowsMax: 2, rowsMin: 2 })));
    expect(parts.map(rowsOf)).toEqual(['0', '1', 'empty']);
    expect(parts[2]).toEqual({ kind: 'timed_out', details: { empty: true } });
  });

  test('is what is there when the time is over, if that will do', async () => {
    const waiting = [0, 1].map((part) => ask(part, {}, { ...more, waitMs: 1_000, partial: part === 0 }));
    await env.clock.advance(1_000);
    const outcomes = await Promise.all(waiting);
    expect(outcomes.map(rowsOf)).toEqual(['0 1 2 3', '4 5 6 7']);
    expect(outcomes).toMatchObject([{ isPartial: true }, { isPartial: true }]);
  });
});

const take: ClaimTake = {
  partition: 'p',
  task: 'task',
  fields: ['a'],
  ...{ rowsMax: 4, rowsMin: 4, sampler: 'fifo', leaseMs: 10_000, waitMs: 5_000, autoAck: false, requestId: '' },
};
