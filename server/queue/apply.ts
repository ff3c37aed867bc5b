/**
 * Events change the queue here and nowhere else, live and in replay alike.
 *
 * Invariants: an apply never refuses; that an event may happen was decided before it was journaled. `now` sets
 * deadlines only: replay passes 0 and calls restartLeases when it is done.
 */
import type { AdvanceEvent, BatchEvent, DeleteEvent, RequeueEvent, ResetEvent, SkipEvent } from '../journal/events.ts';
import { forgetBatches, noteEmpty, notePart } from './batches.ts';
import { addClaim, declareTasks, isLeased, taskFor } from './claim_table.ts';
import {
  consumeRows,
  disownOrphan,
  endClaim,
  forgetRows,
  grantRows,
  keepExpired,
  resetTask,
  returnRows,
  skipRows,
} from './claims.ts';
import { noteAllConsumed } from './consumed.ts';
import { requeueRows } from './dead_letters.ts';
import { touchGroups } from './draw/group_clock.ts';
import type { AckEvent, ClaimEvent, Insert, ReleaseEvent } from './events.ts';
import { clearStale } from './filters.ts';
import { invariant } from './invariant.ts';
import { moveLease, pushLease } from './leases.ts';
import { moveNumbers } from './numbers.ts';
import { freePage } from './pages.ts';
import { deleteRows, insertRows, pageNumberOf, slotOf } from './slots.ts';
import { create, type Claim, type PartitionQueue, type QueueOptions, type QueueSettings } from './state.ts';

/** The queue of a new partition. */
export function createQueue(options: QueueOptions): PartitionQueue {
  const queue = create(options);
  declareTasks(queue);
  return queue;
}

/** Says how many of the rows are new. */
export function applyInsert(queue: PartitionQueue, insert: Insert, now = 0): number {
  if (insert.ids.length === 0) return 0;
  if (queue.orphans.size > 0) for (const id of insert.ids) disownOrphan(queue, id);
  const rowsBefore = queue.slots.rows;
  const slotLowest = insertRows(queue.slots, insert, (page, offsets, count) => {
    touchGroups(queue, page, { offsets, count, now });
  });
  const pageLowest = pageNumberOf(queue.slots, slotLowest);
  for (const task of queue.tasks.values()) task.cursor = Math.min(task.cursor, pageLowest);
  const rowsNew = queue.slots.rows - rowsBefore;
  queue.rowsAdmitted += rowsNew;
  return rowsNew;
}

/** Ids that are not there are passed over; says how many were. */
export function applyDelete(queue: PartitionQueue, ids: Float64Array, reason: DeleteEvent['reason'] = 'asked'): number {
  const rows = slotsOf(queue, ids);
  forgetRows(queue, rows);
  deleteRows(queue.slots, rows);
  if (reason === 'evicted') queue.evicted += rows.length;
  return rows.length;
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
  notePart(queue, claim.task.index, event);
  if (event.autoAck) consumeRows(queue, claim);
}

export function applyAck(queue: PartitionQueue, event: AckEvent): void {
  consumeRows(queue, claimOf(queue, event.claim));
}

export function applyRelease(queue: PartitionQueue, event: ReleaseEvent): void {
  const claim = claimOf(queue, event.claim);
  if (isLeased(claim)) returnRows(queue, claim, { delivered: event.reason !== 'undelivered' });
  if (event.reason !== 'expired') endClaim(queue, claim, 'released');
  else if (claim.stale) endClaim(queue, claim, 'stale');
  else keepExpired(queue, claim);
}

/** Rows that are no dead letters are passed over; says how many were. */
export function applyRequeue(queue: PartitionQueue, event: Pick<RequeueEvent, 'task' | 'ids'>): number {
  const task = queue.tasks.get(event.task);
  return task === undefined ? 0 : requeueRows(queue, task, slotsOf(queue, event.ids));
}

/** What a task had when it began anew: how many rows it had taken, and which claims ended by that. */
export interface Reset {
  readonly rows: number;
  readonly claims: readonly number[];
}

export function applyReset(queue: PartitionQueue, event: Pick<ResetEvent, 'task'>): Reset {
  const task = queue.tasks.get(event.task);
  if (task === undefined) return { rows: 0, claims: [] };
  const rows = task.leased + task.consumed + task.dead;
  forgetBatches(queue, task.index);
  return { rows, claims: resetTask(queue, task) };
}

/** Rows that are not there, or that the task has taken, are passed over; says how many were skipped. */
export function applySkip(queue: PartitionQueue, event: Pick<SkipEvent, 'task' | 'fields' | 'ids'>): number {
  return skipRows(queue, taskFor(queue, event.task, event.fields), slotsOf(queue, event.ids));
}

/** Parts of a shared batch are empty. */
export function applyBatch(queue: PartitionQueue, event: BatchEvent): void {
  const task = queue.tasks.get(event.task) ?? taskFor(queue, event.task, []);
  noteEmpty(queue, task.index, event);
}

/** The partition declares its queue, or changes what it declared. */
export function applyDeclare(queue: PartitionQueue, settings: QueueSettings): void {
  const numbersBefore = queue.settings.numbers?.length ?? 0;
  queue.settings = settings;
  moveNumbers(queue, numbersBefore);
  declareTasks(queue);
  noteAllConsumed(queue);
}

/** The current version of the policy only rises. */
export function applyAdvance(queue: PartitionQueue, { version }: Pick<AdvanceEvent, 'version'>): void {
  const before = queue.version;
  queue.version = Math.max(before, version);
  clearStale(queue, before);
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

/**
 * After a replay: nobody knows how much of each lease is left, so all start anew with their full length; and so do the
 * waits for what survives of groups.
 */
export function restartLeases(queue: PartitionQueue, now: number): void {
  queue.groupClock.startMs = now;
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

/** The slots of those of the rows that are there, rising. */
function slotsOf(queue: PartitionQueue, ids: Float64Array): Float64Array {
  const list = new Float64Array(ids.length);
  let count = 0;
  for (let i = 0; i < ids.length; i += 1) {
    const slot = slotOf(queue.slots, ids[i]);
    if (slot < 0) continue;
    list[count] = slot;
    count += 1;
  }
  return list.subarray(0, count).sort();
}

function claimOf(queue: PartitionQueue, number: number): Claim {
  const claim = queue.claims.get(number);
  invariant(claim !== undefined, 'an event names a claim that ended');
  return claim;
}
