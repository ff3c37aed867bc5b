/** What the queue knows of single rows: their fields, where they stand with each task, and which is the newest. */
import { isDead } from './dead_letters.ts';
import { presentIn } from './draw/pages.ts';
import { holderAt, returnsAt } from './marks.ts';
import type { Page, TaskPage } from './page.ts';
import { idAt, offsetOf, pageOf, slotOf } from './slots.ts';
import type { Claim, PartitionQueue, Task } from './state.ts';

/** Slots that the search for the newest row looks at together. */
const NEWEST_STEP = 2_048;

export interface RowStatus {
  /** Ids of the fields that the row has, rising. */
  readonly fields: readonly number[];
  readonly tasks: readonly RowTaskStatus[];
}

export interface RowTaskStatus {
  readonly task: string;
  readonly state: 'unclaimed' | 'leased' | 'consumed' | 'dead';
  /** How often the row came back to this task. */
  readonly returns: number;
  /** The claim that may consume it: leased, or expired and not granted again. */
  readonly claim: number | undefined;
}

/** Where a row stands, or undefined when it is not there. */
export function rowStatus(queue: PartitionQueue, id: number): RowStatus | undefined {
  const slot = slotOf(queue.slots, id);
  if (slot < 0) return undefined;
  const page = pageOf(queue.slots, slot)!;
  const offset = offsetOf(queue.slots, slot);
  const fields: number[] = [];
  for (const [field, bitmap] of page.fields) if (queue.slots.bitmaps.has(bitmap, offset)) fields.push(field);
  fields.sort((a, b) => a - b);
  return { fields, tasks: Array.from(queue.tasks.values(), (task) => rowTaskStatus(queue, task, page, offset)) };
}

/** Whether the row is there and has all the fields. */
export function rowHas(queue: PartitionQueue, id: number, fields: readonly number[]): boolean {
  const slot = slotOf(queue.slots, id);
  if (slot < 0) return false;
  const page = pageOf(queue.slots, slot)!;
  const offset = offsetOf(queue.slots, slot);
  return fields.every((field) => {
    const bitmap = page.fields.get(field);
    return bitmap !== undefined && queue.slots.bitmaps.has(bitmap, offset);
  });
}

/** The row that came last, by its first put, of those that have all the fields. */
export function newestRow(queue: PartitionQueue, fields: readonly number[]): number | undefined {
  const { slots } = queue;
  for (let index = slots.pages.length - 1; index >= 0; index -= 1) {
    const page = slots.pages[index];
    const present = presentIn(page, fields);
    if (present === undefined) continue;
    for (let end = page.runs * slots.groupSize; end > 0; end -= NEWEST_STEP) {
      const found = slots.bitmaps.scanReady(present, 0, Math.max(0, end - NEWEST_STEP), end, NEWEST_STEP);
      if (found.length > 0) return idAt(slots, page, found[found.length - 1]);
    }
  }
  return undefined;
}

function rowTaskStatus(queue: PartitionQueue, task: Task, page: Page, offset: number): RowTaskStatus {
  const taskPage = page.tasks[task.index];
  if (taskPage === undefined) return { task: task.name, state: 'unclaimed', returns: 0, claim: undefined };
  const claim = queue.claims.get(holderAt(queue.slots, taskPage, offset));
  const returns = returnsAt(queue.slots, taskPage, offset);
  return { task: task.name, state: stateOf(queue, taskPage, offset, claim), returns, claim: claim?.claim };
}

function stateOf(
  queue: PartitionQueue,
  taskPage: TaskPage,
  offset: number,
  claim: Claim | undefined,
): RowTaskStatus['state'] {
  if (!queue.slots.bitmaps.has(taskPage.taken, offset)) return 'unclaimed';
  if (isDead(queue, taskPage, offset)) return 'dead';
  return claim === undefined ? 'consumed' : 'leased';
}
