/** The table of shared batches: what it keeps, what it forgets, its records. */
import { limits } from '@transfer-queue/core/protocol';
import { expect, test } from 'vitest';
import { machine, type ClaimCommand, type PartitionQueue } from '../../../server/queue/machine.ts';
import { dump } from './dump.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';

const options = { partition: 1, groupSize: 1, bitmaps: createPlainBitmaps() };
const KEPT = limits.batchesKeptPerTask;

function ask(number: number, more: Partial<ClaimCommand> = {}, name = 'b'): ClaimCommand {
  const batch = { name, number, part: 0, parts: 1 };
  const rows = { rowsMax: 1, rowsMin: 1, sampler: 'fifo', fields: [0] };
  return { task: 't', ...rows, batch, leaseMs: 1_000, autoAck: false, requestId: '', ...more };
}

function empty(queue: PartitionQueue, number: number, { task = 't', name = 'b', parts = 1 } = {}): void {
  machine.applyBatch(queue, { type: 'batch', partition: 1, task, name, number, parts, outcome: 'timed_out' });
}

test('the latest of a task are kept, and of an older number it is not known whether it was drawn', () => {
  const queue = machine.create(options);
  const kindOf = (command: ClaimCommand): string => {
    const decision = machine.decideBatch(queue, command, 0);
    return decision.kind === 'refuse' ? decision.code : decision.kind;
  };
  for (let number = 10; number < 10 + KEPT; number++) empty(queue, number);
  expect([9, 10, 9 + KEPT, 10 + KEPT].map((number) => kindOf(ask(number)))).toEqual([
    'batch_unknown',
    'empty',
    'empty',
    'wait',
  ]);
  empty(queue, 10 + KEPT);
  expect([10, 11, 10 + KEPT].map((number) => kindOf(ask(number)))).toEqual(['batch_unknown', 'empty', 'empty']);
  expect(kindOf(ask(10, {}, 'other'))).toBe('wait');
  expect(kindOf(ask(10, { task: 'u' }))).toBe('wait');
  expect(queue.batches.byOrder.size).toBe(KEPT);
  machine.applyReset(queue, { task: 't' });
  expect(kindOf(ask(10))).toBe('wait');
  expect(queue.batches.byOrder.size).toBe(0);
});

test('numbers that are drawn out of order are not old as long as nothing was forgotten', () => {
  const queue = machine.create(options);
  empty(queue, 5);
  expect(machine.decideBatch(queue, ask(3), 0)).toMatchObject({ kind: 'wait' });
});

test('tasks do not push out the batches of others', () => {
  const queue = machine.create(options);
  empty(queue, 0, { task: 'u' });
  for (let number = 0; number < 2 * KEPT; number++) empty(queue, number);
  expect(machine.decideBatch(queue, ask(0, { task: 'u' }), 0)).toEqual({ kind: 'empty', outcome: 'timed_out' });
});

test('records say what changed, and that a forgotten batch is gone', () => {
  const queue = machine.create(options);
  const store = new RecordStore();
  const batches = (): string[] => store.lines().filter((line) => line.startsWith('04'));
  empty(queue, 7, { parts: 3 });
  store.saveAll(queue);
  expect(batches()).toEqual(['040000000000000001 00016207' + '0103000000']);
  machine.applyInsert(queue, { ids: Float64Array.of(1, 2), fields: [0] });
  const granted = { task: 't', epoch: 1, fields: [0], attempts: Uint16Array.of(1), leaseMs: 1_000, autoAck: false };
  for (const claim of [4, 5]) {
    const batch = { name: 'b', number: 8, part: claim - 4, parts: 2 };
    const event = {
      type: 'claim',
      partition: 1,
      requestId: '',
      claim,
      ids: Float64Array.of(claim - 3),
      batch,
    } as const;
    machine.applyClaim(queue, { ...event, ...granted }, 0);
  }
  expect(machine.dirtyCount(queue)).toBeGreaterThan(0);
  store.saveAll(queue);
  expect(batches()[1]).toBe('040000000000000002 000162080002' + '0802');
  const loaded = store.load(options);
  expect(dump(loaded)).toEqual(dump(queue));
  expect(machine.decideBatch(loaded, ask(8, { batch: { name: 'b', number: 8, part: 1, parts: 2 } }), 0)).toEqual({
    kind: 'known',
    claim: 5,
  });
  machine.applyReset(loaded, { task: 't' });
  store.saveAll(loaded);
  expect(batches()).toEqual([]);
});

test('a batch that came and went between two checkpoints has no record', () => {
  const queue = machine.create(options);
  const store = new RecordStore();
  empty(queue, 1);
  machine.applyReset(queue, { task: 't' });
  expect(queue.batches.changed.size).toBe(0);
  store.saveAll(queue);
  expect(store.lines().some((line) => line.startsWith('04'))).toBe(false);
});

const bad: Readonly<Record<string, readonly [key: string, value: string]>> = {
  'a task that is not there': ['040000000000000001', '01016207010100'],
  'an outcome that is none': ['040000000000000001', '00016207030100'],
  'no parts': ['040000000000000001', '000162070100'],
  'too many parts': ['040000000000000001', '00016207018120' + '00'.repeat(4_097)],
  'a claim below zero': ['040000000000000001', '00016207010103'],
  'bytes too many': ['040000000000000001', '0001620701010000'],
  'bytes too few': ['040000000000000001', '000162070102' + '00'],
  'no order': ['040000000000000000', '00016207010100'],
  'an order that is too long': ['04ffffffffffffffff', '00016207010100'],
};

test.each(Object.entries(bad))('%s is refused', (_, [key, value]) => {
  const queue = machine.create(options);
  empty(queue, 7);
  const store = new RecordStore();
  store.saveAll(queue);
  store.values.delete('040000000000000001');
  expect(() => store.load(options)).not.toThrow();
  store.values.set(key, Uint8Array.from(Buffer.from(value, 'hex')));
  expect(() => store.load(options)).toThrow(expect.objectContaining({ name: 'FormatError' }));
});

test('one batch in two records is refused', () => {
  const queue = machine.create(options);
  empty(queue, 7);
  const store = new RecordStore();
  store.saveAll(queue);
  store.values.set('040000000000000002', store.values.get('040000000000000001')!);
  expect(() => store.load(options)).toThrow('batch 7 of b twice');
});
