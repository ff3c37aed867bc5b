/**
 * What happens to a claim and its rows: granted, consumed, returned, forgotten. The only writer of marks and `taken`.
 *
 *   granted    taken 0 -> 1   holder -> the claim; an expired claim that held the row becomes stale
 *   consumed   taken 1        holder -> 0
 *   returned   taken 1 -> 0   returns + 1; holder stays for a late ack (expired), or -> 0 (given back)
 */
import { invariant } from './invariant.ts';
import { removeLease } from './leases.ts';
import { eachPage, idAt, marksOf, pageIndexFrom, taskPageOf, type Marks, type Page, type TaskPage } from './slots.ts';
import type { Claim, ClaimEnd, PartitionQueue, Task } from './state.ts';

/** An attempt is one more than the returns before it, and a u16 in the journal; counting ends there. */
const RETURNS_MAX = 65_534;

/** Takes the rows of the claim for its task and makes the claim their holder. */
export function grantRows(queue: PartitionQueue, claim: Claim): void {
  const { task } = claim;
  eachPage(queue.slots, claim.slots, (page, offsets, count) => {
    const taskPage = taskPageOf(queue.slots, page, task.index);
    const { holders } = marksOf(page, taskPage);
    for (let i = 0; i < count; i += 1) {
      const earlier = holders[offsets[i]];
      if (earlier !== 0) endClaim(queue, queue.claims.get(earlier)!, 'stale');
      holders[offsets[i]] = claim.claim;
    }
    take(queue, taskPage, offsets, count);
    taskPage.heldRows += count;
    task.leased += count;
  });
  advanceCursor(queue, task);
}

/** Consumes the rows that the claim still holds, leased or expired, and ends it. */
export function consumeRows(queue: PartitionQueue, claim: Claim): void {
  const { task } = claim;
  const leased = isLeased(claim);
  eachHeld(queue, claim, (page, taskPage, marks, offsets, count) => {
    if (leased) task.leased -= count;
    else take(queue, taskPage, offsets, count);
    task.consumed += count;
    dropHolders(page, taskPage, marks, offsets, count);
  });
  endClaim(queue, claim, 'acked');
  advanceCursor(queue, task);
}

/** Makes the rows of a leased claim claimable again; the claim stays their holder, so that a late ack can find them. */
export function returnRows(queue: PartitionQueue, claim: Claim): void {
  const { task } = claim;
  eachHeld(queue, claim, (page, taskPage, marks, offsets, count) => {
    for (let i = 0; i < count; i += 1) {
      marks.returns[offsets[i]] = Math.min(marks.returns[offsets[i]] + 1, RETURNS_MAX);
    }
    queue.slots.bitmaps.clear(taskPage.taken, offsets, count);
    taskPage.takenRows -= count;
    task.leased -= count;
    task.cursor = Math.min(task.cursor, page.number);
  });
}

/** Moves a claim whose rows returned from the leased to the expired ones; too many of these make the oldest stale. */
export function keepExpired(queue: PartitionQueue, claim: Claim): void {
  removeLease(queue.leases, claim);
  claim.task.claims.delete(claim.claim);
  queue.expired.add(claim);
  queue.expiredRows += claim.slots.length;
  for (const oldest of queue.expired) {
    if (queue.expiredRows <= queue.limits.expiredRowsMax) break;
    endClaim(queue, oldest, 'stale');
  }
}

/** The claim holds nothing any more; what remains of it is how it ended. */
export function endClaim(queue: PartitionQueue, claim: Claim, end: ClaimEnd): void {
  eachHeld(queue, claim, dropHolders);
  if (isLeased(claim)) {
    removeLease(queue.leases, claim);
    claim.task.claims.delete(claim.claim);
  } else {
    queue.expired.delete(claim);
    queue.expiredRows -= claim.slots.length;
  }
  for (const id of claim.orphans) forgetOrphan(queue, id, claim);
  queue.claims.delete(claim.claim);
  rememberEnd(queue, claim, end);
}

/** The task of a claim that is known, also after its end. */
export function taskOf(queue: PartitionQueue, claim: number): Task | undefined {
  return (queue.claims.get(claim) ?? queue.ended.get(claim))?.task;
}

function rememberEnd(queue: PartitionQueue, { claim, task }: Claim, how: ClaimEnd): void {
  queue.ended.set(claim, { how, task });
  if (queue.ended.size <= queue.limits.endedClaimsMax) return;
  for (const oldest of queue.ended.keys()) {
    queue.ended.delete(oldest);
    return;
  }
}

/** Takes rows that are about to be deleted out of all tasks and claims. */
export function forgetRows(queue: PartitionQueue, list: Float64Array): void {
  eachPage(queue.slots, list, (page, offsets, count) => {
    for (const task of queue.tasks.values()) {
      const taskPage = page.tasks[task.index];
      if (taskPage === undefined) continue;
      const taken = queue.slots.bitmaps.clear(taskPage.taken, offsets, count);
      taskPage.takenRows -= taken;
      const leased = forgetMarks(queue, page, taskPage, offsets, count);
      task.leased -= leased;
      task.consumed -= taken - leased;
    }
  });
}

/** A deleted row came back as a new one: claims that held the old one must not consume anything any more. */
export function disownOrphan(queue: PartitionQueue, id: number): void {
  const claims = queue.orphans.get(id);
  if (claims === undefined) return;
  queue.orphans.delete(id);
  for (const claim of claims) {
    if (isLeased(claim)) claim.stale = true;
    else endClaim(queue, claim, 'stale');
  }
}

export function isLeased(claim: Claim): boolean {
  return claim.heapAt >= 0;
}

function take(queue: PartitionQueue, taskPage: TaskPage, offsets: Uint32Array, count: number): void {
  const taken = queue.slots.bitmaps.set(taskPage.taken, offsets, count);
  invariant(taken === count, 'a row is taken twice by one task');
  taskPage.takenRows += count;
}

function dropHolders(page: Page, taskPage: TaskPage, marks: Marks, offsets: Uint32Array, count: number): void {
  for (let i = 0; i < count; i += 1) marks.holders[offsets[i]] = 0;
  taskPage.heldRows -= count;
  if (taskPage.heldRows === 0 && taskPage.takenRows === page.rows) taskPage.marks = undefined;
}

/** Hands on the rows that the claim holds, page by page. */
function eachHeld(
  queue: PartitionQueue,
  claim: Claim,
  visit: (page: Page, taskPage: TaskPage, marks: Marks, offsets: Uint32Array, count: number) => void,
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
    if (held > 0) visit(page, taskPage, taskPage.marks, offsets, held);
  });
}

/** Clears the marks of rows that are about to be deleted; says how many of them were leased. */
function forgetMarks(
  queue: PartitionQueue,
  page: Page,
  taskPage: TaskPage,
  offsets: Uint32Array,
  count: number,
): number {
  if (taskPage.marks === undefined) return 0;
  const { holders, returns } = taskPage.marks;
  let leased = 0;
  for (let i = 0; i < count; i += 1) {
    const offset = offsets[i];
    returns[offset] = 0;
    if (holders[offset] === 0) continue;
    const claim = queue.claims.get(holders[offset])!;
    if (isLeased(claim)) leased += 1;
    addOrphan(queue, idAt(queue.slots, page, offset), claim);
    holders[offset] = 0;
    taskPage.heldRows -= 1;
  }
  return leased;
}

function addOrphan(queue: PartitionQueue, id: number, claim: Claim): void {
  claim.orphans.push(id);
  const claims = queue.orphans.get(id);
  if (claims === undefined) queue.orphans.set(id, [claim]);
  else claims.push(claim);
}

function forgetOrphan(queue: PartitionQueue, id: number, claim: Claim): void {
  const claims = queue.orphans.get(id);
  if (claims === undefined) return;
  const rest = claims.filter((other) => other !== claim);
  if (rest.length === 0) queue.orphans.delete(id);
  else queue.orphans.set(id, rest);
}

/** Passes the pages in which every row is taken. */
function advanceCursor(queue: PartitionQueue, task: Task): void {
  const { pages, pageNext } = queue.slots;
  let index = pageIndexFrom(queue.slots, task.cursor);
  while (index < pages.length && pages[index].tasks[task.index]?.takenRows === pages[index].rows) index += 1;
  task.cursor = index < pages.length ? pages[index].number : pageNext;
}
