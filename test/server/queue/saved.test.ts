/** The records of a queue: frozen bytes of each kind, records that contradict each other, and what saving writes. */
import { loadCore } from '@transfer-queue/core/wasm';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../server/journal/bytes.ts';
import { machine, queueLimits, type ClaimCommand, type QueueRecord } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { dump } from './dump.ts';
import { Harness } from './harness.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';

const groupSize = 2;
const limits = { ...queueLimits, endedClaimsMax: 3 };
const bitmaps = createBitmaps(loadCore());
const options = { partition: 1, groupSize, bitmaps, limits };

function wanted(task: string, fields: readonly number[], rowsMax: number, leaseMs = 1_000): ClaimCommand {
  const command = { task, fields, rowsMax, rowsMin: 1, sampler: 'fifo', leaseMs, autoAck: false } as const;
  return { ...command, requestId: `for ${task}` };
}

/** A queue with every kind of record. */
function createSample(): Harness {
  const harness = new Harness({ machine, ...options });
  harness.put([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 3]);
  harness.put([2 ** 53 - 1, 100], [300]);
  for (const rowsMax of [2, 1, 2, 1]) harness.claim(wanted('ä', [3, 0], rowsMax));
  harness.release(1);
  harness.ack(2);
  harness.claim(wanted('b', [0], 3, 10));
  harness.claim(wanted('b', [0], 2, 500));
  harness.claim(wanted('b', [0], 1, 20));
  harness.remove([3, 4, 9]);
  harness.put([4], [0]);
  harness.remove([5]);
  harness.advance(20);
  harness.claim(wanted('b', [0], 1, 2_000));
  harness.claim(wanted('ä', [0], 3));
  harness.seal();
  return harness;
}

/** Key and value, and what they say. */
const vectors: readonly (readonly [string, string])[] = [
  ['00 02028080040101000d0000', 'groups of 2, pages of 65,536 slots, sealed, page 1 comes next; 13 rows came'],
  ['010000 02c3a40100', 'task 0 is named ä and reads field 0'],
  ['010001 01620100', 'task 1 is named b and reads field 0'],
  ['020000000000000001 040001', 'claim 1 of task 0 was released, before all others that ended'],
  ['020000000000000002 030002', 'claim 2 of task 0 was acked'],
  ['020000000000000003 0100e80706666f7220c3a4020302', 'claim 3 is leased for 1,000 ms, but stale; slots 3 and 4'],
  ['020000000000000004 0000e80706666f7220c3a4010501010501', 'claim 4 is leased; slot 5; row 5 was deleted'],
  ['020000000000000005 050105', 'claim 5 of task 1 was stale in the end'],
  ['020000000000000006 0101f40305666f722062020302', 'claim 6 of task 1 is leased for 500 ms, but stale'],
  ['020000000000000007 0201041405666f722062010501010501', 'claim 7 expired as the 4th; slot 5; row 5 was deleted'],
  ['020000000000000008 0001d00f05666f72206201000100', 'claim 8 of task 1 is leased for 2,000 ms; slot 0'],
  ['020000000000000009 0000e80706666f7220c3a4030002020100', 'claim 9 of task 0 is leased; slots 0, 1 and 4'],
  [
    '03000000000000000001000000 00010204f6ffffffffffff0f019bffffffffffff0f01',
    'page 0 has groups 0 to 4, 2^52 - 1, and 50',
  ],
  ['03000000000000000002000000 00d719', 'its live slots are 0 to 2, 4, 6 to 8, 11 and 12'],
  ['03000000000000000003000000 00d701', 'those with field 0'],
  ['03000000000000000003000300 00c701', 'those with field 3'],
  ['03000000000000000003012c00 010b02', 'those with field 300: 11 and 12'],
  ['03000000000000000004000000 0017', 'taken by task 0: 0 to 2 and 4'],
  ['03000000000000000004000100 0001', 'taken by task 1: 0'],
  ['03000000000000000005000000 0002120102010000', 'claim 9 holds 0 and 1, which came back once, and 4'],
  ['03000000000000000005000100 0001100100021101', 'claim 8 holds 0; 0, 1 and 2 came back once'],
];

describe('frozen records', () => {
  const harness = createSample();
  const store = new RecordStore();
  store.saveAll(harness.queue);

  test.each(vectors)('%s: %s', (line) => {
    expect(store.lines()).toContain(line);
  });

  test('there are no others, and a queue is made of them, in any order', () => {
    const lines = vectors.map(([line]) => line);
    expect(store.lines()).toEqual(lines);
    const loaded = machine.loadQueue(options, recordsOf(lines.toReversed()));
    expect(dump(loaded)).toEqual(dump(harness.queue));
    machine.drop(loaded);
  });

  test('the same queue is made of them in steps, of one unit at most, and work that ends early leaves nothing', () => {
    const records = recordsOf(vectors.map(([line]) => line));
    const steps = machine.loadSteps(options, records);
    let count = 0;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) count += 1;
    expect(dump(step.value)).toEqual(dump(harness.queue));
    expect(count).toBeGreaterThanOrEqual(vectors.filter(([line]) => line.startsWith('03')).length);
    machine.drop(step.value);
    const plain = createPlainBitmaps();
    const ended = machine.loadSteps({ ...options, bitmaps: plain }, records);
    for (let left = count - 1; left > 0; left -= 1) ended.next();
    expect(plain.bitsAlive()).toBeGreaterThan(0);
    expect(() => ended.throw(new Error('no room'))).toThrow('no room');
    expect(plain.bitsAlive()).toBe(0);
  });

  test('a header of format 1 did not count: the rows that came are those that are there', () => {
    const lines = ['00 01028080040101', ...vectors.slice(1).map(([line]) => line)];
    const loaded = machine.loadQueue(options, recordsOf(lines));
    expect(loaded).toMatchObject({
      sealed: true,
      version: 0,
      rowsAdmitted: loaded.slots.rows,
      evicted: 0,
      arrivals: [],
    });
    expect(loaded.slots.rows).toBe(9);
    expect(machine.dirtyCount(loaded)).toBe(1);
    machine.drop(loaded);
  });

  test('dead letters, held by an expired claim and by none, and how many rows a task skipped', () => {
    const settings = { tasks: [{ name: 't', maxAttempts: 1 }, { name: 'u' }] };
    const harness = new Harness({ machine, ...options, settings });
    harness.put([0, 1, 2, 3, 4, 5], [0]);
    harness.claim(wanted('t', [0], 2));
    harness.release(1);
    harness.claim(wanted('t', [0], 1, 10));
    harness.advance(10);
    harness.skip('t', [0], [3, 4]);
    const counted = new RecordStore();
    counted.saveAll(harness.queue);
    const kept = counted.lines().filter((line) => /^(01|02|03.{16}0[45])/.test(line));
    expect(kept).toEqual([
      '010000 0174010002',
      '010001 017500',
      '020000000000000001 040001',
      '020000000000000002 0200020a05666f722074010201' + '00',
      '03000000000000000004000000 001f',
      '03000000000000000005000000 0002030100010601',
    ]);
    const loaded = counted.load({ ...options, settings });
    expect(dump(loaded)).toEqual(dump(harness.queue));
    const [task] = loaded.tasks.values();
    expect(task).toMatchObject({ consumed: 2, dead: 3, skipped: 2 });
    machine.drop(loaded);
    machine.drop(harness.queue);
  });

  test('a header says what came, what was evicted, and when', () => {
    const queue = machine.create(options);
    const settings = { retention: { ageMsMax: 64_000 } };
    machine.applyDeclare(queue, settings);
    for (const [id, wallMs] of [
      [0, 5_000],
      [2, 5_600],
      [4, 8_000],
    ]) {
      machine.applyInsert(queue, { ids: Float64Array.of(id), fields: [0] });
      machine.noteArrivals(queue, wallMs);
    }
    machine.applyDelete(queue, Float64Array.of(0), 'evicted');
    machine.applyAdvance(queue, { version: 300 });
    const counted = new RecordStore();
    counted.saveAll(queue);
    expect(counted.lines()[0]).toBe('00 02028080040001ac02030102048827d80406c03e00');
    expect(dump(counted.load({ ...options, settings }))).toEqual(dump(queue));
    machine.drop(queue);
  });
});

/** Changes that make the sample contradict itself: lines that take the place of others, or are new, or (-) go. */
const contradictions: Record<string, readonly string[]> = {
  'no header': ['- 00'],
  'another format': ['00 03028080040101000d0000'],
  'a format before the first': ['00 00028080040101'],
  'another group size': ['00 01038080040101'],
  'another size of pages': ['00 01028080020101'],
  'neither sealed nor not': ['00 01028080040201'],
  'a header that goes on': ['00 0102808004010100'],
  'a header without its counts': ['00 02028080040101'],
  'arrivals in slots that are yet to come': ['00 02028080040101000d00018180040000'],
  'arrivals in falling slots': ['00 02028080040101000d0002040000020000'],
  'arrivals in falling time': ['00 02028080040101000d0002020500040100'],
  'more pages than there are numbers': ['00 010280800401ffffffffffff0f'],
  'a page beyond the last': ['00 01028080040100'],
  'a record of no kind': ['04 00'],
  'a key that is too short': ['0100 02c3a40100'],
  'a page number beyond 2^53': ['03002000000000000002000000 00d719'],
  'a task that is not there': ['- 010000'],
  'two tasks of one name': ['010001 02c3a40100'],
  'a task with too few fields': ['010001 01620200'],
  'a claim without a number': ['020000000000000000 030009'],
  'a claim of no task': ['020000000000000002 030202'],
  'a claim in no state': ['020000000000000002 060002'],
  'an end without an order': ['020000000000000002 030000'],
  'two ends of one order': ['020000000000000002 030001'],
  'an end and an expiry of one order': ['020000000000000002 030004'],
  'an expiry without an order': ['020000000000000007 0201001405666f722062010501010501'],
  'a claim with a slot beyond all pages': ['020000000000000006 0101f40305666f7220620180800401'],
  'rows that a claim holds, and was not granted': ['020000000000000008 0001d00f05666f72206201010100'],
  'a claim that holds rows and is not there': ['- 020000000000000008'],
  'a claim that holds rows and ended': ['020000000000000008 030109'],
  'a claim that holds rows of another task': ['020000000000000008 0000d00f05666f72206201000100'],
  'a leased claim whose rows are not taken': ['03000000000000000004000100 01'],
  'an expired claim whose rows are taken, and never came back': [
    '020000000000000008 020109d00f05666f722062010001' + '00',
    '03000000000000000005000100 0001100000021101',
  ],
  'a dead letter that is not taken': ['03000000000000000005000100 01010301'],
  'a dead letter that never came back': ['03000000000000000005000100 00010300'],
  'rows that are held by less than nobody': ['03000000000000000005000100 00010501'],
  'a task that says that it skipped nothing': ['010001 0162010000'],
  'an orphan that is there': ['020000000000000004 0000e80706666f7220c3a4010501010401'],
  'an orphan of two claims of one task': ['020000000000000009 0000e80706666f7220c3a4030002020101' + '0501'],
  'a page without groups': ['- 03000000000000000001000000'],
  'a page without its first groups': ['- 03000000000000000001000000', '03000000000000000001000001 0003'],
  'groups behind a part that is not full': ['03000000000000000001000001 0203'],
  'a group in two runs': ['03000000000000000001000000 0007'],
  'a group beyond the last id': ['03000000000000000001000000 00010204f8ffffffffffff0f019dffffffffffff0f01'],
  'a page without bits of its rows': ['- 03000000000000000002000000'],
  'a page without rows': ['03000000000000000002000000 01'],
  'rows beyond the runs of a page': ['03000000000000000002000000 00d759'],
  'a field of rows that are not there': ['03000000000000000003012c00 010a03'],
  'taken rows that are not there': ['03000000000000000004000000 001f'],
  'taken rows of no task': ['03000000000000000004000200 0001'],
  'marks of a task that took no rows': ['- 03000000000000000004000100'],
  'marks of no rows': ['03000000000000000005000000 '],
  'marks of rows that are not there': ['03000000000000000005000100 0001100102011101'],
  'more returns than are counted': ['03000000000000000005000000 00021201020100ffff03'],
  'a unit of no kind': ['03000000000000000008000000 00'],
  'a live bitmap with an index': ['03000000000000000002000100 0001'],
  'a bitmap of a field in parts': ['03000000000000000003000001 0001'],
};

describe('records that contradict each other', () => {
  test.each(Object.entries(contradictions))('%s', (_, changes) => {
    const lines = new Map(vectors.map(([line]) => line.split(' ') as [string, string]));
    for (const change of changes) {
      const [key, value] = change.split(' ');
      if (key === '-') lines.delete(value);
      else lines.set(key, value);
    }
    const plain = createPlainBitmaps();
    const records = recordsOf(Array.from(lines, ([key, value]) => `${key} ${value}`));
    expect(() => machine.loadQueue({ ...options, bitmaps: plain }, records)).toThrow(FormatError);
    expect(plain.bitsAlive()).toBe(0);
  });

  test('one of a unit that is gone', () => {
    const [{ key }, ...others] = recordsOf(vectors.map(([line]) => line));
    expect(() => machine.loadQueue(options, [{ key, value: null }, ...others])).toThrow(FormatError);
  });

  test('two of one unit', () => {
    const records = recordsOf(vectors.map(([line]) => line));
    expect(() => machine.loadQueue(options, [...records, records[3]])).toThrow(FormatError);
  });
});

describe('saving', () => {
  test('a new queue is a header', () => {
    const store = new RecordStore();
    const queue = machine.create(options);
    expect(machine.dirtyCount(queue)).toBe(1);
    store.saveAll(queue);
    expect(store.lines()).toEqual(['00 0202808004000000000000']);
    expect(dump(store.load(options))).toEqual(dump(queue));
  });

  test('takes no more units than it may, and counts them', () => {
    const { queue } = createSample();
    const store = new RecordStore();
    for (let count = machine.dirtyCount(queue); count > 0; count = machine.dirtyCount(queue)) {
      expect(store.save(queue, 0)).toBe(0);
      expect(store.save(queue, 2)).toBe(Math.min(count, 2));
      expect(machine.dirtyCount(queue)).toBe(Math.max(count - 2, 0));
    }
    expect(store.lines().length).toBe(vectors.length);
    expect(store.save(queue, Infinity)).toBe(0);
  });

  test('a put writes what it touched and nothing else', () => {
    const { queue } = createSample();
    const store = new RecordStore();
    store.saveAll(queue);
    const keys = (): string[] => {
      const seen: string[] = [];
      machine.saveDirty(queue, Infinity, ({ key }) => seen.push(Buffer.from(key).toString('hex')));
      return seen.sort();
    };
    machine.applyInsert(queue, { ids: Float64Array.of(6), fields: [0, 3] });
    expect(keys()).toEqual([]);
    machine.applyInsert(queue, { ids: Float64Array.of(6), fields: [3, 300] });
    expect(keys()).toEqual(['03000000000000000003012c00']);
    machine.applyInsert(queue, { ids: Float64Array.of(200), fields: [3] });
    expect(keys().map((key) => key.slice(18))).toEqual(['', '01000000', '02000000', '03000300']);
  });

  test('what came and went between two saves leaves no record', () => {
    const harness = new Harness({ machine, ...options });
    harness.put([1], [0]);
    harness.claim(wanted('t', [0], 1));
    const store = new RecordStore();
    store.saveAll(harness.queue);
    const ids = Array.from({ length: 3 * bitmaps.bitsMax }, (_, i) => 10 + i);
    harness.put(ids, [0]);
    for (let claim = 2; claim < 40; claim += 1) {
      harness.claim(wanted('t', [0], 10));
      harness.ack(claim);
    }
    expect(harness.queue.changes.claims.size).toBe(0);
    expect(harness.queue.ended.unsavedCount).toBe(limits.endedClaimsMax);
    harness.remove(ids);
    expect(harness.queue.slots.changed.size).toBe(1);
    store.saveAll(harness.queue);
    const keys = store.lines().map((line) => line.split(' ')[0]);
    expect(keys.filter((key) => key.startsWith('02')).length).toBe(1 + limits.endedClaimsMax);
    expect(keys.filter((key) => key.startsWith('03') && !key.startsWith('030000000000000000'))).toEqual([]);
  });

  test('records go with their page and with what was forgotten', () => {
    const harness = createSample();
    const store = new RecordStore();
    store.saveAll(harness.queue);
    harness.remove(Array.from({ length: 10 }, (_, id) => id));
    harness.remove([100, 2 ** 53 - 1]);
    for (const claim of [3, 4, 6, 7, 8, 9]) harness.release(claim);
    store.saveAll(harness.queue);
    expect(store.lines().map((line) => line.split(' ')[0])).toEqual([
      '00',
      '010000',
      '010001',
      '020000000000000007',
      '020000000000000008',
      '020000000000000009',
    ]);
    expect(dump(store.load(options))).toEqual(dump(harness.queue));
  });
});

function recordsOf(lines: readonly string[]): QueueRecord[] {
  return lines.map((line) => {
    const [key, value] = line.split(' ').map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));
    return { key, value };
  });
}
