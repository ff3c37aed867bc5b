/** Budgets over HTTP: a put that waits for room, what it is told when there is none, and why a row is still there. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSmallServer, type SmallServer } from '../../hostile/small_server.ts';
import { TestClient, type Answer } from '../../support/http_client.ts';
import { bodyOf } from '../../support/node.ts';

let server: SmallServer;
let client: TestClient;
beforeAll(async () => {
  server = await startSmallServer();
  client = new TestClient(server.url);
});
afterAll(() => server.stop());

function put(partition: string, ids: readonly number[], query = ''): Promise<Answer> {
  const body = bodyOf(
    ids,
    'a',
    ids.map((id) => `v${id}`),
  );
  return client.request('POST', `/v1/partitions/${partition}/rows${query}`, body);
}

function jsonOf({ status, bytes }: Answer): Record<string, unknown> {
  return { status, ...(JSON.parse(Buffer.from(bytes).toString()) as object) };
}

/** Asks until the partition says so. */
async function until(partition: string, is: (described: Record<string, unknown>) => boolean): Promise<void> {
  while (!is(await client.json('GET', `/v1/partitions/${partition}`)));
}

test('a put waits for room, and is told what is lacking when it does not come', async () => {
  const declared = await client.json('PUT', '/v1/partitions/rows', { rows_max: 2 });
  expect(declared).toMatchObject({ rows_max: 2, version: 0, rows_admitted: 0, evicted: 0, waiting_puts: 0 });
  await put('rows', [1, 2]);
  expect(jsonOf(await put('rows', [3]))).toMatchObject({
    status: 429,
    code: 'over_budget',
    kind: 'wait',
    details: { partition: 'rows', of: 'partition', budget: 'rows_max', limit: 2, used: 2, asked: 1 },
  });
  const late = put('rows', [3], '?wait_ms=60000');
  await until('rows', (described) => described.waiting_puts === 1);
  await client.json('POST', '/v1/partitions/rows/rows:delete', { ids: [1] });
  expect(jsonOf(await late)).toMatchObject({ status: 200, rows: 1 });
  expect(jsonOf(await put('rows', [4], '?wait_ms=1'))).toMatchObject({ status: 429, code: 'over_budget' });
  for (const wait of ['-1', '60001', '1e3', '']) {
    expect(jsonOf(await put('rows', [1], `?wait_ms=${wait}`))).toMatchObject({ status: 400, code: 'query_invalid' });
  }
});

test('a put whose client goes away leaves the line', async () => {
  await client.json('PUT', '/v1/partitions/gone', { rows_max: 1 });
  await put('gone', [1]);
  const controller = new AbortController();
  const body = new Uint8Array(bodyOf([2], 'a', ['v2']));
  const late = fetch(`${server.url}/v1/partitions/gone/rows?wait_ms=60000`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/vnd.apache.arrow.stream' },
    signal: controller.signal,
  }).catch((error: unknown) => error);
  await until('gone', (described) => described.waiting_puts === 1);
  controller.abort();
  await late;
  await until('gone', (described) => described.waiting_puts === 0);
  await client.json('POST', '/v1/partitions/gone/rows:delete', { ids: [1] });
  expect(await client.json('GET', '/v1/partitions/gone')).toMatchObject({ rows: 0, rows_admitted: 1 });
});

test('a version paces puts, and only rises', async () => {
  const path = '/v1/partitions/paced';
  await client.json('PUT', path, { pace: { rows_per_version: 1, max_ahead: 0 } });
  await put('paced', [1]);
  const late = put('paced', [2], '?wait_ms=60000');
  await until('paced', (described) => described.waiting_puts === 1);
  expect(await client.json('POST', `${path}:advance`, { version: 1 })).toMatchObject({ version: 1 });
  expect((await late).status).toBe(200);
  expect(jsonOf(await client.request('POST', `${path}:advance`, { version: 0 }))).toMatchObject({
    status: 409,
    code: 'version_behind',
    details: { current: 1, asked: 0 },
  });
  expect(await client.json('GET', path)).toMatchObject({ version: 1, rows_admitted: 2 });
});

test('a row says why it is there', async () => {
  await client.json('PUT', '/v1/partitions/why', { tasks: { train: {} }, release: 'consumed' });
  await put('why', [1, 2]);
  expect(await client.json('GET', '/v1/partitions/why/rows/1:held')).toEqual({
    id: 1,
    there: true,
    fields: {
      a: expect.objectContaining({ rows: 2, rows_live: 2 }) as object,
    },
    tasks: [{ task: 'train', declared: true, state: 'unclaimed', returns: 0 }],
    claims: [],
    snapshots: [],
    release: 'consumed',
    retention: null,
    because: 'Declared task train (unclaimed) must consume it first.',
  });
  expect(jsonOf(await client.request('GET', '/v1/partitions/why/rows/3:held'))).toMatchObject({ code: 'rows_missing' });
});
