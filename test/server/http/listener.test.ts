/** The listener over real sockets, the same suite for both ways of reading. */
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { headerLines, noHeaders } from '../../../server/http/answer.ts';
import type { AbortReason, AnswerWindow, Exchange } from '../../../server/http/exchange.ts';
import type { HttpListener } from '../../../server/http/listener.ts';
import { countOf, exchangeRaw, RawClient, start, type StartOptions } from './server.ts';

const get = (path: string, lines = '') => `GET ${path} HTTP/1.1\r\nHost: h\r\n${lines}\r\n`;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const open: HttpListener[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.stop(0)));
});

/** Bytes that depend on their position, so that a shifted or repeated piece is seen. */
function pattern(size: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16) + seed) & 255;
  return bytes;
}

/** Receives into a growable memory, as an arena is, and answers with the digest; around the body it must stay zero. */
function digestBody(exchange: Exchange): void {
  const { contentLength } = exchange.head;
  const arena = new ArrayBuffer(0, { maxByteLength: contentLength + 128 });
  arena.resize(contentLength + 128);
  const memory = new Uint8Array(arena);
  let size = 64;
  exchange.receive({
    next: () => memory.subarray(size, size + Math.min(1 << 20, contentLength + 64 - size)),
    wrote: (more) => (size += more),
    end: () => {
      const around = [...memory.subarray(0, 64), ...memory.subarray(64 + contentLength)];
      const isClean = around.every((byte) => byte === 0);
      exchange.respond(200, noHeaders, Buffer.from(isClean ? sha256(memory.subarray(64, size)) : 'overrun', 'latin1'));
    },
    abort: () => undefined,
  });
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

function ask(agent: Agent, port: number, method: string, path: string, body?: Uint8Array): Promise<Answer> {
  const headers = body === undefined ? {} : { 'content-length': String(body.length) };
  return new Promise((resolve, reject) => {
    const call = request({ agent, port, host: '127.0.0.1', method, path, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }),
      );
      answer.on('error', reject);
    });
    call.on('error', reject);
    call.end(body);
  });
}

describe.each(['onread', 'data'] as const)('reading by %s', (socketRead) => {
  async function listen(options: StartOptions): Promise<HttpListener> {
    const listener = await start({ ...options, socketRead });
    open.push(listener);
    expect(listener.socketRead).toBe(socketRead);
    return listener;
  }

  test('a request from an ordinary client', async () => {
    const headers = headerLines('Content-Type', 'text/plain');
    const { port } = await listen({
      handler: (exchange) =>
        exchange.respond(200, headers, Buffer.from(`${exchange.head.path} ${exchange.remoteAddress}`)),
    });
    const agent = new Agent({ keepAlive: true });
    for (const path of ['/a', '/b']) {
      const answer = await ask(agent, port, 'GET', path);
      expect([answer.status, answer.headers['content-type'], answer.body.toString()]).toEqual([
        200,
        'text/plain',
        `${path} 127.0.0.1`,
      ]);
    }
    agent.destroy();
  });

  test('bodies of many sizes, several at once, arrive with the same bytes', async () => {
    const { port } = await listen({ handler: digestBody });
    const agent = new Agent({ keepAlive: true, maxSockets: 6 });
    const sizes = [0, 1, 100, 16_300, 65_535, 65_536, 65_537, 200_000, 1 << 20, 3_000_001];
    const answers = await Promise.all(
      [...sizes, ...sizes].map(async (size, index) => {
        const body = pattern(size, index);
        const { body: answer } = await ask(agent, port, 'POST', '/', body);
        return answer.toString() === sha256(body);
      }),
    );
    expect(answers.every(Boolean)).toBe(true);
    agent.destroy();
  });

  test('a body that is asked for late', async () => {
    const { port } = await listen({ handler: (exchange) => void setTimeout(() => digestBody(exchange), 20) });
    const agent = new Agent({ keepAlive: true });
    for (const size of [10, 500_000, 20]) {
      const body = pattern(size, size);
      expect((await ask(agent, port, 'POST', '/', body)).body.toString()).toBe(sha256(body));
    }
    agent.destroy();
  });

  test('a body that comes byte by byte, with a request right behind it', async () => {
    const { port } = await listen({
      handler: (exchange) =>
        exchange.head.method === 'POST' ? digestBody(exchange) : exchange.respond(200, noHeaders),
    });
    const client = new RawClient(port);
    for (const byte of 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12345678') {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.send(`9${get('/', 'Connection: close\r\n')}`);
    await client.closed;
    expect(client.text).toContain(sha256(Buffer.from('123456789')));
    expect(countOf(client.text, 'HTTP/1.1 200 OK')).toBe(2);
  });

  test('500 pipelined requests are answered in order', async () => {
    const { port } = await listen({
      handler: (exchange) => exchange.respond(200, noHeaders, Buffer.from(exchange.head.path, 'latin1')),
    });
    const paths = Array.from({ length: 500 }, (_, i) => `/request-${i}`);
    const text = await exchangeRaw(
      port,
      paths.map((path, i) => get(path, i === 499 ? 'Connection: close\r\n' : '')).join(''),
    );
    expect(text.match(/\/request-\d+/g)).toEqual(paths);
  });

  test('a streamed answer of 40 MB, many slices, is exact and holds one window at a time', async () => {
    const slice = pattern(16_384, 3);
    const counts = { given: 0, released: 0 };
    const windowCount = 10;
    const next = async (): Promise<AnswerWindow> => {
      expect(counts.given++).toBe(counts.released);
      await new Promise((resolve) => setImmediate(resolve));
      return { parts: Array.from({ length: 256 }, () => slice), release: () => counts.released++ };
    };
    const outcomes: string[] = [];
    const { port } = await listen({
      handler: (exchange) =>
        void exchange
          .stream(200, noHeaders, { size: windowCount * 256 * slice.length, next })
          .then((outcome) => outcomes.push(outcome)),
    });
    const agent = new Agent({ keepAlive: true });
    const { body } = await ask(agent, port, 'GET', '/');
    expect(sha256(body)).toBe(sha256(Buffer.concat(Array.from({ length: windowCount * 256 }, () => slice))));
    expect([counts, outcomes]).toEqual([{ given: windowCount, released: windowCount }, ['sent']]);
    agent.destroy();
  });

  test('a reader that stalls holds one window, and a reset releases it', async () => {
    const window = Buffer.alloc(4_194_304, 7);
    const counts = { given: 0, released: 0 };
    const next = (): AnswerWindow => {
      counts.given++;
      return { parts: [window], release: () => counts.released++ };
    };
    const outcome = Promise.withResolvers<string>();
    const listener = await listen({
      handler: (exchange) =>
        void exchange.stream(200, noHeaders, { size: 1_000 * window.length, next }).then(outcome.resolve),
    });
    const client = new RawClient(listener.port);
    client.socket.pause();
    client.send(get('/'));
    // The kernel takes a few windows, then no more: wait until the count stands still.
    for (let last = -1; last !== counts.given || counts.given === 0;) {
      last = counts.given;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(counts.given - counts.released).toBe(1);
    expect(counts.given).toBeLessThan(20);
    client.socket.resetAndDestroy();
    expect(await outcome.promise).toBe('closed');
    expect(counts.released).toBe(counts.given);
  });

  test('clients that go away in the head, in the body and in the answer', async () => {
    const seen: (AbortReason | 'gone')[] = [];
    const listener = await listen({
      handler(exchange) {
        exchange.onClose(() => seen.push('gone'));
        if (exchange.head.method === 'GET') return;
        const memory = Buffer.alloc(exchange.head.contentLength);
        exchange.receive({
          next: () => memory,
          wrote: () => undefined,
          end: () => undefined,
          abort: (reason) => seen.push(reason),
        });
      },
    });
    const cases = [
      ['GET / HT', []],
      ['POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n1234', ['client_closed', 'gone']],
      [get('/'), ['gone']],
    ] as const;
    for (const leave of ['end', 'resetAndDestroy'] as const) {
      for (const [bytes, expected] of cases) {
        seen.length = 0;
        const accepted = listener.counts.accepted;
        const client = new RawClient(listener.port);
        client.send(bytes);
        while (listener.counts.accepted === accepted || listener.counts.bytesReceived === 0) await turn();
        await turn();
        await turn();
        client.socket[leave]();
        while (listener.connectionCount() > 0) await turn();
        expect([leave, bytes, seen]).toEqual([leave, bytes, expected]);
      }
    }
  });

  test('connections above the limit are told so', async () => {
    const listener = await listen({
      handler: (exchange) => exchange.respond(200, noHeaders),
      limits: { connectionsMax: 2, lingerMsMax: 100, sweepMs: 20 },
    });
    const kept = [new RawClient(listener.port), new RawClient(listener.port)];
    for (const client of kept) {
      client.send(get('/'));
      await client.until((text) => text.includes('\r\n\r\n'));
    }
    const text = await exchangeRaw(listener.port, get('/'));
    expect(text).toMatch(/^HTTP\/1.1 503 Service Unavailable\r\n.*"code":"too_many_connections"/s);
    kept[0].socket.destroy();
    while (listener.connectionCount() > 1) await turn();
    expect(await exchangeRaw(listener.port, get('/', 'Connection: close\r\n'))).toMatch(/^HTTP\/1.1 200 OK/);
  });

  test('a graceful stop finishes what runs, closes what is idle and frees the port', async () => {
    const parked: Exchange[] = [];
    const listener = await listen({ handler: (exchange) => parked.push(exchange) });
    const [idle, busy] = [new RawClient(listener.port), new RawClient(listener.port)];
    idle.send(get('/idle'));
    while (parked.length === 0) await turn();
    parked[0].respond(200, noHeaders);
    await idle.until((text) => text.includes('\r\n\r\n'));
    busy.send(get('/busy'));
    while (parked.length === 1) await turn();
    const stopped = listener.stop(10_000);
    await idle.closed;
    parked[1].respond(200, noHeaders, Buffer.from('done'));
    await busy.closed;
    await stopped;
    expect(busy.text).toBe('HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone');
    const late = new RawClient(listener.port);
    await late.closed;
    expect([late.text, listener.connectionCount()]).toEqual(['', 0]);
  });

  test('a stop cuts what is not finished in time', async () => {
    let gone = 0;
    const listener = await listen({ handler: (exchange) => exchange.onClose(() => gone++) });
    const client = new RawClient(listener.port);
    client.send(get('/'));
    while (listener.counts.requests === 0) await turn();
    await listener.stop(20);
    expect(gone).toBe(1);
    await client.closed;
    expect(client.text).toBe('');
  });

  test('a client that sends a large body is told early that it is refused', async () => {
    const { port } = await listen({ handler: (exchange) => exchange.respond(401, noHeaders) });
    const client = new RawClient(port);
    client.send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n');
    client.send(Buffer.alloc(3_000_000));
    await client.closed;
    expect(client.text).toMatch(/^HTTP\/1.1 401 Unauthorized\r\n.*Connection: close\r\n/s);
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}
