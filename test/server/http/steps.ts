/** What tests of one connection are made of: requests, expected answers, a sink and handlers. */
import { noHeaders } from '../../../server/http/answer.ts';
import type { AbortReason, BodySink, Exchange } from '../../../server/http/exchange.ts';
import { harness, type Harness } from './fake.ts';

export const get = (path: string, lines = '') => `GET ${path} HTTP/1.1\r\nHost: h\r\n${lines}\r\n`;
export const post = (body: string, lines = '', length = body.length) =>
  `POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n${lines}\r\n${body}`;
export const ok = (body: string, closing = false) =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${closing ? 'Connection: close\r\n' : ''}\r\n${body}`;
export const bytesOf = (text: string) => Buffer.from(text, 'latin1');
export const echoPath = (exchange: Exchange) => exchange.respond(200, noHeaders, bytesOf(exchange.head.path));

/** A sink with a memory of its own, offered in windows of `windowSize` bytes. */
export class TestSink implements BodySink {
  readonly memory: Buffer;
  readonly events: string[] = [];
  size = 0;
  isFull = false;
  readonly #windowSize: number;
  readonly #done: () => void;

  constructor(size: number, done: () => void = () => undefined, windowSize = size) {
    this.memory = Buffer.alloc(size, '.');
    this.#windowSize = windowSize;
    this.#done = done;
  }

  next(): Uint8Array {
    return this.memory.subarray(this.size, this.isFull ? this.size : this.size + this.#windowSize);
  }

  wrote(size: number): void {
    this.size += size;
  }

  end(): void {
    this.events.push('end');
    this.#done();
  }

  abort(reason: AbortReason): void {
    this.events.push(reason);
  }

  get text(): string {
    return this.memory.toString('latin1', 0, this.size);
  }
}

/** Takes the body at once and answers with it. */
export function echoBody(exchange: Exchange): void {
  const sink = new TestSink(exchange.head.contentLength, () => exchange.respond(200, noHeaders, bytesOf(sink.text)), 3);
  exchange.receive(sink);
}

/** Keeps exchanges for the test to answer. */
export function parked(limits = {}): Harness & { readonly exchanges: Exchange[] } {
  const exchanges: Exchange[] = [];
  return { ...harness((exchange) => exchanges.push(exchange), limits), exchanges };
}
