/** Seeded mutants of HTTP requests, and the two servers that judge them: ours, and node:http as the oracle. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { duplexPair } from 'node:stream';
import type { Exchange } from '../../server/http/exchange.ts';
import { noHeaders } from '../../server/http/answer.ts';
import type { HeadParser } from '../../server/http/parser.ts';
import { attacks, get, post, refusedHeads } from '../server/http/corpus.ts';
import { harness } from '../server/http/fake.ts';

export type Random = () => number;

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const good = [
  get(''),
  get('Accept: application/json\r\n', '/v1/limits?a=b'),
  get('Connection: keep-alive\r\nAuthorization: Bearer abc\r\n', '/v1/partitions/train/rows/1/a%20b'),
  `${post('Content-Length: 12\r\nTQ-Checksum: 00ff\r\n')}{"rows":[1]}`,
  `${post('Content-Length: 40\r\nContent-Type: text/plain\r\n')}${get('').padEnd(40, 'x').slice(0, 40)}`,
  `PUT /v1/partitions/p HTTP/1.1\r\nHost: h:1\r\nContent-Length: 2\r\n\r\n{}`,
  'DELETE /v1/partitions/p HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n',
  'HEAD / HTTP/1.1\r\nHost: h\r\nUser-Agent: x (y; z)\r\n\r\n',
];
const bad = [...attacks.map(([, bytes]) => bytes), ...refusedHeads.map(([, bytes]) => bytes)];
const shortBad = bad.filter((bytes) => bytes.length < 1_000);
const lines = [
  ['Content-Length: 5', 'Content-Length: 0', 'Content-Length: 12', 'Content-Length:5', 'content-length: 2'],
  [
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: identity',
    'Host: h',
    'Host:',
    'Connection: close',
    'Expect: 100-continue',
  ],
  ['X: y', 'X:', ' folded', '\tfolded', 'Upgrade: h2c', 'TQ-Lsn: 1', 'Keep-Alive: timeout=5'],
].flat();
const bytesOfInterest = '\r\n\t :;,%/.?#\\"+-0159aZ\0\x0b\x7f\x80\xff';

/** One mutant: one to three requests, most of them good, with up to four changes. */
export function mutantOf(random: Random): Buffer {
  const pick = <T>(items: readonly T[] | string): T => items[Math.floor(random() * items.length)] as T;
  const requestCount = 1 + Math.floor(random() * 3);
  let text = Array.from({ length: requestCount }, () => (random() < 0.85 ? pick(good) : pick(shortBad))).join('');
  const changeCount = Math.floor(random() * 5);
  for (let i = 0; i < changeCount; i++) {
    const at = Math.floor(random() * (text.length + 1));
    const [before, after] = [text.slice(0, at), text.slice(at)];
    const lineEnd = text.indexOf('\r\n', at);
    switch (Math.floor(random() * 7)) {
      case 0:
        text = before + pick<string>(bytesOfInterest) + after;
        break;
      case 1:
        text = before + pick<string>(bytesOfInterest) + after.slice(1);
        break;
      case 2:
        text = before + after.slice(1 + Math.floor(random() * 3));
        break;
      case 3:
        text = before + String.fromCharCode(Math.floor(random() * 256)) + after.slice(1);
        break;
      case 4:
      case 5:
        if (lineEnd >= 0) text = `${text.slice(0, lineEnd + 2)}${pick(lines)}\r\n${text.slice(lineEnd + 2)}`;
        break;
      default:
        text = before + after.slice(0, 30) + after;
    }
  }
  return Buffer.from(text, 'latin1');
}

/** Method, target and body of each request that a server took, in order. */
export type Taken = readonly string[];

const takenText = (method: string, target: string, body: string) => `${method} ${target} ${body}`;

/** What our connection takes, read in pieces of `readSize`, and where the last request ends that was taken whole. */
export function takenByUs(bytes: Uint8Array, parser: HeadParser, readSize = Infinity): { taken: Taken; size: number } {
  const taken: string[] = [];
  let size = 0;
  const parse = parser.parse.bind(parser);
  let headSize = 0;
  const measured = Object.create(parser, {
    parse: { value: (...place: Parameters<HeadParser['parse']>) => (headSize = parse(...place)) },
    head: { get: () => parser.head },
    code: { get: () => parser.code },
    reason: { get: () => parser.reason },
  }) as HeadParser;
  const { socket, context } = harness((exchange) => {
    const { method, path, query, contentLength } = exchange.head;
    const requestSize = headSize + contentLength;
    takeBody(exchange, (body) => {
      taken.push(takenText(method, query === '' ? path : `${path}?${query}`, body));
      size += requestSize;
      exchange.respond(200, noHeaders);
    });
  });
  Object.assign(context, { parser: measured });
  socket.deliver(bytes, readSize);
  return { taken, size };
}

function takeBody(exchange: Exchange, done: (body: string) => void): void {
  const body = Buffer.alloc(exchange.head.contentLength);
  let size = 0;
  exchange.receive({
    next: () => body.subarray(size),
    wrote: (more) => (size += more),
    end: () => done(body.toString('latin1')),
    abort: () => undefined,
  });
}

/** Turns of the event loop after which a server that waits for more bytes is taken at its word. */
const TURNS_MAX = 50;

/** What node:http takes of bytes that hold `count` requests, sent on a connection of their own. */
export function nodeOracle(): (bytes: Uint8Array, count: number) => Promise<Taken> {
  const results = new WeakMap<object, string[]>();
  const server = createServer((request: IncomingMessage, answer: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      const target = (request.url ?? '').replace(/^([^?]*)\?$/, '$1');
      const body = Buffer.concat(chunks).toString('latin1');
      results.get(request.socket)?.push(takenText(request.method ?? '', target, body));
      answer.end();
    });
  });
  return async (bytes, count) => {
    const [client, accepted] = duplexPair();
    const taken: string[] = [];
    results.set(accepted, taken);
    for (const side of [client, accepted]) side.on('error', () => undefined);
    client.resume();
    server.emit('connection', accepted);
    client.write(bytes);
    for (let turn = 0; turn < TURNS_MAX && taken.length < count && !accepted.destroyed; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.destroy();
    accepted.destroy();
    return taken;
  };
}
