/** Claims beyond fifo, at the door of the engine: who wakes them, when time decides, what the caller is told. */
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { endClaim } from '../../../server/engine/claims.ts';
import type { ClaimOutcome, ClaimTake } from '../../../server/engine/commands.ts';
import type { Node } from '../../../server/engine/node.ts';
import { advance, deleteRows, drop, seal } from '../../../server/engine/partitions.ts';
import { loadSamplers, type SamplerModules } from '../../../server/engine/sampler_modules.ts';
import { listRows, tagRows } from '../../../server/engine/tags.ts';
import { machine, type Candidates } from '../../../server/queue/machine.ts';
import { blocksIn } from '../../support/examples.ts';
import { bodyOf, claimOf, declareTest, openTestNode, putBody } from '../../support/node.ts';
import { quietLog, settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

let env: SimEnv;
let node: Node;

async function open(samplers: SamplerModules = new Map(), fs = SimFs.withReserve(DIR)): Promise<void> {
  env = env === undefined ? simEnv(fs) : simEnv(fs, env.clock);
  ({ node } = await openTestNode(env, DIR, 10 << 20, { samplers }));
}

beforeEach(async () => {
  await open();
  await declareTest(node, 'p', { groupSize: 2, queue: { numbers: ['length', 'priority', 'version'] } });
});

async function put(ids: readonly number[], tags: object = {}): Promise<void> {
  const texts = ids.map((id) => `row ${id}`);
  await putBody(
    node,
    'p',
    bodyOf(
      ids,
      'a',
      texts,
      true,
      ids.map(() => JSON.stringify(tags)),
    ),
  );
}

async function tag(ids: readonly number[], tags: object): Promise<void> {
  await tagRows(node, { partition: 'p', ids: Float64Array.from(ids), tags: [JSON.stringify(tags)], requestId: '' });
}

function claim(more: Partial<ClaimTake> = {}): Promise<ClaimOutcome> {
  return claimOf(node, 'p', { fields: ['a'], ...more });
}

function shown(outcome: ClaimOutcome): string {
  if (outcome.kind !== 'claimed') return outcome.kind;
  return `${[...outcome.located.ids].join(' ')}${outcome.isPartial ? ' partial' : ''}`;
}

describe('who waits is woken', () => {
  const wakes: Readonly<Record<string, [Partial<ClaimTake>, () => Promise<unknown>, string]>> = {
    'by tags, when it filters': [{ where: 'ok == true' }, () => tag([1], { ok: true }), '1'],
    'by tags that a put of another field brings': [
      { where: 'ok == true' },
      () => putBody(node, 'p', bodyOf([1], 'b', ['x'], true, ['{"ok": true}'])),
      '1',
    ],
    'by a version': [
      { window: { by: 'version', minVersion: 3, onStale: 'keep' } },
      () => tag([0], { version: 3 }),
      '0',
    ],
    'by lengths that fill its tokens': [
      { tokens: { max: 9, by: 'length' }, rowsMax: 8, rowsMin: 8, where: 'length > 0' },
      async () => {
        await tag([0], { length: 4 });
        await tag([1], { length: 5 });
      },
      '0 1',
    ],
    'by the row it asks for': [{ ids: Float64Array.of(9, 8) }, () => put([9]), '9'],
    'by an advance that drains it': [
      { sampler: 'group', window: { by: 'version', maxStaleness: 1, onStale: 'skip' }, ids: undefined },
      async () => {
        await deleteRows(node, 'p', { ids: Float64Array.of(0), requestId: '' });
        await tag([1], { version: 1 });
        await seal(node, 'p');
        expect(node.waits.count).toBe(1);
        await advance(node, 'p', 5);
      },
      'drained',
    ],
  };

  test.each(Object.entries(wakes))('%s', async (_, [more, wake, expected]) => {
    await put([0, 1]);
    const waiting = claim({ rowsMax: 2, waitMs: 5_000, ...more });
    await settle();
    expect(node.waits.count).toBe(1);
    await wake();
    expect(shown(await waiting)).toBe(expected);
    expect(node.waits.count).toBe(0);
  });

  test('in the order in which they came, however they spell the same filter', async () => {
    await put([9]);
    const first = claim({ where: 'ok == true', rowsMin: 2, rowsMax: 2, waitMs: 1_000 });
    const second = claim({ where: '( ok==true )', waitMs: 1_000 });
    await put([0], { ok: true });
    await put([1], { ok: true });
    expect(shown(await first)).toBe('0 1');
    await env.clock.advance(1_000);
    expect((await second).kind).toBe('timed_out');
  });

  test('and the filter of one who waits stays in use', async () => {
    await put([9]);
    const waiting = claim({ where: 'ok == true', waitMs: 5_000 });
    for (let i = 0; i < 2 * limits.filtersPerPartitionMax; i++) await claim({ where: `n == ${i}` });
    const kept = await Promise.all(
      Array.from({ length: limits.filtersPerPartitionMax }, (_, i) =>
        claim({ where: `n == ${i}`, waitMs: 1_000 }).catch((error: { code: string }) => ({ kind: error.code })),
      ).concat(env.clock.advance(1_000) as never),
    );
    expect(kept.filter((outcome) => outcome?.kind === 'too_many_filters')).toHaveLength(1);
    await put([0], { ok: true });
    expect(shown(await waiting)).toBe('0');
    expect((await claim({ where: 'other == 1' })).kind).toBe('timed_out');
  });
});

describe('time decides', () => {
  test('what is there will do in the end', async () => {
    await put([0, 1, 2]);
    const waiting = claim({ rowsMax: 8, rowsMin: 8, waitMs: 1_000, partial: true });
    await env.clock.advance(999);
    expect(node.waits.count).toBe(1);
    await env.clock.advance(1);
    expect(shown(await waiting)).toBe('0 1 2 partial');
    expect(shown(await claim({ partial: true }))).toBe('timed_out');
    await put([3]);
    expect(shown(await claim({ rowsMax: 8, rowsMin: 8, partial: true }))).toBe('3 partial');
    expect(shown(await claim({ rowsMax: 8, rowsMin: 8, partial: true, waitMs: 0 }))).toBe('timed_out');
  });

  test('a retry of a partial grant says so, too', async () => {
    await put([0]);
    const asked = { rowsMax: 8, rowsMin: 8, partial: true, requestId: 'once' };
    expect(shown(await claim(asked))).toBe('0 partial');
    expect(shown(await claim(asked))).toBe('0 partial');
  });

  test('what is there will do after a while, and what comes then at once', async () => {
    await put([0]);
    const first = claim({ rowsMax: 4, rowsMin: 4, waitMs: 5_000, lingerMs: 100 });
    const second = claim({ rowsMax: 4, rowsMin: 4, waitMs: 5_000, lingerMs: 200 });
    await env.clock.advance(99);
    expect(node.waits.count).toBe(2);
    await env.clock.advance(1);
    expect(shown(await first)).toBe('0 partial');
    await env.clock.advance(300);
    expect(node.waits.count).toBe(1);
    await put([1, 2]);
    expect(shown(await second)).toBe('1 2 partial');
    await put([3]);
    expect(shown(await claim({ rowsMax: 4, rowsMin: 4, waitMs: 5_000, lingerMs: 0 }))).toBe('3 partial');
  });

  test('survivors of a group are granted when nothing changed for a while, which a restart begins anew', async () => {
    const asked = { sampler: 'group', rowsMax: 2, group: { survivorsMin: 1, waitMs: 1_000 }, waitMs: 50_000 } as const;
    await put([0]);
    const waiting = claim(asked);
    await env.clock.advance(999);
    expect(node.waits.count).toBe(1);
    await env.clock.advance(1);
    expect(shown(await waiting)).toBe('0');
    await put([2]);
    await env.clock.advance(600);
    await open(new Map(), env.fs.afterCrash());
    const again = claim(asked);
    await env.clock.advance(999);
    expect(node.waits.count).toBe(1);
    await env.clock.advance(1);
    expect(shown(await again)).toBe('2');
  });

  test('a sibling that comes after the survivors were consumed is passed, and the task is drained', async () => {
    const asked = { sampler: 'group', rowsMax: 2, group: { survivorsMin: 1, waitMs: 10 }, waitMs: 50_000 } as const;
    await put([0]);
    const waiting = claim(asked);
    await env.clock.advance(10);
    const outcome = await waiting;
    if (outcome.kind === 'claimed') await endClaim(node, outcome.token, 'ack', '');
    await put([1]);
    await seal(node, 'p');
    expect(shown(await claim(asked))).toBe('drained');
    await open(new Map(), env.fs.afterCrash());
    expect(shown(await claim(asked))).toBe('drained');
  });

  test('who leaves takes its alarm along', async () => {
    await put([0]);
    const waiting = claim({ rowsMax: 4, rowsMin: 4, waitMs: 100, lingerMs: 500 });
    await env.clock.advance(100);
    expect(shown(await waiting)).toBe('timed_out');
    await env.clock.advance(1_000);
    expect(shown(await claim({}))).toBe('0');
  });
});

describe('a filter over many rows', () => {
  const ROWS = 3 * 65_536;

  /** Pages that it has been evaluated for. */
  function evaluated(): number {
    const queue = node.parts.state.queue(node.partition('p'));
    return queue.slots.pages.filter((page) => page.filters.size > 0).length;
  }

  beforeEach(() => {
    const queue = node.parts.state.queue(node.partition('p'));
    machine.applyInsert(queue, { ids: Float64Array.from({ length: ROWS }, (_, id) => id), fields: [0] });
  });

  test('is evaluated for one page in the turn of a claim, and for the others in turns of their own', async () => {
    const waiting = claim({ fields: [], where: 'length > 0', waitMs: 0 });
    expect(evaluated()).toBe(1);
    expect(await waiting).toMatchObject({ kind: 'timed_out', details: { ready: 0, filtered: ROWS } });
    expect(evaluated()).toBe(3);
    const again = claim({ fields: [], where: 'length > 0', rowsMin: 1, waitMs: 1 });
    expect(node.waits.count).toBe(1);
    await env.clock.advance(1);
    expect((await again).kind).toBe('timed_out');
  });

  test('and for those pages only that a claim needs', () => {
    const queue = node.parts.state.queue(node.partition('p'));
    const asked = { task: 't', fields: [], rowsMax: 65_536, rowsMin: 1, sampler: 'fifo', where: 'not exists none' };
    const steps = machine.warmClaim(queue, { ...asked, leaseMs: 1, autoAck: false, requestId: '' });
    expect(steps.next().done).toBe(true);
    expect(evaluated()).toBe(1);
  });

  test('ends when the partition does', async () => {
    const claiming = claim({ fields: [], where: 'length > 0', waitMs: 60_000 });
    const rows = { ids: null, where: 'length > 1', ready: null, from: 0, rowsMax: 10 };
    const listing = listRows(node, { partition: 'p', ...rows });
    const ends = Promise.allSettled([claiming, listing]);
    await drop(node, 'p');
    const dropped = { status: 'rejected', reason: { code: 'partition_unknown' } };
    expect(await ends).toMatchObject([dropped, dropped]);
  });
});

test('who waited in vain hears where the rows stand', async () => {
  await put([0, 1, 2, 3, 4, 5], { version: 4 });
  await tag([0, 1], { version: 1 });
  await tag([2], { x: 1 });
  await advance(node, 'p', 4);
  await claim({ rowsMax: 1, where: 'x == 1' });
  const window = { by: 'version', maxStaleness: 1, onStale: 'keep' } as const;
  const outcome = await claim({ rowsMax: 9, rowsMin: 9, where: 'not exists y', window });
  expect(outcome).toEqual({
    kind: 'timed_out',
    details: { ready: 3, leased: 1, incomplete: 0, stale: 2, filtered: 0 },
  });
});

describe('rows given back because they could not be delivered', () => {
  test('are at the same attempt again', async () => {
    await put([0]);
    const first = await claim({});
    if (first.kind === 'claimed') await endClaim(node, first.token, 'undelivered', '');
    const second = await claim({});
    expect(second.kind === 'claimed' && [...second.attempts]).toEqual([1]);
    if (second.kind === 'claimed') await endClaim(node, second.token, 'release', '');
    const third = await claim({});
    expect(third.kind === 'claimed' && [...third.attempts]).toEqual([2]);
  });
});

type Sample = (candidates: Candidates) => unknown;

/** The sampler that docs/OPERATIONS.md prints. */
const operations = new URL('../../../docs/OPERATIONS.md', import.meta.url);
const [{ code }] = blocksIn(readFileSync(operations, 'utf8'), 'js');
const printed = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as { readonly sample: Sample };

describe('modules', () => {
  const modules: Readonly<Record<string, Sample>> = {
    longest: printed.sample,
    tagged: ({ ids, tags }) => Array.from(ids, (_, place) => place).filter((place) => tags(place).ok === true),
    seeded: ({ ids, seed, by }) => (by === 'length' ? [seed % ids.length] : []),
    broken: () => {
      throw new Error('no such luck');
    },
    silent: () => undefined,
    unknown: ({ numbers }) => numbers('height'),
  };

  beforeEach(async () => {
    const load = (path: string): Promise<object> => Promise.resolve({ sample: modules[path] });
    const pairs = Object.keys(modules).map((name) => `${name}=${name}`);
    await open(await loadSamplers(pairs, { load, log: quietLog }), env.fs.afterCrash());
    await put([0, 1, 2, 3], { length: 1 });
    await tag([2], { length: 5, ok: true });
  });

  test('choose by numbers, tags, a seed', async () => {
    expect(shown(await claim({ sampler: 'longest', rowsMax: 2, rowsMin: 2 }))).toBe('2 0');
    await tag([3], { ok: true });
    expect(shown(await claim({ sampler: 'tagged', rowsMax: 2 }))).toBe('3');
    expect(shown(await claim({ sampler: 'seeded', by: 'length', seed: 8, rowsMax: 1 }))).toBe('1');
    expect(shown(await claim({ sampler: 'seeded', by: 'length', seed: 8, rowsMax: 1 }))).toBe('timed_out');
  });

  test.each(['broken', 'silent', 'unknown'])('that fail, such as %s, fail their claim only', async (sampler) => {
    await expect(claim({ sampler, waitMs: 1_000 })).rejects.toMatchObject({ code: 'sampler_failed' });
    expect(shown(await claim({ rowsMax: 1 }))).toBe('0');
  });

  test('are named when there is none', () => {
    const known = ['fifo', 'group', 'priority', 'weighted', ...Object.keys(modules)];
    const asked: () => unknown = () => claim({ sampler: 'shortest' });
    expect(asked).toThrow(
      expect.objectContaining({ code: 'sampler_unknown', details: { sampler: 'shortest', known } }),
    );
  });

  const refused: Readonly<Record<string, [string[], RegExp]>> = {
    'a name of ours': [['fifo=longest'], /fifo: there is one of this name/],
    'a name twice': [['x=longest', 'x=longest'], /x: there is one/],
    'no function': [['x=nothing'], /x: nothing exports no function "sample"/],
    'no module': [['x=missing'], /x: missing: no such file/],
  };

  test.each(Object.entries(refused))('are refused at the start: %s', async (_, [pairs, reason]) => {
    const load = (path: string): Promise<object> =>
      path === 'missing' ? Promise.reject(new Error('no such file')) : Promise.resolve({ sample: modules[path] });
    await expect(loadSamplers(pairs, { load, log: quietLog })).rejects.toThrow(reason);
  });
});
