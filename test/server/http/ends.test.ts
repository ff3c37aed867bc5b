/** Every end of a connection: clients that go away, stops, and limits of time. */
import { describe, expect, test } from 'vitest';
import { noHeaders } from '../../../server/http/answer.ts';
import type { Exchange } from '../../../server/http/exchange.ts';
import type { Clock } from '../../../server/env/env.ts';
import type { Net } from '../../../server/env/socket.ts';
import { listenHttp } from '../../../server/http/listener.ts';
import { httpLimits } from '../../../server/http/limits.ts';
import { FakeSocket, harness, type Harness } from './fake.ts';
import { bytesOf, echoPath, get, ok, parked, post, TestSink } from './steps.ts';

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

  test('a stop while an answer is under way closes after it', () => {
    const { socket, exchanges, context } = parked();
    socket.deliver(get('/'));
    socket.isStalled = true;
    exchanges[0].respond(200, noHeaders);
    context.stopping = true;
    socket.isStalled = false;
    socket.settle();
    expect(socket.isFinished).toBe(true);
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

  test('an answer to a body that was cut is dropped', () => {
    const one = parked(limits);
    const sink = new TestSink(10);
    sink.abort = () => one.exchanges[0].respond(400, noHeaders, bytesOf('late'));
    one.socket.deliver(post('', '', 10));
    one.exchanges[0].receive(sink);
    one.connection.sweep(0);
    one.connection.sweep(100);
    expect(one.refusals).toEqual(['request_timeout']);
    expect(one.socket.sentText).not.toContain('late');
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

  test('a body that waits for room again and again is not taken for a slow one', () => {
    const { socket, connection, exchanges } = parked(limits);
    socket.deliver(post('', '', 100));
    const sink = new TestSink(100, undefined, 1);
    exchanges[0].receive(sink);
    for (let ms = 0; ms < 1_000; ms += 50) {
      connection.sweep(ms);
      sink.isFull = true;
      socket.deliver('x');
      expect(socket.isPaused).toBe(true);
      sink.isFull = false;
      exchanges[0].resumeBody();
    }
    expect(sink.events).toEqual([]);
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

  test('the time in which this process stood still does not count', async () => {
    let nowMs = 0;
    let due = (): void => undefined;
    const clock: Clock = {
      nowMs: () => nowMs,
      wallMs: () => nowMs,
      soon: (action) => action(),
      after(_, action) {
        due = action;
        return { cancel: () => undefined };
      },
    };
    const socket = new FakeSocket();
    const net: Net = {
      async listen(_, accept) {
        socket.attach(accept(socket));
        return { host: '', port: 0, socketRead: 'data', stopAccepting: () => undefined };
      },
    };
    const all = { ...httpLimits, ...limits };
    const refusal = () => ({ status: 408, body: bytesOf('late') });
    await listenHttp({ net, clock, limits: all, handler: echoPath, refusal, host: '', port: 0 });
    const sweepAfter = (ms: number) => {
      nowMs += ms;
      due();
    };
    sweepAfter(10);
    sweepAfter(100_000);
    expect(socket.isDestroyed).toBe(false);
    for (let ms = 0; ms < 80; ms += 10) sweepAfter(10);
    expect(socket.isDestroyed).toBe(true);
  });
});
