/**
 * Regression: a small answer from more cold blocks than the block cache has slots comes in several windows. It was sent
 * as the first of them with zeros behind it, since answers of this size are copied and sent at once.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bodyOf } from '../support/node.ts';
import { columnsOf } from '../support/http_client.ts';
import { startServer, temporaryDirectory, type ServerProcess } from '../support/process.ts';
import { askOnce } from './client.ts';
import { jsonRequest, putRequest, succeed } from './world.ts';

/** 4 blocks of 1 MiB are cached. */
const MEMORY = 32 << 20;
const PUTS = 12;
const filler = 'f'.repeat(1 << 20);

let directory: ReturnType<typeof temporaryDirectory>;
let server: ServerProcess;
beforeAll(async () => {
  directory = temporaryDirectory('cold');
  const options = { directory: directory.path, arguments: ['--memory', `${MEMORY}`] };
  const first = await startServer(options);
  await succeed(first.url, jsonRequest('PUT', '/v1/partitions/p', {}));
  for (let put = 0; put < PUTS; put++) {
    await succeed(first.url, putRequest('p', bodyOf([2 * put, 2 * put + 1], 'text', [`row ${2 * put}`, filler])));
  }
  first.signal('SIGTERM');
  await first.exited;
  // After a restart no segment is in memory.
  server = await startServer(options);
});
afterAll(async () => {
  server.signal('SIGTERM');
  await server.exited;
  directory.remove();
});

describe('rows of many cold blocks', () => {
  const ids = Array.from({ length: PUTS }, (_, put) => 2 * put);
  const read = jsonRequest('POST', '/v1/partitions/p/rows:read', { ids });

  test('come whole in one small answer', async () => {
    const { body } = await succeed(server.url, read);
    expect(body.length).toBeLessThan(16 << 10);
    expect(columnsOf(body)).toEqual({ index_id: ids, text: ids.map((id) => `row ${id}`) });
  });

  test('and with a tail', async () => {
    const headers = { ...read.headers, 'tq-want-tail': '1' };
    const answer = await askOnce(server.url, { ...read, headers });
    expect(answer!.body.subarray(-16, -8).toString()).toBe('TQXXH64\n');
    expect(columnsOf(answer!.body.subarray(0, -16)).text).toEqual(ids.map((id) => `row ${id}`));
  });
});

describe('one cell, as bare bytes', () => {
  test.each([0, 1])('row %i', async (id) => {
    const target = `/v1/partitions/p/rows/${id}/text`;
    const { body } = await succeed(server.url, {
      method: 'GET',
      target,
      headers: { accept: 'application/octet-stream' },
    });
    expect(body.toString()).toBe(id === 0 ? 'row 0' : filler);
  });
});
