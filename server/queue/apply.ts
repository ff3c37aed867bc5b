/**
 * Events change the queue here and nowhere else, live and in replay alike.
 *
 * Invariants: an apply never refuses; that an event may happen was decided before it was journaled. `now` sets
 * deadlines only: replay passes 0 and calls restartLeases when it is done.
 */
import { addClaim, isLeased, taskFor } from './claim_table.ts';
import { consumeRows, disownOrphan, endClaim, forgetRows, grantRows, keepExpired, returnRows } from './claims.ts';
import type { AckEvent, ClaimEvent, Insert, ReleaseEvent } from './events.ts';
import { invariant } from './invariant.ts';
import { moveLease, pushLease } from './leases.ts';
import { freePage } from './pages.ts';
import { deleteRows, insertRows, pageNumberOf, slotOf } from './slots.ts';
import type { Claim, PartitionQueue } from './state.ts';

/** Says how many of the rows are new. */
export function applyInsert(queue: PartitionQueue, insert: Insert): number {
  if (insert.ids.length === 0) return 0;
  if (queue.orphans.size > 0) for (const id of insert.ids) disownOrphan(queue, id);
  const rowsBefore = queue.slots.rows;
  const slotLowest = insertRows(queue.slots, insert.ids, insert.fields);
  const pageLowest = pageNumberOf(queue.slots, slotLowest);
  for (const task of queue.tasks.values()) task.cursor = Math.min(task.cursor, pageLowest);
  return queue.slots.rows - rowsBefore;
}

/** Ids that are not there are passed over; says how many were. */
export function applyDelete(queue: PartitionQueue, ids: Float64Array): number {
  const list = new Float64Array(ids.length);
  let count = 0;
  for (let i = 0; i < ids.length; i += 1) {
    const slot = slotOf(queue.slots, ids[i]);
    if (slot < 0) continue;
    list[count] = slot;
    count += 1;
  }
  const rows = list.subarray(0, count).sort();
  forgetRows(queue, rows);
  deleteRows(queue.slots, rows);
  return count;
}

export function applyClaim(queue: PartitionQueue, event: ClaimEvent, now: number): void {
  const slots = new Float64Array(event.ids.length);
  let isRising = true;
  for (let i = 0; i < slots.length; i += 1) {
    slots[i] = slotOf(queue.slots, event.ids[i]);
    invariant(slots[i] >= 0, 'a claim takes a row that is not there');
    isRising &&= i === 0 || slots[i] > slots[i - 1];
  }
  invariant(event.claim > 0 && !queue.claims.has(event.claim), 'claim numbers are positive and new');
  const claim: Claim = {
    claim: event.claim,
    task: taskFor(queue, event.task, event.fields),
    requestId: event.requestId,
    slots: isRising ? slots : slots.sort(),
    leaseMs: event.leaseMs,
    deadlineMs: now + event.leaseMs,
    heapAt: -1,
    orphans: [],
    stale: false,
    order: 0,
  };
  addClaim(queue, claim);
  grantRows(queue, claim);
  if (event.autoAck) consumeRows(queue, claim);
}

export function applyAck(queue: PartitionQueue, event: AckEvent): void {
  consumeRows(queue, claimOf(queue, event.claim));
}

export function applyRelease(queue: PartitionQueue, event: ReleaseEvent): void {
  const claim = claimOf(queue, event.claim);
  if (isLeased(claim)) returnRows(queue, claim);
  if (event.reason === 'released') endClaim(queue, claim, 'released');
  else if (claim.stale) endClaim(queue, claim, 'stale');
  else keepExpired(queue, claim);
}

export function applySeal(queue: PartitionQueue): void {
  queue.sealed = true;
}

/** Moves the lease of a claim that decideRenew found renewable. Not journaled. */
export function renewLease(queue: PartitionQueue, renewal: { claim: number; leaseMs: number }, now: number): void {
  const claim = claimOf(queue, renewal.claim);
  claim.deadlineMs = now + renewal.leaseMs;
  moveLease(queue.leases, claim);
}

/** After a replay: nobody knows how much of each lease is left, so all start anew with their full length. */
export function restartLeases(queue: PartitionQueue, now: number): void {
  const claims = queue.leases.splice(0);
  for (const claim of claims) {
    claim.deadlineMs = now + claim.leaseMs;
    pushLease(queue.leases, claim);
  }
}

/** When the next lease runs out, or Infinity. */
export function nextDeadline(queue: PartitionQueue): number {
  return queue.leases.length === 0 ? Infinity : queue.leases[0].deadlineMs;
}

/** Gives the bitmaps back; the queue must not be used any more. */
export function drop(queue: PartitionQueue): void {
  for (const page of [...queue.slots.pages]) freePage(queue.slots, page);
}

function claimOf(queue: PartitionQueue, number: number): Claim {
  const claim = queue.claims.get(number);
  invariant(claim !== undefined, 'an event names a claim that ended');
  return claim;
}
