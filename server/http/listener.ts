/**
 * The HTTP listener: accepts connections up to a limit, sweeps them for limits of time, and stops gracefully.
 *
 * Invariants: one timer serves all connections; every accepted socket is in the set until its `closed`; after `stop`
 * has resolved there is neither a connection nor a timer left.
 */
import type { Clock, Timer } from '../env/env.ts';
import type { Net, NetListener, Socket, SocketEvents, SocketRead } from '../env/socket.ts';
import { Connection } from './connection.ts';
import { zeroCounts, type ConnectionContext, type HttpCounts } from './context.ts';
import type { Handler, Refusal } from './exchange.ts';
import type { HttpLimits } from './limits.ts';
import { HeadParser } from './parser.ts';

/** Connections above the limit that are told so; more than that are closed without a word. */
const SURPLUS_CONNECTIONS_MAX = 256;

export interface HttpOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly limits: HttpLimits;
  readonly handler: Handler;
  readonly refusal: Refusal;
  readonly host: string;
  readonly port: number;
  readonly backlog?: number;
  readonly socketRead?: SocketRead;
}

export interface HttpListener {
  readonly host: string;
  readonly port: number;
  readonly socketRead: SocketRead;
  readonly counts: Readonly<HttpCounts>;
  connectionCount(): number;
  /** Stops accepting, ends idle connections at once and busy ones with their answers; after `graceMs` cuts the rest. */
  stop(graceMs: number): Promise<void>;
}

const BACKLOG = 4_096;

export async function listenHttp(options: HttpOptions): Promise<HttpListener> {
  const server = new Server(options);
  const { host, port, socketRead, backlog = BACKLOG } = options;
  const acceptFailed = (): void => void server.counts.acceptFailures++;
  const listenOptions = { host, port, backlog, socketRead, acceptFailed };
  server.open(await options.net.listen(listenOptions, (socket) => server.accept(socket)));
  return server;
}

class Server implements HttpListener, ConnectionContext {
  readonly limits: HttpLimits;
  readonly handler: Handler;
  readonly refusal: Refusal;
  readonly parser: HeadParser;
  readonly receiveBuffer: Buffer;
  readonly counts: HttpCounts = zeroCounts();
  stopping = false;
  readonly #clock: Clock;
  readonly #connections = new Set<Connection>();
  #listener: NetListener | undefined;
  #sweepTimer: Timer | undefined;
  #sweptMs = 0;
  /** The time that counts for peers: it stands still while this process does, so that a stall cuts nobody. */
  #peerMs = 0;
  readonly #stopped = Promise.withResolvers<void>();

  constructor(options: HttpOptions) {
    this.limits = options.limits;
    this.handler = options.handler;
    this.refusal = options.refusal;
    this.#clock = options.clock;
    this.parser = new HeadParser(options.limits);
    this.receiveBuffer = Buffer.allocUnsafeSlow(options.limits.receiveBytes);
  }

  open(listener: NetListener): void {
    this.#listener = listener;
  }

  get host(): string {
    return this.#listener?.host ?? '';
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get socketRead(): SocketRead {
    return this.#listener?.socketRead ?? 'data';
  }

  connectionCount(): number {
    return this.#connections.size;
  }

  accept(socket: Socket): SocketEvents {
    const connection = new Connection(socket, this);
    this.#connections.add(connection);
    this.counts.accepted++;
    const surplus = this.#connections.size - this.limits.connectionsMax;
    if (this.stopping || surplus > SURPLUS_CONNECTIONS_MAX) connection.destroy();
    else if (surplus > 0) connection.refuseConnection();
    this.#sweepTimer ??= this.#clock.after(this.limits.sweepMs, () => this.#sweep());
    return connection;
  }

  closed(connection: SocketEvents): void {
    this.#connections.delete(connection as Connection);
    this.#checkStopped();
  }

  async stop(graceMs: number): Promise<void> {
    this.stopping = true;
    this.#listener?.stopAccepting();
    for (const connection of [...this.#connections]) connection.stop();
    const grace = this.#clock.after(graceMs, () => {
      for (const connection of [...this.#connections]) connection.cut('stopping');
    });
    this.#checkStopped();
    await this.#stopped.promise;
    grace.cancel();
    this.#sweepTimer?.cancel();
    this.#sweepTimer = undefined;
  }

  #checkStopped(): void {
    if (this.stopping && this.#connections.size === 0) this.#stopped.resolve();
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    this.#peerMs += Math.min(nowMs - this.#sweptMs, 2 * this.limits.sweepMs);
    this.#sweptMs = nowMs;
    for (const connection of this.#connections) connection.sweep(this.#peerMs);
    const isNeeded = this.#connections.size > 0;
    this.#sweepTimer = isNeeded ? this.#clock.after(this.limits.sweepMs, () => this.#sweep()) : undefined;
  }
}
