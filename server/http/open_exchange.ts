/**
 * The answering side of one exchange: what a route holds in its hands while a request is open.
 *
 *   open ──respond──> sending ──flushed──> sent
 *     └───stream────> sending ──flushed──> next window ... ──flushed──> sent
 *
 * Invariants: one answer; at most one window is out at a time, and it is released when its bytes are with the kernel or
 * the connection is gone, whichever comes first; the promise of `stream` settles only when the source is at rest.
 */
import { answerHead, hasNoBody, sizeOf, writeAnswer } from './answer.ts';
import type { AnswerSource, AnswerWindow, BodySink, Exchange, HeaderLines } from './exchange.ts';
import type { RequestHead } from './head.ts';
import type { Socket } from '../env/socket.ts';

/** What an exchange asks of its connection. */
export interface ExchangeOwner {
  readonly socket: Socket;
  readonly windowBytesMax: number;
  isOpen(): boolean;
  receiveBody(sink: BodySink): void;
  resumeBody(): void;
  /** Said before the first byte of an answer. True: the connection closes after it. */
  beginAnswer(): boolean;
  /** All bytes of the answer are with the kernel. */
  endAnswer(): void;
  countSent(size: number): void;
  destroy(): void;
}

type SettleStream = { resolve(outcome: 'sent' | 'closed'): void; reject(cause: unknown): void };

const noParts: readonly Uint8Array[] = [];

export class OpenExchange implements Exchange {
  readonly head: RequestHead;
  readonly #owner: ExchangeOwner;
  #state: 'open' | 'sending' | 'sent' = 'open';
  #received = false;
  #gone: (() => void)[] | undefined;
  #isGone = false;
  #source: AnswerSource | undefined;
  #settle: SettleStream | undefined;
  #window: AnswerWindow | undefined;
  #pulling = false;
  #left = 0;

  constructor(head: RequestHead, owner: ExchangeOwner) {
    this.head = head;
    this.#owner = owner;
  }

  get remoteAddress(): string {
    return this.#owner.socket.remoteAddress;
  }

  get closed(): boolean {
    return this.#isGone || !this.#owner.isOpen();
  }

  get answered(): boolean {
    return this.#state !== 'open';
  }

  get isSent(): boolean {
    return this.#state === 'sent';
  }

  receive(sink: BodySink): void {
    if (this.#received || this.answered) throw new Error('the body was received or the request answered before');
    this.#received = true;
    if (this.#isGone) sink.abort('client_closed');
    else this.#owner.receiveBody(sink);
  }

  resumeBody(): void {
    if (!this.closed) this.#owner.resumeBody();
  }

  onClose(gone: () => void): void {
    if (this.#isGone) gone();
    else (this.#gone ??= []).push(gone);
  }

  respond(status: number, headers: HeaderLines, body: Uint8Array | readonly Uint8Array[] = noParts): void {
    this.#begin();
    if (this.closed) return;
    const parts = body instanceof Uint8Array ? [body] : body;
    const size = sizeOf(parts);
    if (hasNoBody(status) && size > 0) throw new RangeError(`an answer with status ${status} has no body`);
    const head = answerHead(status, headers, size, this.#owner.beginAnswer());
    this.#write(head, parts, size);
  }

  stream(status: number, headers: HeaderLines, source: AnswerSource): Promise<'sent' | 'closed'> {
    this.#begin();
    if (this.closed) return Promise.resolve('closed');
    const head = answerHead(status, headers, source.size, this.#owner.beginAnswer());
    this.#left = this.head.method === 'HEAD' ? 0 : source.size;
    this.#source = source;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      if (this.#left === 0) this.#write(head, noParts, 0);
      else this.#pull(head);
    });
  }

  /** The socket has nothing left to send. */
  flushed(): void {
    // An interim 100 Continue is not the answer, and a source may still be at work on the next window.
    if (this.#state !== 'sending' || this.#pulling) return;
    this.#release();
    if (this.#left > 0) return this.#pull('');
    this.#state = 'sent';
    this.#settle?.resolve('sent');
    this.#owner.endAnswer();
  }

  /** The connection is gone; called once, unless the answer was sent before. */
  lose(): void {
    this.#isGone = true;
    this.#release();
    if (!this.#pulling) this.#settle?.resolve('closed');
    const gone = this.#gone ?? [];
    this.#gone = undefined;
    for (const tell of gone) tell();
  }

  #begin(): void {
    if (this.answered) throw new Error('this request was answered before');
    this.#state = 'sending';
  }

  #write(head: string, parts: readonly Uint8Array[], size: number): void {
    const isBodyless = this.head.method === 'HEAD';
    this.#owner.countSent(head.length + (isBodyless ? 0 : size));
    writeAnswer(this.#owner.socket, head, isBodyless ? noParts : parts, isBodyless ? 0 : size);
  }

  #pull(head: string): void {
    const source = this.#source as AnswerSource;
    this.#pulling = true;
    let next: AnswerWindow | Promise<AnswerWindow>;
    try {
      next = source.next();
    } catch (cause) {
      return this.#fail(cause);
    }
    if (!(next instanceof Promise)) return this.#send(head, next);
    next.then(
      (window) => this.#send(head, window),
      (cause: unknown) => this.#fail(cause),
    );
  }

  #send(head: string, window: AnswerWindow): void {
    this.#pulling = false;
    if (this.closed) {
      window.release();
      this.#settle?.resolve('closed');
      return;
    }
    this.#window = window;
    const size = sizeOf(window.parts);
    if (size === 0 || size > this.#left || size > this.#owner.windowBytesMax) {
      return this.#fail(new RangeError(`a window of ${size} bytes where ${this.#left} are left`));
    }
    this.#left -= size;
    this.#write(head, window.parts, size);
  }

  /** Half of an answer must not pass for all of it. */
  #fail(cause: unknown): void {
    this.#pulling = false;
    this.#settle?.reject(cause);
    this.#owner.destroy();
  }

  #release(): void {
    const window = this.#window;
    this.#window = undefined;
    window?.release();
  }
}
