import { describe, expect, it } from 'vitest';
import type { ClaimedBatch } from '../../ts-sdk/index.ts';
import { ragged, scalar, text } from '../../ts-sdk/index.ts';
import { rejection, rig } from './support.ts';

describe('put', () => {
  it('splits by rows and by bytes, with one LSN per part', async () => {
    const { fake, tq } = await rig();
    fake.limits.put_rows_max = 4;
    const train = await tq.partition('train', { fields: { x: ragged('int32'), y: text() } });
    const ids = Array.from({ length: 10 }, (_, i) => i);
    const result = await train.put({ x: ids.map((id) => new Int32Array(id).fill(id)), y: ids.map(String) }, { ids });
    expect(result).toEqual({ lsn: 4, lsns: [1, 2, 3, 4], rows: 10, ack: 'os' });
    expect([...(await train.get(ids)).column('x')].map((cell) => (cell as Int32Array).length)).toEqual(ids);
    const { fake: small, tq: other } = await rig();
    small.limits.put_body_bytes_max = 4_000;
    const narrow = await other.partition('train', {});
    expect((await narrow.put({ x: ids.map(() => new Float64Array(100)) }, { ids })).lsns.length).toBe(4);
    for (const { size } of small.seen.filter(({ route }) => route === 'put')) expect(size).toBeLessThanOrEqual(4_000);
    const tooLarge = await rejection(narrow.put({ x: [new Float64Array(1_000)] }, { ids: [1] }));
    expect(tooLarge).toMatchObject({ code: 'body_too_large', details: { limit: 4_000 } });
  });

  it('passes its options on', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', { fields: { x: scalar('float32') } });
    expect(await train.put({ x: [1] }, { ids: [1], ack: 'disk', ifAbsent: true })).toMatchObject({ ack: 'disk' });
    expect(fake.seen.at(-1)!.path).toBe('/v1/partitions/train/rows?ack=disk&if_absent=1');
    expect(await rejection(train.put({ x: [1] }, { ids: [1], ifAbsent: true }))).toMatchObject({ code: 'rows_exist' });
    await train.seal();
    expect(await rejection(train.put({ x: [1] }, { ids: [2] }))).toMatchObject({
      code: 'partition_sealed',
      kind: 'give_up',
    });
  });

  it('acts once, however often it is tried', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', { fields: { x: scalar('float32') } });
    fake.fail('put', { kind: 'break', acts: true }, { kind: 'break', acts: true }, { kind: 'half' });
    expect(await train.put({ x: [1] }, { ids: [1], ifAbsent: true })).toMatchObject({ lsn: 1 });
    const ids = new Set(fake.seen.filter(({ route }) => route === 'put').map(({ requestId }) => requestId));
    expect([fake.count('put'), ids.size]).toEqual([4, 1]);
  });

  it('acks a claim in the same step', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', { fields: { x: scalar('float32'), y: scalar('float32') } });
    fake.limits.put_rows_max = 2;
    await train.put({ x: [1, 2, 3] }, { ids: [1, 2, 3] });
    const result = await train.claim({ task: 't', fields: ['x'], batchSize: 3 });
    const batch = (result as { batch: ClaimedBatch }).batch;
    await train.put({ y: batch.column('x') }, { ids: batch.ids, claim: batch });
    expect(fake.claims.get(batch.token)!.state).toBe('acked');
    expect(batch.isHeld).toBe(false);
    await batch.ack();
    expect(fake.count('ack')).toBe(0);
    expect(fake.seen.filter(({ path }) => path.includes('claim=')).length).toBe(1);
    expect(await rejection(train.put({ y: [1] }, { ids: [1], claim: 'nonsense' }))).toMatchObject({
      code: 'claim_unknown',
    });
  });

  it('says what does not fit before anything is sent', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', { fields: { x: scalar('float32') } });
    const before = fake.count('put');
    const refused = async (data: object, options: object): Promise<string> =>
      (await rejection(train.put(data as never, options))).code!;
    expect(await refused({ x: [1] }, {})).toBe('index_id_invalid');
    expect(await refused({ x: [1] }, { ids: [1, 2] })).toBe('field_mismatch');
    expect(await refused({ x: ['a'] }, { ids: [1] })).toBe('field_mismatch');
    expect(await refused({ other: [[1]] }, { ids: [1] })).toBe('field_mismatch');
    expect(fake.count('put')).toBe(before);
    expect(await refused({ other: [1] }, { ids: [1] })).toBe('field_unknown');
    expect(await refused({ x: [1, 1] }, { ids: [1, 1] })).toBe('ids_duplicate');
  });

  it('declares new fields of an open partition by the layouts given', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', {});
    await train.put({ x: [[1, 2]] }, { ids: [1], layouts: { x: ragged('uint8') } });
    expect((await train.stats()).fields).toEqual({ x: { layout: 'ragged', dtype: 'uint8' } });
    await train.put({ x: [[3]] }, { ids: [2] });
    expect((await train.get([2])).column('x').row(0)).toEqual(Uint8Array.of(3));
  });
});
