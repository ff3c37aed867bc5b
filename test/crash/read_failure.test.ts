/**
 * S7: a read of the disk that fails hits one request; the server goes on and says what it could not read. TQ_LONG=1
 * tries the read of every row.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startServer, temporaryDirectory } from '../support/process.ts';
import { hasStrace, ONE_DISK_THREAD, straced } from '../support/strace.ts';
import { columnsOf, TestClient } from '../support/http_client.ts';
import { bodyOf } from '../support/node.ts';
import { isLong, TIMEOUT_MS } from '../support/runs.ts';

const ROWS = 8;
const SIZE = 400_000;
const POINTS = isLong ? ROWS : 2;
const PATH = '/v1/partitions/kept';

const valueOf = (id: number): string => String(id).repeat(SIZE);

/** A server whose N-th read of the first segment fails; what became of one read of each row, and of a second one. */
async function failedAt(occurrence: number): Promise<{ first: number[]; second: number[]; ready: number }> {
  const directory = temporaryDirectory('eio');
  try {
    const before = await startServer({ directory: directory.path });
    const writer = new TestClient(before.url);
    await writer.json('PUT', PATH, {});
    for (let id = 0; id < ROWS; id++) {
      await writer.request('POST', `${PATH}/rows`, new Uint8Array(bodyOf([id], 'value', [valueOf(id)])));
    }
    before.signal('SIGTERM');
    await before.exited;
    const segment = join(directory.path, 'segments', '0000000001.seg');
    const inject = `inject=pread64:error=EIO:when=${occurrence}`;
    const wrapper = straced('-o', '/dev/null', '-P', segment, '-e', 'trace=pread64', '-e', inject);
    const server = await startServer({
      directory: directory.path,
      wrapper,
      env: ONE_DISK_THREAD,
      // No background work comes in between.
      arguments: ['--sync-interval-ms', '10000'],
    });
    const client = new TestClient(server.url);
    const first = await readAll(client);
    const second = await readAll(client);
    const { status: ready } = await client.request('GET', '/readyz');
    server.signal('SIGKILL');
    await server.exited;
    return { first, second, ready };
  } finally {
    directory.remove();
  }
}

/** The status of a read of each row; an answer of 200 has the right bytes. */
async function readAll(client: TestClient): Promise<number[]> {
  const statuses: number[] = [];
  for (let id = 0; id < ROWS; id++) {
    const { status, bytes } = await client.request('POST', `${PATH}/rows:read`, { ids: [id] });
    if (status === 200) expect(columnsOf(bytes).value).toEqual([valueOf(id)]);
    else expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject({ code: 'data_corrupt' });
    statuses.push(status);
  }
  return statuses;
}

describe.skipIf(!hasStrace)('a read of the disk that fails', () => {
  test('hits one request', { timeout: TIMEOUT_MS }, async () => {
    for (let point = 1; point <= POINTS; point++) {
      const { first, second, ready } = await failedAt(point);
      expect(first.map((status) => status === 500)).toEqual(first.map((_, id) => id === point - 1));
      expect(second).toEqual(Array.from({ length: ROWS }, () => 200));
      expect(ready).toBe(200);
    }
  });
});
