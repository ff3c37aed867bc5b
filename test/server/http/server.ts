/** Real listeners on free ports, and raw clients, for the tests of this folder. */
import { connect, type Socket as NodeSocket } from 'node:net';
import { errors } from '@transfer-queue/core/protocol';
import type { Clock } from '../../../server/env/env.ts';
import { realNet } from '../../../server/env/net.ts';
import type { SocketRead } from '../../../server/env/socket.ts';
import type { Handler, Refusal } from '../../../server/http/exchange.ts';
import { httpLimits, type HttpLimits } from '../../../server/http/limits.ts';
import { listenHttp, type HttpListener } from '../../../server/http/listener.ts';

export const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (action) => void setImmediate(action),
};

export const refusal: Refusal = (code, details) => {
  const { kind, status, message } = errors[code];
  return { status, body: Buffer.from(JSON.stringify({ code, kind, message, details })) };
};

export interface StartOptions {
  readonly handler: Handler;
  readonly socketRead?: SocketRead;
  readonly limits?: Partial<HttpLimits>;
}

export function start({ handler, socketRead, limits = {} }: StartOptions): Promise<HttpListener> {
  const all = { ...httpLimits, ...limits };
  return listenHttp({ net: realNet, clock, limits: all, handler, refusal, host: '127.0.0.1', port: 0, socketRead });
}

/** A client that sends bytes and keeps everything that comes back. */
export class RawClient {
  readonly socket: NodeSocket;
  readonly #chunks: Buffer[] = [];
  readonly closed: Promise<void>;
  #waiting: (() => void)[] = [];

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('end', () => this.socket.end());
    this.closed = new Promise((resolve) =>
      this.socket.on('close', () => {
        resolve();
        this.#wake();
      }),
    );
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Resolves when the condition holds for what has come, or when the connection is closed. */
  async until(holds: (text: string) => boolean): Promise<void> {
    while (!holds(this.text) && !this.socket.closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

/** Sends bytes on a connection of their own; resolves to all that comes back until the server closes it. */
export async function exchangeRaw(port: number, bytes: string | Uint8Array): Promise<string> {
  const client = new RawClient(port);
  client.send(bytes);
  await client.closed;
  return client.text;
}

export function countOf(text: string, part: string): number {
  return text.split(part).length - 1;
}
