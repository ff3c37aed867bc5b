/**
 * Lists of rows as a draw has them, by their slots, and what is known of the rows of a list.
 *
 * Neighbours in a list are mostly in one page, so that looking up goes from page to page, not from row to row.
 */
import { returnsAt } from '../marks.ts';
import { numbersOf } from '../numbers.ts';
import type { Page } from '../page.ts';
import { idAt, pageOf, slotOf, type Slots } from '../slots.ts';
import type { PartitionQueue, Task } from '../state.ts';
import { eachOpenPage, openPage, type Open, type Wanted } from './pages.ts';

/** Ready rows that are looked at together: more of them take fewer comparisons (sampler/priority.ts), but memory. */
export const READY_STEP = 16_384;
/** Their offsets. Not made for each claim: memory of this size is what the garbage collector is called for. */
const found = new Uint32Array(READY_STEP);

/** Visits the first `max` ready rows in slot order, some of a page at a time, by their offsets. Visits do not nest. */
export function eachReady(
  queue: PartitionQueue,
  wanted: Wanted,
  max: number,
  visit: (page: Page, offsets: Uint32Array) => void,
): void {
  const { slots } = queue;
  let rowsLeft = max;
  eachOpenPage(queue, wanted, (page, present, taken) => {
    const bits = page.runs * slots.groupSize;
    for (let from = 0; from < bits && rowsLeft > 0;) {
      const room = found.subarray(0, rowsLeft);
      const count = slots.bitmaps.scanReadyInto(present, taken, from, bits, room);
      if (count > 0) visit(page, room.subarray(0, count));
      rowsLeft -= count;
      from = count < room.length ? bits : room[count - 1] + 1;
    }
    return rowsLeft > 0;
  });
}

/** The first `max` ready rows, in slot order. */
export function readyRows(queue: PartitionQueue, wanted: Wanted, max: number): Float64Array {
  const { slots } = queue;
  const list = new Float64Array(Math.min(max, slots.rows));
  let count = 0;
  eachReady(queue, wanted, list.length, (page, offsets) => {
    const start = page.number * slots.pageBits;
    for (let i = 0; i < offsets.length; i += 1) list[count + i] = start + offsets[i];
    count += offsets.length;
  });
  return list.subarray(0, count);
}

/** Those of the rows with these ids that are ready, in the order of the ids. */
export function readyOf(queue: PartitionQueue, wanted: Wanted, ids: Float64Array): Float64Array {
  const there = ids.map((id) => slotOf(queue.slots, id)).filter((slot) => slot >= 0);
  return readyAmong(queue, wanted, there);
}

/** Those of the list that are ready. */
export function readyAmong(queue: PartitionQueue, wanted: Wanted, list: Float64Array): Float64Array {
  const { slots } = queue;
  const open = new Map<Page, Open | undefined>();
  const ready = new Float64Array(list.length);
  let count = 0;
  eachStretch(slots, list, (page, start, from, to) => {
    if (!open.has(page)) open.set(page, openPage(queue, wanted, page));
    const found = open.get(page);
    if (found === undefined) return;
    const { present, taken } = found;
    for (let i = from; i < to; i += 1) {
      const offset = list[i] - start;
      if (!present.every((bitmap) => slots.bitmaps.has(bitmap, offset))) continue;
      if (taken !== 0 && slots.bitmaps.has(taken, offset)) continue;
      ready[count] = list[i];
      count += 1;
    }
  });
  return ready.subarray(0, count);
}

export function idsOf({ slots }: PartitionQueue, list: Float64Array): Float64Array {
  const ids = new Float64Array(list.length);
  eachStretch(slots, list, (page, start, from, to) => {
    for (let i = from; i < to; i += 1) ids[i] = idAt(slots, page, list[i] - start);
  });
  return ids;
}

/** Which attempt of the task a claim would be, of each row. */
export function attemptsOf({ slots }: PartitionQueue, task: Task | undefined, list: Float64Array): Uint16Array {
  const attempts = new Uint16Array(list.length).fill(1);
  if (task === undefined) return attempts;
  eachStretch(slots, list, (page, start, from, to) => {
    const taskPage = page.tasks[task.index];
    if (taskPage === undefined) return;
    for (let i = from; i < to; i += 1) attempts[i] += returnsAt(slots, taskPage, list[i] - start);
  });
  return attempts;
}

/** The values of a declared number, NaN for none. */
export function valuesOf({ slots }: PartitionQueue, number: number, list: Float64Array): Float64Array {
  const values = new Float64Array(list.length).fill(NaN);
  eachStretch(slots, list, (page, start, from, to) => {
    const column = numbersOf(page, number);
    if (column !== undefined) for (let i = from; i < to; i += 1) values[i] = column[list[i] - start];
  });
  return values;
}

/** Pages in which the task takes rows for the first time; one that the list comes back to counts again. */
export function countNewPages({ slots }: PartitionQueue, task: Task | undefined, list: Float64Array): number {
  let count = 0;
  eachStretch(slots, list, (page) => {
    if (task === undefined || page.tasks[task.index] === undefined) count += 1;
  });
  return Math.min(count, slots.pages.length);
}

/** Visits neighbours in the list that are in one page together: places [from, to), and the first slot of the page. */
function eachStretch(
  slots: Slots,
  list: Float64Array,
  visit: (page: Page, start: number, from: number, to: number) => void,
): void {
  for (let from = 0; from < list.length;) {
    const page = pageOf(slots, list[from])!;
    const start = page.number * slots.pageBits;
    const end = start + slots.pageBits;
    let to = from + 1;
    while (to < list.length && list[to] >= start && list[to] < end) to += 1;
    visit(page, start, from, to);
    from = to;
  }
}
