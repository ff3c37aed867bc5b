/**
 * Which rows all declared tasks have consumed: what the server may delete by itself.
 *
 *   consumed by a task   taken, and held by nobody: neither leased nor a dead letter
 *
 * Invariant: while the partition releases consumed rows, each of them lies in a page of `queue.releasable`. The set is
 * made anew at a start and when the declaration changes, so that it needs no record.
 */
import { holderAt } from './marks.ts';
import type { Page, TaskPage } from './page.ts';
import { idAt } from './slots.ts';
import type { PartitionQueue } from './state.ts';

const NONE = new Uint32Array(0);

/** Offsets of rows of the page that every declared task consumed, rising, at most `max`; none without such tasks. */
export function consumedRows(queue: PartitionQueue, page: Page, max = queue.slots.pageBits): Uint32Array {
  const tasks = declaredTaskPages(queue, page);
  if (tasks.length === 0) return NONE;
  const { slots } = queue;
  const taken = [page.live, ...tasks.map((task) => task.taken)];
  const bits = page.runs * slots.groupSize;
  const found = new Uint32Array(Math.min(max, page.rows));
  let count = 0;
  for (let from = 0; count < max && from < bits;) {
    const offsets = slots.bitmaps.scanReady(taken, 0, from, bits, max);
    for (let i = 0; i < offsets.length && count < max; i += 1) {
      found[count] = offsets[i];
      if (isFree(queue, tasks, offsets[i])) count += 1;
    }
    from = offsets.length < max ? bits : offsets[offsets.length - 1] + 1;
  }
  return found.subarray(0, count);
}

/** Ids of such rows. */
export function consumedIds(queue: PartitionQueue, page: Page, max: number): Float64Array {
  return Float64Array.from(consumedRows(queue, page, max), (offset) => idAt(queue.slots, page, offset));
}

/** A task consumed rows of the page. */
export function noteConsumed(queue: PartitionQueue, page: Page): void {
  if (queue.settings.release === 'consumed') queue.releasable.add(page);
}

/** Any page may have rows to release: the declaration changed, or the queue was loaded. */
export function noteAllConsumed(queue: PartitionQueue): void {
  queue.releasable.clear();
  for (const page of queue.slots.pages) noteConsumed(queue, page);
}

/** What each declared task knows of the page; empty when one of them took no row of it. */
function declaredTaskPages(queue: PartitionQueue, page: Page): TaskPage[] {
  const found: TaskPage[] = [];
  for (const { name } of queue.settings.tasks ?? []) {
    const task = queue.tasks.get(name);
    const taskPage = task === undefined ? undefined : page.tasks[task.index];
    if (taskPage === undefined || taskPage.takenRows === 0) return [];
    found.push(taskPage);
  }
  return found;
}

/** Whether nobody holds the row, which all of the tasks have taken. */
function isFree({ slots }: PartitionQueue, tasks: readonly TaskPage[], offset: number): boolean {
  for (const taskPage of tasks) if (holderAt(slots, taskPage, offset) !== 0) return false;
  return true;
}
