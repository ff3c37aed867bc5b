/** Tasks over HTTP: leases, dead letters page by page, to queue them anew, to begin anew. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSmallServer, type SmallServer } from '../../hostile/small_server.ts';
import { TestClient } from '../../support/http_client.ts';
import { bodyOf } from '../../support/node.ts';

let server: SmallServer;
let client: TestClient;
beforeAll(async () => {
  server = await startSmallServer();
  client = new TestClient(server.url);
});
afterAll(() => server.stop());

/** A partition of its own with rows 0 to 4, of which 0 to 2 are dead letters of `train`, and 3 is leased. */
async function declare(name: string): Promise<string> {
  const path = `/v1/partitions/${name}`;
  await client.json('PUT', path, { tasks: { train: { max_attempts: 1 }, judge: {} }, release: 'consumed' });
  await client.request('POST', `${path}/rows`, bodyOf([0, 1, 2, 3, 4], 'a', ['0', '1', '2', '3', '4']));
  const claim = await client.request('POST', `${path}/claims`, { task: 'train', fields: ['a'], rows_max: 3 });
  await client.json('POST', `/v1/claims/${claim.headers.get('tq-claim')}:release`);
  await client.request('POST', `${path}/claims`, { task: 'train', fields: ['a'], rows_max: 1, lease_ms: 60_000 });
  return path;
}

async function errorOf(method: 'GET' | 'POST', path: string, body?: object): Promise<object> {
  const { status, bytes } = await client.request(method, path, body);
  const { code } = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
  return { status, code };
}

test('leases and counts', async () => {
  const path = await declare('leases');
  expect(await client.json('GET', `${path}/leases`)).toEqual({
    leases: [
      {
        claim: expect.any(Number) as number,
        task: 'train',
        rows: 1,
        ids: [3],
        attempts_max: 1,
        lease_ms: 60_000,
        left_ms: expect.any(Number) as number,
        fields: ['a'],
      },
    ],
  });
  const { tasks } = await client.json('GET', path);
  expect(tasks).toEqual({
    train: { ready: 1, leased: 1, consumed: 0, incomplete: 0, dead: 3, skipped: 0, claims: 1 },
    judge: { ready: 5, leased: 0, consumed: 0, incomplete: 0, dead: 0, skipped: 0, claims: 0 },
  });
});

test('dead letters, page by page, and queued anew', async () => {
  const path = `${await declare('dead')}/tasks/train`;
  const rows = [0, 1, 2].map((id) => ({ id, attempts: 1 }));
  expect(await client.json('GET', `${path}/dead-letters`)).toEqual({ rows, next: null });
  const first = await client.json('GET', `${path}/dead-letters?rows_max=2`);
  expect(first).toEqual({ rows: rows.slice(0, 2), next: 2 });
  const second = await client.json('GET', `${path}/dead-letters?rows_max=2&after=${String(first.next)}`);
  expect(second).toEqual({ rows: rows.slice(2), next: null });
  expect(await client.json('POST', `${path}:requeue`, { ids: [1, 1, 4, 9] })).toMatchObject({ rows: 1 });
  expect(await client.json('POST', `${path}:requeue`)).toMatchObject({ rows: 2 });
  expect(await client.json('GET', `${path}/dead-letters`)).toEqual({ rows: [], next: null });
});

test('a task begins anew', async () => {
  const path = `${await declare('anew')}`;
  expect(await client.json('POST', `${path}/tasks/train:reset`)).toMatchObject({ rows: 4 });
  expect(await client.json('GET', `${path}/leases`)).toEqual({ leases: [] });
  const { tasks } = await client.json('GET', path);
  expect(tasks).toMatchObject({ train: { ready: 5, dead: 0 } });
});

test('refusals', async () => {
  const path = `${await declare('refusals')}/tasks`;
  expect(await errorOf('GET', `${path}/nobody/dead-letters`)).toEqual({ status: 404, code: 'task_unknown' });
  expect(await errorOf('POST', `${path}/nobody:requeue`)).toEqual({ status: 404, code: 'task_unknown' });
  expect(await errorOf('POST', `${path}/nobody:reset`)).toEqual({ status: 404, code: 'task_unknown' });
  expect(await errorOf('GET', '/v1/partitions/none/leases')).toEqual({ status: 404, code: 'partition_unknown' });
  for (const query of ['rows_max=0', 'rows_max=10001', 'after=-1', 'after=x', 'before=1']) {
    const answer = await errorOf('GET', `${path}/train/dead-letters?${query}`);
    expect(answer).toEqual({ status: 400, code: 'query_invalid' });
  }
  expect(await errorOf('POST', `${path}/train:requeue`, { ids: [-1] })).toEqual({ status: 400, code: 'json_invalid' });
});
