/** Parked reads: woken when the last row is complete, never before. */
import { expect, test } from 'vitest';
import {
  addNewestWaiter,
  addReadWaiter,
  createNewestWaiters,
  createReadWaiters,
  removeNewestWaiter,
  removeReadWaiter,
  wakeNewest,
  wakeReads,
  type ReadWaiter,
} from '../../../server/queue/read_waiters.ts';

/** Cells that are there, as "row field". */
function createCells(): {
  put(ids: number[], fields: number[]): void;
  has(id: number, fields: readonly number[]): boolean;
} {
  const cells = new Set<string>();
  return {
    put: (ids, fields) => ids.forEach((id) => fields.forEach((field) => cells.add(`${id} ${field}`))),
    has: (id, fields) => fields.every((field) => cells.has(`${id} ${field}`)),
  };
}

test('a read is woken by the put that completes its last row', () => {
  const cells = createCells();
  const waiters = createReadWaiters();
  const woken: ReadWaiter[] = [];
  const put = (ids: number[], fields: number[]): number => {
    cells.put(ids, fields);
    const before = woken.length;
    wakeReads(waiters, ids, cells.has, (waiter) => woken.push(waiter));
    return woken.length - before;
  };
  put([1], [0, 1]);
  expect(addReadWaiter(waiters, { ids: [1], fields: [0, 1] }, cells.has)).toBe(false);
  expect(addReadWaiter(waiters, { ids: [1, 2, 3], fields: [0, 1] }, cells.has)).toBe(true);
  expect(addReadWaiter(waiters, { ids: [2], fields: [0] }, cells.has)).toBe(true);
  expect(put([3], [0, 1])).toBe(0);
  expect(put([2], [0])).toBe(1);
  expect(put([9], [0, 1])).toBe(0);
  expect(put([2], [1])).toBe(1);
  expect(woken.map((waiter) => waiter.ids)).toEqual([[2], [1, 2, 3]]);
  expect(waiters.byRow.size + waiters.watched.size).toBe(0);
});

test('a read may give up, and takes one place however many rows it wants', () => {
  const cells = createCells();
  const waiters = createReadWaiters();
  const waiter = { ids: Float64Array.from({ length: 60_000 }, (_, id) => id), fields: [0] };
  addReadWaiter(waiters, waiter, cells.has);
  cells.put([0, 1], [0]);
  wakeReads(waiters, [1, 0], cells.has, () => expect.unreachable());
  expect([...waiters.byRow.keys()]).toEqual([2]);
  removeReadWaiter(waiters, waiter);
  removeReadWaiter(waiters, waiter);
  expect(waiters.byRow.size + waiters.watched.size).toBe(0);
});

test('who waits for the newest row is tried by every put of its fields until it is served', () => {
  const waiters = createNewestWaiters<{ name: string; fields: number[] }>();
  const [a, ab, none] = [[0], [0, 1], []].map((fields, i) => ({ name: 'xyz'[i], fields }));
  for (const waiter of [a, ab, none]) addNewestWaiter(waiters, waiter);
  const tried = (fields: number[], served: string): string => {
    let names = '';
    wakeNewest(waiters, fields, ({ name }) => {
      names += name;
      return served.includes(name);
    });
    return names;
  };
  expect(tried([1], '')).toBe('zy');
  expect(tried([0, 1], 'xz')).toBe('zxy');
  expect(tried([0], '')).toBe('y');
  removeNewestWaiter(waiters, ab);
  expect(tried([0, 1], '')).toBe('');
  expect(waiters.byField.size).toBe(0);
});
