/** Rows by string keys, on the real server; their ids are those of every language. */
import { describe, expect, it } from 'vitest';
import { keyId, ragged, text, type Partition } from '../../ts-sdk/index.ts';
import vectors from '../vectors/hash.json' with { type: 'json' };
import { realRig } from './real.ts';
import { rejection, thrown } from './support.ts';

const real = realRig();

function rowsOf(): Promise<Partition> {
  return real.fresh(0, { fields: { r: ragged('float32'), name: text() }, numbers: ['score'] });
}

describe('keyId', () => {
  it.each(vectors.keys)('is the same in every language: $id', ({ key, id }) => {
    expect(keyId(key)).toBe(id);
  });

  it.each(['', '\ud800', 7, undefined])('refuses %j', (key) => {
    expect(thrown(() => keyId(key as string))).toMatchObject({ code: 'input_invalid' });
  });
});

describe('one row', () => {
  it('is put, read, put again and tagged', async () => {
    const rows = await rowsOf();
    await rows.kvPut('a', { x: 7, r: [1.5], name: 'first' }, { tags: { status: 'new' } });
    await rows.kvPut('a', { x: 8 }, { tags: { score: 0.5 } });
    expect(await rows.kvGet('a')).toEqual({ x: 8, r: { data: Float32Array.of(1.5), shape: [1] }, name: 'first' });
    expect(await rows.kvList()).toEqual(new Map([['a', { status: 'new', score: 0.5 }]]));
    expect(await rejection(rows.kvPut('a', { x: 9 }, { ifAbsent: true }))).toMatchObject({ code: 'rows_exist' });
    expect((await rows.list()).ids).toEqual([keyId('a')]);
  });

  it('is waited for', async () => {
    const rows = await rowsOf();
    const waiting = rows.kvGet('a', { fields: ['x'], waitMs: 60_000 });
    await rows.kvPut('a', { x: 7 });
    expect(await waiting).toEqual({ x: 7 });
    expect(await rejection(rows.kvGet('b', { waitMs: 5 }))).toMatchObject({ code: 'timed_out' });
  });
});

describe('many rows', () => {
  it('come in the order of their keys', async () => {
    const rows = await rowsOf();
    const put = await rows.kvBatchPut(['a', 'bb', 'ccc'], { x: [1, 2, 3] }, { tags: [{ n: 1 }, null, { n: 3 }] });
    expect(put.rows).toBe(3);
    const batch = await rows.kvBatchGet(['ccc', 'a'], { fields: ['x'] });
    expect([batch.rowKeys, [...batch.column('x')]]).toEqual([
      ['ccc', 'a'],
      [3, 1],
    ]);
    expect(batch.tags).toEqual([
      { tq_key: 'ccc', n: 3 },
      { tq_key: 'a', n: 1 },
    ]);
    expect(await rows.kvList({ where: 'n > 1 or n < 0' })).toEqual(new Map([['ccc', { n: 3 }]]));
    expect((await rows.get([keyId('a')], { fields: ['x'] })).rowKeys).toBeUndefined();
  });

  it('are missing, unless they may be', async () => {
    const rows = await rowsOf();
    await rows.kvBatchPut(['a', 'b'], { x: [1, 2], r: [[], []], name: ['', ''] });
    await rows.kvPut('half', { x: 3 });
    const missing = await rejection(rows.kvBatchGet(['a', 'nobody', 'half']));
    expect(missing).toMatchObject({
      code: 'keys_missing',
      kind: 'wait',
      details: { missing: ['nobody', 'half'], missing_count: 2 },
    });
    const there = await rows.kvBatchGet(['half', 'b', 'nobody', 'a'], { missing: 'drop' });
    expect([there.rowKeys, there.rows]).toEqual([['b', 'a'], 2]);
    expect((await rows.kvBatchGet(['nobody'], { missing: 'drop' })).rows).toBe(0);
    const wrong = rows.kvBatchGet(['a'], { missing: 'drop', waitMs: 1 });
    expect(await rejection(wrong)).toMatchObject({ code: 'input_invalid' });
  });

  it('never give the row of another key with the same hash', async () => {
    const rows = await rowsOf();
    await rows.put({ x: [1] }, { ids: [keyId('a')], tags: { tq_key: 'other' } });
    await rows.put({ x: [2] }, { ids: [keyId('b')] });
    await rows.put({ x: [3] }, { ids: [keyId('c')], tags: { tq_key: 'b' } });
    expect(await rejection(rows.kvPut('a', { x: 9 }))).toMatchObject({ code: 'key_collision' });
    for (const key of ['a', 'b']) {
      expect(await rejection(rows.kvGet(key, { fields: ['x'] }))).toMatchObject({ code: 'keys_missing' });
      expect((await rows.kvBatchGet([key], { fields: ['x'], missing: 'drop' })).rows).toBe(0);
      expect((await rows.kvClear([key, 'c'])).deleted).toBe(0);
    }
    expect([(await rows.stats()).rows, await rows.kvList()]).toEqual([
      3,
      new Map([
        ['other', {}],
        ['b', {}],
      ]),
    ]);
  });

  it('are refused when a key occurs twice or tags do not fit', async () => {
    const rows = await rowsOf();
    expect(await rejection(rows.kvBatchPut(['a', 'a'], { x: [1, 2] }))).toMatchObject({ code: 'ids_duplicate' });
    const wrong = rows.kvBatchPut(['a', 'b'], { x: [1, 2] }, { tags: [{}] });
    expect(await rejection(wrong)).toMatchObject({ code: 'field_mismatch' });
    expect(await rejection(rows.kvPut('k'.repeat(5_000), { x: 1 }))).toMatchObject({ code: 'tags_invalid' });
  });

  it('are cleared, and rows without a key stay', async () => {
    const rows = await rowsOf();
    await rows.put({ x: [1] }, { ids: [7] });
    await rows.kvBatchPut(['a', 'b', 'c'], { x: [1, 2, 3] });
    expect((await rows.kvClear(['b', 'nobody', 'b'])).deleted).toBe(1);
    expect([...(await rows.kvList()).keys()]).toEqual(['a', 'c']);
    expect((await rows.kvClear()).deleted).toBe(2);
    expect((await rows.list()).ids).toEqual([7]);
  });
});
