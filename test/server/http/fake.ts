/** A socket and a clock that do only what a test tells them, to drive a `Connection` one event at a time. */
import type { Socket, SocketEvents } from '../../../server/env/socket.ts';
import { Connection } from '../../../server/http/connection.ts';
import { zeroCounts, type ConnectionContext } from '../../../server/http/context.ts';
import type { Handler, TransportCode } from '../../../server/http/exchange.ts';
import { httpLimits, type HttpLimits } from '../../../server/http/limits.ts';
import { HeadParser } from '../../../server/http/parser.ts';

export class FakeSocket implements Socket {
  readonly remoteAddress = '192.0.2.1';
  readonly sent: Buffer[] = [];
  isPaused = false;
  isFinished = false;
  isDestroyed = false;
  abandonCount = 0;
  /** While true, `settle` leaves what was written unsent. */
  isStalled = false;
  #events: SocketEvents | undefined;
  #unsent = 0;
  /** What a real socket would have told the system: asked after each read. */
  #target: Uint8Array = new Uint8Array(0);

  attach(events: SocketEvents): void {
    this.#events = events;
    this.#target = events.buffer();
  }

  get #owner(): SocketEvents {
    if (this.#events === undefined) throw new Error('nobody owns this socket');
    return this.#events;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  write(parts: readonly Uint8Array[]): void {
    if (this.isFinished) throw new Error('written after finish');
    this.sent.push(...parts.map((part) => Buffer.from(part)));
    this.#unsent += parts.reduce((size, part) => size + part.length, 0);
  }

  writeOne(part: Uint8Array): void {
    this.write([part]);
  }

  unsentBytes(): number {
    return this.#unsent;
  }

  abandonBuffer(): void {
    this.abandonCount++;
    this.#target = this.#owner.buffer();
  }

  finish(): void {
    this.isFinished = true;
  }

  destroy(): void {
    this.isDestroyed = true;
  }

  get sentText(): string {
    return Buffer.concat(this.sent).toString('latin1');
  }

  /** The system takes `size` of the bytes that are unsent. */
  take(size: number): void {
    this.#unsent -= size;
  }

  /** Flushes and closes until nothing is left to tell. */
  settle(): void {
    while (this.#unsent > 0 && !this.isStalled && !this.isDestroyed) {
      this.#unsent = 0;
      this.#owner.flushed();
    }
    if (this.isDestroyed && this.#events !== undefined) {
      const events = this.#events;
      this.#events = undefined;
      events.closed();
    }
  }

  /** Delivers bytes as reads of at most `readSize`; stops where reading is paused and returns the number delivered. */
  deliver(bytes: Uint8Array | string, readSize = Infinity): number {
    const all = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    let done = 0;
    while (done < all.length && !this.isPaused && !this.isDestroyed) {
      const size = Math.min(readSize, all.length - done, this.#target.length);
      this.#target.set(all.subarray(done, done + size));
      this.#owner.received(this.#target, size);
      this.#target = this.#owner.buffer();
      done += size;
      this.settle();
    }
    return done;
  }

  end(): void {
    this.#owner.ended();
    this.settle();
  }
}

export interface Harness {
  readonly socket: FakeSocket;
  readonly connection: Connection;
  readonly context: ConnectionContext;
  readonly refusals: TransportCode[];
  isClosed(): boolean;
}

/** A connection over a fake socket; refusals are answered with status 400 and their code as text. */
export function harness(handler: Handler, limits: Partial<HttpLimits> = {}): Harness {
  const all = { ...httpLimits, ...limits };
  const refusals: TransportCode[] = [];
  let isClosed = false;
  const context: ConnectionContext = {
    limits: all,
    handler,
    refusal(code) {
      refusals.push(code);
      return { status: 400, body: Buffer.from(code, 'latin1') };
    },
    parser: new HeadParser(all),
    receiveBuffer: Buffer.alloc(all.receiveBytes),
    counts: zeroCounts(),
    stopping: false,
    closed: () => (isClosed = true),
  };
  const socket = new FakeSocket();
  const connection = new Connection(socket, context);
  socket.attach(connection);
  return { socket, connection, context, refusals, isClosed: () => isClosed };
}
