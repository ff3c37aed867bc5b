/**
 * The shared fault script, test/vectors/faults.json, which says what its words mean; the Python SDK runs the same
 * cases.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { Client } from '../../ts-sdk/client.ts';
import { TransferQueueError } from '../../ts-sdk/index.ts';
import { TestRuntime } from './support.ts';

interface ScriptAnswer {
  readonly do: 'answer' | 'close' | 'hang' | 'cut' | 'trickle' | 'raw' | 'refuse';
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly json?: object;
  readonly text?: string;
  readonly body?: string;
  readonly sent_bytes?: number;
  readonly pause_ms?: number;
}

interface Case {
  readonly name: string;
  readonly call: 'put' | 'get' | 'claim' | 'snapshot' | 'get_at';
  readonly answers: readonly ScriptAnswer[];
  readonly expect: string;
  readonly attempts: number;
  readonly pauses_ms: readonly (readonly [number, number])[];
  readonly warm?: boolean;
  readonly new_request_id?: boolean;
  readonly timeout_ms?: number;
  readonly rows?: number;
}

interface Script {
  readonly policy: {
    attempts_max: number;
    backoff_ms: [number, number];
    backoff_factor: number;
    backoff_ms_max: number;
  };
  readonly background: Record<string, object>;
  readonly bodies: Record<string, string>;
  readonly cases: readonly Case[];
}

const script = JSON.parse(readFileSync(new URL('../vectors/faults.json', import.meta.url), 'utf8')) as Script;
const retry = {
  attemptsMax: script.policy.attempts_max,
  backoffMs: script.policy.backoff_ms,
  backoffFactor: script.policy.backoff_factor,
  backoffMsMax: script.policy.backoff_ms_max,
};
const defaultLimits = Object.fromEntries(
  Object.entries(limits).map(([key, value]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
);

/** A server that follows the answers of one case. */
class ScriptedServer {
  readonly requestIds: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #answers: readonly ScriptAnswer[];
  readonly #closesAfterFirst: boolean;

  constructor({ answers, warm = false }: Case) {
    this.#answers = answers;
    this.#closesAfterFirst = warm;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => this.sockets.delete(socket));
    let bytes = Buffer.alloc(0);
    let isRefused = false;
    socket.on('data', (chunk: Buffer) => {
      if (isRefused) return;
      bytes = Buffer.concat([bytes, chunk]);
      const headSize = bytes.indexOf('\r\n\r\n') + 4;
      if (headSize < 4) return;
      const head = bytes.subarray(0, headSize).toString('latin1');
      const size = headSize + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const background = script.background[head.split(' ', 2).join(' ')];
      const answer = background === undefined ? this.#planned() : undefined;
      if (answer?.do === 'refuse') {
        isRefused = true;
        this.#note(head);
        socket.end(rendered(answer));
        return;
      }
      if (bytes.length < size) return;
      bytes = bytes.subarray(size);
      if (answer === undefined) {
        const json = head.includes('/v1/limits') ? defaultLimits : background;
        socket.write(rendered({ do: 'answer', status: 200, json }));
      } else {
        this.#note(head);
        this.#play(socket, answer);
      }
    });
  }

  #planned(): ScriptAnswer {
    return this.#answers[Math.min(this.requestIds.length, this.#answers.length - 1)];
  }

  #note(head: string): void {
    this.requestIds.push(/tq-request-id: (\S+)/i.exec(head)?.[1] ?? '');
  }

  #play(socket: Socket, answer: ScriptAnswer): void {
    switch (answer.do) {
      case 'close':
        return void socket.destroy();
      case 'hang':
        return;
      case 'cut':
        return void socket.end(rendered(answer).subarray(0, answer.sent_bytes));
      case 'raw':
        return void socket.end(answer.text ?? '');
      case 'trickle':
        return trickle(socket, rendered(answer), answer.pause_ms!);
      default:
        socket.write(rendered(answer));
        if (this.#closesAfterFirst && this.requestIds.length === 1) for (const kept of this.sockets) kept.end();
    }
  }
}

function trickle(socket: Socket, bytes: Buffer, pauseMs: number): void {
  let at = 0;
  const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), pauseMs);
  socket.on('close', () => clearInterval(timer));
}

function rendered({ status, headers = {}, json, text, body }: ScriptAnswer): Buffer {
  const content =
    body !== undefined ? Buffer.from(script.bodies[body], 'hex') : Buffer.from(text ?? JSON.stringify(json ?? {}));
  const all = { 'content-type': 'application/json', ...headers, 'content-length': String(content.length) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Status\r\n${lines.join('')}\r\n`), content]);
}

async function call(tq: Client, { call: kind, rows = 1 }: Case): Promise<void> {
  const partition = await tq.partition('p');
  if (kind === 'put') {
    const ids = rows === 1 ? [7] : Array.from({ length: rows }, (_, id) => id);
    const result = await partition.put({ x: new Float32Array(rows).fill(1.5) }, { ids });
    expect(result).toMatchObject({ lsn: 5, lsns: [5] });
  } else if (kind === 'snapshot') {
    const { lsn, leaseMs } = await tq.snapshot({ leaseMs: 30_000 });
    expect([lsn, leaseMs]).toEqual([5, 30_000]);
  } else if (kind === 'get' || kind === 'get_at') {
    const batch = await partition.get([7], { fields: ['x'], ...(kind === 'get_at' && { lsn: 5 }) });
    expect([batch.ids, batch.column('x').row(0), batch.lsn]).toEqual([[7], 1.5, 5]);
  } else {
    const result = await partition.claim({ task: 't', fields: ['x'], batchSize: 1, leaseMs: 30_000 });
    if (result.outcome !== 'rows') throw new Error(result.outcome);
    expect([result.batch.ids, result.batch.token, [...result.batch.attempts]]).toEqual([[7], 'c1', [1]]);
  }
}

describe('fault script', () => {
  let server: ScriptedServer | undefined;
  afterEach(() => server?.stop());

  it.each(script.cases.map((item) => [item.name, item] as const))('%s', async (_, item) => {
    server = new ScriptedServer(item);
    const runtime = new TestRuntime();
    const tq = new Client({ url: await server.start(), retry, timeoutMs: item.timeout_ms ?? 30_000 }, runtime);
    if (item.warm === true) {
      await call(tq, item);
      while (server.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const outcome = await call(tq, item).then(
      () => 'ok',
      (error: unknown) => (error instanceof TransferQueueError ? error.code : Promise.reject(error as Error)),
    );
    expect(outcome).toBe(item.expect);
    expect(server.requestIds.length).toBe(item.attempts);
    expect(runtime.pausesMs.length).toBe(item.pauses_ms.length);
    for (const [index, [least, most]] of item.pauses_ms.entries()) {
      expect(runtime.pausesMs[index]).toBeGreaterThanOrEqual(least);
      expect(runtime.pausesMs[index]).toBeLessThanOrEqual(most);
    }
    const isNew = item.warm === true || item.new_request_id === true;
    expect(new Set(server.requestIds).size).toBe(isNew ? item.attempts : 1);
    await tq.close();
    while (server.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap')).toEqual([]);
  });
});
