/** Claims over HTTP: all their words, which of them go together, and what the answer says. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSmallServer, type SmallServer } from '../../hostile/small_server.ts';
import { TestClient } from '../../support/http_client.ts';
import { bodyOf } from '../../support/node.ts';

let server: SmallServer;
let client: TestClient;
beforeAll(async () => {
  server = await startSmallServer();
  client = new TestClient(server.url);
  await client.json('PUT', '/v1/partitions/p', { group_size: 2, numbers: ['length', 'priority', 'weight', 'version'] });
  await put('p', [0, 1, 2, 3, 4, 5, 6, 7]);
});
afterAll(() => server.stop());

async function put(partition: string, ids: readonly number[]): Promise<void> {
  const values = ids.map((id) => `row ${id}`);
  const tags = ids.map((id) =>
    JSON.stringify({ length: id + 1, priority: -id, weight: 1, version: id, even: id % 2 === 0 }),
  );
  await client.request('POST', `/v1/partitions/${partition}/rows`, bodyOf(ids, 'a', values, true, tags));
}

let tasks = 0;

/** By a task of its own; null stands for what is left out. */
async function claim(body: object, partition = 'p'): Promise<{ rows: number; partial: string | null; body: unknown }> {
  const full = { task: `t${(tasks += 1) % 50}`, fields: ['a'], rows_max: 4, ...body };
  const given = Object.fromEntries(Object.entries(full).filter(([, value]) => value !== null));
  const { headers, bytes } = await client.request('POST', `/v1/partitions/${partition}/claims`, given);
  const token = headers.get('tq-claim');
  const isJson = headers.get('content-type') === 'application/json';
  const shown: unknown = isJson ? JSON.parse(Buffer.from(bytes).toString()) : null;
  if (token !== null && !('auto_ack' in body)) await client.json('POST', `/v1/claims/${token}:release`);
  return { rows: Number(headers.get('tq-rows') ?? -1), partial: headers.get('tq-partial'), body: shown };
}

const granted: readonly (readonly [body: object, rows: number])[] = [
  [{}, 4],
  [{ sampler: 'fifo', rows_min: 9, rows_max: 9, partial: true }, 8],
  [{ sampler: 'group', rows_max: 7 }, 6],
  [{ sampler: 'group', group: { survivors_min: 1, wait_ms: 0 } }, 4],
  [{ sampler: 'priority', by: 'length' }, 4],
  [{ sampler: 'priority' }, 4],
  [{ sampler: 'weighted', seed: 7 }, 4],
  [{ where: 'even == true' }, 4],
  [{ tokens: { max: 6 } }, 3],
  [{ tokens: { max: 6, by: 'weight' }, rows_max: 8 }, 6],
  [{ window: { min_version: 5 }, rows_min: 1 }, 3],
  [{ window: { max_staleness: 1, on_stale: 'keep', by: 'version' }, rows_min: 1 }, 4],
  [{ rows_max: null, ids: [7, 6, 99] }, 2],
  [{ batch: { name: 'b', number: 0 } }, 4],
  [{ batch: { name: 'b', number: 0, part: 1, parts: 2, balance_by: 'length' } }, 2],
  [{ linger_ms: 0, rows_max: 50 }, 8],
  [{ auto_ack: true }, 4],
];

test.each(granted.map(([body, rows]) => [JSON.stringify(body), rows] as const))(
  '%s gets %i rows',
  async (body, rows) => {
    expect((await claim(JSON.parse(body) as object)).rows).toBe(rows);
  },
);

const refused: readonly (readonly [body: object, code: string, at: string])[] = [
  [{ rows_max: null }, 'json_invalid', '/rows_max'],
  [{ rows_min: 5 }, 'json_invalid', '/rows_min'],
  [{ ids: [1], rows_max: 4 }, 'json_invalid', '/rows_max'],
  [{ ids: [1], rows_max: null, rows_min: 2 }, 'json_invalid', '/rows_min'],
  [{ ids: [1], rows_max: null, sampler: 'fifo' }, 'json_invalid', '/sampler'],
  [{ ids: [1], rows_max: null, tokens: { max: 1 } }, 'json_invalid', '/tokens'],
  [{ ids: [1], rows_max: null, batch: { name: 'b', number: 0 } }, 'json_invalid', '/batch'],
  [{ ids: [1, 1], rows_max: null }, 'ids_duplicate', ''],
  [{ by: 'length' }, 'json_invalid', '/by'],
  [{ seed: 1 }, 'json_invalid', '/seed'],
  [{ sampler: 'priority', seed: 1 }, 'json_invalid', '/seed'],
  [{ group: { by: 'length' } }, 'json_invalid', '/group'],
  [{ sampler: 'group', group: { wait_ms: 5 } }, 'json_invalid', '/group/wait_ms'],
  [{ batch: { name: 'b', number: 0, part: 1 } }, 'json_invalid', '/batch/part'],
  [{ tokens: {} }, 'json_invalid', '/tokens'],
  [{ sampler: 'shortest' }, 'sampler_unknown', ''],
  [{ sampler: 'priority', by: 'height' }, 'number_unknown', ''],
  [{ tokens: { max: 9, by: 'height' } }, 'number_unknown', ''],
  [{ where: 'even =' }, 'filter_invalid', ''],
  [{ sampler: 'group', rows_max: 1 }, 'group_too_large', ''],
];

test.each(refused.map(([body, code, at]) => [JSON.stringify(body), code, at] as const))(
  '%s is refused with %s %s',
  async (body, code, at) => {
    const { body: error } = await claim(JSON.parse(body) as object);
    expect(error).toMatchObject({ code, details: at === '' ? {} : { at } });
  },
);

describe('the answer', () => {
  test('says that fewer rows came than were asked for', async () => {
    expect(await claim({ rows_max: 20, partial: true })).toMatchObject({ rows: 8, partial: '1' });
    expect(await claim({ rows_max: 20, rows_min: 8, partial: true })).toMatchObject({ rows: 8, partial: null });
    expect(await claim({ rows_max: 20, tokens: { max: 6 } })).toMatchObject({ rows: 3, partial: null });
  });

  test('counts rows that are filtered out or too old', async () => {
    await client.json('POST', '/v1/partitions/p:advance', { version: 8 });
    const window = { max_staleness: 2 };
    expect((await claim({ rows_max: 9, where: 'even == true', window })).body).toEqual({
      outcome: 'timed_out',
      ...{ ready: 1, leased: 0, incomplete: 0, stale: 3, filtered: 4 },
    });
  });

  test('of an empty part of a batch says so', async () => {
    const batch = { name: 'e', number: 0, part: 8, parts: 9 };
    expect((await claim({ rows_max: 8, batch })).body).toEqual({ outcome: 'timed_out', empty: true });
    const none = { name: 'e', number: 1 };
    expect((await claim({ rows_max: 50, batch: none })).body).toMatchObject({
      outcome: 'timed_out',
      empty: true,
      ready: 8,
    });
  });
});
