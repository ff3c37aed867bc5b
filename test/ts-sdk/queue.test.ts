/** The words of the queue on the real server: what partitions declare, and how claims draw. */
import { describe, expect, it } from 'vitest';
import { type ClaimOptions, type ClaimedBatch, type Partition } from '../../ts-sdk/index.ts';
import { realRig, words } from './real.ts';
import { rejection } from './support.ts';

const real = realRig();

const upTo = (count: number): number[] => Array.from({ length: count }, (_, id) => id);

async function claimed(rows: Partition, options: Partial<ClaimOptions> = {}): Promise<ClaimedBatch> {
  const result = await rows.claim({ ...words, ...options });
  if (result.outcome !== 'rows') throw new Error(`${result.outcome} ${JSON.stringify(result)}`);
  return result.batch;
}

describe('a declaration', () => {
  it('is told back, added to, and taken back', async () => {
    const rows = await real.fresh(0, {
      tasks: ['a'],
      release: 'consumed',
      numbers: ['length'],
      rowsMax: 64,
      bytesMax: 1 << 20,
      pace: { rowsPerVersion: 512, maxAhead: 1 },
      retention: { rowsMax: 10, ageMsMax: 60_000 },
    });
    const settings = { tasks: { b: { maxAttempts: 2 } }, numbers: ['score'], rowsMax: null, pace: null };
    expect(await rows.stats()).toMatchObject({
      declaredTasks: { a: {} },
      release: 'consumed',
      rowsMax: 64,
      bytesMax: 1 << 20,
      pace: { rowsPerVersion: 512, maxAhead: 1 },
      retention: { rowsMax: 10, ageMsMax: 60_000 },
    });
    await real.tq.partition(rows.name, settings);
    expect(await rows.stats()).toMatchObject({
      declaredTasks: { a: {}, b: { maxAttempts: 2 } },
      numbers: ['length', 'score'],
      rowsMax: null,
      pace: null,
    });
    const wrong = real.tq.partition('wrong', { release: 'consumed' });
    expect(await rejection(wrong)).toMatchObject({ code: 'json_invalid' });
  });

  it('lets new rows wait for room, others not', async () => {
    const rows = await real.fresh(4, { tasks: ['t'], release: 'consumed', rowsMax: 4 });
    const put = (waitMs: number): Promise<unknown> => rows.put({ x: [9, 9] }, { ids: [8, 9], waitMs });
    expect(await rejection(put(0))).toMatchObject({ code: 'over_budget', kind: 'wait', status: 429 });
    expect(await rejection(put(20))).toMatchObject({ code: 'over_budget', details: { limit: 4 } });
    await rows.put({ x: [7] }, { ids: [0] });
    const waiting = put(Infinity);
    await (await claimed(rows)).ack();
    await waiting;
    expect((await rows.list()).ids).toEqual([2, 3, 8, 9]);
    const large = rows.put({ x: upTo(5) }, { ids: [11, 12, 13, 14, 15], waitMs: 60_000 });
    expect(await rejection(large)).toMatchObject({ code: 'over_budget' });
  });

  it('paces producers by the version', async () => {
    const rows = await real.fresh(2, { pace: { rowsPerVersion: 2, maxAhead: 0 } });
    const waiting = rows.put({ x: [2] }, { ids: [2], waitMs: 60_000 });
    await rows.advance(1);
    await waiting;
    expect(await rows.stats()).toMatchObject({ version: 1, rowsAdmitted: 3 });
    expect(await rejection(rows.advance(0))).toMatchObject({ code: 'version_behind' });
    const controller = new AbortController();
    await rows.put({ x: [3] }, { ids: [3] });
    const cut = rows.put({ x: [4] }, { ids: [4], waitMs: Infinity, signal: controller.signal });
    controller.abort(new Error('enough'));
    expect((await rejection(cut)).message).toBe('enough');
  });
});

describe('a claim draws', () => {
  it('by filter, priority and weight', async () => {
    const rows = await real.fresh(6, { numbers: ['priority', 'w'] });
    const numbers = [3, 9, 1, 7, 5, 2].map((priority, id) => ({ priority, w: id < 2 ? 1 : 0, even: id % 2 === 0 }));
    await rows.tag(upTo(6), numbers);
    const order = await claimed(rows, { task: 'a', sampler: 'priority' });
    expect(order.ids).toEqual([1, 3]);
    expect((await claimed(rows, { task: 'b', sampler: 'priority', by: 'w', where: 'even == true' })).ids).toContain(0);
    const draw = (task: string): Promise<ClaimedBatch> =>
      claimed(rows, { task, sampler: 'weighted', by: 'w', seed: 7 });
    expect((await draw('c')).ids.toSorted()).toEqual([0, 1]);
    expect((await draw('c2')).ids.toSorted()).toEqual([0, 1]);
    const none = await rows.claim({ ...words, task: 'd', where: 'priority > 8' });
    expect(none).toEqual({ outcome: 'timed_out', ready: 1, leased: 0, incomplete: 0, dead: 0, stale: 0, filtered: 5 });
    const refused = rows.claim({ ...words, sampler: 'nobody' });
    expect(await rejection(refused)).toMatchObject({ code: 'sampler_unknown' });
  });

  it('as many rows as have so many tokens', async () => {
    const rows = await real.fresh(4, { numbers: ['length'] });
    await rows.tag(upTo(4), [{ length: 3 }, { length: 3 }, { length: 3 }, { length: 30 }]);
    const tokens = { max: 7 };
    expect((await claimed(rows, { batchSize: 4, tokens })).ids).toEqual([0, 1]);
    expect((await claimed(rows, { batchSize: 1, tokens })).ids).toEqual([2]);
    expect(await rejection(rows.claim({ ...words, tokens }))).toMatchObject({ code: 'row_over_budget' });
  });

  it('rows of a window of versions', async () => {
    const rows = await real.fresh(4, { numbers: ['version'] });
    await rows.tag(upTo(4), [{ version: 0 }, { version: 1 }, { version: 2 }, { version: 3 }]);
    await rows.advance(3);
    const window = { maxStaleness: 1 };
    const found = await rows.claim({ ...words, batchSize: 4, window });
    expect(found).toMatchObject({ outcome: 'timed_out', ready: 2, stale: 2 });
    expect((await claimed(rows, { window: { ...window, onStale: 'skip' } })).ids).toEqual([2, 3]);
    expect((await rows.stats()).tasks.t).toMatchObject({ skipped: 2, leased: 2 });
  });

  it('groups by a number, and those that survived', async () => {
    const rows = await real.fresh(6, { numbers: ['prompt'], groupSize: 3 });
    await rows.tag(
      upTo(6),
      upTo(6).map((id) => ({ prompt: id % 2 })),
    );
    const group = { by: 'prompt' };
    const odd = await claimed(rows, { batchSize: 3, sampler: 'group', group, where: 'prompt == 1' });
    expect(odd.ids).toEqual([1, 3, 5]);
    await rows.delete([4]);
    const survivors = { ...group, survivorsMin: 2, waitMs: 10 };
    const rest = await claimed(rows, { batchSize: 3, rowsMin: 1, sampler: 'group', group: survivors, waitMs: 60_000 });
    expect(rest.ids).toEqual([0, 2]);
  });

  it('exactly the ids', async () => {
    const rows = await real.fresh(4);
    const batch = await claimed(rows, { batchSize: undefined, ids: [3, 1, 77] });
    expect([batch.ids.toSorted(), batch.partial]).toEqual([[1, 3], false]);
    const none = await rows.claim({ ...words, batchSize: undefined, ids: [3] });
    expect(none).toMatchObject({ outcome: 'timed_out', leased: 1 });
    expect(await rejection(rows.claim({ ...words, ids: [1] }))).toMatchObject({ code: 'input_invalid' });
  });

  it('fewer rows at the end of the wait, or after a while', async () => {
    const rows = await real.fresh(3);
    const some = await claimed(rows, { batchSize: 9, partial: true, waitMs: 5 });
    expect([some.ids, some.partial]).toEqual([[0, 1, 2], true]);
    await some.release();
    const soon = await claimed(rows, { batchSize: 9, lingerMs: 5, waitMs: 60_000 });
    expect([soon.ids, soon.partial]).toEqual([[0, 1, 2], true]);
    expect((await rows.claim({ ...words, partial: true, waitMs: 5 })).outcome).toBe('timed_out');
  });

  it('with tags', async () => {
    const rows = await real.fresh(2, { numbers: ['score'] });
    await rows.tag([0], { a: 1, score: 2 });
    const batch = await claimed(rows, { fields: ['x', 'tq_tags'] });
    expect([batch.fields, batch.tags]).toEqual([['x'], [{ a: 1, score: 2 }, {}]]);
  });
});

describe('a shared batch', () => {
  const shared = (number: number, part: number) => ({
    batchSize: 4,
    batch: { name: 'ppo', number, part, parts: 2 },
  });

  it('is the same for all who ask for a part, and has other rows in the other parts', async () => {
    const rows = await real.fresh(8);
    const [first, same, other] = await Promise.all([
      claimed(rows, shared(0, 0)),
      claimed(rows, shared(0, 0)),
      claimed(rows, shared(0, 1)),
    ]);
    expect([same.ids, same.token, same.batchNumber]).toEqual([first.ids, first.token, 0]);
    expect([...first.ids, ...other.ids].toSorted()).toEqual([0, 1, 2, 3]);
    const late = await claimed(rows, shared(1, 1));
    expect([late.ids.length, late.ids.some((id) => id < 4)]).toEqual([2, false]);
    const wrong = rows.claim({ ...words, ...shared(0, 0), batch: { name: 'ppo', parts: 3 } });
    expect(await rejection(wrong)).toMatchObject({ code: 'batch_conflict' });
  });

  it('is empty for all when no row came, and consumers pass it over together', async () => {
    const rows = await real.fresh(0);
    expect((await rows.claim({ ...words, ...shared(0, 0) })).outcome).toBe('timed_out');
    await rows.put({ x: upTo(8) }, { ids: upTo(8) });
    expect((await rows.claim({ ...words, ...shared(0, 1), waitMs: 60_000 })).outcome).toBe('timed_out');
    await rows.seal();
    const consumed = async (part: number): Promise<number[][]> => {
      const found: number[][] = [];
      for await (const batch of rows.consume({ ...words, ...shared(0, part) })) {
        found.push([batch.batchNumber!, ...batch.ids]);
        await batch.ack();
      }
      return found;
    };
    const [a, b] = await Promise.all([consumed(0), consumed(1)]);
    expect([a.map(([number]) => number), b.map(([number]) => number)]).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect([...a, ...b].flatMap(([, ...ids]) => ids).toSorted()).toEqual(upTo(8));
  });
});
