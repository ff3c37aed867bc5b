/**
 * A real server with something of everything in it, and the state that a refused request must leave as it is.
 *
 *   train    closed, groups of 4, rows 0 to 7 with all fields      open    takes any field; has `score` of rows 0 to 2
 *   sealed   rows 0 to 3, sealed                                   gone    dropped, with a claim on its rows
 *   memory, disk   of these ack levels                             empty   declares no field and takes none
 *   a snapshot that is open, and one that was closed
 */
import { startServer, temporaryDirectory, type ServerProcess, type StartOptions } from '../support/process.ts';
import { scalars, streamOf, trainFields, trainStream } from './bodies.ts';
import { askOnce, type Answer, type Request } from './client.ts';

const ARROW = 'application/vnd.apache.arrow.stream';
const LEASE_MS = 3_600_000;

export interface World {
  readonly server: ServerProcess;
  readonly url: string;
  /** What stands for `{name}` in the tables. */
  readonly words: ReadonlyMap<string, string>;
  /** All that a client can see, and the number of the last change. */
  state(): Promise<string>;
  stop(): Promise<void>;
}

/** A request that must succeed. */
export async function succeed(url: string, request: Request): Promise<Answer> {
  const answer = await askOnce(url, request);
  if (answer?.status === 200) return answer;
  throw new Error(`${request.method} ${request.target}: ${answer?.status} ${answer?.body.toString()}`);
}

export function jsonRequest(method: string, target: string, value: unknown): Request {
  return { method, target, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(value)) };
}

export function putRequest(partition: string, body: Uint8Array, query = ''): Request {
  return {
    method: 'POST',
    target: `/v1/partitions/${partition}/rows${query}`,
    headers: { 'content-type': ARROW },
    body,
  };
}

export async function metric(url: string, name: string): Promise<number> {
  const { body } = await succeed(url, { method: 'GET', target: '/metrics' });
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body.toString())?.[1] ?? NaN);
}

export async function stateOf(url: string): Promise<string> {
  const { body } = await succeed(url, { method: 'GET', target: '/v1/partitions' });
  return `lsn ${await metric(url, 'tq_lsn')} ${body.toString()}`;
}

export async function startWorld(options: Partial<StartOptions> = {}): Promise<World> {
  const directory = temporaryDirectory('hostile');
  const server = await startServer({ directory: directory.path, ...options });
  const { url } = server;
  await fill(url);
  const tokens = await makeClaims(url);
  const words = new Map([
    ...tokens,
    ...(await makeSnapshots(url)),
    ['name128', 'n'.repeat(128)],
    ['name129', 'n'.repeat(129)],
    ['long', 'x'.repeat(1_500)],
  ]);
  return {
    ...{ server, url, words },
    state: () => stateOf(url),
    async stop() {
      server.signal('SIGTERM');
      await server.exited;
      directory.remove();
    },
  };
}

async function fill(url: string): Promise<void> {
  const declare = (name: string, settings: object): Promise<Answer> =>
    succeed(url, jsonRequest('PUT', `/v1/partitions/${name}`, settings));
  const put = (name: string, body: Uint8Array): Promise<Answer> => succeed(url, putRequest(name, body));
  const score = { score: trainFields.score };
  await declare('train', { fields: trainFields, group_size: 4 });
  await declare('open', {});
  await declare('empty', { fields: {} });
  await declare('memory', { fields: score, ack: 'memory' });
  await declare('disk', { fields: score, ack: 'disk' });
  await declare('sealed', { fields: score });
  await declare('gone', { fields: score });
  await put('train', trainStream([0, 1, 2, 3, 4, 5, 6, 7]));
  for (const name of ['open', 'memory', 'disk']) await put(name, streamOf([0, 1, 2], [scalars('score', 3)]));
  for (const name of ['sealed', 'gone']) await put(name, streamOf([0, 1, 2, 3], [scalars('score', 4)]));
  await succeed(url, { method: 'POST', target: '/v1/partitions/sealed:seal' });
}

async function makeClaims(url: string): Promise<Map<string, string>> {
  const claim = async (partition: string, task: string, options: object = {}): Promise<string> => {
    const body = { task, fields: ['score'], rows_max: 2, lease_ms: LEASE_MS, wait_ms: 5_000, ...options };
    const answer = await succeed(url, jsonRequest('POST', `/v1/partitions/${partition}/claims`, body));
    const token = answer.headers.get('tq-claim');
    if (token === undefined) throw new Error(`no claim on ${partition}: ${answer.body.toString()}`);
    return token;
  };
  const end = (token: string, how: string): Promise<Answer> =>
    succeed(url, { method: 'POST', target: `/v1/claims/${token}:${how}` });
  const live = await claim('train', 'live');
  const [acked, released] = [await claim('train', 'acked'), await claim('train', 'released')];
  await end(acked, 'ack');
  await end(released, 'release');
  // Two rows are all that partition `open` offers this task, so the second claim waits for the first to expire.
  const stale = await claim('open', 'stale', { rows_max: 3, lease_ms: 100 });
  const heir = await claim('open', 'stale', { rows_max: 3 });
  const gone = await claim('gone', 'gone');
  await succeed(url, { method: 'DELETE', target: '/v1/partitions/gone' });
  const [partition, number, mac] = live.split('-');
  const wrongMac = `${mac.slice(0, -1)}${mac.endsWith('0') ? '1' : '0'}`;
  return new Map(
    Object.entries({
      ...{ live, acked, released, stale, heir, gone },
      forged: `${partition}-${number}-${wrongMac}`,
      next_claim: `${partition}-${Number(number) + 1}-${mac}`,
      other_partition: `${Number(partition) + 1}-${number}-${mac}`,
      short_mac: `${partition}-${number}-${mac.slice(0, 8)}`,
      upper_mac: `${partition}-${number}-${mac.toUpperCase()}`,
      zero_led: `0${live}`,
    }),
  );
}

async function makeSnapshots(url: string): Promise<Map<string, string>> {
  const open = async (): Promise<{ snapshot: string; lsn: number }> => {
    const { body } = await succeed(url, jsonRequest('POST', '/v1/snapshots', { lease_ms: LEASE_MS }));
    return JSON.parse(body.toString()) as { snapshot: string; lsn: number };
  };
  const [opened, closed] = [await open(), await open()];
  await succeed(url, { method: 'POST', target: `/v1/snapshots/${closed.snapshot}:close` });
  return new Map(Object.entries({ opened: opened.snapshot, opened_lsn: String(opened.lsn), closed: closed.snapshot }));
}
