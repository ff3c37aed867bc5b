/** Tags through the engine: with puts and without, all or none, once per request, over restarts. */
import { describe, expect, test } from 'vitest';
import { encodeBatch } from '@transfer-queue/core/arrow';
import type { ErrorCode } from '@transfer-queue/core/protocol';
import type { ListRows, TagRows } from '../../../server/engine/commands.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, drop } from '../../../server/engine/partitions.ts';
import { listRows, tagRows, tagTexts } from '../../../server/engine/tags.ts';
import { StoreError } from '../../../server/errors.ts';
import { bodyOf, declareTest, openTestNode, putBody, putText, readText, textColumn } from '../../support/node.ts';
import { settle, SimFs, simEnv, type SimEnv } from '../../support/sim_env.ts';
import { dumpNode } from './node_dump.ts';

const DIR = '/data';

interface World extends OpenedNode {
  readonly env: SimEnv;
}

async function open(env = simEnv(SimFs.withReserve(DIR))): Promise<World> {
  return { ...(await openTestNode(env, DIR, 10 << 20)), env };
}

function afterKill({ env }: World): Promise<World> {
  return open(simEnv(env.fs.afterCrash(), env.clock));
}

function tag({ node }: World, ids: readonly number[], more: Partial<TagRows>): ReturnType<typeof tagRows> {
  return tagRows(node, { partition: 'p', ids: Float64Array.from(ids), tags: ['{}'], requestId: '', ...more });
}

async function list({ node }: World, more: Partial<ListRows> = {}): Promise<Record<string, unknown>> {
  const all = { partition: 'p', ids: null, where: null, ready: null, from: 0, rowsMax: 100, ...more };
  const { ids, tags, numbers } = await listRows(node, all);
  return { ids, tags, numbers };
}

function putTagged({ node }: World, ids: readonly number[], tags: readonly string[]): Promise<unknown> {
  const values = ids.map((id) => `value ${id}`);
  return putBody(node, 'p', bodyOf(ids, 'a', values, true, tags));
}

async function codeOf(doing: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await doing;
    return undefined;
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
}

describe('a put that tags', () => {
  test('shows its tags with its rows; their column is no field', async () => {
    const world = await open();
    await declareTest(world.node, 'p', { queue: { numbers: ['reward'] } });
    await putTagged(world, [1, 2, 3], ['{"status":"done","reward":0.5}', '', '{"reward":2}']);
    expect(await list(world)).toEqual({ ids: [1, 2, 3], tags: [{ status: 'done' }, {}, {}], numbers: [[0.5, NaN, 2]] });
    expect(await readText(world.node, 'p', [2])).toEqual({ index_id: ['2'], a: ['value 2'] });
    expect(world.node.partition('p').fields.map(({ name }) => name)).toEqual(['a']);
    await putTagged(world, [2], ['{"status":"late"}']);
    expect((await list(world, { where: 'exists status' })).ids).toEqual([1, 2]);
  });

  test('is refused whole when one row can not be tagged so', async () => {
    const world = await open();
    await declareTest(world.node, 'p', { queue: { numbers: ['reward'] } });
    await putTagged(world, [1], ['{"tq_key":"one"}']);
    const before = await dumpNode(world.node);
    const refused = (ids: number[], tags: string[]): Promise<ErrorCode | undefined> =>
      codeOf(putTagged(world, ids, tags));
    expect(await refused([5, 6], ['{"a":1}', '{"reward":"high"}'])).toBe('tags_invalid');
    expect(await refused([5, 6], ['{"a":1}', 'no JSON'])).toBe('tags_invalid');
    expect(await refused([5, 1], ['{"a":1}', '{"tq_key":"other"}'])).toBe('key_collision');
    expect(await dumpNode(world.node)).toEqual(before);
    expect(await refused([5, 1], ['{"a":1}', '{"tq_key":"one"}'])).toBeUndefined();
  });

  test('must bring more than tags, as text, under no other reserved name', async () => {
    const world = await open();
    await declareTest(world.node, 'p');
    const ids = Float64Array.of(1);
    const put = (...columns: Parameters<typeof encodeBatch>[1]): Promise<ErrorCode | undefined> =>
      codeOf(putBody(world.node, 'p', Buffer.concat(encodeBatch(ids, columns))));
    const field = textColumn('a', { layout: 'bytes' }, ['x']);
    expect(await put(textColumn('tq_tags', { layout: 'text' }, ['{}']))).toBe('arrow_malformed');
    expect(await put(field, textColumn('tq_tags', { layout: 'bytes' }, ['{}']))).toBe('type_unsupported');
    expect(await put(field, textColumn('tq_other', { layout: 'text' }, ['{}']))).toBe('name_invalid');
    expect(await put(field, textColumn('tq_tags', { layout: 'text' }, ['{}']))).toBeUndefined();
  });
});

describe('rows:tag', () => {
  test('tags all rows or none', async () => {
    const world = await open();
    await declareTest(world.node, 'p');
    await putText(world.node, 'p', [1, 2, 3], 'a', ['x', 'y', 'z']);
    expect(await tag(world, [3, 1], { tags: ['{"n":3}', '{"n":1}'] })).toMatchObject({ rows: 2 });
    expect(await tag(world, [1, 2], { tags: ['{"status":"done"}'] })).toMatchObject({ rows: 2 });
    expect(await codeOf(tag(world, [1, 9], { tags: ['{"status":"lost"}'] }))).toBe('rows_missing');
    expect(await codeOf(tag(world, [1, 2], { tags: ['{"n":7}', '[]'] }))).toBe('tags_invalid');
    expect((await list(world)).tags).toEqual([{ n: 1, status: 'done' }, { status: 'done' }, { n: 3 }]);
  });

  test('acts once for a request id, also after a restart', async () => {
    let world = await open();
    await declareTest(world.node, 'p');
    await putText(world.node, 'p', [1], 'a', ['x']);
    const first = await tag(world, [1], { tags: ['{"n":1}'], requestId: 'once' });
    await tag(world, [1], { tags: ['{"n":2}'] });
    for (const checkpoint of [false, true]) {
      if (checkpoint) await world.node.checkpoints.run();
      expect(await tag(world, [1], { tags: ['{"n":1}'], requestId: 'once' })).toEqual(first);
      world = await afterKill(world);
    }
    expect(await tag(world, [1], { tags: ['{"n":1}'], requestId: 'once' })).toEqual(first);
    expect((await list(world)).tags).toEqual([{ n: 2 }]);
    expect(await codeOf(putText(world.node, 'p', [2], 'a', ['y'], { requestId: 'once' }))).toBe('request_id_reused');
    await deleteRows(world.node, 'p', { ids: Float64Array.of(7), requestId: 'delete' });
    expect(await codeOf(tag(world, [1], { requestId: 'delete' }))).toBe('request_id_reused');
  });

  test('acts once for two tries at once of many rows, and not in a partition that is dropped meanwhile', async () => {
    const world = await open();
    await declareTest(world.node, 'p');
    const ids = Array.from({ length: 3_000 }, (_, id) => id);
    await putTagged(
      world,
      ids,
      ids.map((id) => `{"n":${id}}`),
    );
    const tags = ids.map((id) => `{"n":${id + 1},"status":"done"}`);
    const [first, second] = await Promise.all([0, 1].map(() => tag(world, ids, { tags, requestId: 'once' })));
    expect(second).toEqual(first);
    expect((await list(world, { rowsMax: 2 })).tags).toEqual([
      { n: 1, status: 'done' },
      { n: 2, status: 'done' },
    ]);
    const dropped = codeOf(tag(world, ids, { tags }));
    const put = codeOf(putTagged(world, ids, tags));
    await drop(world.node, 'p');
    expect([await dropped, await put]).toEqual(['partition_unknown', 'partition_unknown']);
  });

  test('tags rows of a memory partition, which are gone after a restart', async () => {
    const world = await open();
    await declareTest(world.node, 'p', { ack: 'memory' });
    await putText(world.node, 'p', [1], 'a', ['x']);
    await tag(world, [1], { tags: ['{"n":1}'] });
    expect((await list(world)).tags).toEqual([{ n: 1 }]);
    expect((await list(await afterKill(world))).ids).toEqual([]);
  });
});

test('tags of an answer are committed, and those of its rows, not of others under the name', async () => {
  const world = await open();
  await declareTest(world.node, 'p');
  await putTagged(world, [1], ['{"n":1}']);
  const partition = world.node.partition('p');
  const { promise: written, resolve } = Promise.withResolvers<void>();
  world.env.fs.gate = (action, path) =>
    action === 'write' && path.includes('/journal/') ? written : Promise.resolve();
  const tagging = tag(world, [1], { tags: ['{"n":2}'] });
  let told: readonly string[] | null = null;
  const telling = tagTexts(world.node, partition, Float64Array.of(1, 7)).then((texts) => (told = texts));
  await settle();
  expect(told).toBeNull();
  resolve();
  await tagging;
  expect(await telling).toEqual(['{"n":2}', '{}']);
  await drop(world.node, 'p');
  await declareTest(world.node, 'p');
  await putTagged(world, [1], ['{"n":3}']);
  expect(await codeOf(tagTexts(world.node, partition, Float64Array.of(1)))).toBe('partition_unknown');
});

test('a name that rows use for other tags is not declared as a number', async () => {
  const world = await open();
  await declareTest(world.node, 'p');
  await putTagged(world, [1, 2], ['{"step":1}', '{"step":"two"}']);
  const declaring = declareTest(world.node, 'p', { queue: { numbers: ['step'] } });
  await expect(declaring).rejects.toMatchObject({ code: 'partition_conflict', details: { id: 2 } });
  await tag(world, [2], { tags: ['{"step":null}'] });
  await declareTest(world.node, 'p', { queue: { numbers: ['step'] } });
  expect(await list(world)).toEqual({ ids: [1, 2], tags: [{}, {}], numbers: [[1, NaN]] });
});

test.each(['the journal', 'a checkpoint', 'a checkpoint and the journal after it'])(
  'tags and numbers come back from %s',
  async (from) => {
    const world = await open();
    await declareTest(world.node, 'p', { queue: { numbers: ['reward'] } });
    await putTagged(world, [1, 2, 3], ['{"status":"done","reward":1}', '{"note":"ä"}', '']);
    await tag(world, [1, 3], { tags: ['{"status":"judged","reward":0.25}'] });
    if (from !== 'the journal') await world.node.checkpoints.run();
    if (from !== 'a checkpoint') {
      await tag(world, [2], { tags: ['{"reward":7,"note":null}'] });
      await deleteRows(world.node, 'p', { ids: Float64Array.of(3), requestId: '' });
      await declareTest(world.node, 'p', { queue: { numbers: ['turns'] } });
      await putTagged(world, [3], ['{"turns":4}']);
    }
    const shown = await list(world, { where: 'reward > 0 or turns == 4' });
    const before = await dumpNode(world.node);
    const again = await afterKill(world);
    expect(await dumpNode(again.node)).toEqual(before);
    expect(await list(again, { where: 'reward > 0 or turns == 4' })).toEqual(shown);
  },
);
