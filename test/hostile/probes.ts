/**
 * How each published limit is reached: a probe makes a request of size `n` and says what became of it. Those of the
 * queue are in queue_probes.ts.
 *
 * Most run against the whole server. Limits that take minutes or gigabytes there are tried where they are enforced:
 * `partitionsMax`, `waitersMax`, `requestIdsKept` and `statesBytesMax` in the engine, at their real values;
 * `answerBytesMax` in a server of the same parts with a smaller limit; `connectionsMax` has its test in
 * test/server/http/listener.test.ts.
 */
import { Field, Int64, Int8, List, Schema, tableToIPC, Table, type DataType } from 'apache-arrow';
import { encodeBatch, EOS, schemaMessage, type EncodedColumn } from '@transfer-queue/core/arrow';
import type { limits } from '@transfer-queue/core/protocol';
import { RequestTable } from '../../server/engine/requests.ts';
import { read } from '../../server/engine/read.ts';
import { StoreError } from '../../server/errors.ts';
import { caller, declareTest, openTestNode } from '../support/node.ts';
import { settle, simEnv } from '../support/sim_env.ts';
import { scalars, streamOf, withTail } from './bodies.ts';
import { askOnce, Connection, headOf } from './client.ts';
import { ask, claim, freshName, numbers, orMissing, outcomeOf, post, put, withRows, type Probe } from './probing.ts';
import { queueProbes } from './queue_probes.ts';
import { jsonRequest, putRequest, succeed } from './world.ts';

/** A stream of exactly `size` bytes: one cell fills it up. */
export function streamOfSize(size: number): Buffer {
  const empty = blob(0).length;
  const stream = blob(size - empty);
  if (stream.length !== size) throw new Error(`no stream has ${size} bytes`);
  return stream;
}

function blob(size: number): Buffer {
  const layout = { layout: 'bytes' } as const;
  return streamOf([0], [{ name: 'a', layout, offsets: Int32Array.of(0, size), values: Buffer.alloc(size) }]);
}

/** A stream whose schema message has `size` bytes of metadata. */
function metadataOf(size: number): Buffer {
  const column = scalars('a', 1);
  const schema = (length: number): Uint8Array => schemaMessage([column], new Map([['k', 'x'.repeat(length)]]));
  const batch = streamOf([0], [column]).subarray(schemaMessage([column]).length);
  const frameSize = 8;
  let length = size - schema(0).length;
  while (schema(length).length - frameSize < size) length++;
  return Buffer.concat([schema(length), batch]);
}

function batchesOf(count: number): Buffer {
  const column = scalars('a', 1);
  const schema = schemaMessage([column]);
  const batch = (id: number): Buffer => streamOf([id], [column]).subarray(schema.length, -EOS.length);
  return Buffer.concat([schema, ...numbers(count).map(batch), EOS]);
}

/** `count` Arrow fields, index_id among them. */
function columnsOf(count: number): Buffer {
  const columns = numbers(count - 1).map((i): EncodedColumn => {
    return { name: `f${i}`, layout: { layout: 'scalar', dtype: 'int8' }, values: new Int8Array(1) };
  });
  return Buffer.concat(encodeBatch([0], columns));
}

function nestedIn(levels: number): Uint8Array {
  let type: DataType = new Int8();
  for (let level = 1; level < levels; level++) type = new List(new Field('item', type));
  const schema = new Schema([new Field('index_id', new Int64()), new Field('a', type)]);
  return tableToIPC(new Table(schema), 'stream');
}

/** A GET whose head has so many bytes or fields. */
async function head(url: string, lines: readonly string[]): Promise<string> {
  const connection = await Connection.open(url);
  const plain = headOf({ method: 'GET', target: '/healthz' }).toString().slice(0, -2);
  const answer = await connection.exchange(Buffer.from(`${plain}${lines.join('')}\r\n`));
  connection.close();
  return outcomeOf(answer);
}

function headOfSize(url: string, size: number): Promise<string> {
  const fixed = headOf({ method: 'GET', target: '/healthz' }).length + 'x: \r\n'.length;
  return head(url, [`x: ${'y'.repeat(size - fixed)}\r\n`]);
}

/** A row that gets each of so many fields by a put of its own. */
async function putsOfRow(url: string, count: number): Promise<string> {
  const name = freshName();
  await succeed(url, jsonRequest('PUT', `/v1/partitions/${name}`, {}));
  let outcome = '';
  for (const i of numbers(count)) outcome = await ask(url, putRequest(name, streamOf([0], [scalars(`f${i}`, 1)])));
  return outcome;
}

/** Opens so many snapshots, and closes them. */
async function snapshots(url: string, count: number, leaseMs = 60_000): Promise<string> {
  const opened: string[] = [];
  let outcome = '';
  for (let i = 0; i < count; i++) {
    const answer = await askOnce(url, jsonRequest('POST', '/v1/snapshots', { lease_ms: leaseMs }));
    outcome = outcomeOf(answer);
    if (outcome === 'ok') opened.push((JSON.parse(answer!.body.toString()) as { snapshot: string }).snapshot);
  }
  for (const snapshot of opened) await succeed(url, { method: 'POST', target: `/v1/snapshots/${snapshot}:close` });
  return outcome;
}

async function loads(url: string, count: number): Promise<string> {
  const opened: string[] = [];
  let outcome = '';
  for (let i = 0; i < count; i++) {
    const answer = await askOnce(url, jsonRequest('POST', '/v1/loads', { lease_ms: 60_000 }));
    outcome = outcomeOf(answer);
    if (outcome === 'ok') opened.push((JSON.parse(answer!.body.toString()) as { load: string }).load);
  }
  for (const load of opened) await succeed(url, { method: 'POST', target: `/v1/loads/${load}:close` });
  return outcome;
}

/** Runs in the engine; says how the last of `count` attempts ended. */
async function engineOutcome(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt();
    return 'ok';
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
}

async function partitions(count: number): Promise<string> {
  const { node, close } = await openTestNode(simEnv(), '/data');
  try {
    const declared = numbers(count - 1).map((i) => declareTest(node, `p${i}`));
    await Promise.all(declared);
    return await engineOutcome(() => declareTest(node, 'last'));
  } finally {
    await close();
  }
}

async function waiters(count: number): Promise<string> {
  const { node, close } = await openTestNode(simEnv(), '/data');
  await declareTest(node, 'p');
  const wait = (id: number): Promise<unknown> => {
    const select = { by: 'ids', ids: Float64Array.of(id) } as const;
    return read(node, { partition: 'p', select, fields: null, waitMs: 1_000 }, caller);
  };
  const waiting = numbers(count - 1).map((id) => wait(id).catch(() => undefined));
  const last = Promise.race([engineOutcome(() => wait(count)), settle().then(() => 'ok')]);
  const outcome = await last;
  await close();
  await Promise.all(waiting);
  return outcome;
}

/** Loads states that claim `size` bytes together, `others` of which are of another load. None of them is a state. */
async function states(size: number, { others }: { readonly others: number }): Promise<string> {
  const { node, close } = await openTestNode(simEnv(), '/data');
  const { promise: later, resolve } = Promise.withResolvers<Buffer>();
  const stage = (bytes: number, receive: () => Promise<Buffer>): Promise<string> => {
    const { load } = node.loads.open(60_000);
    return engineOutcome(() => node.loads.stage(load, 'p', { size: bytes, receive }));
  };
  const held = others === 0 ? undefined : stage(others, () => later);
  const outcome = await stage(size - others, () => Promise.resolve(Buffer.alloc(0)));
  resolve(Buffer.alloc(0));
  await held;
  await close();
  return outcome === 'load_invalid' ? 'ok' : outcome;
}

function requestIds(count: number): Promise<string> {
  const table = new RequestTable();
  const outcome = { kind: 'put', partition: 1, lsn: 1, rows: 1, commit: Promise.resolve() } as const;
  for (const i of numbers(count)) table.set(`r${i}`, outcome, false);
  return Promise.resolve(table.get('r0') === undefined ? 'forgotten' : 'ok');
}

/** By name of the limit; null where the remark above says who tries it. */
export const probes: { readonly [Name in keyof typeof limits]: readonly Probe[] | null } = {
  putBodyBytesMax: [{ beyond: 'body_too_large', step: 8, attempt: (url, n) => put(url, withTail(streamOfSize(n))) }],
  statesBytesMax: [
    { beyond: 'body_too_large', attempt: (_, n) => states(n, { others: 0 }) },
    { beyond: 'memory_full', attempt: (_, n) => states(n, { others: 1 }) },
  ],
  answerBytesMax: null,
  jsonBodyBytesMax: [
    {
      beyond: 'body_too_large',
      async attempt(url, n) {
        const request = jsonRequest('POST', `/v1/partitions/${await withRows(url)}/rows:read`, { ids: [0] });
        return ask(url, { ...request, body: Buffer.from(Buffer.from(request.body!).toString().padEnd(n)) });
      },
    },
  ],
  headBytesMax: [{ beyond: 'head_too_large', attempt: headOfSize }],
  headFieldsMax: [
    {
      beyond: 'head_too_large',
      attempt: (url, n) =>
        head(
          url,
          numbers(n - 1).map((i) => `x-${i}: y\r\n`),
        ),
    },
  ],
  targetBytesMax: [
    {
      beyond: 'target_too_long',
      attempt: async (url, n) =>
        (await ask(url, { method: 'GET', target: '/v1/'.padEnd(n, 'x') })).replace('route_unknown', 'ok'),
    },
  ],
  putRowsMax: [{ beyond: 'too_many_rows', attempt: (url, n) => put(url, streamOf(numbers(n), [scalars('a', n)])) }],
  putBatchesMax: [{ beyond: 'too_many_batches', attempt: (url, n) => put(url, batchesOf(n)) }],
  columnsMax: [
    { beyond: 'too_many_columns', attempt: (url, n) => put(url, columnsOf(n)) },
    {
      beyond: 'too_many_columns',
      attempt(url, n) {
        const fields = Object.fromEntries(numbers(n).map((i) => [`f${i}`, { layout: 'text' }]));
        return ask(url, jsonRequest('PUT', `/v1/partitions/${freshName()}`, { fields }));
      },
    },
    {
      beyond: 'json_invalid',
      async attempt(url, n) {
        const fields = numbers(n).map((i) => `f${i}`);
        return (await post(url, 'rows:read', { ids: [0], fields })).replace('field_unknown', 'ok');
      },
    },
  ],
  putsPerRowMax: [{ beyond: 'row_too_scattered', attempt: putsOfRow }],
  nestingMax: [
    {
      beyond: 'nesting_too_deep',
      attempt: async (url, n) => (await put(url, nestedIn(n))).replace('type_unsupported', 'ok'),
    },
  ],
  metadataBytesMax: [{ beyond: 'metadata_too_large', step: 8, attempt: (url, n) => put(url, metadataOf(n)) }],
  readRowsMax: [
    { beyond: 'json_invalid', attempt: async (url, n) => orMissing(await post(url, 'rows:read', { ids: numbers(n) })) },
    {
      beyond: 'json_invalid',
      attempt: (url, n) => post(url, 'rows:read', { range: { start: 0, end: 9, rows_max: n } }),
    },
    { beyond: 'json_invalid', attempt: (url, n) => post(url, 'rows:delete', { ids: numbers(n) }) },
  ],
  partitionsMax: [{ beyond: 'too_many_partitions', attempt: (_, n) => partitions(n) }],
  waitersMax: [{ beyond: 'too_many_waiters', attempt: (_, n) => waiters(n) }],
  loadsMax: [{ beyond: 'too_many_loads', attempt: loads }],
  snapshotsMax: [{ beyond: 'too_many_snapshots', attempt: (url, n) => snapshots(url, n) }],
  leaseMsMin: [
    { beyond: 'json_invalid', isMin: true, attempt: (url, n) => post(url, 'claims', claim({ lease_ms: n })) },
    { beyond: 'json_invalid', isMin: true, attempt: (url, n) => snapshots(url, 1, n) },
  ],
  leaseMsMax: [
    { beyond: 'json_invalid', attempt: (url, n) => post(url, 'claims', claim({ lease_ms: n })) },
    {
      beyond: 'json_invalid',
      attempt: (url, n) => post(url, 'claims', claim({ sampler: 'group', group: { survivors_min: 1, wait_ms: n } })),
    },
    { beyond: 'json_invalid', attempt: (url, n) => snapshots(url, 1, n) },
  ],
  requestIdsKept: [{ beyond: 'forgotten', attempt: (_, n) => requestIds(n) }],
  connectionsMax: null,
  ...queueProbes,
};

/** Names are not among the limits, but have one in their grammar. */
export const NAME_LENGTH_MAX = 128;
export const nameProbes: Readonly<Record<string, Probe>> = {
  partition: {
    beyond: 'name_invalid',
    attempt: (url, n) => ask(url, jsonRequest('PUT', `/v1/partitions/${'p'.repeat(n)}`, {})),
  },
  'declared field': {
    beyond: 'name_invalid',
    attempt: (url, n) =>
      ask(
        url,
        jsonRequest('PUT', `/v1/partitions/${freshName()}`, { fields: { ['f'.repeat(n)]: { layout: 'text' } } }),
      ),
  },
  column: { beyond: 'name_invalid', attempt: (url, n) => put(url, streamOf([0], [scalars('c'.repeat(n), 1)])) },
  task: { beyond: 'json_invalid', attempt: (url, n) => post(url, 'claims', claim({ task: 't'.repeat(n) })) },
};

/** What a probe finds wrong with a limit; an empty list is a pass. */
export async function tryLimit(
  url: string,
  { beyond, step = 1, isMin, attempt }: Probe,
  limit: number,
): Promise<string[]> {
  const inward = isMin === true ? step : -step;
  const tries: [number, string][] = [
    [limit + inward, 'ok'],
    [limit, 'ok'],
    [limit - inward, beyond],
  ];
  const problems: string[] = [];
  for (const [n, wanted] of tries) {
    const outcome = await attempt(url, n);
    if (outcome !== wanted) problems.push(`${n} of ${limit}: ${outcome} instead of ${wanted}`);
  }
  return problems;
}
