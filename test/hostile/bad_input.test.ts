/** Every route of a real server against every wrong thing: the right code, no trace of it, and the server lives on. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes } from '@transfer-queue/core/protocol';
import { matchRoute } from '../../server/http/router.ts';
import { scalars, streamOf } from './bodies.ts';
import { Connection, type Request } from './client.ts';
import { judge } from './judge.ts';
import { withBug, type PlantedBug } from './planted.ts';
import { parseCase, readTable, tableNames, tryCase } from './table.ts';
import { jsonRequest, putRequest, startWorld, succeed, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world.stop();
  // Nothing of all this was the server's own failure.
  expect(world.server.log()).toBe('');
});

describe.each(tableNames)('%s', (name) => {
  test.each(readTable(name))('%s', async (line) => {
    expect(await tryCase(world, parseCase(line, world.words))).toEqual([]);
  });
});

test('every route is in the tables', () => {
  const requests = tableNames.flatMap(readTable).map((line) => parseCase(line, world.words).request);
  const matches = requests.map(({ method, target }) => matchRoute(method, target.split('?')[0]));
  const names = new Set(matches.flatMap((match) => (match.ok ? [match.name] : [])));
  expect([...names].sort()).toEqual(Object.keys(routes).sort());
});

describe('HEAD says what GET says, without the body', () => {
  const targets = ['/healthz', '/readyz', '/v1/limits', '/v1/cluster', '/v1/partitions', '/v1/partitions/train'];
  const rows = ['/v1/partitions/train/rows/0', '/v1/partitions/train/rows/0/image', '/v1/partitions/train/rows/0/note'];
  test.each([...targets, ...rows])('%s', async (target) => {
    const connection = await Connection.open(world.url);
    for (const accept of ['*/*', 'application/octet-stream']) {
      const get = await connection.ask({ method: 'GET', target, headers: { accept } });
      const head = await connection.ask({ method: 'HEAD', target, headers: { accept } });
      expect(get!.status).toBe(200);
      expect(get!.body.length).toBeGreaterThan(0);
      expect({ ...head, body: null }).toEqual({ ...get, body: null });
      expect(head!.body.length).toBe(0);
    }
    connection.close();
  });

  test('/metrics', async () => {
    const head = await succeed(world.url, { method: 'HEAD', target: '/metrics' });
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(0);
  });
});

describe('a request id that was used', () => {
  const used = { 'tq-request-id': 'used' };
  const score = streamOf([0, 1, 2], [scalars('score', 3)]);
  const withId = (request: Request): Request => ({ ...request, headers: { ...request.headers, ...used } });

  test('gets the same answer for another body, and nothing happens twice', async () => {
    const put = withId(putRequest('open', score));
    const first = await succeed(world.url, put);
    const state = await world.state();
    const again = await succeed(world.url, { ...put, body: streamOf([7], [scalars('score', 1)]) });
    expect(again.body.toString()).toBe(first.body.toString());
    expect(await world.state()).toBe(state);
  });

  test.each<[string, Request]>([
    ['a delete', jsonRequest('POST', '/v1/partitions/open/rows:delete', { ids: [0] })],
    ['a claim', jsonRequest('POST', '/v1/partitions/open/claims', { task: 't', fields: ['score'], rows_max: 1 })],
    ['a put to another partition', putRequest('disk', score)],
  ])('is refused for %s', async (_, request) => {
    const refused = { line: '', codes: ['request_id_reused'] as const, request: withId(request) };
    expect(await tryCase(world, refused)).toEqual([]);
  });
});

describe('a body that never comes', () => {
  test.each(['train/rows', 'train/rows:read', 'train/claims'])('leaves nothing at %s', async (path) => {
    const state = await world.state();
    const type = path.endsWith('rows') ? 'application/vnd.apache.arrow.stream' : 'application/json';
    const connection = await Connection.open(world.url);
    const headers = { 'content-type': type, 'content-length': '100000' };
    const answer = connection.ask({
      method: 'POST',
      target: `/v1/partitions/${path}`,
      headers,
      body: Buffer.from('{'),
    });
    await succeed(world.url, { method: 'GET', target: '/healthz' });
    connection.close();
    expect(await answer).toBeNull();
    expect(await world.state()).toBe(state);
  });
});

describe('the suite finds planted bugs', () => {
  test.each<[PlantedBug, string]>([
    ['fails_at_unknown_field', 'status 500 is a failure of the server'],
    ['stores_on_refusal', 'the state changed'],
    ['says_yes_to_bad_streams', 'it was answered with 200'],
    ['makes_up_codes', 'no such code: oops'],
  ])('%s', async (bug, problem) => {
    const planted = await startWorld({ env: withBug(bug) });
    try {
      const lines = ['put', 'read'].flatMap(readTable);
      const problems: string[] = [];
      for (const line of lines) problems.push(...(await tryCase(planted, parseCase(line, planted.words))));
      expect(problems).toContain(problem);
    } finally {
      await planted.stop();
    }
  });

  test('and the judge knows a wrong kind, status and message', async () => {
    const body = { code: 'rows_missing', kind: 'wait', message: 'x', details: {} };
    const headers = new Map([['content-type', 'application/json']]);
    const answer = { status: 404, headers, closes: false, body: Buffer.from(JSON.stringify(body)) };
    expect(judge(answer, ['rows_missing'])).toEqual(['rows_missing came with another message']);
    expect(judge({ ...answer, status: 409 }, ['rows_missing'])).toContain('rows_missing came with status 409');
    expect(judge({ ...answer, status: 503 }, ['rows_missing'])).toContain('status 503 lacks retry-after');
    expect(judge(answer, ['rows_exist'])).toContain('rows_missing instead of rows_exist: {}');
  });
});
