/** What each event of the queue says, for people and for programs. */
import { expect, test } from 'vitest';
import type { JournalEvent, PartitionSettings } from '../../../server/journal/events.ts';
import { eventJson } from '../../../server/inspect/event_json.ts';
import { eventText } from '../../../server/inspect/event_text.ts';
import { Names } from '../../../server/inspect/names.ts';

const text = { layout: 'text' } as const;
const declared: PartitionSettings = {
  name: 'train',
  fields: [
    { name: 'prompt', layout: text },
    { name: 'reward', layout: { layout: 'scalar', dtype: 'float32' } },
  ],
  open: false,
  groupSize: 4,
  ack: 'os',
};
const streaming: PartitionSettings = {
  ...declared,
  open: true,
  tasks: [{ name: 'trainer', maxAttempts: 3 }, { name: 'critic' }],
  release: 'consumed',
  numbers: ['length', 'version'],
  rowsMax: 10_000,
  bytesMax: 1 << 20,
  pace: { rowsPerVersion: 512, maxAhead: 1 },
  retention: { rowsMax: 100, ageMsMax: 60_000 },
};
const names = new Names();
names.learn({ partition: 1, settings: declared });

const ids = Float64Array.of(3, 4, 5);
const at = { partition: 1, task: 'trainer' } as const;
const claim = 2 ** 32 + 7;
const insert = {
  type: 'insert',
  partition: 1,
  requestId: '',
  extent: { segment: 1, offset: 64, length: 1_000, blocks: new Uint8Array() },
  batches: [{ rows: 3, ids, columns: [{ field: 0, regions: [] }] }],
  ackClaim: 0,
} as const;
const claimed = {
  type: 'claim',
  ...at,
  ...{ requestId: '', claim, epoch: 1, fields: [0, 1], ids, attempts: Uint16Array.of(1, 1, 2), leaseMs: 30_000 },
} as const;

const cases: readonly [JournalEvent, text: string, json?: object][] = [
  [
    { type: 'declare', partition: 1, settings: declared },
    'ack os, groups of 4, prompt: text, reward: scalar float32',
    { settings: declared },
  ],
  [
    { type: 'declare', partition: 1, settings: streaming },
    'ack os, groups of 4, open, prompt: text, reward: scalar float32, tasks trainer (3 attempts), critic, ' +
      'releases consumed rows, numbers length, version, at most 10,000 rows, at most 1,048,576 bytes, ' +
      '512 rows a version, 1 ahead, keeps consumed rows up to 100 rows or 60,000 ms',
  ],
  [
    { ...insert, tags: ['{"status":"finished"}', '', '{"length":7}'] },
    '3 rows 3-5, fields prompt, tags of 2 rows, 1,000 bytes at 1:64',
    { tags: ['{"status":"finished"}', '', '{"length":7}'], batches: [{ ids: [3, 4, 5], fields: ['prompt'] }] },
  ],
  [{ type: 'delete', partition: 1, requestId: '', ids }, 'rows 3-5', { ids: [3, 4, 5], reason: 'asked' }],
  [{ type: 'delete', partition: 1, requestId: '', ids, reason: 'evicted' }, 'rows 3-5, evicted', { reason: 'evicted' }],
  [
    { type: 'delete', partition: 1, requestId: '', ids, reason: 'released' },
    'rows 3-5, consumed by all declared tasks',
    { reason: 'released' },
  ],
  [
    { ...claimed, autoAck: false, batch: { name: 'step', number: 12, part: 0, parts: 4 } },
    'claim 1.7 of task trainer: rows 3-5, fields prompt, reward, lease 30,000 ms, part 1 of 4 of batch 12 of step',
    { claim, batch: { name: 'step', number: 12, part: 0, parts: 4 }, attempts: [1, 1, 2] },
  ],
  [
    { ...claimed, autoAck: true },
    'claim 1.7 of task trainer: rows 3-5, fields prompt, reward, acked at once',
    { auto_ack: true },
  ],
  [
    { type: 'batch', ...at, name: 'step', number: 13, parts: 4, outcome: 'drained' },
    'batch 13 of step, task trainer: drained, for all 4 parts',
    { task: 'trainer', name: 'step', number: 13, parts: 4, outcome: 'drained' },
  ],
  [
    { type: 'batch', ...at, name: 'step', number: 14, parts: 1, outcome: 'timed_out' },
    'batch 14 of step, task trainer: no rows in time, for all 1 part',
  ],
  [{ type: 'release', partition: 1, claim, requestId: '', reason: 'released' }, 'claim 1.7 given back'],
  [{ type: 'release', partition: 1, claim, requestId: '', reason: 'expired' }, 'claim 1.7 expired'],
  [
    { type: 'release', partition: 1, claim, requestId: '', reason: 'undelivered' },
    'claim 1.7 given back, since nobody got its rows',
    { claim, reason: 'undelivered' },
  ],
  [
    { type: 'requeue', ...at, ids },
    'task trainer tries its dead letters anew: rows 3-5',
    { task: 'trainer', ids: [3, 4, 5] },
  ],
  [{ type: 'reset', ...at, requestId: '' }, 'task trainer begins anew with all rows', { task: 'trainer' }],
  [
    { type: 'skip', ...at, fields: [0], ids },
    'task trainer passes rows 3-5 for good, fields prompt',
    { task: 'trainer', fields: ['prompt'], ids: [3, 4, 5] },
  ],
  [
    { type: 'tag', partition: 1, requestId: 'r', ids, tags: ['{"status":"finished"}'] },
    'rows 3-5: {"status":"finished"}',
    { request_id: 'r', ids: [3, 4, 5], tags: ['{"status":"finished"}'] },
  ],
  [{ type: 'tag', partition: 1, requestId: '', ids, tags: ['{}', '{}', '{}'] }, 'rows 3-5: each its own tags'],
  [
    { type: 'tag', partition: 1, requestId: '', ids, tags: [`{"note":"${'x'.repeat(4_000)}"}`] },
    `rows 3-5: {"note":"${'x'.repeat(108)}...`,
  ],
  [{ type: 'advance', partition: 1, version: 1_234 }, 'version 1,234', { version: 1_234 }],
];

test.each(cases.map(([event, wanted, json]) => [wanted, event, json] as const))('%s', (wanted, event, json = {}) => {
  expect(eventText(event, names)).toBe(wanted);
  expect(eventJson(event, names)).toMatchObject(json);
});
