/** Streamed answers: window by window, released exactly once, however they end. */
import { describe, expect, test } from 'vitest';
import { noHeaders } from '../../../server/http/answer.ts';
import type { AnswerWindow } from '../../../server/http/exchange.ts';
import { bytesOf, get, ok, parked, post, TestSink } from './steps.ts';

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
    let outcome = '';
    void sent.then((text) => (outcome = text));
    socket.destroy();
    socket.settle();
    await Promise.resolve();
    expect(outcome).toBe('');
    give();
    expect(await sent).toBe('closed');
    expect(state).toEqual({ given: 1, released: 1, outMax: 1 });
  });

  test('release a sent window once, though the client goes away while the next is made', async () => {
    const { socket, exchanges } = parked();
    socket.deliver(get('/'));
    const { state, source } = sourceOf('abc', 'def');
    const next = () => (state.given === 0 ? source.next() : new Promise<AnswerWindow>(() => undefined));
    void exchanges[0].stream(200, noHeaders, { size: 6, next });
    socket.settle();
    expect(state).toEqual({ given: 1, released: 1, outMax: 1 });
    socket.destroy();
    socket.settle();
    expect(state.released).toBe(1);
  });

  test('ask for one window at a time, though 100 Continue is flushed late', async () => {
    const { socket, exchanges } = parked();
    socket.isStalled = true;
    socket.deliver(post('', 'Expect: 100-continue\r\n', 1));
    exchanges[0].receive(new TestSink(1));
    socket.deliver('x');
    let askedCount = 0;
    const next = () => new Promise<AnswerWindow>(() => askedCount++);
    void exchanges[0].stream(200, noHeaders, { size: 3, next });
    socket.isStalled = false;
    socket.settle();
    expect(askedCount).toBe(1);
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
    ['that gives more than a window', () => ({ parts: [bytesOf('abc')], release: () => undefined })],
    ['that gives nothing', () => ({ parts: [], release: () => undefined })],
  ])('a source %s cuts the connection', async (_, next) => {
    const { socket, exchanges, isClosed } = parked({ windowBytesMax: 2 });
    socket.deliver(get('/'));
    await expect(exchanges[0].stream(200, noHeaders, { size: 3, next })).rejects.toThrow();
    socket.settle();
    expect([socket.isDestroyed, isClosed()]).toEqual([true, true]);
  });
});
