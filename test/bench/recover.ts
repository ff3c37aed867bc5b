/**
 * Suite `recover`: how long a start takes. After a checkpoint, with many rows; out of the journal, event by event; and
 * as a process that was killed with data behind its last checkpoint, until it answers a read.
 *
 * Each start has a process of its own, as in life: nothing is compiled yet, and no heap of an earlier start is there.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeBatch } from '../../core/arrow/index.ts';
import { mediaTypes } from '../../core/protocol.ts';
import { loadCore } from '../../core/wasm.ts';
import { endClaim } from '../../server/engine/claims.ts';
import { claimOf, declareTest, putBody } from '../support/node.ts';
import { timeMs } from './runner/measure.ts';
import { openDirectory, openElsewhere, type Opening } from './runner/open.ts';
import { readyUrl, serverCommand } from './runner/server.ts';
import type { BenchContext } from './runner/suite.ts';

const ROWS_PER_PUT = 1_000;
const ROUNDS = 5;

export async function run(context: BenchContext): Promise<void> {
  await benchCheckpoint(context);
  await benchJournal(context);
  await benchKilled(context);
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'tq-bench-'));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A body of scalars: row `first + i` has the value `first + i`. */
function scalars(first: number, rows: number): Buffer {
  const ids = Float64Array.from({ length: rows }, (_, i) => first + i);
  const values = new Uint8Array(Float32Array.from(ids).buffer);
  return Buffer.concat(encodeBatch(ids, [{ name: 'x', layout: { layout: 'scalar', dtype: 'float32' }, values }]));
}

async function benchCheckpoint({ quick, report }: BenchContext): Promise<void> {
  const rows = quick ? 200_000 : 1_000_000;
  await withDirectory(async (directory) => {
    const opened = await openDirectory(directory);
    await declareTest(opened.node, 'p');
    for (let first = 0; first < rows; first += ROWS_PER_PUT)
      await putBody(opened.node, 'p', scalars(first, ROWS_PER_PUT));
    await opened.node.checkpoints.run();
    await opened.close();
    const ours: number[] = [];
    const peer: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const opening = await openElsewhere(directory);
      checkRows(opening, rows);
      ours.push(opening.ms);
      peer.push(await timeMs(() => readAll(join(directory, 'tree'))));
    }
    const peerName = 'reading the files of the tree';
    const measured = { metric: 'time', unit: 'ms', better: 'lower', ours, peer, peerName } as const;
    report({ case: `start after a checkpoint, ${rows} rows`, ...measured });
  });
}

function checkRows({ rows }: Opening, wanted: number): void {
  if (rows !== wanted) throw new Error(`${rows} of ${wanted} rows are there after the start`);
}

/** Puts of one row, and claims and acks of eight rows: what a journal of small samples is made of. */
async function benchJournal({ quick, report }: BenchContext): Promise<void> {
  const puts = quick ? 40_000 : 400_000;
  await withDirectory(async (directory) => {
    const opened = await openDirectory(directory);
    const { node } = opened;
    await declareTest(node, 'p');
    for (let first = 0; first < puts; first += 64) {
      await Promise.all(Array.from({ length: 64 }, (_, i) => putBody(node, 'p', scalars(first + i, 1))));
      for (let taken = 0; taken < 64; taken += 8) {
        const claim = await claimOf(node, 'p', { fields: ['x'], rowsMax: 8 });
        if (claim.kind !== 'claimed') throw new Error('rows that were put are not ready');
        claim.located.close();
        await endClaim(node, claim.token, 'ack', '');
      }
    }
    await opened.close();
    const ours: number[] = [];
    const peer: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const opening = await openElsewhere(directory);
      checkRows(opening, Math.ceil(puts / 64) * 64);
      ours.push(opening.events / (opening.ms / 1000));
      const readMs = await timeMs(() => hashAll(join(directory, 'journal')));
      peer.push(opening.events / (readMs / 1000));
    }
    const peerName = 'reading and hashing the journal';
    const measured = { metric: 'events', unit: '1/s', better: 'higher', ours, peer, peerName } as const;
    report({ case: `journal of ${puts} puts of a row, claims, acks`, ...measured });
  });
}

function readAll(directory: string): Buffer[] {
  return readdirSync(directory).map((name) => readFileSync(join(directory, name)));
}

function hashAll(directory: string): void {
  const core = loadCore();
  for (const bytes of readAll(directory)) core.xxh64(bytes);
}

const PUT_SIZE = 16 << 20;
const GIB = 2 ** 30;

/** A killed process, with this much put since it began: until a new one answers a read of the last row. */
async function benchKilled({ quick, report }: BenchContext): Promise<void> {
  for (const gib of quick ? [0.5] : [1, 4]) {
    await withDirectory(async (directory) => {
      const puts = Math.round((gib * GIB) / PUT_SIZE);
      const ours: number[] = [];
      const peer: number[] = [];
      await killAfterPuts(directory, puts);
      for (let round = 0; round < ROUNDS; round++) {
        ours.push((await timeMs(() => readAndKill(directory, puts - 1))) / 1000 / gib);
        peer.push((await timeMs(() => readSegments(directory))) / 1000 / gib);
      }
      const peerName = 'reading the segments';
      const measured = { metric: 'time per GiB', unit: 's', better: 'lower', ours, peer, peerName } as const;
      report({ case: `kill -9 after ${gib} GiB, to the first read`, ...measured });
    });
  }
}

async function killAfterPuts(directory: string, puts: number): Promise<void> {
  const child = spawn(process.execPath, serverCommand(directory, ['--memory', '512MiB']), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const target = `${await readyUrl(child)}/v1/partitions/p`;
  await fetch(target, { method: 'PUT', headers: { 'content-type': mediaTypes.json }, body: '{}' });
  for (let id = 0; id < puts; id++) {
    const headers = { 'content-type': mediaTypes.arrow };
    const answer = await fetch(`${target}/rows`, { method: 'POST', headers, body: new Uint8Array(bigRow(id)) });
    if (!answer.ok) throw new Error(await answer.text());
  }
  await killed(child);
}

function bigRow(id: number): Buffer {
  const shape = [PUT_SIZE / 4];
  const values = Buffer.alloc(PUT_SIZE);
  values.writeUInt32LE(id, PUT_SIZE - 4);
  return Buffer.concat(
    encodeBatch(Float64Array.of(id), [{ name: 'x', layout: { layout: 'dense', dtype: 'uint32', shape }, values }]),
  );
}

async function readAndKill(directory: string, id: number): Promise<void> {
  const child = spawn(process.execPath, serverCommand(directory, ['--memory', '512MiB']), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await readyUrl(child);
  const answer = await fetch(`${url}/v1/partitions/p/rows/${id}/x`, { headers: { accept: mediaTypes.raw } });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (bytes.length !== PUT_SIZE || bytes.readUInt32LE(PUT_SIZE - 4) !== id)
    throw new Error('the row that came back is wrong');
  await killed(child);
}

async function killed(child: ReturnType<typeof spawn>): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** A piece at a time: what a check of all bytes would have to do at least. */
function readSegments(directory: string): void {
  for (const name of readdirSync(join(directory, 'segments'))) {
    const path = join(directory, 'segments', name);
    if (statSync(path).size > 0) readFileSync(path);
  }
}
