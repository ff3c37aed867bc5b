/**
 * The real network: TCP from `node:net`, behind the seam of socket.ts.
 *
 * Two ways to read. `onread`: the kernel reads straight into the memory that `SocketEvents.buffer` names (2 to 3 times
 * less CPU for large bodies). Node offers this only to sockets that it is asked to construct, not to accepted ones, so
 * the handle of the accepted socket is moved into a second one; that uses three undocumented names (`_handle`, the
 * `handle` option, `useUserBuffer`). `data`: 'data' events and one copy, all documented. `listen` checks the first way
 * over a loopback connection and falls back to the second when Node has changed.
 */
import * as nodeNet from 'node:net';
import type { ListenOptions, Net, NetListener, Socket, SocketEvents, SocketRead } from './socket.ts';

export type { ListenOptions, Net, NetListener, Socket, SocketEvents, SocketRead } from './socket.ts';

const KEEP_ALIVE_PROBE_MS = 30_000;
const CHECK_MS_MAX = 2_000;
const CHECK_TEXT = 'takeover';

const serverOptions: nodeNet.ServerOpts = {
  allowHalfOpen: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
  noDelay: true,
  pauseOnConnect: true,
};

/** The part of libuv's TCP handle that is used here. */
interface Handle {
  readonly writeQueueSize: number;
  useUserBuffer(buffer: Uint8Array): void;
}

interface WithHandle {
  _handle: Handle | null;
}

type Accept = (socket: Socket) => SocketEvents;

export const realNet: Net = {
  async listen(options, accept) {
    const socketRead = options.socketRead ?? ((await takeoverWorks()) ? 'onread' : 'data');
    const server = serverOf(socketRead, accept);
    await bind(server, options);
    return listenerOf(server, socketRead);
  },
};

function serverOf(socketRead: SocketRead, accept: Accept): nodeNet.Server {
  const open = socketRead === 'onread' ? openByTakeover : openByData;
  return nodeNet.createServer(serverOptions, (accepted) => open(accepted, accept));
}

function bind(server: nodeNet.Server, options: ListenOptions): Promise<void> {
  const { host, port, backlog } = options;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog }, () => {
      server.off('error', reject);
      server.on('error', (cause) => options.acceptFailed(cause));
      resolve();
    });
  });
}

function listenerOf(server: nodeNet.Server, socketRead: SocketRead): NetListener {
  const address = server.address() as nodeNet.AddressInfo;
  return { host: address.address, port: address.port, socketRead, stopAccepting: () => void server.close() };
}

/** What both ways of reading share: writing, closing, and the guarantee of one `closed`. */
class NodeSocket implements Socket {
  readonly #socket: nodeNet.Socket;
  #events: SocketEvents | undefined;
  #writes = 0;
  readonly #written = (error?: Error | null): void => {
    this.#writes--;
    if (this.#writes === 0 && !error && !this.#socket.destroyed) this.#events?.flushed();
  };

  constructor(socket: nodeNet.Socket) {
    this.#socket = socket;
  }

  /** `afterClose` runs before `closed`. */
  attach(events: SocketEvents, afterClose: () => void): void {
    this.#events = events;
    this.#socket.on('end', () => events.ended());
    // 'close' follows every error, and is all that the owner needs to know.
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      afterClose();
      events.closed();
    });
  }

  /** Null once the socket is destroyed. */
  protected handle(): Handle | null {
    return (this.#socket as unknown as WithHandle)._handle;
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  writeOne(part: Uint8Array): void {
    this.#writes++;
    this.#socket.write(part, this.#written);
  }

  write(parts: readonly Uint8Array[]): void {
    const socket = this.#socket;
    const last = parts.length - 1;
    socket.cork();
    for (let i = 0; i < last; i++) socket.write(parts[i]);
    this.writeOne(parts[last]);
    socket.uncork();
  }

  unsentBytes(): number {
    const waiting = this.#socket.writableLength;
    const handle = this.handle();
    // The stream counts a write until its last byte is sent, the handle byte by byte.
    return waiting === 0 || handle === null ? 0 : Math.max(1, handle.writeQueueSize);
  }

  abandonBuffer(): void {
    // With 'data' the buffer is asked for and filled within one event.
  }

  finish(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

function openByData(accepted: nodeNet.Socket, accept: Accept): void {
  const socket = new NodeSocket(accepted);
  const events = accept(socket);
  socket.attach(events, () => undefined);
  accepted.on('data', (chunk: Buffer) => {
    for (let done = 0; done < chunk.length && !accepted.destroyed;) {
      const into = events.buffer();
      const size = Math.min(into.length, chunk.length - done);
      into.set(chunk.subarray(done, done + size));
      done += size;
      events.received(into, size);
    }
  });
  accepted.resume();
}

/** A socket whose bytes the kernel puts straight into the owner's memory. */
class DirectSocket extends NodeSocket {
  readonly #target: ReadTarget;

  constructor(socket: nodeNet.Socket, target: ReadTarget) {
    super(socket);
    this.#target = target;
  }

  override abandonBuffer(): void {
    const handle = this.handle();
    // Puts a new reader before the one with the old buffer, which stays until the end: use it once per socket.
    if (handle !== null) handle.useUserBuffer(this.#target.next());
  }
}

/** Where the system reads to. It keeps a bare pointer: `buffer` also keeps the memory alive. */
class ReadTarget {
  events: SocketEvents | undefined;
  buffer: Uint8Array = new Uint8Array(0);

  next(): Uint8Array {
    if (this.events !== undefined) this.buffer = this.events.buffer();
    return this.buffer;
  }
}

function openByTakeover(shell: nodeNet.Socket, accept: Accept): void {
  const handle = (shell as unknown as WithHandle)._handle;
  (shell as unknown as WithHandle)._handle = null;
  const target = new ReadTarget();
  const onread = {
    buffer: () => target.next(),
    callback(size: number): boolean {
      target.events?.received(target.buffer, size);
      return true;
    },
  };
  const options = { handle, onread, allowHalfOpen: true, manualStart: true };
  const inner = new nodeNet.Socket(options as unknown as nodeNet.SocketConstructorOpts);
  const socket = new DirectSocket(inner, target);
  const events = accept(socket);
  target.events = events;
  // The shell keeps the server's count of connections right.
  socket.attach(events, () => shell.destroy());
  // The constructor above asked for a buffer when there was no owner to give one.
  socket.abandonBuffer();
  inner.resume();
}

/** Whether bytes of a loopback connection land in the memory that was named, before and after a change of buffers. */
function takeoverWorks(): Promise<boolean> {
  return new Promise((resolve) => {
    const before = Buffer.alloc(CHECK_TEXT.length);
    const after = Buffer.alloc(CHECK_TEXT.length);
    const client = new nodeNet.Socket();
    const server = nodeNet.createServer(serverOptions, (accepted) => {
      try {
        openByTakeover(accepted, (socket) => checkEvents(socket, before, after));
      } catch {
        finish(false);
      }
    });
    const timer = setTimeout(() => finish(false), CHECK_MS_MAX);
    const finish = (works: boolean): void => {
      clearTimeout(timer);
      client.destroy();
      server.close();
      resolve(works);
    };
    for (const emitter of [client, server]) emitter.on('error', () => finish(false));
    client.on('data', (answer: Buffer) => {
      if (answer.toString('latin1') === '1') client.write(CHECK_TEXT.toUpperCase());
      else finish(before.toString('latin1') === CHECK_TEXT && after.toString('latin1') === CHECK_TEXT.toUpperCase());
    });
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      client.connect((server.address() as nodeNet.AddressInfo).port, '127.0.0.1', () => client.write(CHECK_TEXT));
    });
  });
}

/** Answers '1' when `before` was filled and '2' when `after` was. */
function checkEvents(socket: Socket, before: Buffer, after: Buffer): SocketEvents {
  let current = before;
  return {
    buffer: () => current,
    received(buffer) {
      if (buffer === before) {
        current = after;
        socket.abandonBuffer();
      }
      socket.writeOne(Buffer.from(buffer === before ? '1' : '2', 'latin1'));
    },
    flushed: () => undefined,
    ended: () => socket.destroy(),
    closed: () => undefined,
  };
}
