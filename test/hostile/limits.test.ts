/** H4: each limit that `/v1/limits` publishes, one below it, at it and one beyond. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { columnsOf } from '../support/http_client.ts';
import { startServer, temporaryDirectory, type ServerProcess } from '../support/process.ts';
import { askOnce } from './client.ts';
import { judge } from './judge.ts';
import { withBug, type PlantedBug } from './planted.ts';
import { NAME_LENGTH_MAX, nameProbes, probes, streamOfSize, tryLimit } from './probes.ts';
import { startSmallServer } from './small_server.ts';
import { jsonRequest, putRequest, succeed } from './world.ts';

const MEMORY = 32 << 20;
const names = Object.keys(limits) as (keyof typeof limits)[];
const onWire = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

interface Limited {
  readonly server: ServerProcess;
  readonly inForce: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

async function startLimited(env: Record<string, string> = {}): Promise<Limited> {
  const directory = temporaryDirectory('limits');
  const server = await startServer({ directory: directory.path, arguments: ['--memory', `${MEMORY}`], env });
  const { body } = await succeed(server.url, { method: 'GET', target: '/v1/limits' });
  return {
    server,
    inForce: JSON.parse(body.toString()) as Record<string, number>,
    async stop() {
      server.signal('SIGTERM');
      await server.exited;
      directory.remove();
    },
  };
}

let limited: Limited;
beforeAll(async () => {
  limited = await startLimited();
});
afterAll(async () => {
  await limited.stop();
  expect(limited.server.log()).toBe('');
});

test('/v1/limits publishes all of them, and a server with little memory lowers those of puts and states', () => {
  const { put_body_bytes_max, states_bytes_max, ...rest } = limited.inForce;
  expect([put_body_bytes_max, states_bytes_max]).toEqual([MEMORY / 2, MEMORY]);
  const { putBodyBytesMax: _put, statesBytesMax: _states, ...published } = limits;
  expect(rest).toEqual(Object.fromEntries(Object.entries(published).map(([name, value]) => [onWire(name), value])));
});

describe.each(names)('%s', (name) => {
  const found = probes[name];
  if (found === null) return void test('is tried elsewhere', () => expect(triedElsewhere[name]).toBe(true));
  test.each(found.map((probe, i) => [i, probe.beyond, probe] as const))(
    'probe %i: %s beyond',
    async (_i, _beyond, probe) => {
      expect(await tryLimit(limited.server.url, probe, limited.inForce[onWire(name)])).toEqual([]);
    },
  );
});

const listenerTest = readFileSync(new URL('../server/http/listener.test.ts', import.meta.url), 'utf8');
const triedElsewhere: Readonly<Record<string, boolean>> = {
  answerBytesMax: true,
  connectionsMax: listenerTest.includes('limits: { connectionsMax:'),
};

describe('names', () => {
  test.each(Object.keys(nameProbes))('of a %s', async (kind) => {
    expect(await tryLimit(limited.server.url, nameProbes[kind], NAME_LENGTH_MAX)).toEqual([]);
  });
});

describe('an answer', () => {
  const SIZE = 10_000;
  const claim = { task: 't', fields: ['a'], rows_max: 1, lease_ms: 3_600_000 };

  test('of the limit is given, one beyond is refused, read or claim; the rows of that claim come back', async () => {
    const { url, node, stop } = await startSmallServer();
    try {
      const limit = (answerBytesMax: number): void => void Object.assign(node.parts, { answerSizeMax: answerBytesMax });
      await succeed(url, jsonRequest('PUT', '/v1/partitions/p', {}));
      await succeed(url, putRequest('p', streamOfSize(SIZE)));
      const reading = jsonRequest('POST', '/v1/partitions/p/rows:read', { ids: [0] });
      const whole = await succeed(url, reading);
      limit(whole.body.length);
      expect((await succeed(url, reading)).body).toEqual(whole.body);
      limit(whole.body.length - 1);
      expect(judge(await askOnce(url, reading), ['answer_too_large'])).toEqual([]);

      const claiming = jsonRequest('POST', '/v1/partitions/p/claims', claim);
      expect(judge(await askOnce(url, claiming), ['answer_too_large'])).toEqual([]);
      expect(await stateOfTask(url)).toMatchObject({ leased: 0, consumed: 0, claims: 0 });
      limit(1 << 30);
      const granted = await succeed(url, claiming);
      expect(columnsOf(granted.body)).toMatchObject({ index_id: [0] });
    } finally {
      await stop();
    }
  });

  async function stateOfTask(url: string): Promise<object> {
    const { body } = await succeed(url, { method: 'GET', target: '/v1/partitions/p' });
    return (JSON.parse(body.toString()) as { tasks: Record<string, object> }).tasks.t;
  }
});

describe('the suite finds planted bugs', () => {
  test.each<[PlantedBug, 'putRowsMax' | 'headFieldsMax']>([
    ['takes_a_row_too_many', 'putRowsMax'],
    ['takes_a_row_too_few', 'putRowsMax'],
    ['takes_a_field_too_many', 'headFieldsMax'],
  ])('%s', async (bug, name) => {
    const planted = await startLimited(withBug(bug));
    try {
      expect(await tryLimit(planted.server.url, probes[name]![0], limits[name])).toHaveLength(1);
    } finally {
      await planted.stop();
    }
  });
});
