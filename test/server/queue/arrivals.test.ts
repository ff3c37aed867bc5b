/** When rows came, and which of them a retention removes: never one too early, none much too late. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { noteArrivals, slotEndBefore } from '../../../server/queue/arrivals.ts';
import { findOverdue, mayBeOverdue, overdueIds } from '../../../server/queue/eviction.ts';
import { machine, type PartitionQueue } from '../../../server/queue/machine.ts';
import { slotOf } from '../../../server/queue/slots.ts';
import type { QueueSettings } from '../../../server/queue/state.ts';
import { dump } from './dump.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';

const AGE_MS = 6_400;
const SPAN_MS = AGE_MS / 64;

function createQueue(settings: QueueSettings, groupSize = 1): PartitionQueue {
  return machine.create({ partition: 1, groupSize, bitmaps: createPlainBitmaps(), settings });
}

function insert(queue: PartitionQueue, wallMs: number, ...ids: readonly number[]): void {
  machine.applyInsert(queue, { ids: Float64Array.from(ids), fields: [0] });
  noteArrivals(queue, wallMs);
}

test('nothing is remembered without a retention by age', () => {
  const queue = createQueue({ retention: { rowsMax: 1 } });
  insert(queue, 1_000, 1);
  expect(queue.arrivals).toEqual([]);
  machine.applyDeclare(queue, { retention: { ageMsMax: AGE_MS } });
  noteArrivals(queue, 2_000);
  expect(queue.arrivals).toEqual([{ slotEnd: 1, firstMs: 2_000, lastMs: 2_000 }]);
  machine.applyDeclare(queue, {});
  noteArrivals(queue, 3_000);
  expect(queue.arrivals).toEqual([]);
});

test('puts within a span are one arrival, as old as the last of them', () => {
  const queue = createQueue({ retention: { ageMsMax: AGE_MS } });
  insert(queue, 1_000, 1);
  insert(queue, 1_000 + SPAN_MS - 1, 2, 3);
  insert(queue, 1_000 + SPAN_MS, 4);
  expect(queue.arrivals).toEqual([
    { slotEnd: 3, firstMs: 1_000, lastMs: 1_099 },
    { slotEnd: 4, firstMs: 1_100, lastMs: 1_100 },
  ]);
  expect([1_098, 1_099, 1_100].map((wallMs) => slotEndBefore(queue, wallMs))).toEqual([0, 3, 4]);
});

test('a clock that goes back makes nobody younger', () => {
  const queue = createQueue({ retention: { ageMsMax: AGE_MS } });
  insert(queue, 5_000, 1);
  insert(queue, 1_000, 2);
  expect(queue.arrivals).toEqual([{ slotEnd: 2, firstMs: 5_000, lastMs: 5_000 }]);
});

test('a sibling is as old as its group', () => {
  const queue = createQueue({ retention: { ageMsMax: AGE_MS } }, 4);
  insert(queue, 1_000, 0);
  insert(queue, 9_000, 1);
  expect(slotEndBefore(queue, 1_000)).toBe(4);
});

const steps = fc.array(
  fc.record({
    ms: fc.oneof(fc.nat(50), fc.nat(500), fc.nat(20_000)),
    rows: fc.nat(3),
    remove: fc.nat(2),
    declare: fc.option(fc.constantFrom(AGE_MS, 100, null), { freq: 8, nil: undefined }),
  }),
  { maxLength: 200 },
);

test('no row is thought older than it is, each is found old in time, and few spans are kept', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const queue = createQueue({ retention: { ageMsMax: AGE_MS } });
      const born = new Map<number, number>();
      // Rows that were old once. When they came is forgotten then, and a longer age counts from a later arrival.
      const wereOld = new Set<number>();
      let [now, ageMs, id]: [number, number | null, number] = [1_000, AGE_MS, 0];
      for (const { ms, rows, remove, declare } of sequence) {
        now += ms;
        if (declare !== undefined) {
          if (ageMs === null) for (const row of born.keys()) born.set(row, now);
          ageMs = declare;
          machine.applyDeclare(queue, declare === null ? {} : { retention: { ageMsMax: declare } });
          noteArrivals(queue, now);
        }
        for (let i = 0; i < rows; i++) born.set(id++, now);
        if (rows > 0) insert(queue, now, ...Array.from({ length: rows }, (_, i) => id - rows + i));
        const gone = [...born.keys()].slice(0, remove);
        machine.applyDelete(queue, Float64Array.from(gone), 'evicted');
        for (const row of gone) born.delete(row);
        if (ageMs === null) continue;
        const slotEnd = slotEndBefore(queue, now - ageMs);
        for (const [row, ms] of born) {
          const isOld = slotOf(queue.slots, row) < slotEnd;
          if (isOld) expect(now - ms).toBeGreaterThanOrEqual(ageMs);
          else if (!wereOld.has(row)) expect(now - ms).toBeLessThan(ageMs + SPAN_MS);
          if (now - ms >= ageMs) wereOld.add(row);
        }
        expect(queue.arrivals.length).toBeLessThanOrEqual(130);
      }
      const store = new RecordStore();
      store.saveAll(queue);
      const { groupSize } = queue.slots;
      const loaded = store.load({ partition: 1, groupSize, bitmaps: createPlainBitmaps(), settings: queue.settings });
      expect(dump(loaded)).toEqual(dump(queue));
    }),
    { numRuns: 200 },
  );
});

describe('which rows are overdue', () => {
  /** 10 rows, those up to `consumed` consumed by task t. */
  function sample(retention: QueueSettings['retention'], consumed: number): PartitionQueue {
    const queue = createQueue({ tasks: [{ name: 't' }], retention });
    for (let id = 0; id < 10; id++) insert(queue, 1_000 * id, id);
    const ids = Float64Array.from({ length: consumed }, (_, id) => id);
    machine.applyClaim(
      queue,
      {
        ...{ type: 'claim', partition: 1, requestId: '', task: 't', claim: 1, epoch: 1, fields: [0], ids },
        ...{ attempts: new Uint16Array(consumed).fill(1), leaseMs: 1_000, autoAck: true },
      },
      0,
    );
    return queue;
  }

  const overdue = (queue: PartitionQueue, wallMs: number, rowsMax = 100): number[] => {
    const [page] = queue.slots.pages;
    const found = findOverdue(queue, wallMs);
    return mayBeOverdue(queue, page, found) ? [...overdueIds(queue, page, found, rowsMax)] : [];
  };

  test.each<[string, QueueSettings['retention'], number, number, number[]]>([
    ['none without a retention', undefined, 10, 1e9, []],
    ['the oldest beyond the count', { rowsMax: 7 }, 10, 0, [0, 1, 2]],
    ['none within the count', { rowsMax: 10 }, 10, 0, []],
    ['only consumed ones', { rowsMax: 1 }, 2, 1e9, [0, 1]],
    ['those that are too old', { ageMsMax: 5_000 }, 10, 11_999, [0, 1, 2, 3, 4, 5, 6]],
    ['none that are young', { ageMsMax: 10_000 }, 10, 9_999, []],
    ['what either rule says', { rowsMax: 9, ageMsMax: 5_000 }, 10, 9_000, [0, 1, 2, 3, 4]],
    ['what either rule says, the other way round', { rowsMax: 4, ageMsMax: 5_000 }, 10, 9_000, [0, 1, 2, 3, 4, 5]],
  ])('%s', (_, retention, consumed, wallMs, ids) => {
    expect(overdue(sample(retention, consumed), wallMs)).toEqual(ids);
  });

  test('at most as many as asked for', () => {
    expect(overdue(sample({ rowsMax: 1 }, 10), 0, 3)).toEqual([0, 1, 2]);
  });
});
