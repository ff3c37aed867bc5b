import { describe, expect, it } from 'vitest';
import { bytes, dense, json, ragged, scalar, text } from '../../ts-sdk/index.ts';
import { rejection, rig, until } from './support.ts';

const fields = {
  image: dense('float32', [2, 2]),
  response: ragged('int64'),
  prompt: ragged('float16', [null, 2]),
  reward: scalar('bool'),
  half: scalar('bfloat16'),
  name: text(),
  raw: bytes(),
  meta: json(),
};

const cells = {
  image: [
    [
      [1, 2],
      [3, 4],
    ],
    [
      [5, 6],
      [7, 8],
    ],
  ],
  response: [[1, 2, 3], []],
  prompt: [[[0.5, 1]], []],
  reward: [true, false],
  half: [1.5, -2],
  name: ['grüß', ''],
  raw: [Uint8Array.of(1, 2, 3), new Uint8Array(0)],
  meta: [{ a: 1 }, [null]],
};

describe('get', () => {
  it('gives back every layout as it was put, for 2, 1 and 0 rows', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', { fields });
    expect(await train.put(cells, { ids: [7, 2 ** 53 - 1] })).toMatchObject({ rows: 2, lsns: [1], ack: 'os' });
    const batch = await train.get([2 ** 53 - 1, 7]);
    expect(batch.ids).toEqual([2 ** 53 - 1, 7]);
    expect(batch.fields).toEqual(Object.keys(fields));
    expect(batch.column('image').values).toEqual(Float32Array.of(5, 6, 7, 8, 1, 2, 3, 4));
    expect([...batch.column('response')]).toEqual([new BigInt64Array(0), BigInt64Array.of(1n, 2n, 3n)]);
    expect(batch.column('prompt').row(1)).toEqual(Uint16Array.of(0x3800, 0x3c00));
    expect(batch.column('prompt').shape(1)).toEqual([1, 2]);
    expect([...batch.column('reward')]).toEqual([false, true]);
    expect([...batch.column('half')]).toEqual([-2, 1.5]);
    expect([...batch.column('name')]).toEqual(['', 'grüß']);
    expect([...batch.column('raw')]).toEqual([new Uint8Array(0), Uint8Array.of(1, 2, 3)]);
    expect([...batch.column('meta')]).toEqual([[null], { a: 1 }]);
    for (const ids of [[7], []]) {
      const some = await train.get(ids);
      expect(some.rows).toBe(ids.length);
      for (const field of batch.fields) {
        expect(some.column(field).layout).toEqual(batch.column(field).layout);
        expect(some.column(field).values.constructor).toBe(batch.column(field).values.constructor);
      }
    }
  });

  it('gives views of the bytes received', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', { fields });
    await train.put(cells, { ids: [1, 2] });
    const batch = await train.get([1, 2]);
    for (const column of batch.columns.values()) expect(column.values.buffer).toBe(batch.bytes.buffer);
  });

  it('takes a batch to put again', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', { fields });
    await train.put(cells, { ids: [1, 2] });
    await train.put(await train.get([2, 1]), { ids: [3, 4] });
    expect([...(await train.get([4, 3])).column('name')]).toEqual(['grüß', '']);
  });

  it('reads only the fields asked for, in that order', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', { fields });
    await train.put({ name: ['a'] }, { ids: [1] });
    await train.put({ reward: [true] }, { ids: [1] });
    expect((await train.get([1], { fields: ['reward', 'name'] })).fields).toEqual(['reward', 'name']);
    expect(await rejection(train.get([1], { fields: ['nothing'] }))).toMatchObject({ code: 'field_unknown' });
    const batch = await train.get([1], { fields: ['name'] });
    expect(() => batch.column('reward')).toThrow(/it has name/);
  });

  it('throws what is missing, and tells the three ends of a wait apart', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', { fields });
    expect(await rejection(train.get([1], { fields: ['name'] }))).toMatchObject({
      code: 'rows_missing',
      kind: 'wait',
      details: { missing: [1], missing_count: 1 },
    });
    expect(await rejection(train.get([1], { fields: ['name'], waitMs: 1 }))).toMatchObject({
      code: 'timed_out',
      kind: 'wait',
    });
    const waiting = train.get([1], { fields: ['name'], waitMs: Infinity });
    await train.put({ name: ['a'] }, { ids: [1] });
    expect((await waiting).column('name').row(0)).toBe('a');
    await train.seal();
    expect(await rejection(train.get([2], { fields: ['name'], waitMs: 10_000 }))).toMatchObject({
      code: 'drained',
      kind: 'give_up',
    });
  });

  it('ends a wait by its signal', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', { fields });
    const controller = new AbortController();
    const waiting = rejection(train.get([1], { waitMs: Infinity, signal: controller.signal }));
    await until(() => fake.count('read') === 1);
    controller.abort(new Error('enough'));
    expect((await waiting).message).toBe('enough');
  });

  it('splits by the limits and gives one batch in the order asked', async () => {
    const { fake, tq } = await rig();
    Object.assign(fake.limits, { read_rows_max: 4, answer_rows_max: 2 });
    const train = await tq.partition('train', { fields });
    const ids = Array.from({ length: 11 }, (_, i) => i);
    await train.put({ name: ids.map((id) => `row ${id}`), prompt: ids.map((id) => [[id, id]]) }, { ids });
    const order = [9, 0, 10, 3, 3 + 4, 1, 2, 8, 4, 6, 5];
    const batch = await train.get(order, { fields: ['name', 'prompt'] });
    expect(batch.ids).toEqual(order);
    expect([...batch.column('name')]).toEqual(order.map((id) => `row ${id}`));
    expect(batch.column('prompt').shape(10)).toEqual([1, 2]);
    expect(batch.table().numRows).toBe(11);
    expect(fake.count('read')).toBe(9);
    fake.limits.answer_rows_max = 0;
    expect(await rejection(train.get([1], { fields: ['name'] }))).toMatchObject({ code: 'answer_too_large' });
  });

  it('refuses ids that are none', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', { fields });
    for (const id of [-1, 0.5, 2 ** 53, NaN]) {
      expect(await rejection(train.get([id]))).toMatchObject({ code: 'index_id_invalid', kind: 'fix_request' });
    }
    await train.put({ name: ['a'] }, { ids: BigInt64Array.of(5n) });
    expect((await train.get(Float64Array.of(5), { fields: ['name'] })).rows).toBe(1);
  });
});

describe('newest', () => {
  it('gives the row put last, and waits for the next one', async () => {
    const { tq } = await rig();
    const policy = await tq.partition('policy', { fields: { weights: ragged('float32') } });
    expect(await rejection(policy.newest())).toMatchObject({ code: 'rows_missing' });
    await policy.put({ weights: [[1]] }, { ids: [2] });
    await policy.put({ weights: [[2]] }, { ids: [1] });
    const first = await policy.newest({ fields: ['weights'] });
    expect([first.ids, first.rows]).toEqual([[1], 1]);
    const waiting = policy.newest({ afterLsn: first.lsn, waitMs: 60_000 });
    await policy.put({ weights: [[3]] }, { ids: [0] });
    expect((await waiting).column('weights').row(0)).toEqual(Float32Array.of(3));
    expect(await rejection(policy.newest({ afterLsn: 99, waitMs: 1 }))).toMatchObject({ code: 'timed_out' });
  });
});

describe('scan', () => {
  it('goes through a range page by page', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', { fields: { x: scalar('int32') } });
    const ids = Array.from({ length: 10 }, (_, i) => 3 * i);
    await train.put({ x: Int32Array.from(ids) }, { ids });
    const seen: number[][] = [];
    for await (const batch of train.scan({ start: 3, end: 25, rowsMax: 3 })) seen.push([...batch.ids]);
    expect(seen).toEqual([
      [3, 6, 9],
      [12, 15, 18],
      [21, 24],
    ]);
    fake.limits.answer_rows_max = 4;
    const sizes: number[] = [];
    for await (const batch of train.scan()) sizes.push(batch.rows);
    expect(sizes).toEqual([4, 4, 2]);
    for await (const batch of train.scan({ start: 100 })) sizes.push(batch.rows);
    expect(sizes.length).toBe(3);
  });
});
