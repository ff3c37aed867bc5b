/** The client against the real server: what the fake one may have got wrong. Each test has partitions of its own. */
import { tableFromArrays, tableToIPC } from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { bytes, dense, json, ragged, scalar, text, type Matrix, type Partition } from '../../ts-sdk/index.ts';
import { realRig } from './real.ts';
import { rejection, until } from './support.ts';

const real = realRig();

const fields = {
  image: dense('float32', [2, 2]),
  flag: dense('bool', [2]),
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
  flag: [
    [true, false],
    [false, true],
  ],
  response: [[1, 2, 3], []],
  prompt: [[[0.5, 1]], []],
  reward: [true, false],
  half: [1.5, -2],
  name: ['grüß', ''],
  raw: [Uint8Array.of(1, 2, 3), new Uint8Array(0)],
  meta: [{ a: 1 }, [null]],
};

describe('rows', () => {
  it('come back as they were put, in every layout, for 2, 1 and 0 rows', async () => {
    const train = await real.tq.partition('layouts', { fields });
    expect(await train.put(cells, { ids: [7, 2 ** 53 - 1] })).toMatchObject({ rows: 2, ack: 'os' });
    const batch = await train.get([2 ** 53 - 1, 7]);
    expect([batch.ids, batch.fields]).toEqual([[2 ** 53 - 1, 7], Object.keys(fields)]);
    expect(batch.column('image').values).toEqual(Float32Array.of(5, 6, 7, 8, 1, 2, 3, 4));
    expect(batch.column('flag').row(1)).toEqual(Uint8Array.of(1, 0));
    expect([...batch.column('response')]).toEqual([new BigInt64Array(0), BigInt64Array.of(1n, 2n, 3n)]);
    expect([batch.column('prompt').row(1), batch.column('prompt').shape(1)]).toEqual([
      Uint16Array.of(0x3800, 0x3c00),
      [1, 2],
    ]);
    expect([...batch.column('reward')]).toEqual([false, true]);
    expect([...batch.column('half')]).toEqual([-2, 1.5]);
    expect([...batch.column('name')]).toEqual(['', 'grüß']);
    expect([...batch.column('raw')]).toEqual([new Uint8Array(0), Uint8Array.of(1, 2, 3)]);
    expect([...batch.column('meta')]).toEqual([[null], { a: 1 }]);
    for (const ids of [[7], []]) {
      const some = await train.get(ids);
      for (const name of batch.fields) {
        expect([some.column(name).rows, some.column(name).layout]).toEqual([ids.length, batch.column(name).layout]);
      }
    }
    await train.put(await train.get([7]), { ids: [8] });
    expect((await train.get([8])).table().toArray().length).toBe(1);
  });

  it("take a newcomer's first put, as a table and as bytes", async () => {
    const train = await real.tq.partition('newcomer', { open: true });
    const table = tableFromArrays({ index_id: [7, 8], prompt: ['a', 'b'], reward: Float32Array.of(1, 0) });
    await train.put(table);
    await train.put(tableToIPC(tableFromArrays({ index_id: [9], prompt: ['c'] }), 'stream'));
    expect([...(await train.get([9, 8, 7], { fields: ['prompt'] })).column('prompt')]).toEqual(['c', 'b', 'a']);
    expect((await train.stats()).fieldRows).toEqual({ prompt: 3, reward: 2 });
  });

  it('are large or many', async () => {
    const train = await real.tq.partition('large', { fields: { x: ragged('float64') } });
    const large = Float64Array.from({ length: 1_000_000 }, (_, i) => i);
    await train.put({ x: [large] }, { ids: [0] });
    expect((await train.get([0])).column('x').row(0)).toEqual(large);
    const ids = Array.from({ length: 70_000 }, (_, i) => i + 1);
    await train.put({ x: ids.map((id) => Float64Array.of(id)) }, { ids });
    const batch = await train.get(ids.toReversed());
    expect(batch.column('x').values).toEqual(Float64Array.from(ids.toReversed()));
    let rows = 0;
    for await (const page of train.scan({ start: 1, rowsMax: 30_000 })) rows += page.rows;
    expect(rows).toBe(70_000);
    expect(await train.delete(ids)).toMatchObject({ deleted: 70_000 });
    expect((await train.stats()).rows).toBe(1);
  });

  it('are missing, waited for, newest, drained', async () => {
    const train = await real.tq.partition('waits', { fields: { x: scalar('int32') } });
    expect(await rejection(train.get([1]))).toMatchObject({
      code: 'rows_missing',
      details: { missing: [1], missing_count: 1 },
    });
    expect(await rejection(train.get([1], { waitMs: 5 }))).toMatchObject({ code: 'timed_out' });
    const waiting = train.get([1, 2], { waitMs: 60_000 });
    await train.put({ x: [1] }, { ids: [1] });
    const { lsn } = await train.put({ x: [2] }, { ids: [2] });
    expect([(await waiting).ids, (await waiting).lsn]).toEqual([[1, 2], lsn]);
    expect((await train.newest()).ids).toEqual([2]);
    const newer = train.newest({ afterLsn: lsn, waitMs: 60_000 });
    await train.put({ x: [3] }, { ids: [0] });
    expect((await newer).column('x').values).toEqual(Int32Array.of(3));
    await train.seal();
    expect(await rejection(train.get([9], { waitMs: 60_000 }))).toMatchObject({ code: 'drained' });
    expect(await rejection(train.put({ x: [1] }, { ids: [9] }))).toMatchObject({ code: 'partition_sealed' });
  });

  it('are refused with the code of the catalogue', async () => {
    const train = await real.tq.partition('refusals', { fields: { x: scalar('int32') } });
    await train.put({ x: [1] }, { ids: [1] });
    const code = async (call: Promise<unknown>): Promise<string> => (await rejection(call)).code!;
    expect(await code(train.put({ x: [1] }, { ids: [1], ifAbsent: true }))).toBe('rows_exist');
    expect(await code(train.put({ x: [1, 1] }, { ids: [2, 2] }))).toBe('ids_duplicate');
    expect(await code(train.put({ y: [1] }, { ids: [2] }))).toBe('field_unknown');
    expect(await code(train.get([1], { fields: ['y'] }))).toBe('field_unknown');
    expect(await code(real.tq.partition('nowhere'))).toBe('partition_unknown');
    expect(await code(real.tq.partition('refusals', { groupSize: 2 }))).toBe('partition_conflict');
    expect(await code(real.tq.partition('no/name'))).toBe('name_invalid');
    expect(await code(train.claim({ task: 't', fields: ['x'], batchSize: 0 }))).toBe('json_invalid');
  });
});

describe('matrices', () => {
  it('are written and read one by one', async () => {
    const name = { partition: 'matrices' };
    await real.tq.partition('matrices', { fields });
    await real.tq.writeMatrix(
      7,
      'prompt',
      [
        [1, 2],
        [3, 4],
      ],
      name,
    );
    const { data: elements, shape } = (await real.tq.readMatrix(7, 'prompt', name)) as Matrix;
    expect([elements.length, shape]).toEqual([4, [2, 2]]);
    await real.tq.writeMatrix(7, 'meta', { any: ['thing'] }, name);
    expect(await real.tq.readMatrix(7, 'meta', name)).toEqual({ any: ['thing'] });
    const { partitions } = { partitions: await real.tq.partitions() };
    expect(partitions.find((partition) => partition.name === 'matrices')!.rows).toBe(1);
    expect((await real.tq.limits()).waitMsMax).toBe(60_000);
  });
});

async function filled(name: string, count: number, groupSize = 1): Promise<Partition> {
  const train = await real.tq.partition(name, { fields: { x: scalar('int32'), y: scalar('int32') }, groupSize });
  const ids = Array.from({ length: count }, (_, i) => i);
  await train.put({ x: ids }, { ids });
  return train;
}

describe('claims', () => {
  it('give every row once, and end when the partition is drained', async () => {
    const train = await filled('consumed', 10);
    await train.seal();
    const seen: number[] = [];
    for await (const batch of train.consume({ task: 't', fields: ['x'], batchSize: 4 })) {
      seen.push(...batch.ids);
      expect(batch.column('x').values).toEqual(Int32Array.from(batch.ids));
      await batch.ack();
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect((await train.stats()).tasks.t).toMatchObject({ consumed: 10, leased: 0 });
  });

  it('release on break, count attempts, and take whole groups', async () => {
    const train = await filled('groups', 12, 4);
    const options = { task: 't', fields: ['x'], batchSize: 9, rowsMin: 4, sampler: 'group' } as const;
    for await (const batch of train.consume(options)) if (batch.ids.length === 8) break;
    await using again = await train
      .claim(options)
      .then((result) => (result.outcome === 'rows' ? result.batch : undefined));
    expect([again!.ids, new Set(again!.attempts)]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], new Set([2])]);
  });

  it('time out with counts, wake up, renew, ack by put, and become stale', async () => {
    const train = await filled('lives', 3);
    const look = { task: 't', fields: ['x'], batchSize: 2 };
    const first = await train.claim({ ...look, leaseMs: 150 });
    if (first.outcome !== 'rows') throw new Error(first.outcome);
    expect(await train.claim(look)).toMatchObject({ outcome: 'timed_out', ready: 1, leased: 2 });
    const parked = train.claim({ ...look, waitMs: Infinity });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(first.batch.isHeld).toBe(true);
    await train.put({ y: [1, 2] }, { ids: first.batch.ids, claim: first.batch });
    await train.put({ x: [9] }, { ids: [9] });
    const second = await parked;
    if (second.outcome !== 'rows') throw new Error(second.outcome);
    expect(second.batch.ids).toEqual([2, 9]);
    await second.batch.release();
    const short = await train.claim({ ...look, leaseMs: 100, holdMaxMs: 0 });
    if (short.outcome !== 'rows') throw new Error(short.outcome);
    const other = await train.claim({ ...look, waitMs: Infinity });
    if (other.outcome !== 'rows') throw new Error(other.outcome);
    expect([...other.batch.attempts]).toEqual([3, 3]);
    expect(await rejection(short.batch.ack())).toMatchObject({ code: 'claim_stale' });
    await other.batch.ack();
  });

  it('end by a signal while they are parked', async () => {
    const train = await filled('parked', 0);
    const controller = new AbortController();
    const waiting = rejection(
      train.consume({ task: 't', fields: ['x'], batchSize: 1, signal: controller.signal }).next(),
    );
    await until(() => true);
    controller.abort(new Error('enough'));
    expect((await waiting).message).toBe('enough');
    await train.drop();
    expect(await rejection(train.stats())).toMatchObject({ code: 'partition_unknown' });
  });
});

describe('snapshots', () => {
  it('show rows as they were, page by page, until they are closed', async () => {
    const train = await filled('snapshots', 100);
    const snapshot = await real.tq.snapshot({ leaseMs: 30_000 });
    await train.put({ x: Array.from({ length: 50 }, () => -1) }, { ids: Array.from({ length: 50 }, (_, id) => id) });
    await train.delete([98, 99]);
    const seen: number[] = [];
    for await (const batch of train.scan({ fields: ['x'], rowsMax: 30, lsn: snapshot.lsn })) {
      expect([...batch.column('x')]).toEqual(batch.ids);
      seen.push(...batch.ids);
    }
    expect(seen.length).toBe(100);
    expect([...(await train.get([99, 3], { fields: ['x'], lsn: snapshot })).column('x')]).toEqual([99, 3]);
    await snapshot.renew({ leaseMs: 60_000 });
    const waiting = train.get([3], { lsn: snapshot, waitMs: 5 });
    expect(await rejection(waiting)).toMatchObject({ code: 'json_invalid' });
    await snapshot.close();
    const gone = { code: 'lsn_unknown', details: { lsn: snapshot.lsn } };
    expect(await rejection(train.get([3], { lsn: snapshot }))).toMatchObject(gone);
    expect(await rejection(snapshot.renew())).toMatchObject({ code: 'lsn_unknown' });
    expect([...(await train.get([3], { fields: ['x'] })).column('x')]).toEqual([-1]);
  });
});
