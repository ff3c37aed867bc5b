/**
 * Suite `wire`: what a put, a get and a claim cost over a loopback socket, against a bare socket pair (wire_bench.py),
 * and how the server starts, idles and answers small gets.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { encodeBatch } from '../../core/arrow/index.ts';
import { mediaTypes } from '../../core/protocol.ts';
import { alternate } from './runner/measure.ts';
import { benchPython } from './runner/python.ts';
import { startServer, type BenchServer } from './runner/server.ts';
import type { BenchContext } from './runner/suite.ts';

const MEMORY_MIB = 2048;
const IDLE_MEMORY_MIB = 64;
const VALUES_PER_CELL = 256;
const root = fileURLToPath(new URL('../..', import.meta.url));

/** The environment variable names one case: a function of wire_bench.py, `process` or `small_gets`. */
const only = process.env['TQ_BENCH_ONLY'] ?? '';

export async function run(context: BenchContext): Promise<void> {
  if ('process'.includes(only)) await benchProcess(context);
  const server = await startServer(['--memory', `${MEMORY_MIB}MiB`]);
  try {
    // The pages of the arena are touched in the background.
    await sleep(2_000);
    if ('small_gets'.includes(only)) await benchSmallGets(server, context);
    await benchPython(server, context, { suite: 'wire', only });
  } finally {
    await server.stop();
  }
}

/** Time to ready, and what an idle server holds besides its arena. */
async function benchProcess({ report }: BenchContext): Promise<void> {
  const readyMs: number[] = [];
  const residentMiB: number[] = [];
  for (let round = 0; round < 5; round++) {
    const server = await startServer(['--memory', `${IDLE_MEMORY_MIB}MiB`]);
    readyMs.push(server.readyMs);
    await sleep(500);
    residentMiB.push(server.residentBytes() / 2 ** 20 - IDLE_MEMORY_MIB);
    await server.stop();
  }
  const lower = { better: 'lower' } as const;
  report({ case: 'start to ready', metric: 'time', unit: 'ms', ...lower, ours: readyMs });
  report({ case: 'idle server, less its arena', metric: 'resident', unit: 'MiB', ...lower, ours: residentMiB });
}

/** One cell of 1 KiB, over and over, through wrk where it is installed. */
async function benchSmallGets(server: BenchServer, { quick, report }: BenchContext): Promise<void> {
  if (!existsSync('/usr/bin/wrk')) return console.log('wrk is not installed: no small gets');
  const cell = await putCell(server.url);
  const bare = spawn(process.execPath, [`${root}test/bench/runner/bare_http.ts`, String(cell.length)]);
  const [line] = (await once(bare.stdout, 'data')) as [Buffer];
  const bareUrl = line.toString().trim();
  const seconds = quick ? 2 : 5;
  const rounds = { rounds: 5, peer: () => requestsPerSecond(bareUrl, seconds, '*/*') };
  const rate = { metric: 'rate', unit: '1/s', better: 'higher', peerName: 'bare node:net, fixed bytes' } as const;
  for (const [name, accept] of Object.entries({ Arrow: mediaTypes.arrow, 'raw bytes': mediaTypes.raw })) {
    const values = await alternate({ ...rounds, ours: () => requestsPerSecond(cell.url, seconds, accept) });
    report({ case: `get of a 1 KiB cell as ${name}, 32 connections`, ...rate, ...values });
  }
  bare.kill();
  const answer = await fetch(cell.url, { headers: { accept: mediaTypes.raw } });
  const same = Buffer.from(await answer.arrayBuffer()).equals(Buffer.from(cell.values.buffer));
  if (!same) throw new Error('the cell that came back is wrong');
}

async function putCell(url: string): Promise<{ url: string; values: Float32Array; length: number }> {
  const values = Float32Array.from({ length: VALUES_PER_CELL }, () => Math.random());
  const layout = { layout: 'dense', dtype: 'float32', shape: [VALUES_PER_CELL] } as const;
  const target = `${url}/v1/partitions/cells`;
  const json = { 'content-type': mediaTypes.json };
  await fetch(target, { method: 'PUT', headers: json, body: JSON.stringify({ fields: { x: layout } }) });
  const body = Buffer.concat(
    encodeBatch(Float64Array.of(7), [{ name: 'x', layout, values: new Uint8Array(values.buffer) }]),
  );
  const put = await fetch(`${target}/rows`, { method: 'POST', headers: { 'content-type': mediaTypes.arrow }, body });
  if (!put.ok) throw new Error(await put.text());
  return { url: `${target}/rows/7/x`, values, length: values.byteLength };
}

function requestsPerSecond(url: string, seconds: number, accept: string): number {
  const options = ['-t1', '-c32', `-d${seconds}s`, '-H', `Accept: ${accept}`, url];
  const text = execFileSync('wrk', options, { encoding: 'utf8' });
  if (text.includes('Non-2xx')) throw new Error(text);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)![1]);
}
