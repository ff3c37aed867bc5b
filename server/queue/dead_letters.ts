/**
 * Dead letters of a task: rows that came back as often as it allows attempts. They stay taken until they are queued
 * anew, consumed by a late ack of the claim that held them last, or deleted.
 *
 *   leased --comes back, returns + 1 = max_attempts--> dead, held by its expired claim --the claim ends--> dead, DEAD
 *   dead   --requeue--> unclaimed, returns 0
 *
 * Invariant: `deadRows` of a page and `dead` of a task count them; in a page with none, no claim but a leased one holds
 * a row that is taken.
 */
import { isLeased } from './claim_table.ts';
import { clearReturns, holderAt, returnsAt, setHolders } from './marks.ts';
import { DEAD, takenUnit, type TaskPage } from './page.ts';
import { clearBits, pageIndexFrom } from './pages.ts';
import { eachPage, idAt, offsetOf, pageNumberOf, pageOf, slotOf } from './slots.ts';
import type { PartitionQueue, Task } from './state.ts';

/** Pages that one list takes at most, so that a few letters in many pages do not keep others waiting. */
const PAGES_PER_LIST = 64;

export interface DeadLetters {
  readonly ids: number[];
  /** How often each was granted. */
  readonly attempts: number[];
  /** Where the next list begins; null: there are no more. */
  readonly next: number | null;
}

/** How often a row is granted to the task before it is a dead letter. */
export function attemptsMaxOf(queue: PartitionQueue, task: Task): number {
  return queue.settings.tasks?.find(({ name }) => name === task.name)?.maxAttempts ?? Infinity;
}

export function isDead(queue: PartitionQueue, taskPage: TaskPage, offset: number): boolean {
  if (taskPage.deadRows === 0) return false;
  const holder = holderAt(queue.slots, taskPage, offset);
  if (holder <= 0) return holder === DEAD;
  return !isLeased(queue.claims.get(holder)!) && queue.slots.bitmaps.has(taskPage.taken, offset);
}

/** Whether the row is there and is a dead letter of the task. */
export function isDeadLetter(queue: PartitionQueue, task: Task, id: number): boolean {
  const slot = slotOf(queue.slots, id);
  const taskPage = slot < 0 ? undefined : pageOf(queue.slots, slot)!.tasks[task.index];
  return taskPage !== undefined && isDead(queue, taskPage, offsetOf(queue.slots, slot));
}

/** In slot order, from a slot on; at most `max`, or fewer before the end. */
export function deadLetters(queue: PartitionQueue, task: Task, from: number, max: number): DeadLetters {
  const { slots } = queue;
  const ids: number[] = [];
  const attempts: number[] = [];
  let pages = 0;
  for (let index = pageIndexFrom(slots, pageNumberOf(slots, from)); index < slots.pages.length; index += 1) {
    const page = slots.pages[index];
    const taskPage = page.tasks[task.index];
    if (taskPage === undefined || taskPage.deadRows === 0) continue;
    const start = page.number * slots.pageBits;
    pages += 1;
    if (pages > PAGES_PER_LIST) return { ids, attempts, next: start };
    const end = page.runs * slots.groupSize;
    for (let offset = Math.max(from - start, 0); offset < end; offset += 1) {
      if (!isDead(queue, taskPage, offset)) continue;
      if (ids.length === max) return { ids, attempts, next: start + offset };
      ids.push(idAt(slots, page, offset));
      attempts.push(returnsAt(slots, taskPage, offset));
    }
  }
  return { ids, attempts, next: null };
}

/** Makes those of the rows that are dead claimable, from their first attempt; says how many were. */
export function requeueRows(queue: PartitionQueue, task: Task, list: Float64Array): number {
  const { slots } = queue;
  let rows = 0;
  eachPage(slots, list, (page, offsets, count) => {
    const taskPage = page.tasks[task.index];
    if (taskPage === undefined) return;
    const dead = offsets.subarray(0, count).filter((offset) => isDead(queue, taskPage, offset));
    if (dead.length === 0) return;
    // A claim that expired stays their holder: it may be acked late until they are granted again.
    const free = dead.filter((offset) => holderAt(slots, taskPage, offset) === DEAD);
    if (free.length > 0) setHolders(slots, page, task.index, free, free.length, 0);
    clearReturns(slots, page, task.index, dead, dead.length);
    clearBits(slots, page, takenUnit(task.index), dead, dead.length);
    taskPage.takenRows -= dead.length;
    taskPage.deadRows -= dead.length;
    task.dead -= dead.length;
    task.cursor = Math.min(task.cursor, page.number);
    rows += dead.length;
  });
  return rows;
}
