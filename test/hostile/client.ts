/**
 * A client that sends what it is told, right or wrong, and reads strictly what comes back.
 *
 * Other clients repair or refuse the requests that these suites are about.
 */
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** The server closes the connection after it. */
  readonly closes: boolean;
}

export interface Request {
  readonly method: string;
  readonly target: string;
  /** Names in lower case; null takes out one that would be there by itself. */
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: Uint8Array;
}

/** Content-Length says what the body has, unless the caller says otherwise. */
export function headOf({ method, target, headers = {}, body }: Request): Buffer {
  const takesBody = method === 'POST' || method === 'PUT' || body !== undefined;
  const all = { host: 'h', 'content-length': takesBody ? String(body?.length ?? 0) : null, ...headers };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\r\n`]));
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
}

interface Pending {
  readonly isHead: boolean;
  readonly resolve: (answer: Answer | null) => void;
}

export class Connection {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #pending: Pending | null = null;
  #isOpen = true;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#read();
    });
    // A server that refuses early may reset while a body is still on its way; what it said counts.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#isOpen = false;
      this.#settle(null);
    });
  }

  static open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket));
      });
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  ask(request: Request): Promise<Answer | null> {
    const head = headOf(request);
    const bytes = request.body === undefined ? head : Buffer.concat([head, request.body]);
    return this.exchange(bytes, request.method === 'HEAD');
  }

  /** Sends bytes; resolves to the one final answer, or to null when the connection ends without one. */
  exchange(bytes: Uint8Array, isHead = false): Promise<Answer | null> {
    return new Promise((resolve) => {
      this.#pending = { isHead, resolve };
      if (!this.#isOpen) return this.#settle(null);
      this.#socket.write(bytes);
      this.#read();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(): void {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (this.#pending === null || end < 0) return;
    const [statusLine, ...lines] = this.#bytes.toString('latin1', 0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) [ -~]+$/.exec(statusLine)?.[1] ?? NaN);
    const headers = new Map(lines.map((line) => /^([!-9;-~]+): (.*)$/.exec(line)!.slice(1) as [string, string]));
    const lower = new Map([...headers].map(([name, value]) => [name.toLowerCase(), value]));
    if (lower.size !== lines.length) throw new Error(`a header comes twice: ${lines.join(', ')}`);
    const size = status === 100 || this.#pending.isHead ? 0 : Number(lower.get('content-length'));
    if (this.#bytes.length < end + 4 + size) return;
    const body = this.#bytes.subarray(end + 4, end + 4 + size);
    this.#bytes = this.#bytes.subarray(end + 4 + size);
    if (status === 100) return this.#read();
    const closes = lower.get('connection') === 'close';
    this.#settle({ status, headers: lower, body, closes });
  }

  #settle(answer: Answer | null): void {
    const pending = this.#pending;
    this.#pending = null;
    pending?.resolve(answer);
  }
}

/** One request on a connection of its own. */
export async function askOnce(url: string, request: Request): Promise<Answer | null> {
  const connection = await Connection.open(url);
  try {
    return await connection.ask(request);
  } finally {
    connection.close();
  }
}
