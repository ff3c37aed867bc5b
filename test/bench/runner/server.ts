/** A server for a suite to measure: a process of its own over a data directory on disk, removed when it ends. */

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../../server/main.ts', import.meta.url));
const READY_LINE = /^tq: ready at (\S+)$/m;

export interface BenchServer {
  readonly url: string;
  readonly pid: number;
  /** From the start of the process to its ready line. */
  readonly readyMs: number;
  residentBytes(): number;
  stop(): Promise<void>;
}

/**
 * Arguments of a Node that serves a directory. Environment variable TQ_BENCH_NODE_FLAGS gives it flags, such as
 * --cpu-prof.
 */
export function serverCommand(data: string, options: readonly string[]): string[] {
  const flags = process.env['TQ_BENCH_NODE_FLAGS']?.split(' ') ?? [];
  return [...flags, main, 'serve', '--data', data, '--port', '0', '--log-level', 'warn', ...options];
}

export async function startServer(options: readonly string[]): Promise<BenchServer> {
  const data = mkdtempSync(join(tmpdir(), 'tq-bench-'));
  const command = serverCommand(data, options);
  const startMs = performance.now();
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await readyUrl(child);
  return {
    url,
    pid: child.pid!,
    readyMs: performance.now() - startMs,
    residentBytes: () =>
      Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) * 1024,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      rmSync(data, { recursive: true });
    },
  };
}

export function readyUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const match = READY_LINE.exec(text);
      if (match !== null) resolve(match[1]);
    });
    child.once('exit', (code) => reject(new Error(`the server ended with status ${code} before it was ready`)));
  });
}
