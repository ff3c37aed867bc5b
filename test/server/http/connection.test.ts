/** One connection, event by event: pieces, order, bodies, backpressure, early answers, streams, and every end. */
import { describe, expect, test } from 'vitest';
import { headerLines, noHeaders } from '../../../server/http/answer.ts';
import type { AbortReason, AnswerWindow, BodySink, Exchange } from '../../../server/http/exchange.ts';
import { httpLimits } from '../../../server/http/limits.ts';
import { harness, type Harness } from './fake.ts';

const get = (path: string, lines = '') => `GET ${path} HTTP/1.1\r\nHost: h\r\n${lines}\r\n`;
const post = (body: string, lines = '', length = body.length) =>
  `POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n${lines}\r\n${body}`;
const ok = (body: string, closing = false) =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${closing ? 'Connection: close\r\n' : ''}\r\n${body}`;
const bytesOf = (text: string) => Buffer.from(text, 'latin1');
const echoPath = (exchange: Exchange) => exchange.respond(200, noHeaders, bytesOf(exchange.head.path));

/** A sink with a memory of its own, offered in windows of `windowSize` bytes. */
class TestSink implements BodySink {
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
function echoBody(exchange: Exchange): void {
  const sink = new TestSink(exchange.head.contentLength, () => exchange.respond(200, noHeaders, bytesOf(sink.text)), 3);
  exchange.receive(sink);
}

/** Keeps exchanges for the test to answer. */
function parked(limits = {}): Harness & { readonly exchanges: Exchange[] } {
  const exchanges: Exchange[] = [];
  return { ...harness((exchange) => exchanges.push(exchange), limits), exchanges };
}

describe('heads', () => {
  test('a request is answered whatever its pieces are', () => {
    const text = get('/a') + get('/b', 'Accept: x/y\r\n');
    for (let cut = 1; cut < text.length; cut++) {
      const { socket } = harness(echoPath);
      socket.deliver(text.slice(0, cut));
      socket.deliver(text.slice(cut));
      expect(socket.sentText).toBe(ok('/a') + ok('/b'));
    }
  });

  test.each([1, 2, 7, 64])('pipelined requests in reads of %d bytes are answered in order', (readSize) => {
    const { socket } = harness(echoPath);
    socket.deliver(get('/a') + get('/b') + get('/c'), readSize);
    expect(socket.sentText).toBe(ok('/a') + ok('/b') + ok('/c'));
  });

  test('the next request waits for the answer to the one before', () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/a') + get('/b'));
    expect(exchanges.map(({ head }) => head.path)).toEqual(['/a']);
    exchanges[0].respond(200, noHeaders);
    expect(exchanges.length).toBe(1);
    socket.settle();
    expect(exchanges.map(({ head }) => head.path)).toEqual(['/a', '/b']);
  });

  test('reading stops when too much is pipelined, and goes on afterwards', () => {
    const { socket, exchanges } = parked({ pipelinedBytesMax: 100 });
    const text = Array.from({ length: 20 }, (_, i) => get(`/${i}`)).join('');
    const delivered = socket.deliver(text, 10);
    expect(delivered).toBeLessThanOrEqual(get('/0').length + 110);
    let rest = text.slice(delivered);
    for (let i = 0; i < 20; i++) {
      exchanges[i].respond(200, noHeaders, bytesOf(exchanges[i].head.path));
      socket.settle();
      rest = rest.slice(socket.deliver(rest, 10));
    }
    expect(socket.sentText).toBe(Array.from({ length: 20 }, (_, i) => ok(`/${i}`)).join(''));
  });

  test('HEAD gets the headers of a body only', () => {
    const { socket } = harness((exchange) => exchange.respond(200, noHeaders, bytesOf('hello')));
    socket.deliver('HEAD / HTTP/1.1\r\nHost: h\r\n\r\n');
    expect(socket.sentText).toBe('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
  });

  test('204 has no length', () => {
    const { socket } = harness((exchange) => exchange.respond(204, headerLines('TQ-LSN', '7')));
    socket.deliver(get('/'));
    expect(socket.sentText).toBe('HTTP/1.1 204 No Content\r\nTQ-LSN: 7\r\n\r\n');
  });

  test('Connection: close is honoured after the answer, and nothing behind it runs', () => {
    const { socket, isClosed } = harness(echoPath);
    socket.deliver(get('/a', 'Connection: close\r\n') + get('/canary'));
    expect(socket.sentText).toBe(ok('/a', true));
    expect([socket.isFinished, isClosed()]).toEqual([true, false]);
    socket.end();
    expect(isClosed()).toBe(true);
  });

  test('after a refused head nothing more is parsed', () => {
    const { socket, refusals } = harness(echoPath);
    socket.deliver(get('/a') + 'GET / HTTP/1.1\r\n\r\n' + get('/canary'));
    socket.deliver(get('/canary'));
    expect(refusals).toEqual(['http_malformed']);
    expect(socket.sentText).not.toContain('canary');
    expect(socket.sentText).toMatch(/HTTP\/1.1 400 Bad Request\r\n.*Connection: close\r\n\r\nhttp_malformed$/s);
    expect(socket.isFinished).toBe(true);
  });

  test('a second answer is a bug', () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/'));
    exchanges[0].respond(200, noHeaders);
    expect(() => exchanges[0].respond(200, noHeaders)).toThrow('answered before');
  });
});

describe('bodies', () => {
  test.each([1, 3, 10, 1000])('arrive exactly, in reads of %d bytes, with requests around them', (readSize) => {
    const { socket } = harness((exchange) =>
      exchange.head.method === 'POST' ? echoBody(exchange) : echoPath(exchange),
    );
    socket.deliver(post('0123456789') + get('/x') + post('') + post('GET / HTTP/1.1\r\n\r\n') + get('/y'), readSize);
    expect(socket.sentText).toBe(ok('0123456789') + ok('/x') + ok('') + ok('GET / HTTP/1.1\r\n\r\n') + ok('/y'));
  });

  test('nothing is read before the body is asked for; what was read before is not lost', () => {
    const { socket, exchanges } = parked();
    expect(socket.deliver(post('0123456789' + get('/next'), '', 10), 60)).toBe(60);
    expect(socket.isPaused).toBe(true);
    const sink = new TestSink(10);
    exchanges[0].receive(sink);
    expect(socket.isPaused).toBe(false);
    socket.deliver((post('0123456789', '', 10) + get('/next')).slice(60));
    expect([sink.text, ...sink.events]).toEqual(['0123456789', 'end']);
    exchanges[0].respond(200, noHeaders);
    socket.settle();
    expect(exchanges[1].head.path).toBe('/next');
  });

  test('bytes go straight into the memory of the sink, never past the body', () => {
    const { socket, exchanges, connection } = parked();
    socket.deliver(post('', '', 8));
    // More room than body: what follows the body belongs to the next request.
    const sink = new TestSink(100);
    exchanges[0].receive(sink);
    socket.deliver('ab');
    const view = connection.buffer();
    expect([view.buffer === sink.memory.buffer, view.length]).toEqual([true, 6]);
    socket.deliver('cdefgh' + get('/next'));
    expect(sink.memory.toString('latin1', 0, 12)).toBe('abcdefgh....');
    expect(sink.events).toEqual(['end']);
  });

  test('a sink without room stops the reading until there is some', () => {
    const { socket, exchanges } = parked();
    const sink = new TestSink(10, undefined, 4);
    socket.deliver(post('', '', 10));
    exchanges[0].receive(sink);
    sink.isFull = true;
    expect(socket.deliver('0123456789', 2)).toBeLessThan(10);
    expect(socket.isPaused).toBe(true);
    const read = sink.size;
    sink.isFull = false;
    exchanges[0].resumeBody();
    expect(socket.isPaused).toBe(false);
    expect(sink.size).toBeGreaterThanOrEqual(read);
    socket.deliver('0123456789'.slice(2));
    expect(sink.text).toBe('0123456789');
  });

  test('an empty body ends at once', () => {
    const { socket, exchanges } = parked();
    socket.deliver(post(''));
    const sink = new TestSink(0);
    exchanges[0].receive(sink);
    expect(sink.events).toEqual(['end']);
  });

  test('100 Continue is sent when the body is asked for, once, and only if none of it came', () => {
    const { socket, exchanges } = parked();
    socket.deliver(post('', 'Expect: 100-continue\r\n', 4));
    expect(socket.sentText).toBe('');
    exchanges[0].receive(new TestSink(4));
    expect(socket.sentText).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.settle();
    socket.deliver('abcd');
    exchanges[0].respond(200, noHeaders);
    socket.settle();
    socket.deliver(post('ab', 'Expect: 100-continue\r\n'));
    exchanges[1].receive(new TestSink(2));
    expect(socket.sentText).toBe('HTTP/1.1 100 Continue\r\n\r\n' + ok(''));
  });
});

describe('answers before the body', () => {
  test('a small rest is discarded and the connection goes on', () => {
    const { socket } = harness(echoPath, { drainBytesMax: 8 });
    socket.deliver(post('12345678') + get('/next'), 5);
    expect(socket.sentText).toBe(ok('/p') + ok('/next'));
  });

  test('a larger rest closes the connection', () => {
    const { socket } = harness(echoPath, { drainBytesMax: 8 });
    socket.deliver(post('', '', 9));
    expect(socket.sentText).toBe(ok('/p', true));
    socket.deliver('123456789' + get('/canary'));
    expect(socket.sentText).not.toContain('canary');
  });

  test('a client that waits for 100 Continue is closed: nobody can tell what its next byte means', () => {
    const { socket } = harness(echoPath);
    socket.deliver(post('', 'Expect: 100-continue\r\n', 4));
    socket.deliver(get('/canary'));
    expect(socket.sentText).toBe(ok('/p', true));
  });

  test('the sink is told, and its memory is not written to any more', () => {
    const { socket, exchanges, connection } = parked();
    const sink = new TestSink(100);
    socket.deliver(post('', '', 100));
    exchanges[0].receive(sink);
    socket.deliver('0123456789');
    exchanges[0].respond(400, noHeaders);
    expect(sink.events).toEqual(['answered']);
    expect(socket.abandonCount).toBe(1);
    socket.deliver('x'.repeat(90));
    expect(connection.buffer().buffer).not.toBe(sink.memory.buffer);
    expect(sink.memory.includes('x')).toBe(false);
    expect(sink.size).toBe(10);
  });

  test('a sink may answer while it is written to', () => {
    const { socket, exchanges } = parked();
    const sink = new TestSink(10);
    sink.wrote = (size: number) => {
      sink.size += size;
      if (sink.size === 4) exchanges[0].respond(400, noHeaders);
    };
    socket.deliver(post('', '', 10));
    exchanges[0].receive(sink);
    socket.deliver('0123456789' + get('/next'), 4);
    expect(sink.events).toEqual(['answered']);
    expect(sink.text).toBe('0123');
  });
});

/** Windows of the given texts; counts releases and never gives one before the former is released. */
function sourceOf(...texts: string[]) {
  const state = { given: 0, released: 0, outMax: 0 };
  const next = (): AnswerWindow => {
    const text = texts[state.given++];
    state.outMax = Math.max(state.outMax, state.given - state.released);
    return { parts: [...text].map(bytesOf), release: () => state.released++ };
  };
  return { state, source: { size: texts.join('').length, next } };
}

describe('streams', () => {
  test('are sent window by window, each released before the next is asked for', async () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/'));
    const { state, source } = sourceOf('abc', 'd', 'ef');
    const sent = exchanges[0].stream(200, noHeaders, source);
    socket.settle();
    expect(await sent).toBe('sent');
    expect(socket.sentText).toBe(ok('abcdef'));
    expect(state).toEqual({ given: 3, released: 3, outMax: 1 });
  });

  test('of slow sources do not end early', async () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/'));
    const { state, source } = sourceOf('abc', 'def');
    const slow = { size: source.size, next: async () => Promise.resolve(source.next()) };
    const sent = exchanges[0].stream(200, noHeaders, slow);
    while (state.released < 2) {
      await Promise.resolve();
      socket.settle();
    }
    expect(await sent).toBe('sent');
    expect(socket.sentText).toBe(ok('abcdef'));
  });

  test('stop at a stalled reader', () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/'));
    const { state, source } = sourceOf('abc', 'def');
    socket.isStalled = true;
    void exchanges[0].stream(200, noHeaders, source);
    socket.settle();
    expect(state).toEqual({ given: 1, released: 0, outMax: 1 });
  });

  test('release exactly once when the client goes away', async () => {
    const { socket, exchanges, isClosed } = parked();
    socket.deliver(get('/'));
    const { state, source } = sourceOf('abc', 'def');
    socket.isStalled = true;
    const sent = exchanges[0].stream(200, noHeaders, source);
    socket.destroy();
    socket.settle();
    expect(await sent).toBe('closed');
    expect(state).toEqual({ given: 1, released: 1, outMax: 1 });
    expect(isClosed()).toBe(true);
  });

  test('release a window that comes after the client went away', async () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/'));
    const { state, source } = sourceOf('abc');
    let give = (): void => undefined;
    const next = () => new Promise<AnswerWindow>((resolve) => (give = () => resolve(source.next())));
    const sent = exchanges[0].stream(200, noHeaders, { size: 3, next });
    socket.destroy();
    socket.settle();
    give();
    expect(await sent).toBe('closed');
    expect(state).toEqual({ given: 1, released: 1, outMax: 1 });
  });

  test('of HEAD and of nothing ask for no window', async () => {
    const { socket, exchanges } = parked();
    const { state, source } = sourceOf('abc');
    socket.deliver('HEAD / HTTP/1.1\r\nHost: h\r\n\r\n');
    const first = exchanges[0].stream(200, noHeaders, source);
    socket.settle();
    socket.deliver(get('/'));
    const second = exchanges[1].stream(200, noHeaders, { ...source, size: 0 });
    socket.settle();
    expect([await first, await second, state.given]).toEqual(['sent', 'sent', 0]);
    expect(socket.sentText).toBe('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n' + ok(''));
  });

  test.each([
    ['that fails', () => Promise.reject(new Error('disk'))],
    [
      'that throws',
      () => {
        throw new Error('disk');
      },
    ],
    ['that gives too much', () => ({ parts: [bytesOf('abcd')], release: () => undefined })],
    ['that gives nothing', () => ({ parts: [], release: () => undefined })],
  ])('a source %s cuts the connection', async (_, next) => {
    const { socket, exchanges, isClosed } = parked();
    socket.deliver(get('/'));
    await expect(exchanges[0].stream(200, noHeaders, { size: 3, next })).rejects.toThrow();
    socket.settle();
    expect([socket.isDestroyed, isClosed()]).toEqual([true, true]);
  });
});

describe('ends', () => {
  test('a client that goes away while the route works is noticed', () => {
    const { socket, exchanges, isClosed } = parked();
    socket.deliver(get('/'));
    let gone = 0;
    exchanges[0].onClose(() => gone++);
    socket.end();
    expect([gone, exchanges[0].closed, isClosed()]).toEqual([1, true, true]);
    exchanges[0].onClose(() => gone++);
    expect(gone).toBe(2);
    exchanges[0].respond(200, noHeaders);
    expect(socket.sentText).toBe('');
  });

  test('a client that goes away in the middle of a body', () => {
    const { socket, exchanges } = parked();
    const sink = new TestSink(10);
    socket.deliver(post('', '', 10));
    exchanges[0].receive(sink);
    socket.deliver('0123');
    socket.end();
    expect([sink.text, ...sink.events]).toEqual(['0123', 'client_closed']);
  });

  test('a client that goes away before its body is asked for', () => {
    const { socket, exchanges } = parked();
    socket.deliver(post('', '', 10));
    socket.destroy();
    socket.settle();
    const sink = new TestSink(10);
    exchanges[0].receive(sink);
    expect(sink.events).toEqual(['client_closed']);
  });

  test('an answer under way is finished for a client that has stopped sending', () => {
    const { socket, exchanges, isClosed } = parked();
    socket.deliver(get('/'));
    socket.isStalled = true;
    exchanges[0].respond(200, noHeaders, bytesOf('x'));
    socket.end();
    expect(isClosed()).toBe(false);
    socket.isStalled = false;
    socket.settle();
    expect([socket.sentText, isClosed()]).toEqual([ok('x'), true]);
  });

  test('a client that goes away while the rest of its body is discarded', () => {
    const { socket, isClosed } = harness(echoPath);
    socket.deliver(post('12345', '', 10));
    expect([socket.sentText, isClosed()]).toEqual([ok('/p'), false]);
    socket.end();
    expect(isClosed()).toBe(true);
  });

  test('after the answer nobody is told of the end', () => {
    const { socket, exchanges } = parked();
    let gone = 0;
    socket.deliver(get('/'));
    exchanges[0].onClose(() => gone++);
    exchanges[0].respond(200, noHeaders);
    socket.settle();
    socket.end();
    expect(gone).toBe(0);
  });

  test('stop closes an idle connection, and a busy one with its answer', () => {
    const idle = harness(echoPath);
    idle.connection.stop();
    expect(idle.socket.isDestroyed).toBe(true);
    const busy = parked();
    busy.socket.deliver(get('/'));
    busy.context.stopping = true;
    busy.connection.stop();
    expect(busy.socket.isDestroyed).toBe(false);
    busy.exchanges[0].respond(200, noHeaders);
    busy.socket.settle();
    expect(busy.socket.sentText).toBe(ok('', true));
    expect(busy.socket.isFinished).toBe(true);
  });

  test('an idle connection owns no buffer', () => {
    const { socket, connection, context } = harness(echoPath);
    socket.deliver(get('/a'), 3);
    expect(connection.buffer()).toBe(context.receiveBuffer);
  });
});

describe('limits of time', () => {
  const limits = { headMsMax: 100, idleMsMax: 500, bodyWindowMs: 100, writeStallMs: 100, lingerMsMax: 50, sweepMs: 10 };

  /** Sweeps until the socket is finished or destroyed; returns the milliseconds that passed since the first sweep. */
  function sweepToEnd({ connection, socket }: Harness, startMs: number, stepMs = 10): number {
    for (let ms = 0; ms <= 10_000; ms += stepMs) {
      connection.sweep(startMs + ms);
      if (socket.isDestroyed || socket.isFinished) return ms;
    }
    return Infinity;
  }

  test('a connection without a request', () => {
    const one = harness(echoPath, limits);
    expect(sweepToEnd(one, 1_000)).toBe(100);
    expect([one.socket.isDestroyed, one.socket.sentText]).toEqual([true, '']);
  });

  test('a head that trickles in is refused with 408, each byte of it in time or not', () => {
    const one = harness(echoPath, limits);
    for (let ms = 0; ms < 100; ms += 10) {
      one.connection.sweep(ms);
      one.socket.deliver('GET / HTTP/1.1\r\nHost: h\r\n'[ms / 10]);
    }
    one.connection.sweep(100);
    expect(one.refusals).toEqual(['request_timeout']);
    expect(one.socket.isFinished).toBe(true);
    expect(one.context.counts.cuts).toBe(1);
  });

  test('the second head has its own time, counted from its first byte', () => {
    const one = harness(echoPath, limits);
    one.socket.deliver(get('/a'));
    one.connection.sweep(0);
    one.connection.sweep(400);
    one.socket.deliver('GET');
    expect(sweepToEnd(one, 410)).toBe(100);
    expect(one.refusals).toEqual(['request_timeout']);
  });

  test('an idle connection is closed without a word', () => {
    const one = harness(echoPath, limits);
    one.socket.deliver(get('/a'));
    expect(sweepToEnd(one, 0)).toBe(500);
    expect(one.socket.sentText).toBe(ok('/a'));
  });

  test('a slow body is refused with 408 and its sink told; one that is fast enough is not', () => {
    for (const [size, expected] of [
      [9, ['too_slow']],
      [10, []],
    ] as const) {
      const exchanges: Exchange[] = [];
      const one = harness((exchange) => exchanges.push(exchange), { ...limits, bodyBytesPerSecMin: 100 });
      const sink = new TestSink(1_000);
      one.socket.deliver(post('', '', 1_000));
      exchanges[0].receive(sink);
      one.connection.sweep(0);
      one.socket.deliver('x'.repeat(size), 1);
      one.connection.sweep(100);
      expect(sink.events).toEqual(expected);
      expect(one.refusals).toEqual(size === 9 ? ['request_timeout'] : []);
      expect(exchanges[0].closed).toBe(size === 9);
    }
  });

  test('time does not count while the server does not read', () => {
    const { socket, connection, exchanges } = parked(limits);
    socket.deliver(post('', '', 10));
    for (let ms = 0; ms < 1_000; ms += 10) connection.sweep(ms);
    const sink = new TestSink(10);
    exchanges[0].receive(sink);
    connection.sweep(1_000);
    connection.sweep(1_090);
    expect(sink.events).toEqual([]);
    connection.sweep(1_100);
    expect(sink.events).toEqual(['too_slow']);
  });

  test('a reader that takes too little is cut; one that takes enough is not', () => {
    for (const [perWindow, isCut] of [
      [9, true],
      [10, false],
    ] as const) {
      const { socket, connection, exchanges } = parked({ ...limits, readerBytesPerSecMin: 100 });
      socket.deliver(get('/'));
      socket.isStalled = true;
      exchanges[0].respond(200, noHeaders, Buffer.alloc(5_000));
      for (let ms = 0; ms <= 300; ms += 100) {
        connection.sweep(ms);
        socket.take(perWindow);
      }
      expect(socket.isDestroyed).toBe(isCut);
    }
  });

  test('a parked request has no limit of its own here', () => {
    const { socket, connection } = parked(limits);
    socket.deliver(get('/'));
    for (let ms = 0; ms < 100_000; ms += 1_000) connection.sweep(ms);
    expect([socket.isDestroyed, socket.isFinished]).toEqual([false, false]);
  });

  test('a refused client that does not hang up is destroyed', () => {
    const one = harness(echoPath, limits);
    one.socket.deliver('x y\r\n');
    one.connection.sweep(0);
    one.connection.sweep(49);
    expect(one.socket.isDestroyed).toBe(false);
    one.connection.sweep(50);
    expect(one.socket.isDestroyed).toBe(true);
  });

  test('a limit is at least twice the time between sweeps', () => {
    const { sweepMs, headMsMax, idleMsMax, bodyWindowMs, writeStallMs, lingerMsMax } = httpLimits;
    for (const ms of [headMsMax, idleMsMax, bodyWindowMs, writeStallMs, lingerMsMax])
      expect(ms).toBeGreaterThan(2 * sweepMs);
    expect(2 * sweepMs).toBeLessThan(1_000);
  });
});
