/** What a queue says to tags: refusals as a table, memory, declared numbers, filters in use, pages of lists. */
import { limits } from '@transfer-queue/core/protocol';
import { loadCore } from '@transfer-queue/core/wasm';
import { describe, expect, test, vi } from 'vitest';
import { atOnce } from '../../../server/env/slice.ts';
import {
  canonicalFilter,
  filterBitmap,
  keepFilter,
  letFilterGo,
  useFilter,
  useFilters,
} from '../../../server/queue/filters.ts';
import { machine, ValueMemory, type PartitionQueue, type QueueSettings } from '../../../server/queue/machine.ts';
import { numberIndex, numbersOf } from '../../../server/queue/numbers.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import type { FilterUse } from '../../../server/queue/filters.ts';

const bitmaps = createBitmaps(loadCore());

function createQueue(settings: QueueSettings = {}, values = new ValueMemory()): PartitionQueue {
  const queue = machine.create({ partition: 1, groupSize: 1, bitmaps, settings, values });
  machine.applyInsert(queue, { ids: Float64Array.of(10, 11, 12, 13), fields: [0] });
  return queue;
}

function tag(queue: PartitionQueue, ids: readonly number[], ...patches: readonly unknown[]): void {
  const change = { ids: Float64Array.from(ids), tags: patches.map((patch) => JSON.stringify(patch)) };
  expect(machine.decideTags(queue, change, { withPut: false })).toBeUndefined();
  machine.applyTags(queue, change);
}

function used(found: ReturnType<typeof useFilter>): FilterUse {
  if ('code' in found) throw new Error(found.code);
  return found;
}

/** Which rows a list shows. */
function listed(queue: PartitionQueue, where: FilterUse): number[] {
  return machine.listRows(queue, { where, from: 0, rowsMax: 100 }).ids;
}

const long = 'x'.repeat(limits.tagsBytesMax);

/** Text of a patch for row 10, which has the key k and the number reward; and where and why it is refused. */
const refusals: readonly (readonly [text: string, code: string, at: string | null])[] = [
  ['{"a": 1, "b": {"c": null}}', 'taken', null],
  ['{"reward": 1e308, "tq_key": "k"}', 'taken', null],
  ['{"reward": null}', 'taken', null],
  ['', 'taken', null],
  ['{', 'tags_invalid', ''],
  ['[1]', 'tags_invalid', ''],
  ['null', 'tags_invalid', ''],
  ['{"a.b": 1}', 'tags_invalid', '/a.b'],
  ['{"a/b~": 1}', 'tags_invalid', '/a~1b~0'],
  ['{"": 1}', 'tags_invalid', '/'],
  ['{"tq_x": 1}', 'tags_invalid', '/tq_x'],
  ['{"tq_key": null}', 'tags_invalid', '/tq_key'],
  ['{"tq_key": 7}', 'tags_invalid', '/tq_key'],
  ['{"tq_key": "other"}', 'key_collision', null],
  ['{"reward": "high"}', 'tags_invalid', '/reward'],
  ['{"reward": 1e309}', 'tags_invalid', '/reward'],
  ['{"a": 1e309}', 'tags_invalid', '/a'],
  ['{"a": {"__proto__": 1}}', 'tags_invalid', '/a'],
  ['{"a": "\\ud800"}', 'tags_invalid', '/a'],
  [`{"a": "${long}"}`, 'tags_invalid', ''],
  [`{"a": 1${' '.repeat(4 * limits.tagsBytesMax)}}`, 'tags_invalid', ''],
];

describe('patches', () => {
  test.each(refusals)('%.40s: %s', (text, code, at) => {
    const queue = createQueue({ numbers: ['reward'] });
    tag(queue, [10], { tq_key: 'k' });
    const refusal = machine.decideTags(queue, { ids: Float64Array.of(11, 10), tags: ['', text] }, { withPut: false });
    expect(refusal?.code ?? 'taken').toBe(code);
    if (refusal === undefined) return;
    expect(refusal.details).toMatchObject({ id: 10 });
    if (at !== null) expect(refusal.details!.at).toBe(at);
    machine.drop(queue);
  });

  test('rows that are not there are named, unless a put brings them', () => {
    const queue = createQueue();
    const change = { ids: Float64Array.of(10, 99), tags: ['{"a": 1}'] };
    expect(machine.decideTags(queue, change, { withPut: false })).toEqual({
      kind: 'refuse',
      code: 'rows_missing',
      details: { missing: [99], missing_count: 1 },
    });
    expect(machine.decideTags(queue, change, { withPut: true })).toBeUndefined();
    machine.drop(queue);
  });

  test('what a replay left out is passed over', () => {
    const queue = createQueue();
    expect(
      machine.applyTags(queue, { ids: Float64Array.of(10, 99, 12), tags: ['{"a":1}', '{"a":2}', '{"a":3}'] }),
    ).toBe(2);
    expect(machine.listRows(queue, { from: 0, rowsMax: 9 }).tags).toEqual([{ a: 1 }, {}, { a: 3 }, {}]);
    machine.drop(queue);
  });

  test('rows that are tagged alike share their tags', () => {
    const queue = createQueue();
    tag(queue, [10, 11, 12], { status: 'running' });
    tag(queue, [10, 11], { status: 'done' });
    const { tags } = machine.listRows(queue, { from: 0, rowsMax: 9 });
    expect(tags).toEqual([{ status: 'done' }, { status: 'done' }, { status: 'running' }, {}]);
    expect(tags[0]).toBe(tags[1]);
    machine.drop(queue);
  });

  test('have no more memory than there is', () => {
    const values = new ValueMemory(5_000);
    const queue = createQueue({}, values);
    tag(queue, [13], { status: 'done' });
    const columnBytes = 8 * queue.slots.pages[0].bits;
    expect(values.bytes).toBeGreaterThan(columnBytes);
    machine.applyDelete(queue, Float64Array.of(13));
    expect(values.bytes).toBe(columnBytes);
    const change = { ids: Float64Array.of(10), tags: [JSON.stringify({ note: 'x'.repeat(600) })] };
    expect(machine.decideTags(queue, change, { withPut: false })).toBeUndefined();
    machine.applyTags(queue, change);
    expect(machine.decideTags(queue, change, { withPut: false })?.code).toBe('memory_full');
    machine.applyDelete(queue, Float64Array.of(10));
    expect(values.bytes).toBe(columnBytes);
    expect(
      machine.decideTags(queue, { ids: Float64Array.of(11), tags: change.tags }, { withPut: false }),
    ).toBeUndefined();
    machine.drop(queue);
    expect(values.bytes).toBe(0);
  });
});

describe('patches of many rows', () => {
  const ids = Float64Array.from({ length: 2_000 }, (_, id) => id);
  const textOf = (id: number): string => JSON.stringify({ n: id, kind: `k${id % 3}`, in: { a: [id, null], b: -0 } });
  const tags = Array.from(ids, textOf);

  function createFull(values: ValueMemory): PartitionQueue {
    const queue = machine.create({ partition: 1, groupSize: 1, bitmaps, values, settings: { numbers: ['n'] } });
    machine.applyInsert(queue, { ids, fields: [0] });
    return queue;
  }

  test('are read in steps, once, and come to the same as without', () => {
    const memories = [new ValueMemory(), new ValueMemory()];
    const [queue, other] = memories.map(createFull);
    for (const texts of [tags, ['{"kind":"all","n":null}']]) {
      const steps = machine.draftTags({ ids, tags: texts }, () => queue);
      let count = 1;
      let step = steps.next();
      for (; step.done !== true; step = steps.next()) count += 1;
      expect(count).toBeGreaterThan(5);
      const parsed = vi.spyOn(JSON, 'parse');
      const change = { ids, tags: texts, drafts: step.value };
      expect(machine.decideTags(queue, change, { withPut: false })).toBeUndefined();
      expect(machine.applyTags(queue, change)).toBe(2_000);
      expect(parsed).not.toHaveBeenCalled();
      parsed.mockRestore();
      machine.applyTags(other, { ids, tags: texts });
      const all = { from: 0, rowsMax: 10_000 };
      expect(machine.listRows(queue, all)).toEqual(machine.listRows(other, all));
      expect(memories[0].bytes).toBe(memories[1].bytes);
    }
    machine.drop(queue);
    machine.drop(other);
  });

  test('are refused as without, whatever row it is', () => {
    const queue = createFull(new ValueMemory());
    const change = { ids, tags: tags.with(1_000, '{"n":"high"}').with(1_500, 'no JSON') };
    const drafts = atOnce(machine.draftTags(change, () => queue));
    const refusal = machine.decideTags(queue, change, { withPut: false });
    expect(refusal?.details).toMatchObject({ id: 1_000, at: '/n' });
    expect(machine.decideTags(queue, { ...change, drafts }, { withPut: false })).toEqual(refusal);
    machine.drop(queue);
  });

  test('are left alone once there is another queue, or none', () => {
    const queue = createFull(new ValueMemory());
    let now: PartitionQueue | undefined = queue;
    const steps = machine.draftTags({ ids, tags }, () => now);
    steps.next();
    machine.drop(queue);
    now = undefined;
    expect(steps.next().done).toBe(true);
    expect(atOnce(machine.draftTags({ ids, tags }, () => now))).toBeUndefined();
  });
});

describe('declared numbers', () => {
  test('are columns, beside the tags', () => {
    const queue = createQueue({ numbers: ['reward'] });
    tag(queue, [10, 12], { reward: 0.5, status: 'done' }, { reward: -0 });
    const [page] = queue.slots.pages;
    expect(numberIndex(queue, 'reward')).toBe(0);
    expect(numberIndex(queue, 'status')).toBe(-1);
    expect([...numbersOf(page, 0)!.subarray(0, 4)]).toEqual([0.5, NaN, 0, NaN]);
    expect(numbersOf(page, 1)).toBeUndefined();
    const { tags, numbers } = machine.listRows(queue, { from: 0, rowsMax: 9 });
    expect({ tags, numbers }).toEqual({ tags: [{ status: 'done' }, {}, {}, {}], numbers: [[0.5, NaN, 0, NaN]] });
    machine.drop(queue);
  });

  test('that are declared later take over what is in tags', () => {
    const queue = createQueue({ numbers: ['reward'] });
    tag(queue, [10, 11, 12], { step: 3, status: 'done' }, { step: 4 }, { status: 'done' });
    const use = used(useFilter(queue, 'step > 3'));
    expect(listed(queue, use)).toEqual([11]);
    expect(machine.findNoNumber(queue, ['status'])).toEqual({ id: 10, name: 'status' });
    expect(machine.findNoNumber(queue, ['step'])).toBeUndefined();
    machine.applyDeclare(queue, { numbers: ['reward', 'step'] });
    const { tags, numbers } = machine.listRows(queue, { from: 0, rowsMax: 9 });
    expect(tags).toEqual([{ status: 'done' }, {}, { status: 'done' }, {}]);
    expect(numbers[1]).toEqual([3, 4, NaN, NaN]);
    expect(listed(queue, use)).toEqual([11]);
    tag(queue, [12], { step: 9 });
    expect(listed(queue, use)).toEqual([11, 12]);
    machine.drop(queue);
  });
});

describe('filters in use', () => {
  test('a text that is no filter is refused with its place', () => {
    const queue = createQueue();
    expect(useFilter(queue, 'status = 1')).toMatchObject({ code: 'filter_invalid', details: { position: 7 } });
    expect(queue.filters.size).toBe(0);
    machine.drop(queue);
  });

  test('the one that was not used for the longest time goes, unless it is kept', () => {
    const queue = createQueue();
    const [page] = queue.slots.pages;
    const kept = used(useFilter(queue, 'n == -1'));
    keepFilter(kept);
    for (let n = 0; n < limits.filtersPerPartitionMax - 1; n += 1) {
      filterBitmap(queue, used(useFilter(queue, `n == ${n}`)), page);
    }
    const first = used(useFilter(queue, 'n == 0'));
    const other = used(useFilter(queue, 'n == 1000'));
    expect(queue.filters.size).toBe(limits.filtersPerPartitionMax);
    expect([kept, first, other].every((use) => queue.filters.get(use.key) === use)).toBe(true);
    expect(queue.filters.has('where n == 1')).toBe(false);
    for (const use of queue.filters.values()) if (use !== kept) keepFilter(use);
    expect(useFilter(queue, 'n == 1')).toMatchObject({ code: 'too_many_filters' });
    letFilterGo(kept);
    used(useFilter(queue, 'n == 1'));
    expect(queue.filters.has(kept.key)).toBe(false);
    machine.drop(queue);
  });

  test('a row that comes again is new to them', () => {
    const queue = machine.create({ partition: 1, groupSize: 2, bitmaps });
    machine.applyInsert(queue, { ids: Float64Array.of(0, 1), fields: [0] });
    const done = used(useFilter(queue, 'status == "done"'));
    const others = used(useFilter(queue, 'status != "done"'));
    tag(queue, [0, 1], { status: 'done' });
    expect([listed(queue, done), listed(queue, others)]).toEqual([[0, 1], []]);
    machine.applyDelete(queue, Float64Array.of(0));
    expect([listed(queue, done), listed(queue, others)]).toEqual([[1], []]);
    machine.applyInsert(queue, { ids: Float64Array.of(0), fields: [0] });
    expect([listed(queue, done), listed(queue, others)]).toEqual([[1], [0]]);
    machine.drop(queue);
  });

  test('none without memory for its bitmaps', () => {
    const full = { ...bitmaps, bytesFree: () => 0 };
    const queue = machine.create({ partition: 1, groupSize: 1, bitmaps: full });
    used(useFilter(queue, 'n == 1'));
    machine.applyInsert(queue, { ids: Float64Array.of(1), fields: [0] });
    expect(useFilter(queue, 'n == 1')).toMatchObject({ code: 'memory_full' });
    expect(useFilter(queue, 'n == 2')).toMatchObject({ code: 'memory_full' });
    machine.drop(queue);
  });

  test('two spellings are one filter', () => {
    const queue = createQueue();
    const use = used(useFilter(queue, "status=='done'"));
    expect(used(useFilter(queue, '(status == "done")'))).toBe(use);
    expect(used(useFilter(queue, canonicalFilter("status=='done'")))).toBe(use);
    expect(queue.filters.size).toBe(1);
    expect(canonicalFilter('status = 1')).toBe('status = 1');
    expect(useFilter(queue, '#0 >= 1')).toMatchObject({ code: 'filter_invalid' });
    machine.drop(queue);
  });

  test('of versions: those that are in the window, and none without a version', () => {
    const queue = createQueue({ numbers: ['reward', 'version'] });
    const window = (maxStaleness: number): FilterUse => {
      const found = useFilters(queue, [{ number: 1, rule: { maxStaleness } }]);
      return used('code' in found ? found : found[0]);
    };
    tag(queue, [10, 11, 12], { version: 3 }, { version: 5 }, { version: 7.5 });
    machine.applyAdvance(queue, { version: 5 });
    expect(listed(queue, window(2))).toEqual([10, 11]);
    expect(listed(queue, window(1))).toEqual([11]);
    tag(queue, [13], { version: 4 });
    expect(listed(queue, window(1))).toEqual([11, 13]);
    const before = window(2);
    const evaluated = vi.spyOn(before, 'holds');
    machine.applyAdvance(queue, { version: 6 });
    expect(listed(queue, window(2))).toEqual([11, 13]);
    machine.applyAdvance(queue, { version: 7 });
    expect([listed(queue, window(2)), listed(queue, window(1))]).toEqual([[11], []]);
    expect([evaluated.mock.calls.length, queue.filters.size]).toEqual([0, 2]);
    machine.drop(queue);
  });
});

describe('lists', () => {
  test('come page by page, in the order of arrival', () => {
    const queue = createQueue();
    machine.applyInsert(queue, { ids: Float64Array.of(1, 2), fields: [0] });
    const first = machine.listRows(queue, { from: 0, rowsMax: 4 });
    expect(first.ids).toEqual([10, 11, 12, 13]);
    machine.applyDelete(queue, Float64Array.of(1));
    const second = machine.listRows(queue, { from: first.next!, rowsMax: 4 });
    expect([second.ids, second.next]).toEqual([[2], null]);
    const exact = machine.listRows(queue, { from: 0, rowsMax: 5 });
    expect([exact.ids.length, exact.next]).toEqual([5, null]);
    machine.drop(queue);
  });

  test('of ids: those that are there, in the order of arrival too', () => {
    const queue = createQueue();
    tag(queue, [12], { a: 1 });
    const ids = Float64Array.of(13, 99, 12, 10);
    const first = machine.listRows(queue, { ids, from: 0, rowsMax: 2 });
    expect(first.ids).toEqual([10, 12]);
    expect(machine.listRows(queue, { ids, from: first.next!, rowsMax: 2 })).toMatchObject({ ids: [13], next: null });
    const where = used(useFilter(queue, 'a == 1'));
    expect(machine.listRows(queue, { ids, where, from: 0, rowsMax: 9 }).ids).toEqual([12]);
    machine.drop(queue);
  });

  test('of rows that a task could claim, with the attempt that it would be', () => {
    const queue = createQueue();
    machine.applyInsert(queue, { ids: Float64Array.of(10, 11, 12), fields: [1] });
    const claim = {
      type: 'claim',
      partition: 1,
      requestId: '',
      task: 't',
      epoch: 1,
      fields: [1],
      autoAck: false,
    } as const;
    const rows = { ids: Float64Array.of(10, 11), attempts: Uint16Array.of(1, 1), leaseMs: 100 };
    machine.applyClaim(queue, { ...claim, ...rows, claim: 1 }, 0);
    machine.applyRelease(queue, { type: 'release', partition: 1, claim: 1, requestId: '', reason: 'expired' });
    machine.applyClaim(queue, { ...claim, ...rows, ids: Float64Array.of(11), claim: 2 }, 0);
    const ready = { task: 't', fields: [1] };
    expect(machine.listRows(queue, { ready, from: 0, rowsMax: 9 })).toMatchObject({ ids: [10, 12], attempts: [2, 1] });
    const others = { task: 'u', fields: [0, 1] };
    expect(machine.listRows(queue, { ready: others, from: 0, rowsMax: 9 }).ids).toEqual([10, 11, 12]);
    const ids = Float64Array.of(11, 12, 13);
    expect(machine.listRows(queue, { ready, ids, from: 0, rowsMax: 9 }).ids).toEqual([12]);
    machine.drop(queue);
  });

  test('end early when their tags are long', () => {
    const queue = createQueue();
    machine.applyInsert(queue, { ids: Float64Array.from({ length: 5_000 }, (_, i) => i + 100), fields: [0] });
    const all = Float64Array.from({ length: 5_000 }, (_, i) => i + 100);
    tag(queue, [...all], { note: 'x'.repeat(4_000) });
    const { ids, next } = machine.listRows(queue, { from: 0, rowsMax: 10_000 });
    expect(ids.length).toBeLessThan(3_000);
    expect(next).not.toBeNull();
    machine.drop(queue);
  });
});
