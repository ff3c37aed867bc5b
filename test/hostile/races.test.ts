/**
 * Many clients at once do everything to the same few partitions, in an order that nobody chose: drop what others put
 * to, claim what others delete, and go away in the middle. No request may fail by the server's fault, nothing may be
 * left waiting, and a restart must find the state as it was.
 *
 * SEED=n chooses other requests; TQ_LONG=1 sends 200,000.
 */
import { expect, test } from 'vitest';
import { errors, type ErrorCode } from '@transfer-queue/core/protocol';
import { seeded } from '../core/arrow/fixtures.ts';
import { startServer, temporaryDirectory } from '../support/process.ts';
import { isLong, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { scalars, streamOf, withTail } from './bodies.ts';
import { Connection, headOf, type Request } from './client.ts';
import { judge } from './judge.ts';
import { withBug } from './planted.ts';
import { jsonRequest, metric, putRequest, succeed } from './world.ts';

const REQUESTS = isLong ? 200_000 : 6_000;
const CLIENTS = 12;
/** Races that a planted bug has to show itself in. */
const BUG_ROUNDS_MAX = 15;
const SEED = seedOr(1);
const everyCode = Object.keys(errors) as ErrorCode[];
const names = ['a', 'b', 'c'];
const fields = ['x', 'y', 'z'];

type Random = (end: number) => number;

/** What the clients know between them. */
interface Shared {
  readonly tokens: string[];
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[random(values.length)];
}

function someIds(random: Random): number[] {
  const first = random(40);
  return Array.from({ length: 1 + random(8) }, (_, i) => first + i);
}

function putOf(random: Random, name: string, tokens: readonly string[]): Request {
  const ids = someIds(random);
  const columns = fields
    .filter(() => random(2) === 0)
    .map((field) => scalars(field, ids.length, pick(random, ['float64', 'float64', 'float64', 'int64'])));
  const query = pick(random, ['', '', '', '?if_absent=1', '?ack=disk', `?claim=${pick(random, ['x', ...tokens])}`]);
  // Some are large enough to have a segment of their own.
  const filler =
    random(20) === 0
      ? [
          {
            name: 'filler',
            layout: { layout: 'bytes' } as const,
            offsets: Int32Array.from({ length: ids.length + 1 }, (_, i) => (i === 0 ? 0 : 2 << 20)),
            values: Buffer.alloc(2 << 20),
          },
        ]
      : [];
  const request = putRequest(name, withTail(streamOf(ids, [...columns, ...filler])), query);
  return random(4) === 0 ? { ...request, headers: { ...request.headers, 'tq-request-id': `r${random(50)}` } } : request;
}

function claimOf(random: Random, name: string): Request {
  const wanted = fields.filter(() => random(2) === 0);
  return jsonRequest('POST', `/v1/partitions/${name}/claims`, {
    task: pick(random, ['t', 'u']),
    fields: wanted.length === 0 ? ['x'] : wanted,
    rows_max: 4 + random(4),
    rows_min: 1 + random(4),
    sampler: pick(random, ['fifo', 'group']),
    lease_ms: 100 + random(100),
    wait_ms: pick(random, [0, 0, 20, 100]),
    auto_ack: random(8) === 0,
  });
}

function nextRequest(random: Random, { tokens }: Shared): Request {
  const name = pick(random, names);
  const token = pick(random, ['1-1-0000000000000000', ...tokens]);
  const at = `/v1/partitions/${name}`;
  switch (random(24)) {
    case 0:
      return { method: 'DELETE', target: random(4) === 0 ? at : '/v1/partitions/none' };
    case 1:
      return { method: 'POST', target: random(4) === 0 ? `${at}:seal` : '/v1/partitions/none:seal' };
    case 2:
    case 3:
      return jsonRequest(
        'PUT',
        at,
        pick(random, [
          {},
          { group_size: 4 },
          { ack: 'memory' },
          { ack: 'disk' },
          { fields: { x: { layout: 'scalar', dtype: 'float64' } } },
        ]),
      );
    case 4:
      return jsonRequest('POST', `${at}/rows:delete`, { ids: someIds(random) });
    case 5:
    case 6:
    case 7:
      return jsonRequest('POST', `${at}/rows:read`, {
        ...pick(random, [
          { ids: someIds(random) },
          { range: { start: 0, end: 100, rows_max: 1 + random(20) } },
          { newest: {} },
          { newest: { after_lsn: random(5_000) } },
        ]),
        ...(random(2) === 0 ? {} : { fields: [pick(random, fields)] }),
        wait_ms: pick(random, [0, 0, 20, 100]),
      });
    case 8:
      return {
        method: 'GET',
        target: pick(random, [
          '/v1/partitions',
          at,
          `${at}/rows/${random(48)}`,
          `${at}/rows/${random(48)}/x`,
          '/metrics',
        ]),
      };
    case 9:
    case 10:
      return { method: 'POST', target: `/v1/claims/${token}:ack` };
    case 11:
      return { method: 'POST', target: `/v1/claims/${token}:release` };
    case 12:
      return jsonRequest('POST', `/v1/claims/${token}:renew`, { lease_ms: 100 });
    case 13:
    case 14:
    case 15:
    case 16:
      return claimOf(random, name);
    default:
      return putOf(random, name, tokens);
  }
}

async function client(url: string, random: Random, shared: Shared, requests: number): Promise<string[]> {
  const problems: string[] = [];
  let connection = await Connection.open(url);
  for (let i = 0; i < requests; i++) {
    const request = nextRequest(random, shared);
    if (random(20) === 0) {
      // Goes away at some point of its request, or of the wait for its answer.
      const bytes = Buffer.concat([headOf(request), request.body ?? Buffer.alloc(0)]);
      void connection.exchange(random(2) === 0 ? bytes : bytes.subarray(0, 1 + random(bytes.length)));
      await new Promise((resolve) => setTimeout(resolve, random(5)));
      connection.close();
      connection = await Connection.open(url);
      continue;
    }
    const answer = await connection.ask(request);
    if (answer === null || answer.status !== 200) {
      const found = judge(answer, everyCode);
      problems.push(...found.map((problem) => `${problem}: ${request.method} ${request.target}`));
    }
    const token = answer?.headers.get('tq-claim');
    if (token !== undefined) shared.tokens.push(token);
    if (shared.tokens.length > 30) shared.tokens.splice(0, 10);
    if (answer !== null && !answer.closes) continue;
    connection.close();
    connection = await Connection.open(url);
  }
  connection.close();
  return problems;
}

async function race(url: string, requests: number, seed = SEED): Promise<string[]> {
  const shared: Shared = { tokens: [] };
  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    client(url, seeded(seed * 1_000 + i), shared, requests / CLIENTS),
  );
  return (await Promise.all(clients)).flat();
}

/** Partitions with their rows, bytes and tasks, once no lease can end any more. */
async function restingState(url: string): Promise<unknown> {
  const leaseEndsMs = 300;
  await new Promise((resolve) => setTimeout(resolve, leaseEndsMs));
  const { body } = await succeed(url, { method: 'GET', target: '/v1/partitions' });
  return JSON.parse(body.toString());
}

test(`${REQUESTS} requests of ${CLIENTS} clients in any order`, { timeout: TIMEOUT_MS }, async () => {
  const directory = temporaryDirectory('races');
  const options = { directory: directory.path, arguments: ['--memory', '32MiB', '--sync-interval-ms', '50'] };
  try {
    const server = await startServer(options);
    expect(await race(server.url, REQUESTS)).toEqual([]);
    const state = await restingState(server.url);
    expect(await metric(server.url, 'tq_waiters')).toBe(0);
    expect(await metric(server.url, 'tq_connections')).toBe(1);
    server.signal('SIGKILL');
    await server.exited;
    expect(server.log()).toBe('');
    const again = await startServer(options);
    expect(await restingState(again.url)).toEqual(withoutMemory(state));
    again.signal('SIGTERM');
    expect((await again.exited).code).toBe(0);
    expect(again.log()).toBe('');
  } finally {
    directory.remove();
  }
});

/**
 * Rows, claims and tasks of level memory vanish with the process. How many bytes the others take changes by itself:
 * extents are rewritten in the background.
 */
function withoutMemory(state: unknown): unknown {
  const { partitions } = state as { partitions: { ack: string; name: string }[] };
  return {
    partitions: partitions.map((partition) =>
      partition.ack === 'memory'
        ? expect.objectContaining({ name: partition.name, rows: 0 })
        : { ...partition, bytes: expect.any(Number) as number },
    ),
  };
}

test('the suite finds a planted bug', { timeout: 60_000 }, async () => {
  const directory = temporaryDirectory('races');
  const server = await startServer({ directory: directory.path, env: withBug('fails_at_unknown_field') });
  // Whether a put names a field that nobody declared, in a partition that takes no others, depends on who comes first.
  let isFound = false;
  for (let round = 0; round < BUG_ROUNDS_MAX && !isFound; round++) {
    const problems = await race(server.url, 2_000, SEED + round);
    isFound = problems.some((problem) => problem.startsWith('status 500'));
  }
  expect(isFound).toBe(true);
  server.signal('SIGKILL');
  await server.exited;
  directory.remove();
});
