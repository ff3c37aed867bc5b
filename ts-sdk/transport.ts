/**
 * One exchange with one node: a request out, a whole answer in, over a pool of `undici` connections.
 *
 * The answer is received straight into one buffer of its Content-Length, which starts 8-aligned, so that every Arrow
 * column in it can be looked at in place. Its checksum is computed chunk by chunk while the bytes are warm.
 *
 * Invariants: an exchange settles exactly once, by its answer, an error, the abort of its signal or its time; after
 * that it leaves no timer and no listener behind, and a connection whose exchange was cut short is closed, never
 * reused.
 */
import { headers as headerNames } from '@transfer-queue/core/protocol';
import { Pool, type Dispatcher } from 'undici';
import { bodyReceiver, type BodyReceiver, type RequestBody } from './body.ts';
import { clientError } from './errors.ts';

export interface Exchange {
  readonly url: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody | undefined;
  /** From the call to the last byte of the answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** A whole answer. `bytes` has been checked against its tail, which is cut off. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

export interface TransportSettings {
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  /** Larger answers are refused before they are received. */
  readonly answerBytesMax: number;
}

/** The connections to all nodes. Opens none before the first exchange. */
export class Transport {
  readonly #settings: TransportSettings;
  readonly #pools = new Map<string, Pool>();
  #closed = false;

  constructor(settings: TransportSettings) {
    this.#settings = settings;
  }

  /** Sends a request and receives its whole answer, whatever its status. Throws when there is none. */
  async exchange(exchange: Exchange): Promise<Answer> {
    if (this.#closed) throw clientError('client_closed');
    const pool = this.#pool(exchange.url);
    return new Promise((resolve, reject) => {
      const handler = new ExchangeHandler({ exchange, answerBytesMax: this.#settings.answerBytesMax, resolve, reject });
      if (exchange.signal?.aborted === true) return handler.aborted();
      const { method, path, headers, body } = exchange;
      const length = body === undefined ? {} : { 'content-length': String(body.size) };
      pool.dispatch({ method, path, headers: { ...headers, ...length }, body: body && payloadOf(body) }, handler);
    });
  }

  /** Ends all exchanges with `client_closed` and closes all connections. */
  async close(): Promise<void> {
    this.#closed = true;
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy(clientError('client_closed'))));
  }

  #pool(url: string): Pool {
    const known = this.#pools.get(url);
    if (known !== undefined) return known;
    const pool = new Pool(new URL(url).origin, {
      connections: this.#settings.connectionsMax,
      connectTimeout: this.#settings.connectTimeoutMs,
      // Each exchange has a time of its own, which also covers parked waits; undici's fixed ones would cut those.
      headersTimeout: 0,
      bodyTimeout: 0,
      pipelining: 1,
      allowH2: false,
    });
    this.#pools.set(url, pool);
    return pool;
  }
}

/** What is one window goes out as it is, in the turn of the call; undici asks an iterable for more turn by turn. */
function payloadOf(body: RequestBody): Uint8Array {
  const windows = body.windows();
  const isWhole = Array.isArray(windows) && windows.length === 1;
  // undici takes any iterable of bytes, though its types name only streams.
  return isWhole ? (windows[0] as Uint8Array) : (windows as unknown as Uint8Array);
}

interface HandlerParts {
  readonly exchange: Exchange;
  readonly answerBytesMax: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** What undici calls as an exchange goes on. */
class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #parts: HandlerParts;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #onAbort = (): void => this.aborted();
  #controller: Dispatcher.DispatchController | undefined;
  #settled = false;
  #cutBy: Error | undefined;
  #status = 0;
  #headers: Record<string, string> = {};
  #receiver: BodyReceiver | undefined;

  constructor(parts: HandlerParts) {
    this.#parts = parts;
    const { signal, timeoutMs } = parts.exchange;
    this.#timer = setTimeout(() => this.#cut(clientError('deadline_exceeded')), timeoutMs);
    // The socket holds the process as long as the exchange goes on; this timer need not.
    (this.#timer as { unref?: () => void }).unref?.();
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  aborted(): void {
    this.#cut(this.#parts.exchange.signal?.reason as Error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // An exchange may be cut while it is still queued; its bytes must not go out then.
    if (this.#cutBy !== undefined) controller.abort(this.#cutBy);
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    for (const name of Object.keys(headers)) {
      const value = headers[name];
      if (value !== undefined) this.#headers[name] = Array.isArray(value) ? value.join(', ') : value;
    }
    const size = this.#headers['content-length'];
    if (size !== undefined && Number(size) > this.#parts.answerBytesMax) {
      return this.#cut(clientError('answer_invalid', `The answer has ${size} bytes, more than this client takes.`));
    }
    // Without a length a whole answer looks like half of one; only an error page of a program in between may lack it.
    if (size === undefined && status === 200)
      return this.#cut(clientError('answer_invalid', 'The answer has no length.'));
    const hasTail = this.#headers[headerNames.tail] !== undefined;
    this.#receiver = bodyReceiver({ size: size === undefined ? undefined : Number(size), hasTail });
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (!this.#settled) this.#receiver?.take(chunk);
  }

  onResponseEnd(): void {
    if (this.#settled) return;
    try {
      const bytes = this.#receiver === undefined ? new Uint8Array(0) : this.#receiver.finish();
      this.#settle();
      this.#parts.resolve({ status: this.#status, headers: this.#headers, bytes });
    } catch (error) {
      this.#settle();
      this.#parts.reject(error as Error);
    }
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#settled) return;
    this.#settle();
    const own = 'code' in error && error.code === 'client_closed';
    this.#parts.reject(own ? error : clientError('connection_failed', undefined, { cause: error }));
  }

  #cut(reason: Error): void {
    if (this.#settled) return;
    this.#cutBy = reason;
    this.#settle();
    this.#controller?.abort(reason);
    this.#parts.reject(reason);
  }

  #settle(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#parts.exchange.signal?.removeEventListener('abort', this.#onAbort);
  }
}
