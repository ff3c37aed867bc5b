/** What partitions declare of their queue: how declarations add up, and which are refused. */
import { expect, test } from 'vitest';
import type { QueueChange } from '../../../server/engine/commands.ts';
import { changeQueueSettings } from '../../../server/engine/queue_settings.ts';
import type { PartitionSettings } from '../../../server/journal/events.ts';

const PLAIN: PartitionSettings = { name: 'p', fields: [], open: true, groupSize: 1, ack: 'os' };

function declare(...changes: readonly QueueChange[]): PartitionSettings {
  return changes.reduce(changeQueueSettings, PLAIN);
}

test.each<[string, readonly QueueChange[], Partial<PartitionSettings>]>([
  [
    'tasks are added, and changed by their names',
    [
      { tasks: [{ name: 'a' }, { name: 'b', maxAttempts: 2 }] },
      { tasks: [{ name: 'c' }, { name: 'a', maxAttempts: 3 }] },
    ],
    { tasks: [{ name: 'a', maxAttempts: 3 }, { name: 'b', maxAttempts: 2 }, { name: 'c' }] },
  ],
  [
    'numbers are added, each once',
    [{ numbers: ['length', 'reward'] }, { numbers: ['reward', 'version'] }],
    { numbers: ['length', 'reward', 'version'] },
  ],
  ['budgets are replaced', [{ rowsMax: 10, bytesMax: 20 }, { rowsMax: 30 }], { rowsMax: 30, bytesMax: 20 }],
  [
    'what is null is taken away',
    [
      { rowsMax: 10, pace: { rowsPerVersion: 1, maxAhead: 1 } },
      { rowsMax: null, pace: null },
    ],
    {},
  ],
  [
    'a retention by count leaves room in the budget of rows',
    [{ tasks: [{ name: 'a' }], rowsMax: 10, retention: { rowsMax: 9 } }],
    { tasks: [{ name: 'a' }], rowsMax: 10, retention: { rowsMax: 9 } },
  ],
])('%s', (_, changes, settings) => {
  expect(declare(...changes)).toEqual({ ...PLAIN, ...settings });
});

test('a declaration that changes nothing is the same object', () => {
  const known = declare({ tasks: [{ name: 'a' }], numbers: ['length'], rowsMax: 5 });
  expect(changeQueueSettings(known, { tasks: [{ name: 'a' }], numbers: ['length'], rowsMax: 5 })).toBe(known);
  expect(changeQueueSettings(known, {})).toBe(known);
});

test.each<[string, QueueChange, string]>([
  ['rows that nobody is known to need are not released', { release: 'consumed' }, '/release'],
  ['nor evicted', { retention: { rowsMax: 1 } }, '/retention'],
  [
    'a retention that keeps as many rows as the budget has would end all puts',
    { tasks: [{ name: 'a' }], rowsMax: 10, retention: { rowsMax: 10 } },
    '/retention/rows_max',
  ],
  ['a pace counts rows by safe integers', { pace: { rowsPerVersion: 2 ** 40, maxAhead: 2 ** 20 } }, '/pace'],
  ['numbers of ours are reserved', { numbers: ['tq_key'] }, '/numbers'],
  ['there are only so many numbers', { numbers: Array.from({ length: 17 }, (_, i) => `n${i}`) }, '/numbers'],
])('%s', (_, change, at) => {
  let refusal: unknown;
  try {
    declare(change);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({ code: 'json_invalid', details: { at } });
});

test('there are only so many tasks', () => {
  const tasks = Array.from({ length: 65 }, (_, i) => ({ name: `t${i}` }));
  expect(() => declare({ tasks })).toThrow(expect.objectContaining({ code: 'too_many_tasks' }) as Error);
});
