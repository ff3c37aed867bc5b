/** A server with a token: every route of the route table, with no token, a malformed, a wrong and the right one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes, type RouteName } from '@transfer-queue/core/protocol';
import { startServer, temporaryDirectory, type ServerProcess } from '../support/process.ts';
import { askOnce, Connection, headOf, type Answer } from './client.ts';
import { judge } from './judge.ts';
import { withBug, type PlantedBug } from './planted.ts';

const TOKEN = 'Canary-7f3a91_c0ffee.~+/=';
const names = Object.keys(routes) as RouteName[];
const right = `Bearer ${TOKEN}`;

/** What no caller gets in with. */
const wrong: Readonly<Record<string, string | null>> = {
  'no header': null,
  'an empty header': '',
  'the scheme alone': 'Bearer',
  'an empty token': 'Bearer ',
  'the token alone': TOKEN,
  'another scheme': `Basic ${Buffer.from(`user:${TOKEN}`).toString('base64')}`,
  'two spaces': `Bearer  ${TOKEN}`,
  'a token too many': `Bearer ${TOKEN} ${TOKEN}`,
  'a comma': `Bearer ${TOKEN},`,
  quotes: `Bearer "${TOKEN}"`,
  'a beginning of it': `Bearer ${TOKEN.slice(0, -1)}`,
  'an end of it': `Bearer ${TOKEN.slice(1)}`,
  'more than it': `Bearer ${TOKEN}x`,
  'other letters': `Bearer ${TOKEN.toLowerCase()}`,
  'another token': 'Bearer secret',
  'a long token': `Bearer ${'x'.repeat(8_000)}`,
};

/** A head that announces a body where the route takes one; nothing follows it. */
function headOfRoute(name: RouteName, authorization: string | null): Buffer {
  const { method, path, body } = routes[name];
  const parameters: Readonly<Record<string, string>> = {
    partition: 'p',
    id: '0',
    field: 'f',
    claim: 'c',
    snapshot: 's',
  };
  const target = path.replace(/\{(\w+)\}/g, (_, parameter: string) => parameters[parameter]);
  const type = body === 'arrow' ? 'application/vnd.apache.arrow.stream' : 'application/json';
  const takes: Record<string, string> = body === 'none' ? {} : { 'content-length': '100000', 'content-type': type };
  return headOf({ method, target, headers: { ...takes, authorization } });
}

/** The answer to a head; null when none comes because the server waits for the body. */
async function answerTo(url: string, head: Buffer): Promise<Answer | null> {
  const connection = await Connection.open(url);
  try {
    const waiting = (async () => {
      // Whoever answers a later request on another connection has had its turn with this one.
      for (let turn = 0; turn < 20; turn++) await askOnce(url, { method: 'GET', target: '/healthz' });
      return null;
    })();
    return await Promise.race([connection.exchange(head), waiting]);
  } finally {
    connection.close();
  }
}

/** What is wrong with the guard of a server; an empty list is a pass. */
async function tryGuard(url: string): Promise<string[]> {
  const problems: string[] = [];
  for (const name of names) {
    for (const [what, authorization] of Object.entries(wrong)) {
      const answer = await answerTo(url, headOfRoute(name, authorization));
      const found = 'open' in routes[name] ? openProblems(answer) : judge(answer, ['unauthorized']);
      problems.push(...found.map((problem) => `${name} with ${what}: ${problem}`));
    }
    const answer = await answerTo(url, headOfRoute(name, right));
    if (answer?.status === 401) problems.push(`${name} refuses the token`);
  }
  return problems;
}

const openProblems = (answer: Answer | null): string[] => (answer?.status === 200 ? [] : [`status ${answer?.status}`]);

interface Guarded {
  readonly server: ServerProcess;
  stop(): Promise<void>;
}

async function startGuarded(env: Record<string, string> = {}): Promise<Guarded> {
  const directory = temporaryDirectory('token');
  const server = await startServer({
    directory: directory.path,
    arguments: ['--log-level', 'debug'],
    env: { TQ_TOKEN: TOKEN, ...env },
  });
  return {
    server,
    async stop() {
      server.signal('SIGTERM');
      await server.exited;
      directory.remove();
    },
  };
}

let guarded: Guarded;
beforeAll(async () => {
  guarded = await startGuarded();
});
afterAll(() => guarded.stop());

test('only health and readiness are open', () => {
  expect(names.filter((name) => 'open' in routes[name])).toEqual(['health', 'ready']);
});

test('every other route answers 401 before a byte of a body came, and takes the right token', async () => {
  expect(await tryGuard(guarded.server.url)).toEqual([]);
});

test('what is there and what is not look alike without the token', async () => {
  const { url } = guarded.server;
  const authorization = right;
  await askOnce(url, { method: 'PUT', target: '/v1/partitions/there', headers: { authorization } });
  const ask = async (name: string): Promise<unknown> => {
    const answer = await askOnce(url, { method: 'GET', target: `/v1/partitions/${name}` });
    return { ...answer, body: answer!.body.toString() };
  };
  expect(await ask('there')).toEqual(await ask('nowhere'));
});

test('a token in the query, in a cookie or twice in the head does not count', async () => {
  const { url } = guarded.server;
  const target = `/v1/limits?token=${encodeURIComponent(TOKEN)}&access_token=${encodeURIComponent(TOKEN)}`;
  expect(
    judge(await askOnce(url, { method: 'GET', target, headers: { cookie: `token=${TOKEN}` } }), ['unauthorized']),
  ).toEqual([]);
  const twice = { authorization: right, Authorization: right };
  expect(
    judge(await askOnce(url, { method: 'GET', target: '/v1/limits', headers: twice }), ['http_malformed']),
  ).toEqual([]);
});

test('neither logs, metrics nor errors tell the token', async () => {
  const { server } = guarded;
  const headers = { authorization: right };
  const told = ['/metrics', '/v1/cluster', '/v1/limits', '/v1/partitions', '/v1/none', `/v1/claims/x:ack`];
  for (const target of told) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const answer = await askOnce(server.url, { method, target, headers });
      expect(answer!.body.toString()).not.toContain(TOKEN);
      expect(JSON.stringify([...answer!.headers])).not.toContain(TOKEN);
    }
  }
  expect(server.log()).toContain('settings in force');
  expect(server.log()).not.toContain(TOKEN);
});

describe('the suite finds planted bugs', () => {
  test.each<[PlantedBug, RegExp]>([
    ['opens_metrics', /^metrics with no header: it was answered with 200/],
    ['opens_puts', /^put with no header: partition_unknown instead of unauthorized/],
    ['compares_lengths', /^limits with other letters: it was answered with 200/],
  ])('%s', async (bug, problem) => {
    const planted = await startGuarded(withBug(bug));
    try {
      expect((await tryGuard(planted.server.url)).filter((found) => problem.test(found))).toHaveLength(1);
    } finally {
      await planted.stop();
    }
  });

  test('logs_the_token', async () => {
    const planted = await startGuarded(withBug('logs_the_token'));
    await planted.stop();
    expect(planted.server.log()).toContain(TOKEN);
  });
});
