/** Snapshots over HTTP: opened, read at, renewed, closed, expired; and what a client is told when one is gone. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSmallServer, type SmallServer } from '../../hostile/small_server.ts';
import { columnsOf, TestClient, type Answer } from '../../support/http_client.ts';
import { bodyOf } from '../../support/node.ts';

let server: SmallServer;
let client: TestClient;
beforeAll(async () => {
  server = await startSmallServer();
  client = new TestClient(server.url);
});
afterAll(() => server.stop());

interface Opened {
  readonly snapshot: string;
  readonly lsn: number;
  readonly lease_ms: number;
}

async function open(leaseMs = 60_000): Promise<Opened> {
  return (await client.json('POST', '/v1/snapshots', { lease_ms: leaseMs })) as unknown as Opened;
}

function close({ snapshot }: Opened): Promise<Record<string, unknown>> {
  return client.json('POST', `/v1/snapshots/${snapshot}:close`);
}

async function put(partition: string, ids: readonly number[], values: readonly string[], field = 'a'): Promise<void> {
  const { status } = await client.request('POST', `/v1/partitions/${partition}/rows`, bodyOf(ids, field, values));
  expect(status).toBe(200);
}

function read(partition: string, body: object): Promise<Answer> {
  return client.request('POST', `/v1/partitions/${partition}/rows:read`, body);
}

async function rowsOf(partition: string, body: object): Promise<Record<string, unknown[]>> {
  const { status, bytes } = await read(partition, body);
  expect(status).toBe(200);
  return columnsOf(bytes);
}

function errorOf({ status, bytes }: Answer): object {
  const { code, kind, details } = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
  return { status, code, kind, details };
}

/** A partition of its own with rows 0 to 4. */
async function declare(name: string): Promise<string> {
  await client.json('PUT', `/v1/partitions/${name}`, {});
  await put(name, [0, 1, 2, 3, 4], ['v0', 'v1', 'v2', 'v3', 'v4']);
  return name;
}

test('reads that name its LSN see the rows of its moment, all others those of now', async () => {
  const name = await declare('reads');
  const opened = await open();
  const { lsn } = (await client.json('GET', `/v1/partitions/${name}`)) as { lsn: number };
  expect(opened).toEqual({ snapshot: expect.stringMatching(/^\d+-\d+$/) as string, lsn, lease_ms: 60_000 });
  await put(name, [1, 9], ['new', 'nine']);
  await put(name, [2], ['b2'], 'b');
  await client.json('POST', `/v1/partitions/${name}/rows:delete`, { ids: [0, 3] });

  const answer = await read(name, { ids: [3, 1, 0], lsn: opened.lsn });
  expect(columnsOf(answer.bytes)).toEqual({ index_id: [3, 1, 0], a: ['v3', 'v1', 'v0'] });
  expect([answer.headers.get('tq-lsn'), answer.headers.get('tq-rows')]).toEqual([String(lsn), '3']);
  const first = await read(name, { range: { start: 0, end: 100, rows_max: 3 }, lsn: opened.lsn });
  expect([columnsOf(first.bytes).a, first.headers.get('tq-next')]).toEqual([['v0', 'v1', 'v2'], '3']);
  const second = await read(name, { range: { start: 3, end: 100, rows_max: 3 }, lsn: opened.lsn, fields: ['a'] });
  expect([columnsOf(second.bytes).a, second.headers.get('tq-next')]).toEqual([['v3', 'v4'], null]);
  expect(await rowsOf(name, { range: { start: 0, end: 100 }, fields: ['a'] })).toMatchObject({
    index_id: [1, 2, 4, 9],
  });
  expect(await close(opened)).toEqual({ lsn: opened.lsn });
});

describe('a snapshot that is gone', () => {
  const gone = { status: 410, code: 'lsn_unknown', kind: 'give_up' };

  test('after its close', async () => {
    const name = await declare('closed');
    const opened = await open();
    await put(name, [0], ['new']);
    await close(opened);
    expect(errorOf(await read(name, { ids: [0], lsn: opened.lsn }))).toMatchObject({
      ...gone,
      details: { lsn: opened.lsn, partition: name, reason: 'no snapshot holds it' },
    });
    for (const verb of ['renew', 'close']) {
      const body = verb === 'renew' ? { lease_ms: 1_000 } : undefined;
      const answer = await client.request('POST', `/v1/snapshots/${opened.snapshot}:${verb}`, body);
      expect(errorOf(answer)).toMatchObject({ ...gone, details: { snapshot: opened.snapshot } });
    }
  });

  test('when its lease is over, which a renewal puts off', async () => {
    const name = await declare('expired');
    const [brief, renewed] = [await open(100), await open(100)];
    const lease = { lease_ms: 60_000 };
    const answer = await client.json('POST', `/v1/snapshots/${renewed.snapshot}:renew`, lease);
    expect(answer).toEqual({ lsn: renewed.lsn, ...lease });
    await client.json('POST', `/v1/snapshots/${brief.snapshot}:renew`, { lease_ms: 100 });
    while (server.node.snapshots.count > 1) await new Promise((resolve) => setTimeout(resolve, 5));
    await put(name, [0], ['new']);
    // Both are of one LSN, and the other one holds it still.
    expect(await rowsOf(name, { ids: [0], lsn: brief.lsn })).toEqual({ index_id: [0], a: ['v0'] });
    const gently = await client.request('POST', `/v1/snapshots/${brief.snapshot}:close`);
    expect(errorOf(gently)).toMatchObject(gone);
    await close(renewed);
    expect(errorOf(await read(name, { ids: [0], lsn: brief.lsn }))).toMatchObject(gone);
  });
});

test('what cannot be read at an LSN is refused with a reason', async () => {
  const name = await declare('refused');
  const opened = await open();
  const refusal = async (body: object): Promise<object> => errorOf(await read(name, body));
  const invalid = { status: 400, code: 'json_invalid', kind: 'fix_request' };
  expect(await refusal({ newest: {}, lsn: opened.lsn })).toMatchObject(invalid);
  expect(await refusal({ ids: [0], lsn: opened.lsn, wait_ms: 5 })).toMatchObject(invalid);
  expect(await refusal({ ids: [0, 7], lsn: opened.lsn })).toMatchObject({ status: 404, code: 'rows_missing' });
  expect(await refusal({ ids: [0], lsn: opened.lsn + 1_000 })).toMatchObject({
    status: 410,
    details: { reason: 'it is yet to come', newest: opened.lsn },
  });
  expect(await rowsOf(name, { ids: [0], lsn: opened.lsn, wait_ms: 0 })).toMatchObject({ a: ['v0'] });
  await close(opened);
});
