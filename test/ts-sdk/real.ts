/** A real server for tests of the client: a process of its own, with its data in a folder that goes with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface RealServer {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startServer(): Promise<RealServer> {
  const data = mkdtempSync(join(tmpdir(), 'tq-sdk-'));
  const main = new URL('../../server/main.ts', import.meta.url).pathname;
  const settings = ['--data', data, '--port', '0', '--memory', '256MiB', '--log-level', 'warn'];
  const server = spawn(process.execPath, [main, 'serve', ...settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async (): Promise<void> => {
    const isRunning = server.exitCode === null && server.signalCode === null;
    if (isRunning && server.kill('SIGTERM')) await once(server, 'exit');
    rmSync(data, { recursive: true, force: true });
  };
  for await (const line of createInterface({ input: server.stdout })) {
    const url = /^tq: ready at (http\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    server.stdout.resume();
    return { url, stop };
  }
  await stop();
  throw new Error('the server ended before it was ready');
}
