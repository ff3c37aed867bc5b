/**
 * Probes of the limits of the queue; see probes.ts. How many filters are in use is tried in the engine, where waiting
 * claims need no connections.
 */
import type { limits } from '@transfer-queue/core/protocol';
import type { StoreError } from '../../server/errors.ts';
import { claimOf, declareTest, openTestNode, putText } from '../support/node.ts';
import { settle, simEnv } from '../support/sim_env.ts';
import { scalars, streamOf } from './bodies.ts';
import { ask, claim, freshName, numbers, orMissing, post, withRows, type Probe } from './probing.ts';
import { jsonRequest, putRequest } from './world.ts';

const declare = (url: string, settings: object): Promise<string> =>
  ask(url, jsonRequest('PUT', `/v1/partitions/${freshName()}`, settings));
const namesOf = (count: number): string[] => numbers(count).map((i) => `n${i}`);

async function tasks(url: string, count: number): Promise<string> {
  const name = await withRows(url);
  let outcome = '';
  for (const i of numbers(count))
    outcome = await ask(url, jsonRequest('POST', `/v1/partitions/${name}/claims`, claim({ task: `t${i}` })));
  return outcome;
}

/** Tags of row 0 whose JSON text has so many bytes. */
async function tagsOfSize(url: string, size: number): Promise<string> {
  const text = 'x'.repeat(size - JSON.stringify({ note: '' }).length);
  return post(url, 'rows:tag', { ids: [0], tags: { note: text } });
}

/** Draws so many batches, then asks for the first again. */
async function firstOfBatches(url: string, count: number): Promise<string> {
  const name = await withRows(url);
  const draw = (number: number): Promise<string> => {
    const batch = claim({ batch: { name: 'step', number }, auto_ack: true });
    return ask(url, jsonRequest('POST', `/v1/partitions/${name}/claims`, batch));
  };
  for (const number of numbers(count)) await draw(number);
  return draw(0);
}

/** So many claims wait, each for rows of a filter of its own. */
async function filters(count: number): Promise<string> {
  const { node, close } = await openTestNode(simEnv(), '/data');
  await declareTest(node, 'p');
  await putText(node, 'p', [0], 'a', ['x']);
  const wait = (number: number): Promise<unknown> =>
    claimOf(node, 'p', { fields: ['a'], where: `n == ${number + 1}`, waitMs: 1_000 });
  const waiting = numbers(count - 1).map((number) => wait(number).catch(() => undefined));
  await settle();
  const last = wait(count).then(
    () => 'ok',
    (error: unknown) => (error as StoreError).code,
  );
  const outcome = await Promise.race([last, settle().then(() => 'ok')]);
  await close();
  await Promise.all([...waiting, last]);
  return outcome;
}

const watch = async (url: string, query: string): Promise<string> =>
  ask(url, { method: 'GET', target: `/v1/partitions/${await withRows(url)}:watch?${query}` });

async function putWaiting(url: string, waitMs: number): Promise<string> {
  return ask(url, putRequest(await withRows(url), streamOf([0], [scalars('a', 1)]), `?wait_ms=${waitMs}`));
}

async function taskRoute(url: string, route: string): Promise<string> {
  const name = await withRows(url, { tasks: { t: {} } });
  return ask(url, { method: 'GET', target: `/v1/partitions/${name}/tasks/t/${route}` });
}

async function requeue(url: string, count: number): Promise<string> {
  const name = await withRows(url, { tasks: { t: {} } });
  return ask(url, jsonRequest('POST', `/v1/partitions/${name}/tasks/t:requeue`, { ids: numbers(count) }));
}

const refused = 'json_invalid';

export const queueProbes = {
  claimRowsMax: [
    { beyond: refused, attempt: (url, n) => post(url, 'claims', claim({ rows_max: n, rows_min: 1 })) },
    { beyond: refused, attempt: (url, n) => post(url, 'claims', claim({ rows_max: undefined, ids: numbers(n) })) },
  ],
  groupSizeMax: [
    { beyond: refused, attempt: (url, n) => declare(url, { group_size: n }) },
    {
      beyond: refused,
      attempt: (url, n) => post(url, 'claims', claim({ sampler: 'group', group: { survivors_min: n, wait_ms: 1 } })),
    },
  ],
  tasksPerPartitionMax: [
    { beyond: 'too_many_tasks', attempt: tasks },
    {
      beyond: 'too_many_tasks',
      attempt: (url, n) => declare(url, { tasks: Object.fromEntries(namesOf(n).map((name) => [name, {}])) }),
    },
  ],
  attemptsMax: [{ beyond: refused, attempt: (url, n) => declare(url, { tasks: { t: { max_attempts: n } } }) }],
  numbersPerPartitionMax: [{ beyond: refused, attempt: (url, n) => declare(url, { numbers: namesOf(n) }) }],
  filtersPerPartitionMax: [{ beyond: 'too_many_filters', attempt: (_, n) => filters(n) }],
  filterCharactersMax: [
    { beyond: refused, attempt: (url, n) => post(url, 'rows:list', { where: 'n == 1'.padEnd(n) }) },
    { beyond: refused, attempt: (url, n) => post(url, 'claims', claim({ where: 'n == 1'.padEnd(n) })) },
  ],
  tagsBytesMax: [{ beyond: 'tags_invalid', attempt: tagsOfSize }],
  batchesKeptPerTask: [{ beyond: 'batch_unknown', attempt: firstOfBatches }],
  batchPartsMax: [
    { beyond: refused, attempt: (url, n) => post(url, 'claims', claim({ batch: { name: 'b', number: 0, parts: n } })) },
  ],
  listRowsMax: [
    { beyond: refused, attempt: (url, n) => post(url, 'rows:list', { ids: numbers(n) }) },
    { beyond: refused, attempt: (url, n) => post(url, 'rows:list', { rows_max: n }) },
    {
      beyond: refused,
      attempt: async (url, n) => orMissing(await post(url, 'rows:tag', { ids: numbers(n), tags: {} })),
    },
    { beyond: refused, attempt: requeue },
    { beyond: 'query_invalid', attempt: (url, n) => taskRoute(url, `dead-letters?rows_max=${n}`) },
  ],
  watchChangesMax: [{ beyond: 'query_invalid', attempt: (url, n) => watch(url, `changes_max=${n}`) }],
  waitMsMax: [
    { beyond: refused, attempt: (url, n) => post(url, 'claims', claim({ wait_ms: n })) },
    { beyond: refused, attempt: (url, n) => post(url, 'rows:read', { ids: [0], wait_ms: n }) },
    { beyond: 'query_invalid', attempt: putWaiting },
    { beyond: 'query_invalid', attempt: (url, n) => watch(url, `after_lsn=0&wait_ms=${n}`) },
  ],
} as const satisfies { readonly [Name in keyof typeof limits]?: readonly Probe[] };
