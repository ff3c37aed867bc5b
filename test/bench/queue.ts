/**
 * Suite `queue`: claims and acks with data and updates of tags, by the TypeScript client; what a claim costs when much
 * is consumed already, and of each sampler (queue_draws.ts); the sleep of a parked claim (wire_wake.py), and the memory
 * of a row.
 *
 * Every claim is checked: no row may come twice, none may be missing, each has its own cells.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { loadCore, PAGE_SIZE, type Core } from '../../core/wasm.ts';
import { machine, type PartitionQueue } from '../../server/queue/machine.ts';
import { createBitmaps } from '../../server/queue/wasm_bitmaps.ts';
import { connect, dense, scalar, type ClaimedBatch, type Client, type Partition } from '../../ts-sdk/index.ts';
import { benchDraws } from './queue_draws.ts';
import { alternate } from './runner/measure.ts';
import { benchPython } from './runner/python.ts';
import { startServer, type BenchServer } from './runner/server.ts';
import type { BenchContext } from './runner/suite.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const ROWS = 64;
const CONNECTIONS = 4;
const BARE = 'bare node:net, fixed bytes';

/** The environment variable names one case: cycles, consumed, draws, tags, wake_up or memory. */
const only = process.env['TQ_BENCH_ONLY'] ?? '';

export async function run(context: BenchContext): Promise<void> {
  const server = await startServer(['--memory', '1024MiB']);
  try {
    if ('cycles'.includes(only)) await benchCycles(server, context);
    if ('tags'.includes(only)) await benchTags(server, context);
    if ('wake_up'.includes(only)) await benchPython(server, context, { suite: 'queue' });
  } finally {
    await server.stop();
  }
  if ('consumed'.includes(only)) benchConsumed(context);
  if ('draws'.includes(only)) benchDraws(context);
  if ('memory'.includes(only)) benchMemory(context);
}

/** Five small fields: a prompt's and a response's tokens, log-probs, a reward and a version. */
const fields = {
  prompt: dense('float32', [16]),
  response: dense('float32', [16]),
  logp: dense('float32', [16]),
  reward: scalar('float32'),
  version: scalar('float32'),
};
const FIELDS = Object.keys(fields);

async function filled(tq: Client, name: string, rows: number): Promise<Partition> {
  const partition = await tq.partition(name, { fields });
  const PUT_ROWS = 4_096;
  for (let first = 0; first < rows; first += PUT_ROWS) {
    const ids = Array.from({ length: Math.min(PUT_ROWS, rows - first) }, (_, i) => first + i);
    const reward = Float32Array.from(ids);
    const prompt = new Float32Array(16 * ids.length).fill(first);
    await partition.put({ prompt, response: prompt, logp: prompt, reward, version: reward }, { ids });
  }
  return partition;
}

/** Claims of 64 rows with their data, each acked: by several consumers over as many connections of one client. */
async function benchCycles(server: BenchServer, { quick, report }: BenchContext): Promise<void> {
  const cycles = quick ? 1_000 : 4_000;
  const rounds = 5;
  const warmUpRounds = 1;
  await using tq = connect({ url: server.url, connectionsMax: CONNECTIONS });
  const rows = cycles * ROWS * (rounds + warmUpRounds);
  const partition = await filled(tq, 'cycles', rows + ROWS);
  const claims = new Uint8Array(rows + ROWS);
  const cycle = async (): Promise<ClaimedBatch> => {
    const claim = await partition.claim({ task: 't', fields: FIELDS, batchSize: ROWS });
    if (claim.outcome !== 'rows') throw new Error(`no rows: ${claim.outcome}`);
    const { batch } = claim;
    const rewards = batch.column('reward').values;
    for (let row = 0; row < ROWS; row++) {
      const id = batch.ids[row];
      if (rewards[row] !== id) throw new Error(`row ${id} has the cell of another one`);
      claims[id]++;
    }
    await batch.ack();
    return batch;
  };
  const perSecond = async (one: () => Promise<unknown>): Promise<number> => {
    const startMs = performance.now();
    const consume = async (): Promise<void> => {
      for (let i = 0; i < cycles / CONNECTIONS; i++) await one();
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, consume));
    return (cycles * 1_000) / (performance.now() - startMs);
  };
  const bare = await startBare((await cycle()).bytes.length);
  const bareCycle = async (): Promise<void> => {
    for (let call = 0; call < 2; call++) await (await bare.pool.request({ method: 'GET', path: '/' })).body.dump();
  };
  const values = await alternate({
    rounds,
    warmUpRounds,
    ours: () => perSecond(cycle),
    peer: () => perSecond(bareCycle),
  });
  bare.stop();
  const wrong = claims.findIndex((count) => count !== 1);
  if (wrong !== -1) throw new Error(`row ${wrong} came ${claims[wrong]} times`);
  const rate = { metric: 'cycles', unit: '1/s', better: 'higher', peerName: BARE } as const;
  report({ case: `claim and ack of ${ROWS} rows x 5 fields, ${CONNECTIONS} connections`, ...rate, ...values });
}

async function startBare(size: number): Promise<{ pool: Pool; stop(): void }> {
  const child = spawn(process.execPath, [`${root}test/bench/runner/bare_http.ts`, String(size)]);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const pool = new Pool(line.toString().trim(), { connections: CONNECTIONS });
  return { pool, stop: () => void pool.close().then(() => child.kill()) };
}

/** Requests of 1,000 rows, each with a patch of its own. */
async function benchTags(server: BenchServer, { quick, report }: BenchContext): Promise<void> {
  const TAGGED = 1_000;
  const requests = quick ? 20 : 100;
  await using tq = connect({ url: server.url, connectionsMax: CONNECTIONS });
  const partition = await filled(tq, 'tags', TAGGED * CONNECTIONS);
  const ours: number[] = [];
  for (let round = 0; round < 5; round++) {
    const startMs = performance.now();
    const tag = async (_: unknown, connection: number): Promise<void> => {
      const ids = Array.from({ length: TAGGED }, (_, i) => connection * TAGGED + i);
      for (let request = 0; request < requests; request++) {
        const status = request % 2 === 0 ? 'running' : 'finished';
        await partition.tag(
          ids,
          ids.map((id) => ({ status, step: id + request })),
        );
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, tag));
    ours.push((TAGGED * requests * CONNECTIONS * 1_000) / (performance.now() - startMs));
  }
  const { ids } = await partition.list({ where: 'status == "finished"' });
  if (ids.length !== TAGGED * CONNECTIONS) throw new Error(`${ids.length} rows are finished`);
  report({ case: `tags of ${TAGGED} rows a request`, metric: 'updates', unit: '1/s', better: 'higher', ours });
}

const INSERT_ROWS = 4_096;

function queueOf(core: Core, rows: number): PartitionQueue {
  const queue = machine.create({ partition: 1, groupSize: 1, bitmaps: createBitmaps(core) });
  const fields = FIELDS.map((_, field) => field);
  for (let first = 0; first < rows; first += INSERT_ROWS) {
    const ids = Float64Array.from({ length: Math.min(INSERT_ROWS, rows - first) }, (_, i) => first + i);
    machine.applyInsert(queue, { ids, fields });
  }
  return queue;
}

let claimNext = 1;

/** Decides and applies claims and acks of so many rows; returns microseconds a claim, decided and applied. */
function consume(queue: PartitionQueue, task: string, rows: number, rowsMax: number): number {
  const command = { task, fields: [0], rowsMax, rowsMin: 1, leaseMs: 1_000, autoAck: false, requestId: '' };
  let ms = 0;
  for (let taken = 0; taken < rows; taken += rowsMax) {
    const startMs = performance.now();
    const decision = machine.decideClaim(queue, { ...command, sampler: 'fifo' });
    if (decision.kind !== 'grant') throw new Error(`no rows: ${decision.kind}`);
    const claim = claimNext++;
    const { ids, attempts } = decision;
    const event = { type: 'claim', partition: 1, epoch: 1, claim, ids, attempts, ...command } as const;
    machine.applyClaim(queue, event, 0);
    ms += performance.now() - startMs;
    machine.applyAck(queue, { type: 'ack', partition: 1, claim, requestId: '' });
  }
  return (ms * 1_000 * rowsMax) / rows;
}

/** The state machine alone: the first claims against those behind a million rows that the task consumed. */
function benchConsumed({ quick, report }: BenchContext): void {
  const rows = quick ? 200_000 : 1_000_000;
  const measured = 128 * ROWS;
  const core = loadCore();
  const ours: number[] = [];
  const peer: number[] = [];
  for (let round = -1; round < 5; round++) {
    const queue = queueOf(core, rows + 2 * measured);
    const before = consume(queue, 't', measured, ROWS);
    consume(queue, 't', rows, 8_000);
    const after = consume(queue, 't', measured, ROWS);
    machine.drop(queue);
    if (round < 0) continue;
    peer.push(before);
    ours.push(after);
  }
  const cost = { metric: 'time', unit: 'us/claim', better: 'lower', peerName: 'the first claims' } as const;
  report({ case: `claim of ${ROWS} rows behind ${rows} consumed ones`, ...cost, ours, peer });
}

/** Of a row with five fields that three tasks consumed half of: heap, buffers and bitmaps. */
function benchMemory({ quick, report }: BenchContext): void {
  const rows = quick ? 250_000 : 1_000_000;
  const core = loadCore();
  const collect = globalThis.gc!;
  collect();
  const before = process.memoryUsage();
  const queue = queueOf(core, rows);
  for (const task of ['a', 'b', 'c']) consume(queue, task, rows / 2, 1_000);
  collect();
  const after = process.memoryUsage();
  const bitmaps = core.bitmaps.pagesUsed * PAGE_SIZE;
  const held = after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers + bitmaps;
  if (queue.slots.rows !== rows) throw new Error('rows are missing');
  const measured = { metric: 'memory', unit: 'B/row', better: 'lower', ours: [held / rows] } as const;
  report({ case: `row of 5 fields, half consumed by 3 tasks, of ${rows}`, ...measured });
}
