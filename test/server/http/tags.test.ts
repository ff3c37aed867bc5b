/** Tags over HTTP: tag rows, list them, read and claim them with their tags; bodies that are refused. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { walkStream } from '@transfer-queue/core/arrow';
import { startSmallServer, type SmallServer } from '../../hostile/small_server.ts';
import { tagsOf } from '../../../server/store/tags_column.ts';
import { TestClient } from '../../support/http_client.ts';
import { bodyOf } from '../../support/node.ts';

let server: SmallServer;
let client: TestClient;
beforeAll(async () => {
  server = await startSmallServer();
  client = new TestClient(server.url);
});
afterAll(() => server.stop());

/** A partition of its own with rows 0 to 4; the first three are tagged. */
async function declare(name: string): Promise<string> {
  const path = `/v1/partitions/${name}`;
  await client.json('PUT', path, { numbers: ['reward'] });
  const tags = [
    '{"status":"done","reward":1}',
    '{"status":"failed"}',
    '{"reward":-2.5,"by":{"model":"judge"}}',
    '',
    '',
  ];
  await client.request('POST', `${path}/rows`, bodyOf([0, 1, 2, 3, 4], 'a', ['0', '1', '2', '3', '4'], true, tags));
  return path;
}

async function errorOf(path: string, body: object): Promise<Record<string, unknown>> {
  const { bytes } = await client.request('POST', path, body);
  return JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
}

/** What the column of the tags of an Arrow answer says. */
function columnOf(bytes: Uint8Array): unknown[] {
  const stream = bytes.slice();
  const walked = walkStream(stream, { allowReserved: true });
  if (!walked.ok) throw new Error(walked.message);
  expect(walked.fields.map(({ name }) => name).filter((name) => !name.startsWith('tq_'))).toEqual(['a']);
  return tagsOf(stream, walked)!.map((text) => JSON.parse(text) as unknown);
}

test('rows are listed with tags and numbers, page by page', async () => {
  const path = await declare('listed');
  expect(await client.json('POST', `${path}/rows:list`, {})).toEqual({
    ids: [0, 1, 2, 3, 4],
    tags: [{ status: 'done' }, { status: 'failed' }, { by: { model: 'judge' } }, {}, {}],
    numbers: { reward: [1, null, -2.5, null, null] },
    next: null,
  });
  const first = await client.json('POST', `${path}/rows:list`, { where: 'not exists status', rows_max: 2 });
  expect(first).toMatchObject({ ids: [2, 3] });
  const where = { where: 'not exists status', rows_max: 2, after: first.next };
  expect(await client.json('POST', `${path}/rows:list`, where)).toMatchObject({ ids: [4], next: null });
});

test('tags are changed by one object for all rows, or one for each', async () => {
  const path = await declare('tagged');
  const all = await client.json('POST', `${path}/rows:tag`, { ids: [3, 1], tags: { status: 'late' } });
  expect(all).toMatchObject({ rows: 2 });
  await client.json('POST', `${path}/rows:tag`, { ids: [0, 1], tags: [{ status: null }, { reward: 7 }] });
  const ids = { ids: [3, 0, 1] };
  expect(await client.json('POST', `${path}/rows:list`, ids)).toEqual({
    ids: [0, 1, 3],
    tags: [{}, { status: 'late' }, { status: 'late' }],
    numbers: { reward: [1, 7, null] },
    next: null,
  });
});

test('a list says which rows a task could claim', async () => {
  const path = await declare('ready');
  const claimed = await client.request('POST', `${path}/claims`, { task: 't', fields: ['a'], rows_max: 2 });
  const ready = { ready: { task: 't', fields: ['a'] } };
  expect(await client.json('POST', `${path}/rows:list`, ready)).toMatchObject({ ids: [2, 3, 4], attempts: [1, 1, 1] });
  await client.json('POST', `/v1/claims/${claimed.headers.get('tq-claim')}:release`);
  const list = await client.json('POST', `${path}/rows:list`, ready);
  expect(list).toMatchObject({ ids: [0, 1, 2, 3, 4], attempts: [2, 2, 1, 1, 1] });
});

test('reads and claims bring the tags that are asked for, numbers included', async () => {
  const path = await declare('read');
  const read = await client.request('POST', `${path}/rows:read`, { ids: [2, 0, 3], fields: ['tq_tags', 'a'] });
  expect(columnOf(read.bytes)).toEqual([{ by: { model: 'judge' }, reward: -2.5 }, { status: 'done', reward: 1 }, {}]);
  const claim = { task: 't', fields: ['a', 'tq_tags'], rows_max: 2 };
  const claimed = await client.request('POST', `${path}/claims`, claim);
  expect(columnOf(claimed.bytes)).toEqual([{ status: 'done', reward: 1 }, { status: 'failed' }]);
  const plain = await client.request('POST', `${path}/rows:read`, { ids: [0] });
  expect(plain.headers.get('tq-rows')).toBe('1');
  expect(tagsOf(plain.bytes, walkStream(plain.bytes.slice()) as never)).toBeUndefined();
});

describe('refused is', () => {
  const cases: readonly (readonly [what: string, route: string, body: object, expected: object])[] = [
    ['a list of tags of another length', 'rows:tag', { ids: [0, 1], tags: [{}] }, { code: 'json_invalid' }],
    ['an id twice', 'rows:tag', { ids: [0, 0], tags: {} }, { code: 'ids_duplicate', details: { id: 0 } }],
    [
      'a row that is not there',
      'rows:tag',
      { ids: [0, 9], tags: {} },
      { code: 'rows_missing', details: { missing: [9] } },
    ],
    [
      'no number',
      'rows:tag',
      { ids: [0], tags: { reward: 'a' } },
      { code: 'tags_invalid', details: { at: '/reward' } },
    ],
    ['no filter', 'rows:list', { where: 'a ==' }, { code: 'filter_invalid', details: { position: 4 } }],
    ['an unknown field', 'rows:list', { ready: { task: 't', fields: ['x'] } }, { code: 'field_unknown' }],
    ['nothing but tags', 'rows:read', { ids: [0], fields: ['tq_tags'] }, { code: 'json_invalid' }],
    ['tags of the past', 'rows:read', { ids: [0], fields: ['a', 'tq_tags'], lsn: 1 }, { code: 'json_invalid' }],
    ['an unknown partition', '../none/rows:tag', { ids: [0], tags: {} }, { code: 'partition_unknown' }],
  ];
  test.each(cases)('%s', async (what, route, body, expected) => {
    const path = await declare(`refused-${what.replaceAll(' ', '-')}`);
    const target = route.startsWith('../') ? `/v1/partitions/${route.slice(3)}` : `${path}/${route}`;
    expect(await errorOf(target, body)).toMatchObject(expected);
  });
});
