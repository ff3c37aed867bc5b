/**
 * A consumer: claims, works, and ends its claims in all the ways there are; goes on until its task is drained.
 *
 *   node consumer.ts DIRECTORY TASK NUMBER LIFE
 */
import type { GrantedRow, Return } from '../../queue_checker/history.ts';
import { columnsOf, type Answer } from '../../support/http_client.ts';
import { seededRandom } from '../../support/sim/random.ts';
import { digestOf, pause, putBody, QueueClient } from './client.ts';
import { LEASE_MS, PARTITION, results, tasks, wordsOf, type Task } from './plan.ts';

const ROWS_MAX = 16;
const WAIT_MS = 400;
/** Claims between two versions. */
const STEPS_PER_VERSION = 4;

const [, , directory, name, number, life] = process.argv;
const task = name as Task;
const { fields } = tasks[task];
const { body: words, told } = wordsOf(task, Number(number));
const client = new QueueClient(directory, `${task}-${number}.${life}`);
const random = seededRandom(100_000 * Number(number) + 1_000 * task.length + Number(life));

interface Granted {
  readonly token: string;
  readonly rows: readonly GrantedRow[];
}

function readGrant({ headers, bytes }: Answer): Partial<Return> {
  const end = headers.get('tq-outcome');
  if (end === 'timed_out' || end === 'drained') return { end };
  const columns = columnsOf(bytes);
  const rows = (columns.index_id as number[]).map((id, place) => ({
    id,
    attempt: columns.tq_attempt[place] as number,
    cells: Object.fromEntries(fields.map((field) => [field, digestOf(columns[field][place] as string)])),
  }));
  return { token: headers.get('tq-claim')!, leaseMs: Number(headers.get('tq-lease-ms')), rows };
}

async function claim(): Promise<Granted | 'drained' | null> {
  const body = { task, fields, rows_max: ROWS_MAX, wait_ms: WAIT_MS, lease_ms: LEASE_MS, ...words };
  const { read } = await client.ask(
    { does: 'claim', task, request: client.nextRequest(), ...told },
    { method: 'POST', path: `/v1/partitions/${PARTITION}/claims`, body },
    readGrant,
  );
  if (read.end === 'drained') return 'drained';
  return read.rows === undefined ? null : { token: read.token!, rows: read.rows as GrantedRow[] };
}

async function end({ token }: Granted, how: 'ack' | 'release'): Promise<void> {
  const request = client.nextRequest();
  await client.ask({ does: how, task, token, request }, { method: 'POST', path: `/v1/claims/${token}:${how}` });
}

async function renew({ token }: Granted): Promise<void> {
  await client.ask(
    { does: 'renew', task, token },
    { method: 'POST', path: `/v1/claims/${token}:renew`, body: { lease_ms: LEASE_MS } },
    ({ bytes }) => ({ leaseMs: (JSON.parse(Buffer.from(bytes).toString()) as { lease_ms: number }).lease_ms }),
  );
}

/** Puts the results of a claim, as one event with its ack; only the claim that is acked can have made these bytes. */
async function putResults({ token, rows }: Granted, field: string): Promise<void> {
  const ids = rows.map(({ id }) => id);
  const values = ids.map((id) => `${field} of ${id} by ${token}`);
  const cells = ids.map((id, place) => ({ id, cells: { [field]: digestOf(values[place]) } }));
  const path = `/v1/partitions/${PARTITION}/rows?claim=${token}`;
  await client.ask(
    { does: 'put', task, token, request: client.nextRequest(), rows: cells },
    { method: 'POST', path, body: putBody(ids, { [field]: values }) },
  );
}

async function work(granted: Granted): Promise<void> {
  const chance = client.isStopping ? 1 : random();
  if (chance < 0.05) return;
  if (chance < 0.12) return end(granted, 'release');
  if (chance < 0.2) await renew(granted);
  // So late that the rows may be elsewhere by now.
  if (chance < 0.05 + 0.17) await pause(LEASE_MS * (0.7 + random()));
  const field = results[task];
  if (field === undefined) await end(granted, 'ack');
  else await putResults(granted, field);
}

async function advance(version: number): Promise<void> {
  const path = `/v1/partitions/${PARTITION}:advance`;
  await client.ask({ does: 'advance', version }, { method: 'POST', path, body: { version } });
}

for (let steps = 1; ; steps++) {
  const granted = await claim();
  if (granted === 'drained') break;
  if (granted !== null) await work(granted);
  if (task === 'train' && steps % STEPS_PER_VERSION === 0) await advance((await client.version()) + 1);
}
