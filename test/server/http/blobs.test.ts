/** Blobs over HTTP: upload, download, what is missing, and what is refused. */
import { createHash } from 'node:crypto';
import { encodeBatch } from '@transfer-queue/core/arrow';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSmallServer, type SmallServer } from '../../hostile/small_server.ts';
import { TestClient } from '../../support/http_client.ts';

let server: SmallServer;
let client: TestClient;
beforeAll(async () => {
  server = await startSmallServer();
  client = new TestClient(server.url);
  await client.json('PUT', '/v1/partitions/p', { fields: { image: { layout: 'blob' } } });
});
afterAll(() => server.stop());

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function put(
  digest: string,
  body: Uint8Array,
  { partition = 'p', type = 'application/octet-stream' } = {},
): Promise<Record<string, unknown>> {
  const url = `${server.url}/v1/partitions/${partition}/blobs/${digest}`;
  const answer = await fetch(url, { method: 'PUT', body: new Uint8Array(body), headers: { 'content-type': type } });
  return { status: answer.status, ...((await answer.json()) as object) };
}

async function get(digest: string): Promise<Response> {
  return fetch(`${server.url}/v1/partitions/p/blobs/${digest}`);
}

test.each([0, 1, 7, 100_000, 2_500_000])('a blob of %d bytes comes back as it went', async (size) => {
  const bytes = Buffer.alloc(size, `blob of ${size}`);
  const digest = digestOf(bytes);
  expect(await client.json('POST', '/v1/partitions/p/blobs:missing', { digests: [digest] })).toMatchObject({
    missing: [digest],
  });
  expect(await put(digest, bytes)).toMatchObject({ status: 200, ack: 'os', stored: true });
  expect(await put(digest, bytes)).toMatchObject({ status: 200, ack: 'os', stored: false });
  expect(await client.json('POST', '/v1/partitions/p/blobs:missing', { digests: [digest] })).toMatchObject({
    missing: [],
  });
  const answer = await get(digest);
  expect(answer.headers.get('content-type')).toBe('application/octet-stream');
  expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
});

test('what is refused says why, and leaves nothing behind', async () => {
  const bytes = Buffer.from('cat');
  const digest = digestOf(bytes);
  expect(await put('cafe', bytes)).toMatchObject({ status: 400, code: 'blob_invalid' });
  expect(await put(digest.toUpperCase(), bytes)).toMatchObject({ status: 400, code: 'blob_invalid' });
  expect(await put(digest, Buffer.from('dog'))).toMatchObject({ status: 400, code: 'blob_mismatch', kind: 'retry' });
  expect(await put(digest, bytes, { partition: 'none' })).toMatchObject({ status: 404, code: 'partition_unknown' });
  expect(await put(digest, bytes, { partition: 'blobs:1' })).toMatchObject({ status: 404, code: 'route_unknown' });
  expect(await put(digest, bytes, { type: 'text/plain' })).toMatchObject({ code: 'content_type_unsupported' });
  const answer = await get(digest);
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({ code: 'blob_missing', details: { digests: [digest], count: 1 } });
});

test('rows name blobs that are there, by digests of the right length', async () => {
  const layout = { layout: 'blob' } as const;
  const rows = (values: Uint8Array): Buffer =>
    Buffer.concat(encodeBatch([1], [{ name: 'image', layout, values, offsets: Int32Array.of(0, values.length) }]));
  const short = await client.request('POST', '/v1/partitions/p/rows', rows(new Uint8Array(31)));
  expect(JSON.parse(Buffer.from(short.bytes).toString())).toMatchObject({ code: 'blob_invalid', details: { row: 0 } });
  const lost = await client.request('POST', '/v1/partitions/p/rows', rows(new Uint8Array(32)));
  expect(JSON.parse(Buffer.from(lost.bytes).toString())).toMatchObject({ code: 'blob_missing' });
  const bytes = Buffer.from('named');
  await put(digestOf(bytes), bytes);
  const done = await client.request('POST', '/v1/partitions/p/rows', rows(Buffer.from(digestOf(bytes), 'hex')));
  expect(JSON.parse(Buffer.from(done.bytes).toString())).toMatchObject({ rows: 1 });
  const partition = await client.json('GET', '/v1/partitions/p');
  expect(partition).toMatchObject({ fields: { image: layout }, rows: 1 });
  const { partitions } = (await client.json('GET', '/v1/partitions')) as { partitions: { name: string }[] };
  expect(partitions.map(({ name }) => name)).toEqual(['p']);
});
