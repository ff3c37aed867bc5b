/**
 * Every attack of the corpus is refused with an error and a close, and a canary request right behind it never runs:
 * neither in the same packet nor in a later one.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { noHeaders } from '../../../server/http/answer.ts';
import type { HttpListener } from '../../../server/http/listener.ts';
import { attacks, get, refusedHeads } from './corpus.ts';
import { exchangeRaw, RawClient, start } from './server.ts';

const canary = get('', '/canary');
const executed: string[] = [];
let listener: HttpListener;

beforeAll(async () => {
  listener = await start({
    handler(exchange) {
      executed.push(exchange.head.path);
      exchange.respond(200, noHeaders);
    },
  });
});

afterAll(() => listener.stop(0));

function expectRefusal(text: string): void {
  expect(text).toMatch(/^HTTP\/1\.1 (4\d\d|501|505) /);
  expect(text).toContain('\r\nConnection: close\r\n');
  expect(text.match(/HTTP\/1\.1 \d{3} /g)).toHaveLength(1);
  expect(executed).toEqual([]);
}

test('the corpus is large enough', () => {
  expect(new Set(attacks.map(([name]) => name)).size).toBe(attacks.length);
  expect(attacks.length).toBeGreaterThanOrEqual(60);
});

test('the canary runs behind a good request', async () => {
  await exchangeRaw(listener.port, get('', '/good') + get('Connection: close\r\n', '/canary'));
  expect(executed.splice(0)).toEqual(['/good', '/canary']);
});

test.each(attacks)('%s', async (_, bytes) => {
  expectRefusal(await exchangeRaw(listener.port, bytes + canary));
  const client = new RawClient(listener.port);
  client.send(bytes);
  // The end of an attack that is only half of a head comes with the canary.
  setTimeout(() => client.send(canary), 5);
  await client.closed;
  expectRefusal(client.text);
});

test('every refused head, with a canary behind it', async () => {
  const texts = await Promise.all(refusedHeads.map(([, head]) => exchangeRaw(listener.port, head + canary)));
  texts.forEach((text, index) => {
    expect(text).toContain(`"code":"${refusedHeads[index][0]}"`);
    expectRefusal(text);
  });
});
