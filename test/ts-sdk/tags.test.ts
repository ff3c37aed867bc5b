/** Tags, numbers and lists, on the real server. */
import fc from 'fast-check';
import { tableFromArrays, tableToIPC } from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { text, type Json, type Partition, type Tags } from '../../ts-sdk/index.ts';
import { realRig } from './real.ts';
import { rejection } from './support.ts';

const real = realRig();

function rowsOf(count: number, numbers: readonly string[] = []): Promise<Partition> {
  return real.fresh(count, { fields: { name: text() }, numbers });
}

describe('tag', () => {
  it('merges: values replace, null removes, objects are merged', async () => {
    const rows = await rowsOf(2);
    const { lsn } = await rows.stats();
    expect(await rows.tag([0, 1], { a: 1, deep: { b: 1, c: 2 } })).toBeGreaterThan(lsn);
    await rows.tag([1, 0], [{ deep: { c: null, d: ['x'] } }, { a: null }]);
    const { ids, tags, numbers, attempts } = await rows.list();
    expect([ids, numbers, attempts]).toEqual([[0, 1], {}, undefined]);
    expect(tags).toEqual([{ deep: { b: 1, c: 2 } }, { a: 1, deep: { b: 1, d: ['x'] } }]);
  });

  it('keeps declared numbers in columns', async () => {
    const rows = await rowsOf(3, ['score', 'length']);
    await rows.tag([0, 2], [{ score: 0.1, other: 'x' }, { score: -2 }]);
    const { tags, numbers } = await rows.list();
    expect(tags).toEqual([{ other: 'x' }, {}, {}]);
    expect(numbers).toEqual({ score: Float64Array.of(0.1, NaN, -2), length: Float64Array.of(NaN, NaN, NaN) });
  });

  it('is refused as a whole', async () => {
    const rows = await rowsOf(2, ['score']);
    const code = async (tags: unknown, ids = [0, 1]): Promise<string> =>
      (await rejection(rows.tag(ids, tags as Tags))).code!;
    expect(await code({ a: 1 }, [1, 7])).toBe('rows_missing');
    for (const wrong of [{ 'a.b': 1 }, { tq_a: 1 }, { score: 'x' }, { a: 'x'.repeat(5_000) }, { a: NaN }, 7, null]) {
      expect(await code(wrong)).toBe('tags_invalid');
    }
    for (const value of [undefined, 1n, () => 1]) expect(await code([{ a: 1 }, { a: [value] }])).toBe('tags_invalid');
    expect(await code([{ a: 1 }])).toBe('field_mismatch');
    expect(await code({}, [1, 1])).toBe('ids_duplicate');
    expect((await rows.list()).tags).toEqual([{}, {}]);
    expect(await rows.tag([], {})).toBe(0);
  });

  it('is split by what a request may hold, also in bytes', async () => {
    const rows = await rowsOf(12_000);
    const ids = Array.from({ length: 12_000 }, (_, id) => id);
    await rows.tag(ids, { all: true });
    await rows.tag(
      ids.slice(0, 600),
      ids.slice(0, 600).map((id) => ({ id, long: 'é'.repeat(1_500) })),
    );
    const listing = await rows.list();
    expect([listing.ids.length, listing.tags[599].id, listing.tags[600]]).toEqual([12_000, 599, { all: true }]);
  });

  it('is what a plain object would be after the same patches', async () => {
    const rows = await rowsOf(1);
    const value = fc.oneof(
      fc.constant(null),
      fc.integer(),
      fc.string(),
      fc.constant({ c: 1 }),
      fc.constant({ c: null }),
    );
    const patch = fc.dictionary(fc.constantFrom('a', 'b', 'c'), value, { maxKeys: 3 });
    await fc.assert(
      fc.asyncProperty(fc.array(patch, { maxLength: 4 }), async (patches) => {
        await rows.delete([0]);
        await rows.put({ x: [0] }, { ids: [0] });
        for (const one of patches) await rows.tag([0], one);
        expect((await rows.list()).tags).toEqual([patches.reduce(merged, {})]);
      }),
      { seed: 7, numRuns: 30 },
    );
  });
});

/** RFC 7396. */
function merged(target: unknown, patch: unknown): Json {
  if (!isObject(patch)) return patch as Json;
  const result: Record<string, Json> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function isObject(value: unknown): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

describe('put', () => {
  it('brings tags of its own', async () => {
    const rows = await rowsOf(0, ['score']);
    await rows.put({ x: [1, 2] }, { ids: [1, 2], tags: { from: 'a', score: 1 } });
    await rows.put({ x: [3, 4] }, { ids: [2, 3], tags: [{ from: null, new: true }, null] });
    const { ids, tags, numbers } = await rows.list();
    expect([ids, tags]).toEqual([
      [1, 2, 3],
      [{ from: 'a' }, { new: true }, {}],
    ]);
    expect(numbers.score).toEqual(Float64Array.of(1, 1, NaN));
    expect((await rows.get([2, 3], { fields: ['x'] })).column('x').values).toEqual(Int32Array.of(3, 4));
    expect(await rejection(rows.put({ x: [1] }, { ids: [9], tags: { score: 'x' } }))).toMatchObject({
      code: 'tags_invalid',
    });
    expect((await rows.stats()).rows).toBe(3);
  });

  it('takes them as a column, of tables and bytes too', async () => {
    const rows = await rowsOf(0);
    const tags = ['{"a":1}', ''];
    await rows.put({ x: [1, 2], tq_tags: tags }, { ids: [1, 2] });
    const table = tableFromArrays({ index_id: [3, 4], name: ['c', 'd'], tq_tags: tags });
    await rows.put(table);
    await rows.put(tableToIPC(tableFromArrays({ index_id: [5, 6], name: ['e', 'f'] }), 'stream'), { tags: { b: 2 } });
    expect((await rows.list()).tags).toEqual([{ a: 1 }, {}, { a: 1 }, {}, { b: 2 }, { b: 2 }]);
    expect((await rows.stats()).fieldRows).toEqual({ x: 2, name: 4 });
  });

  it('puts a batch that was read with tags without them', async () => {
    const rows = await rowsOf(2, ['score']);
    await rows.tag([0], { a: 1, score: 2 });
    const batch = await rows.get([1, 0], { fields: ['x', 'tq_tags'] });
    expect([batch.fields, batch.tags]).toEqual([['x'], [{}, { a: 1, score: 2 }]]);
    expect(batch.tags).toBe(batch.tags);
    await rows.put(batch, { ids: [7, 8] });
    expect((await rows.list({ ids: [8, 7, 9] })).tags).toEqual([{}, {}]);
    expect(await rejection(rows.get([0], { fields: ['x'] }).then((plain) => plain.tags))).toMatchObject({
      code: 'input_invalid',
    });
  });
});

describe('list', () => {
  it('filters, and stops at rowsMax', async () => {
    const rows = await rowsOf(10, ['score']);
    const ids = Array.from({ length: 10 }, (_, id) => id);
    await rows.tag(
      ids,
      ids.map((id) => ({ score: id, even: id % 2 === 0 })),
    );
    expect((await rows.list({ where: 'score > 2 and even == true' })).ids).toEqual([4, 6, 8]);
    expect((await rows.list({ where: 'score > 2', rowsMax: 2 })).ids).toEqual([3, 4]);
    const some = await rows.list({ ids: [9, 99, 1], where: 'score > 2' });
    expect([some.ids, some.numbers.score]).toEqual([[9], Float64Array.of(9)]);
    expect((await rows.list({ rowsMax: 0 })).ids).toEqual([]);
    expect(await rejection(rows.list({ where: 'score >' }))).toMatchObject({ code: 'filter_invalid' });
    expect(await rejection(rows.list({ task: 't' }))).toMatchObject({ code: 'input_invalid' });
  });

  it('tells what a task could claim, so that samplers can be written', async () => {
    const rows = await rowsOf(5, ['score']);
    await rows.tag([0, 1, 2, 3, 4], [{ score: 3 }, { score: 9 }, { score: 1 }, { score: 7 }, { score: 5 }]);
    const first = await rows.claim({ task: 't', fields: ['x'], batchSize: 1 });
    if (first.outcome === 'rows') await first.batch.release();
    const words = { task: 't', fields: ['x'] };
    const { ids, numbers, attempts } = await rows.list(words);
    expect([...attempts!]).toEqual([2, 1, 1, 1, 1]);
    const best = ids.toSorted((a, b) => numbers.score[b] - numbers.score[a]).slice(0, 2);
    const claim = await rows.claim({ ...words, ids: best });
    if (claim.outcome !== 'rows') throw new Error(claim.outcome);
    expect(claim.batch.ids.toSorted()).toEqual([1, 3]);
    expect((await rows.list(words)).ids).toEqual([0, 2, 4]);
    await claim.batch.ack();
  });
});
