import { afterEach, describe, expect, it, vi } from 'vitest';
import { connect, dense, json, ragged, scalar, text, type Matrix } from '../../ts-sdk/index.ts';
import { rejection, rig, thrown } from './support.ts';

afterEach(() => vi.unstubAllEnvs());

describe('connect', () => {
  it('opens nothing, and takes address and token from the environment', async () => {
    const { fake } = await rig();
    vi.stubEnv('TQ_URL', fake.url);
    vi.stubEnv('TQ_TOKEN', 'from-outside');
    await using tq = connect();
    expect(await fake.connections).toBe(0);
    await tq.limits();
    expect(fake.seen[0].headers.authorization).toBe('Bearer from-outside');
  });

  it('refuses addresses and tokens that are none', () => {
    for (const url of ['127.0.0.1:7654', 'ftp://host', 'http://']) {
      expect(thrown(() => connect({ url })).code).toBe('input_invalid');
    }
    expect(thrown(() => connect({ token: 'a b\n' })).code).toBe('input_invalid');
  });
});

describe('partition', () => {
  it('creates, adds fields, or attaches', async () => {
    const { fake, tq } = await rig();
    expect(await rejection(tq.partition('train'))).toMatchObject({ code: 'partition_unknown' });
    await tq.partition('train', { fields: { x: text() }, groupSize: 8, ack: 'disk', open: true });
    await tq.partition('train', { fields: { y: scalar('int8') } });
    const train = await tq.partition('train');
    expect(await train.stats()).toMatchObject({
      name: 'train',
      fields: { x: { layout: 'text' }, y: { layout: 'scalar', dtype: 'int8' } },
      groupSize: 8,
      ack: 'disk',
      open: true,
      sealed: false,
    });
    expect(await rejection(tq.partition('train', { groupSize: 4 }))).toMatchObject({ code: 'partition_conflict' });
    expect((await tq.partitions()).map(({ name }) => name)).toEqual(['train']);
    await train.drop();
    expect(fake.partitions.size).toBe(0);
  });

  it('refuses names and layouts that are none', async () => {
    const { fake, tq } = await rig();
    for (const name of ['', '..', 'a/b', 'ä', 'x'.repeat(129)]) {
      expect(await rejection(tq.partition(name, {}))).toMatchObject({ code: 'name_invalid' });
    }
    expect(fake.seen).toEqual([]);
    expect(thrown(() => dense('float32', [])).code).toBe('layout_invalid');
    expect(thrown(() => ragged('float33' as never)).code).toBe('layout_invalid');
  });
});

describe('matrices', () => {
  it('are written and read one by one, in every form', async () => {
    const { tq } = await rig();
    const partition = 'train';
    const fields = {
      image: dense('float32', [2, 3]),
      prompt: ragged('float32', [null, 2]),
      name: text(),
      meta: json(),
      n: scalar('int64'),
    };
    await tq.partition(partition, { fields });
    const image = { data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] };
    await tq.writeMatrix(7, 'image', image, { partition });
    expect(await tq.readMatrix(7, 'image', { partition })).toEqual(image);
    await tq.writeMatrix(7, 'prompt', [[1, 2]], { partition });
    const prompt = (await tq.readMatrix(7, 'prompt', { partition })) as Matrix;
    expect(prompt).toEqual({ data: Float32Array.of(1, 2), shape: [1, 2] });
    await tq.writeMatrix(8, 'prompt', prompt, { partition });
    await tq.writeMatrix(7, 'name', 'seven', { partition });
    await tq.writeMatrix(7, 'meta', { a: [1] }, { partition });
    await tq.writeMatrix(7, 'n', 2n ** 60n, { partition, ifAbsent: true });
    expect(await tq.readMatrix(7, 'name', { partition })).toBe('seven');
    expect(await tq.readMatrix(7, 'meta', { partition })).toEqual({ a: [1] });
    expect(await tq.readMatrix(7, 'n', { partition })).toBe(2n ** 60n);
    expect(await rejection(tq.readMatrix(9, 'n', { partition, waitMs: 1 }))).toMatchObject({ code: 'timed_out' });
  });

  it('ask for the fields of a partition once', async () => {
    const { fake, tq } = await rig();
    await tq.partition('train', { fields: { x: scalar('int32') } });
    for (let id = 0; id < 3; id++) await tq.writeMatrix(id, 'x', id, { partition: 'train' });
    expect([fake.count('partition'), fake.count('cluster'), fake.count('limits')]).toEqual([0, 1, 1]);
  });
});
