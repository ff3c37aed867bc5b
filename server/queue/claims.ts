/**
 * What happens to the rows of a claim: granted, consumed, returned, forgotten. Marks and `taken` are written here, and
 * in dead_letters.ts.
 *
 *   granted    taken 0 -> 1   holder -> the claim; an expired claim that held the row becomes stale
 *   consumed   taken 1        holder -> 0
 *   returned   taken 1 -> 0   returns + 1; holder stays for a late ack (expired), or -> 0 (given back)
 *   dead       taken 1        returns + 1; holder stays for a late ack (expired), or -> DEAD (given back)
 *   skipped    taken 0 -> 1   holder -> 0; an expired claim that held the row becomes stale
 */
import { addOrphan, closeClaim, countSkipped, expireClaim, isLeased, makeStale } from './claim_table.ts';
import { noteConsumed } from './consumed.ts';
import { attemptsMaxOf, isDead } from './dead_letters.ts';
import type { ClaimEnd } from './ended_claims.ts';
import { invariant } from './invariant.ts';
import { clearMarks, countReturns, dropMarks, holderAt, returnsAt, setHolders } from './marks.ts';
import { DEAD, takenUnit, type Page, type TaskPage } from './page.ts';
import { clearBits, clearTaskPage, needTaskPage, pageIndexFrom, setBits } from './pages.ts';
import { eachPage, idAt } from './slots.ts';
import type { Claim, PartitionQueue, Task } from './state.ts';

/** An attempt is one more than the returns before it, and a u16 in the journal; counting ends there. */
export const RETURNS_MAX = 65_534;

const NONE = new Uint32Array(0);

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
  eachHeld(queue, claim, (page, _taskPage, offsets, count) => {
    if (leased) task.leased -= count;
    else takeLate(queue, page, task, offsets, count);
    task.consumed += count;
    dropHolders(queue, page, task, offsets, count, 0);
    noteConsumed(queue, page);
  });
  endClaim(queue, claim, 'acked');
  advanceCursor(queue, task);
}

/**
 * Makes the rows of a leased claim claimable again, but for those that have no attempt left; the claim stays the holder
 * of all, so that a late ack can find them. What was never delivered does not count as an attempt.
 */
export function returnRows(queue: PartitionQueue, claim: Claim, { delivered }: { readonly delivered: boolean }): void {
  const { task } = claim;
  const attemptsMax = delivered ? attemptsMaxOf(queue, task) : Infinity;
  eachHeld(queue, claim, (page, taskPage, offsets, count) => {
    if (delivered) countReturns(queue.slots, page, task.index, offsets, count, RETURNS_MAX);
    const back = attemptsMax === Infinity ? count : buryRows(queue, taskPage, offsets, count, attemptsMax);
    task.leased -= count;
    task.dead += count - back;
    if (back === 0) return;
    clearBits(queue.slots, page, takenUnit(task.index), offsets, back);
    taskPage.takenRows -= back;
    task.cursor = Math.min(task.cursor, page.number);
  });
}

/** The task passes those of the rows that are unclaimed, as if it had consumed them; says how many. */
export function skipRows(queue: PartitionQueue, task: Task, list: Float64Array): number {
  let rows = 0;
  eachPage(queue.slots, list, (page, offsets, count) => {
    const taskPage = needTaskPage(queue.slots, page, task.index);
    const { bitmaps } = queue.slots;
    const skipped = offsets.subarray(0, count).filter((offset) => !bitmaps.has(taskPage.taken, offset));
    if (skipped.length === 0) return;
    endEarlier(queue, taskPage, skipped, skipped.length);
    take(queue, page, task, skipped, skipped.length);
    dropSpentMarks(queue, page, task);
    noteConsumed(queue, page);
    rows += skipped.length;
  });
  task.consumed += rows;
  countSkipped(queue, task, rows);
  advanceCursor(queue, task);
  return rows;
}

/** The task begins anew with all rows: nothing is taken, no claim holds anything. Says which claims it ended. */
export function resetTask(queue: PartitionQueue, task: Task): number[] {
  const claims = [...queue.claims.values()].filter((claim) => claim.task === task);
  for (const claim of claims) closeClaim(queue, claim, 'stale');
  for (const page of queue.slots.pages) {
    if (page.tasks[task.index] !== undefined) clearTaskPage(queue.slots, page, task.index);
  }
  task.leased = 0;
  task.consumed = 0;
  task.dead = 0;
  countSkipped(queue, task, -task.skipped);
  task.cursor = 0;
  advanceCursor(queue, task);
  return claims.map(({ claim }) => claim);
}

/** Moves a claim whose rows returned from the leased to the expired ones; too many of these make the oldest stale. */
export function keepExpired(queue: PartitionQueue, claim: Claim): void {
  expireClaim(queue, claim);
  for (const oldest of queue.expired) {
    if (queue.expiredRows <= queue.limits.expiredRowsMax) break;
    endClaim(queue, oldest, 'stale');
  }
}

/** The claim holds nothing any more; what remains of it is how it ended. Its rows were consumed or returned before. */
export function endClaim(queue: PartitionQueue, claim: Claim, end: ClaimEnd): void {
  eachHeld(queue, claim, (page, taskPage, offsets, count) => {
    const held = offsets.subarray(0, count);
    const dead = taskPage.deadRows === 0 ? NONE : held.filter((offset) => isTaken(queue, taskPage, offset));
    if (dead.length > 0) dropHolders(queue, page, claim.task, dead, dead.length, DEAD);
    if (dead.length === count) return;
    const free = dead.length === 0 ? held : held.filter((offset) => !isTaken(queue, taskPage, offset));
    dropHolders(queue, page, claim.task, free, free.length, 0);
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
      const { leased, dead } = forgetMarks(queue, page, task, offsets, count);
      const taken = clearBits(queue.slots, page, takenUnit(task.index), offsets, count);
      taskPage.takenRows -= taken;
      taskPage.deadRows -= dead;
      task.leased -= leased;
      task.dead -= dead;
      task.consumed -= taken - leased - dead;
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
function endEarlier(queue: PartitionQueue, taskPage: TaskPage, offsets: Uint32Array, count: number): void {
  if (taskPage.heldRows === 0) return;
  for (let i = 0; i < count; i += 1) {
    const earlier = holderAt(queue.slots, taskPage, offsets[i]);
    if (earlier !== 0) endClaim(queue, queue.claims.get(earlier)!, 'stale');
  }
}

function take(queue: PartitionQueue, page: Page, task: Task, offsets: Uint32Array, count: number): void {
  const taken = setBits(queue.slots, page, takenUnit(task.index), offsets, count);
  invariant(taken === count, 'a row is taken twice by one task');
  page.tasks[task.index]!.takenRows += count;
}

/** Takes rows of an expired claim; dead letters among them are taken already. */
function takeLate(queue: PartitionQueue, page: Page, task: Task, offsets: Uint32Array, count: number): void {
  const taken = setBits(queue.slots, page, takenUnit(task.index), offsets, count);
  const taskPage = page.tasks[task.index]!;
  taskPage.takenRows += taken;
  taskPage.deadRows -= count - taken;
  task.dead -= count - taken;
  invariant(taskPage.deadRows >= 0, 'a row is taken twice by one task');
}

/** Counts rows without another attempt as dead; the others stay at the front of `offsets`, so many. */
function buryRows(
  { slots }: PartitionQueue,
  taskPage: TaskPage,
  offsets: Uint32Array,
  count: number,
  attemptsMax: number,
): number {
  let back = 0;
  for (let i = 0; i < count; i += 1) {
    if (returnsAt(slots, taskPage, offsets[i]) >= attemptsMax) continue;
    offsets[back] = offsets[i];
    back += 1;
  }
  taskPage.deadRows += count - back;
  return back;
}

/** Makes `holder`, which is no claim, the holder of rows that a claim holds. */
function dropHolders(
  queue: PartitionQueue,
  page: Page,
  task: Task,
  offsets: Uint32Array,
  count: number,
  holder: 0 | typeof DEAD,
): void {
  setHolders(queue.slots, page, task.index, offsets, count, holder);
  page.tasks[task.index]!.heldRows -= count;
  dropSpentMarks(queue, page, task);
}

/** How often rows came back matters no more once no row of the page can be claimed, or come to it. */
function dropSpentMarks({ slots }: PartitionQueue, page: Page, task: Task): void {
  const { heldRows, deadRows, takenRows } = page.tasks[task.index]!;
  const isSpent = heldRows + deadRows === 0 && takenRows === page.rows && page.runs === slots.runsPerPage;
  if (isSpent) dropMarks(slots, page, task.index);
}

function isTaken({ slots }: PartitionQueue, { taken }: TaskPage, offset: number): boolean {
  return slots.bitmaps.has(taken, offset);
}

/** Hands on the rows that the claim holds, page by page. */
function eachHeld(
  queue: PartitionQueue,
  claim: Claim,
  visit: (page: Page, taskPage: TaskPage, offsets: Uint32Array, count: number) => void,
): void {
  eachPage(queue.slots, claim.slots, (page, offsets, count) => {
    const taskPage = page.tasks[claim.task.index];
    if (taskPage === undefined || taskPage.heldRows === 0) return;
    let held = 0;
    for (let i = 0; i < count; i += 1) {
      if (holderAt(queue.slots, taskPage, offsets[i]) !== claim.claim) continue;
      offsets[held] = offsets[i];
      held += 1;
    }
    if (held > 0) visit(page, taskPage, offsets, held);
  });
}

/** Clears the marks of rows that are about to be deleted; says how many of them were leased, and dead. */
function forgetMarks(
  queue: PartitionQueue,
  page: Page,
  task: Task,
  offsets: Uint32Array,
  count: number,
): { readonly leased: number; readonly dead: number } {
  const taskPage = page.tasks[task.index]!;
  let leased = 0;
  let dead = 0;
  for (let i = 0; i < count; i += 1) {
    const offset = offsets[i];
    const holder = holderAt(queue.slots, taskPage, offset);
    if (holder === 0) continue;
    if (isDead(queue, taskPage, offset)) dead += 1;
    if (holder === DEAD) continue;
    const claim = queue.claims.get(holder)!;
    if (isLeased(claim)) leased += 1;
    addOrphan(queue, idAt(queue.slots, page, offset), claim);
    taskPage.heldRows -= 1;
  }
  clearMarks(queue.slots, page, task.index, offsets, count);
  return { leased, dead };
}
