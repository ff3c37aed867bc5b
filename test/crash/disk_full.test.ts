/**
 * ENOSPC on a real file system: puts get 507, reads, claims and acks go on, puts resume when space returns. TQ_LONG=1
 * fills the disk 200 times.
 */
import { spawnSync } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import { startServer, temporaryDirectory, type ServerProcess } from '../support/process.ts';
import { columnsOf, TestClient } from '../support/http_client.ts';
import { bodyOf } from '../support/node.ts';
import { isLong, TIMEOUT_MS } from '../support/runs.ts';

const DISK_SIZE = '72m';
const VALUE = 'v'.repeat(500_000);
const ROWS_MIN = 40;
/** Of the rows of every second cycle, one in so many stays: space comes back by compaction only. */
const KEPT_EACH = 10;
const CYCLES = isLong ? 200 : 5;

const cycles = Array.from({ length: CYCLES }, (_, cycle) => cycle);

const directory = temporaryDirectory('full');
const canMount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_SIZE}`, 'tmpfs', directory.path]).status === 0;
if (!canMount) console.log('skipped: mounting a tmpfs needs root');
let server: ServerProcess | null = null;

afterEach(async () => {
  server?.signal('SIGKILL');
  await server?.exited;
  if (canMount) spawnSync('umount', ['-l', directory.path]);
  directory.remove();
});

describe.skipIf(!canMount)('a full disk', () => {
  test('is a clean 507 and passes without a restart', { timeout: TIMEOUT_MS }, async () => {
    server = await startServer({ directory: directory.path, arguments: ['--sync-interval-ms', '50'] });
    const client = new TestClient(server.url);
    const path = '/v1/partitions/kept';
    await client.json('PUT', path, {});
    await client.request('POST', `${path}/rows`, new Uint8Array(bodyOf([0, 1], 'value', ['first', 'second'])));
    let acknowledged = 0;
    for (const cycle of cycles) {
      await passes(() => client.request('PUT', `/v1/partitions/fill${cycle}`, {}));
      const ids = await fill(client, `fill${cycle}`);
      acknowledged += ids.length;
      const read = await client.request('POST', `/v1/partitions/fill${cycle}/rows:read`, { ids: ids.slice(-2) });
      expect(columnsOf(read.bytes).value).toEqual(ids.slice(-2).map(() => VALUE));
      const claim = await client.request('POST', `${path}/claims`, {
        task: 'train',
        fields: ['value'],
        rows_max: 2,
      });
      expect(claim.status).toBe(200);
      expect((await client.request('POST', `/v1/claims/${claim.headers.get('tq-claim')}:ack`)).status).toBe(200);
      await free(client, cycle, ids);
      await passes(() => client.request('POST', `${path}/tasks/train:reset`));
      await resumed(client, path, cycle);
    }
    expect(acknowledged).toBeGreaterThanOrEqual(CYCLES * ROWS_MIN);
    server.signal('SIGKILL');
    await server.exited;
    server = await startServer({ directory: directory.path });
    const after = await new TestClient(server.url).request('POST', `${path}/rows:read`, {
      ids: [0, 1, ...cycles.map((cycle) => 100 + cycle)],
    });
    expect(columnsOf(after.bytes).value).toEqual(['first', 'second', ...cycles.map((cycle) => `cycle ${cycle}`)]);
    console.log(`S5: ${CYCLES} cycles, ${acknowledged} puts acknowledged, lost 0`);
  });
});

/**
 * Puts rows until the disk is full; returns the ids that were acknowledged. What was dropped before may take a while.
 */
async function fill(client: TestClient, partition: string): Promise<number[]> {
  const ids: number[] = [];
  for (let tries = 0; tries < 400; tries++) {
    const body = new Uint8Array(bodyOf([tries], 'value', [VALUE]));
    const answer = await client.request('POST', `/v1/partitions/${partition}/rows`, body);
    if (answer.status === 507 && ids.length >= ROWS_MIN) return ids;
    expect([200, 507]).toContain(answer.status);
    if (answer.status === 200) ids.push(tries);
    else await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the disk was not filled: ${ids.length} rows`);
}

/**
 * Takes away what a cycle put: by a drop, or by deletes that leave a row in most segments; what was left is dropped in
 * the next cycle.
 */
async function free(client: TestClient, cycle: number, ids: readonly number[]): Promise<void> {
  const path = `/v1/partitions/fill${cycle}`;
  if (cycle % 2 === 0) {
    expect((await client.request('DELETE', path)).status).toBe(200);
    if (cycle > 0) expect((await client.request('DELETE', `/v1/partitions/fill${cycle - 1}`)).status).toBe(200);
    return;
  }
  const gone = ids.filter((_, place) => place % KEPT_EACH !== 0);
  expect((await client.request('POST', `${path}/rows:delete`, { ids: gone })).status).toBe(200);
  const kept = ids.filter((_, place) => place % KEPT_EACH === 0);
  const read = await client.request('POST', `${path}/rows:read`, { ids: kept });
  expect(columnsOf(read.bytes).value).toEqual(kept.map(() => VALUE));
}

/** Puts one more row of the partition that is kept. */
async function resumed(client: TestClient, path: string, cycle: number): Promise<void> {
  const body = new Uint8Array(bodyOf([100 + cycle], 'value', [`cycle ${cycle}`]));
  await passes(() => client.request('POST', `${path}/rows`, body));
}

/** The space of what was dropped comes back in the background, bit by bit: until then writes are refused, no more. */
async function passes(write: () => Promise<{ readonly status: number }>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const { status } = await write();
    if (status === 200) return;
    expect(status).toBe(507);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('writes did not resume');
}
