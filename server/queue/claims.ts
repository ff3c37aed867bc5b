/**
 * What happens to the rows of a claim: granted, consumed, returned, forgotten. The only writer of marks and `taken`.
 *
 *   granted    taken 0 -> 1   holder -> the claim; an expired claim that held the row becomes stale
 *   consumed   taken 1        holder -> 0
 *   returned   taken 1 -> 0   returns + 1; holder stays for a late ack (expired), or -> 0 (given back)
 */
import { addOrphan, closeClaim, expireClaim, isLeased, makeStale } from './claim_table.ts';
import { invariant } from './invariant.ts';
import { takenUnit, type Page, type TaskPage } from './page.ts';
import {
  clearBits,
  clearMarks,
  countReturns,
  dropMarks,
  needTaskPage,
  pageIndexFrom,
  setBits,
  setHolders,
} from './pages.ts';
import { eachPage, idAt } from './slots.ts';
import type { Claim, ClaimEnd, PartitionQueue, Task } from './state.ts';

/** An attempt is one more than the returns before it, and a u16 in the journal; counting ends there. */
export const RETURNS_MAX = 65_534;

/** Takes the rows of the claim for its task and makes the claim their holder. */
export function grantRows(queue: PartitionQueue, claim: Claim): void {
  const { task } = claim;
  eachPage(queue.slots, claim.slots, (page, offsets, count) => {
    const taskPage = needTaskPage(queue.slots, page, task.index);
    endEarlier(queue, taskPage, offsets, count);
    setHolders(queue.slots, page, task.index, offsets, count, claim.claim);
    take(queue, page, task, offsets, count);
    taskPage.heldRows += count;
    task.leased += count;
  });
  advanceCursor(queue, task);
}

/** Consumes the rows that the claim still holds, leased or expired, and ends it. */
export function consumeRows(queue: PartitionQueue, claim: Claim): void {
  const { task } = claim;
  const leased = isLeased(claim);
  eachHeld(queue, claim, (page, taskPage, offsets, count) => {
    if (leased) task.leased -= count;
    else take(queue, page, task, offsets, count);
    task.consumed += count;
    dropHolders(queue, page, taskPage, task, offsets, count);
  });
  endClaim(queue, claim, 'acked');
  advanceCursor(queue, task);
}

/** Makes the rows of a leased claim claimable again; the claim stays their holder, so that a late ack can find them. */
export function returnRows(queue: PartitionQueue, claim: Claim): void {
  const { task } = claim;
  eachHeld(queue, claim, (page, taskPage, offsets, count) => {
    countReturns(queue.slots, page, task.index, offsets, count, RETURNS_MAX);
    clearBits(queue.slots, page, takenUnit(task.index), offsets, count);
    taskPage.takenRows -= count;
    task.leased -= count;
    task.cursor = Math.min(task.cursor, page.number);
  });
}

/** Moves a claim whose rows returned from the leased to the expired ones; too many of these make the oldest stale. */
export function keepExpired(queue: PartitionQueue, claim: Claim): void {
  expireClaim(queue, claim);
  for (const oldest of queue.expired) {
    if (queue.expiredRows <= queue.limits.expiredRowsMax) break;
    endClaim(queue, oldest, 'stale');
  }
}

/** The claim holds nothing any more; what remains of it is how it ended. */
export function endClaim(queue: PartitionQueue, claim: Claim, end: ClaimEnd): void {
  eachHeld(queue, claim, (page, taskPage, offsets, count) => {
    dropHolders(queue, page, taskPage, claim.task, offsets, count);
  });
  closeClaim(queue, claim, end);
}

/** How many rows the claim holds. */
export function countHeld(queue: PartitionQueue, claim: Claim): number {
  let rows = 0;
  eachHeld(queue, claim, (_page, _taskPage, _offsets, count) => {
    rows += count;
  });
  return rows;
}

/** Takes rows that are about to be deleted out of all tasks and claims. */
export function forgetRows(queue: PartitionQueue, list: Float64Array): void {
  eachPage(queue.slots, list, (page, offsets, count) => {
    for (const task of queue.tasks.values()) {
      const taskPage = page.tasks[task.index];
      if (taskPage === undefined) continue;
      const taken = clearBits(queue.slots, page, takenUnit(task.index), offsets, count);
      taskPage.takenRows -= taken;
      const leased = forgetMarks(queue, page, task, offsets, count);
      task.leased -= leased;
      task.consumed -= taken - leased;
    }
  });
}

/** A deleted row came back as a new one: claims that held the old one must not consume anything any more. */
export function disownOrphan(queue: PartitionQueue, id: number): void {
  for (const claim of queue.orphans.get(id) ?? []) {
    if (isLeased(claim)) makeStale(queue, claim);
    else endClaim(queue, claim, 'stale');
  }
}

/** Passes the pages in which every row is taken. */
export function advanceCursor(queue: PartitionQueue, task: Task): void {
  const { pages, pageNext } = queue.slots;
  let index = pageIndexFrom(queue.slots, task.cursor);
  while (index < pages.length && pages[index].tasks[task.index]?.takenRows === pages[index].rows) index += 1;
  task.cursor = index < pages.length ? pages[index].number : pageNext;
}

/** Expired claims that hold some of the rows lose all of theirs: what is granted anew can not be acked by two. */
function endEarlier(queue: PartitionQueue, { marks }: TaskPage, offsets: Uint32Array, count: number): void {
  if (marks === undefined) return;
  for (let i = 0; i < count; i += 1) {
    const earlier = marks.holders[offsets[i]];
    if (earlier !== 0) endClaim(queue, queue.claims.get(earlier)!, 'stale');
  }
}

function take(queue: PartitionQueue, page: Page, task: Task, offsets: Uint32Array, count: number): void {
  const taken = setBits(queue.slots, page, takenUnit(task.index), offsets, count);
  invariant(taken === count, 'a row is taken twice by one task');
  page.tasks[task.index]!.takenRows += count;
}

function dropHolders(
  queue: PartitionQueue,
  page: Page,
  taskPage: TaskPage,
  task: Task,
  offsets: Uint32Array,
  count: number,
): void {
  setHolders(queue.slots, page, task.index, offsets, count, 0);
  taskPage.heldRows -= count;
  // More rows may come to a page that is not full: its marks would be made again at the next claim.
  const isFull = page.runs === queue.slots.runsPerPage;
  if (isFull && taskPage.heldRows === 0 && taskPage.takenRows === page.rows) {
    dropMarks(queue.slots, page, task.index);
  }
}

/** Hands on the rows that the claim holds, page by page. */
function eachHeld(
  queue: PartitionQueue,
  claim: Claim,
  visit: (page: Page, taskPage: TaskPage, offsets: Uint32Array, count: number) => void,
): void {
  eachPage(queue.slots, claim.slots, (page, offsets, count) => {
    const taskPage = page.tasks[claim.task.index];
    if (taskPage?.marks === undefined) return;
    const { holders } = taskPage.marks;
    let held = 0;
    for (let i = 0; i < count; i += 1) {
      if (holders[offsets[i]] !== claim.claim) continue;
      offsets[held] = offsets[i];
      held += 1;
    }
    if (held > 0) visit(page, taskPage, offsets, held);
  });
}

/** Clears the marks of rows that are about to be deleted; says how many of them were leased. */
function forgetMarks(queue: PartitionQueue, page: Page, task: Task, offsets: Uint32Array, count: number): number {
  const taskPage = page.tasks[task.index]!;
  if (taskPage.marks === undefined) return 0;
  const { holders } = taskPage.marks;
  let leased = 0;
  for (let i = 0; i < count; i += 1) {
    const offset = offsets[i];
    if (holders[offset] === 0) continue;
    const claim = queue.claims.get(holders[offset])!;
    if (isLeased(claim)) leased += 1;
    addOrphan(queue, idAt(queue.slots, page, offset), claim);
    taskPage.heldRows -= 1;
  }
  clearMarks(queue.slots, page, task.index, offsets, count);
  return leased;
}
