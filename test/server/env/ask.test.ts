/** Requests of the command line: what is sent, and what is said when there is no answer. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { AskError, realAsk } from '../../../server/env/ask.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serving(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  server = createServer(answer);
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address at which nobody listens any more. */
async function unused(): Promise<string> {
  const url = await serving(() => undefined);
  await new Promise((resolve) => server!.close(resolve));
  return url;
}

const plain = { method: 'GET', headers: {}, timeoutMs: 5_000 } as const;

test('a request is sent as it is, and any status is an answer', async () => {
  const url = await serving((request, response) => {
    const { method, url: path, headers } = request;
    request.on('data', (body: Buffer) => {
      const seen = { method, path, type: headers['content-type'], token: headers.authorization, body: body.toString() };
      response.writeHead(418).end(JSON.stringify(seen));
    });
  });
  const headers = { 'content-type': 'application/json', authorization: 'Bearer t' };
  const { status, body } = await realAsk({ ...plain, method: 'POST', url: `${url}/a?b=c`, headers, body: '{}' });
  expect(status).toBe(418);
  expect(JSON.parse(body)).toEqual({
    ...{ method: 'POST', path: '/a?b=c', type: 'application/json', token: 'Bearer t', body: '{}' },
  });
});

test('a token is not taken elsewhere by a redirection', async () => {
  const paths: (string | undefined)[] = [];
  const url = await serving(({ url: path }, response) => {
    paths.push(path);
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  await expect(realAsk({ ...plain, url })).rejects.toThrow(AskError);
  expect(paths).toEqual(['/']);
});

test.each([
  ['nobody listens', unused, 'ECONNREFUSED'],
  ['the name is unknown', () => Promise.resolve('http://host.invalid'), /^(ENOTFOUND|EAI_AGAIN)$/],
  ['the connection ends', () => serving((_, response) => response.destroy()), /closed|reset|UND_ERR|ECONNRESET/i],
])('when %s, that is said', async (_, place, reason) => {
  const url = await place();
  await expect(realAsk({ ...plain, url })).rejects.toThrow(reason);
});

test('an answer is not waited for beyond its time, or when nobody wants it any more', async () => {
  const url = await serving(() => undefined);
  await expect(realAsk({ ...plain, url, timeoutMs: 20 })).rejects.toThrow('no answer in time');
  const ending = new AbortController();
  const asked = realAsk({ ...plain, url, ended: ending.signal });
  ending.abort();
  await expect(asked).rejects.toThrow(AskError);
});
