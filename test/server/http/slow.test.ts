/** A thousand clients that are too slow, each in its way, are all cut, while a healthy client is served throughout. */
import { afterEach, expect, test } from 'vitest';
import { noHeaders } from '../../../server/http/answer.ts';
import type { AnswerWindow, Exchange } from '../../../server/http/exchange.ts';
import type { HttpListener } from '../../../server/http/listener.ts';
import { countOf, RawClient, start } from './server.ts';

const limits = { headMsMax: 300, idleMsMax: 300, bodyWindowMs: 300, writeStallMs: 300, lingerMsMax: 100, sweepMs: 50 };
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;
let listener: HttpListener;

afterEach(() => listener.stop(0));

function handle(exchange: Exchange): void {
  if (exchange.head.path === '/large') {
    const window = Buffer.alloc(4_194_304);
    const next = (): AnswerWindow => ({ parts: [window], release: () => undefined });
    void exchange.stream(200, noHeaders, { size: 1_000 * window.length, next });
    return;
  }
  if (exchange.head.method === 'GET') return exchange.respond(200, noHeaders);
  const memory = Buffer.alloc(exchange.head.contentLength);
  exchange.receive({ next: () => memory, wrote: () => undefined, end: () => undefined, abort: () => undefined });
}

function clients(count: number, begin: (client: RawClient) => void): RawClient[] {
  return Array.from({ length: count }, () => {
    const client = new RawClient(listener.port);
    begin(client);
    return client;
  });
}

test('slow heads, slow bodies, silence and readers that do not read', async () => {
  listener = await start({ handler: handle, limits });
  const slowHeads = clients(325, (client) => client.send('GET / HTTP/1.1\r\n'));
  const slowBodies = clients(325, (client) =>
    client.send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n'),
  );
  const silent = clients(325, () => undefined);
  const idle = clients(20, (client) => client.send(get('/')));
  const stalled = clients(5, (client) => {
    client.socket.pause();
    client.send(get('/large'));
  });
  const slow = [...slowHeads, ...slowBodies, ...silent, ...idle];
  const trickle = setInterval(() => {
    for (const client of slowHeads) client.send('a');
    for (const client of slowBodies) client.send('b');
  }, 50);

  const healthy = new RawClient(listener.port);
  const rounds = { asked: 0 };
  let isOver = false;
  const serve = (async () => {
    while (!isOver) {
      healthy.send(get('/'));
      rounds.asked++;
      await healthy.until((text) => countOf(text, 'HTTP/1.1 200 OK') === rounds.asked);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();

  await Promise.all(slow.map((client) => client.closed));
  while (listener.connectionCount() > 1) await new Promise((resolve) => setTimeout(resolve, 20));
  isOver = true;
  await serve;
  clearInterval(trickle);
  for (const client of stalled) client.socket.destroy();

  expect(healthy.socket.closed).toBe(false);
  expect(countOf(healthy.text, 'HTTP/1.1 200 OK')).toBe(rounds.asked);
  healthy.socket.destroy();
  for (const client of slowHeads) expect(client.text).toMatch(/^HTTP\/1.1 408 Request Timeout.*"request_timeout"/s);
  for (const client of slowBodies) expect(client.text).toMatch(/^HTTP\/1.1 408 Request Timeout.*"request_timeout"/s);
  for (const client of silent) expect(client.text).toBe('');
  for (const client of idle) expect(client.text).toBe('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  expect(listener.counts.cuts).toBe(1_000);
});
