/** Real servers for tests of the client: each a process of its own, with its data in a folder that goes with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll } from 'vitest';
import { connect, scalar, type Client, type Partition, type PartitionSettings } from '../../ts-sdk/index.ts';

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

export interface RealRig {
  readonly url: string;
  readonly tq: Client;
  /** A partition of its own with field `x`, in which row `id` is `id`. */
  fresh(count: number, settings?: PartitionSettings): Promise<Partition>;
}

/** What claims two rows of a fresh partition. */
export const words = { task: 't', fields: ['x'], batchSize: 2 };

/** A server and a client at it, for all tests of the file that calls this. */
export function realRig(): RealRig {
  let server: RealServer;
  let tq: Client;
  let made = 0;

  beforeAll(async () => {
    server = await startServer();
    tq = connect({ url: server.url });
  });

  afterAll(async () => {
    await tq.close();
    await server.stop();
  });

  return {
    get url() {
      return server.url;
    },
    get tq() {
      return tq;
    },
    async fresh(count, settings = {}) {
      const fields = { x: scalar('int32'), ...settings.fields };
      const rows = await tq.partition(`p${made++}`, { ...settings, fields });
      const ids = Array.from({ length: count }, (_, id) => id);
      if (count > 0) await rows.put({ x: ids }, { ids });
      return rows;
    },
  };
}
