/** What happens at the ends of what the queue remembers and holds. */
import { limits as wire } from '@transfer-queue/core/protocol';
import { loadCore } from '@transfer-queue/core/wasm';
import { expect, test } from 'vitest';
import { machine, queueLimits, type ClaimCommand } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { Harness, type EndAnswer } from './harness.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';

function wanted(rowsMax: number, others: Partial<ClaimCommand> = {}): ClaimCommand {
  const command = { task: 't', fields: [0], rowsMax, rowsMin: 1, sampler: 'fifo', leaseMs: 10 } as const;
  return { ...command, autoAck: false, requestId: '', ...others };
}

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

function claimed(harness: Harness, command: ClaimCommand): number[] {
  const answer = harness.claim(command);
  if (answer.kind !== 'grant') throw new Error(answer.kind);
  return [...answer.event.ids];
}

test('beyond expiredRowsMax the oldest expired claims become stale', () => {
  const limits = { ...queueLimits, expiredRowsMax: 4 };
  const harness = new Harness({ machine, groupSize: 1, bitmaps: createPlainBitmaps(), limits });
  harness.put(range(0, 6), [0]);
  for (let claim = 0; claim < 3; claim += 1) claimed(harness, wanted(2));
  expect(harness.advance(10)).toEqual([1, 2, 3]);
  expect(harness.queue.expiredRows).toBe(4);
  expect([1, 2, 3].map((claim) => harness.ack(claim))).toEqual<EndAnswer[]>(['claim_stale', 'ok', 'ok']);
  expect(claimed(harness, wanted(6))).toEqual([0, 1]);
  expect(harness.queue.expired.size + harness.queue.expiredRows).toBe(0);
});

test('beyond endedClaimsMax the oldest ended claims are unknown', () => {
  const limits = { ...queueLimits, endedClaimsMax: 2 };
  const harness = new Harness({ machine, groupSize: 1, bitmaps: createPlainBitmaps(), limits });
  harness.put(range(0, 3), [0]);
  for (let claim = 1; claim <= 3; claim += 1) {
    claimed(harness, wanted(1));
    expect(harness.ack(claim)).toBe('ok');
  }
  expect([1, 2, 3].map((claim) => harness.ack(claim))).toEqual<EndAnswer[]>(['claim_unknown', 'already', 'already']);
  expect(harness.renew(1, 5)).toBe('claim_unknown');
  expect(harness.renew(2, 5)).toBe('claim_stale');
});

test('a partition has at most tasksPerPartitionMax tasks, and only grants make one', () => {
  const harness = new Harness({ machine, groupSize: 1, bitmaps: createPlainBitmaps() });
  expect(harness.claim(wanted(1, { task: 'early' })).kind).toBe('wait');
  harness.put([1], [0]);
  for (let i = 0; i < wire.tasksPerPartitionMax; i += 1) claimed(harness, wanted(1, { task: `t${i}` }));
  expect(harness.claim(wanted(1, { task: 'late' }))).toEqual({ kind: 'refuse', code: 'too_many_tasks' });
  expect(harness.claim(wanted(1, { task: 't0' })).kind).toBe('wait');
});

test('puts are refused before the memory for bitmaps is gone, and deletes make room again', () => {
  const core = loadCore();
  const bytesMax = 24 * 8_192;
  const bitmaps = createBitmaps(core, bytesMax);
  const harness = new Harness({ machine, groupSize: 1, bitmaps });
  const putRows = 20_000;
  let rows = 0;
  while (harness.put(range(rows, putRows), [0, 1]) === 'ok') rows += putRows;
  expect(harness.put(range(rows, putRows), [0, 1])).toBe('memory_full');
  expect(rows).toBeGreaterThan(3 * 65_536);
  expect(harness.put([0], range(2, 100))).toBe('memory_full');
  expect(claimed(harness, wanted(2))).toEqual([0, 1]);
  expect(bitmaps.bytesFree()).toBeGreaterThanOrEqual(0);
  harness.remove(range(0, rows));
  expect(bitmaps.bytesFree()).toBe(bytesMax);
  expect(harness.put(range(rows, putRows), [0, 1])).toBe('ok');
});

test('a claim is refused when there is no memory to note what it takes', () => {
  const bitmaps = createPlainBitmaps();
  const harness = new Harness({ machine, groupSize: 1, bitmaps: { ...bitmaps, bytesFree: () => 8_191 } });
  machine.applyInsert(harness.queue, { ids: Float64Array.of(1), fields: [0] });
  expect(harness.claim(wanted(1))).toEqual({ kind: 'refuse', code: 'memory_full' });
  expect(harness.claim(wanted(1, { fields: [9] })).kind).toBe('wait');
});

test('rows are not passed without memory to note it', () => {
  const bitmaps = createPlainBitmaps(8, 8, 8);
  const harness = new Harness({ machine, groupSize: 1, bitmaps, settings: { numbers: ['version'] } });
  harness.put([1], [0]);
  machine.applyTags(harness.queue, { ids: Float64Array.of(1), tags: ['{"version": 1}'] });
  machine.applyAdvance(harness.queue, { version: 9 });
  const others = Array.from({ length: 6 }, () => bitmaps.alloc(8));
  const skip = wanted(1, { window: { by: 'version', maxStaleness: 1, onStale: 'skip' } });
  const skipped = (): number | undefined => machine.stats(harness.queue).tasks[0]?.skipped;
  expect([harness.claim(skip), skipped()]).toEqual([{ kind: 'refuse', code: 'memory_full' }, undefined]);
  // The bitmap of the window makes room for that of the rows that are taken, and then has none itself.
  bitmaps.free(others.pop()!, 8);
  expect([harness.claim(skip), skipped()]).toEqual([{ kind: 'refuse', code: 'memory_full' }, 1]);
  bitmaps.free(others.pop()!, 8);
  expect(harness.claim(skip)).toMatchObject({ kind: 'wait', counts: { ready: 0, incomplete: 0, stale: 0 } });
  machine.drop(harness.queue);
});

test('late siblings are not passed without memory to note it', () => {
  const bitmaps = createPlainBitmaps(2, 2, 7);
  const harness = new Harness({ machine, groupSize: 2, bitmaps, settings: { numbers: ['of'] } });
  const tag = (id: number): number =>
    machine.applyTags(harness.queue, { ids: Float64Array.of(id), tags: ['{"of": 1}'] });
  const survivors = wanted(2, { sampler: 'group', group: { by: 'of', survivorsMin: 1, waitMs: 0 }, autoAck: true });
  harness.put([0], [0]);
  tag(0);
  expect(claimed(harness, survivors)).toEqual([0]);
  harness.put([2], [0]);
  tag(2);
  const others = Array.from({ length: bitmaps.bytesFree() / 0.25 }, () => bitmaps.alloc(2));
  expect(harness.claim(survivors)).toEqual({ kind: 'refuse', code: 'memory_full' });
  bitmaps.free(others.pop()!, 2);
  expect(harness.claim(survivors).kind).toBe('wait');
  expect(machine.stats(harness.queue).tasks[0].skipped).toBe(1);
  machine.drop(harness.queue);
});

test('filters that nobody keeps go before anything is refused', () => {
  const bitmaps = createPlainBitmaps(8, 8, 20);
  const harness = new Harness({ machine, groupSize: 1, bitmaps });
  harness.put([1], [0]);
  const texts = Array.from({ length: 9 }, (_, n) => `a == ${n}`);
  for (const where of texts) expect(harness.claim(wanted(1, { where })).kind).toBe('wait');
  expect([harness.queue.filters.size, bitmaps.bytesFree()]).toEqual([9, 9]);
  expect(harness.put([2], [0])).toBe('ok');
  expect([...harness.queue.filters.keys()]).toEqual(texts.slice(-3).map((where) => `where ${where}`));
  machine.drop(harness.queue);
});

test('claims cross pages, also with groups that do not fill a page', () => {
  const groupSize = 3;
  const core = loadCore();
  const harness = new Harness({ machine, groupSize, bitmaps: createBitmaps(core) });
  const rows = 66_000;
  harness.put(range(0, rows), [0]);
  harness.put(range(0, rows - 1), [1]);
  expect(harness.queue.slots.pages.map((page) => page.runs * groupSize)).toEqual([65_535, 465]);
  const sampler = 'group' as const;
  const fields = [0, 1];
  for (let first = 0; first < 60_000; first += 10_000) {
    expect(claimed(harness, wanted(10_000, { fields })).length).toBe(10_000);
    harness.ack(harness.journal.filter((event) => event.type === 'claim').length);
  }
  expect(claimed(harness, wanted(10_000, { sampler, fields }))).toEqual(range(60_000, 5_997));
  expect(harness.claim(wanted(3, { sampler, fields }))).toMatchObject({
    kind: 'wait',
    counts: { ready: 0, leased: 5_997, incomplete: 3 },
  });
  machine.drop(harness.queue);
});
