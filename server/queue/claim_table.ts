/**
 * The tasks and the claims that a queue knows, and the only writer of both: what changes is noted for the next
 * checkpoint.
 *
 *   addClaim --> leased --expireClaim--> expired      in `claims`
 *                  |                        |
 *                  +------ closeClaim ------+--> ended      in `ended`: how it ended, until later ones push it out
 *
 * Invariants:
 * - `leases` has the leased claims; `expired` has the others, in their order;
 * - a claim is in `changes.claims` or unsaved in `ended`, not in both;
 * - a claim is in `orphans` under each id of its own `orphans`, next to at most one claim of each other task.
 */
import { noteForgotten } from './changes.ts';
import type { ClaimEnd } from './ended_claims.ts';
import { pushLease, removeLease } from './leases.ts';
import type { Claim, EndedClaim, PartitionQueue, Task } from './state.ts';

/** The queue as this file writes it. */
type Table = {
  tasks: Map<string, Task>;
  claims: Map<number, Claim>;
  expired: Set<Claim>;
  expiredRows: number;
  orphans: Map<number, Claim[]>;
  orderNext: number;
} & PartitionQueue;

/** A claim as this file writes it. */
type OwnClaim = { orphans: number[]; stale: boolean; order: number } & Claim;

/** The task of that name, made at its first claim if it was not declared, which now asks for these fields. */
export function taskFor(queue: PartitionQueue, name: string, fields: readonly number[]): Task {
  let task = queue.tasks.get(name);
  if (task !== undefined && sameFields(task.fields, fields)) return task;
  if (task === undefined) task = addTask(queue, name, fields);
  else (task as { fields: readonly number[] }).fields = fields;
  queue.changes.tasks.add(task.index);
  return task;
}

/** Makes the tasks that the partition declares and that nobody knows yet. */
export function declareTasks(queue: PartitionQueue): void {
  for (const { name } of queue.settings.tasks ?? []) if (!queue.tasks.has(name)) taskFor(queue, name, []);
}

/** The task passed rows, or (below zero) begins anew. */
export function countSkipped(queue: PartitionQueue, task: Task, change: number): void {
  if (change === 0) return;
  task.skipped += change;
  queue.changes.tasks.add(task.index);
}

export function addTask(queue: PartitionQueue, name: string, fields: readonly number[]): Task {
  const index = queue.tasks.size;
  const counts = { leased: 0, consumed: 0, dead: 0, skipped: 0 };
  const task: Task = { name, index, ...counts, cursor: 0, fields };
  writable(queue).tasks.set(name, task);
  return task;
}

export function addClaim(queue: PartitionQueue, claim: Claim): void {
  writable(queue).claims.set(claim.claim, claim);
  pushLease(queue.leases, claim);
  queue.changes.claims.add(claim.claim);
}

/** The lease is over; the claim stays known for a late ack. */
export function expireClaim(queue: PartitionQueue, claim: Claim): void {
  removeLease(queue.leases, claim);
  const table = writable(queue);
  (claim as OwnClaim).order = takeOrder(table);
  table.expired.add(claim);
  table.expiredRows += claim.slots.length;
  queue.changes.claims.add(claim.claim);
}

/** Forgets all of the claim but how it ended. */
export function closeClaim(queue: PartitionQueue, claim: Claim, how: ClaimEnd): void {
  const table = writable(queue);
  if (isLeased(claim)) {
    removeLease(queue.leases, claim);
  } else {
    table.expired.delete(claim);
    table.expiredRows -= claim.slots.length;
  }
  forgetOrphans(table, claim);
  table.claims.delete(claim.claim);
  queue.changes.claims.delete(claim.claim);
  queue.ended.add(claim.claim, { how, task: claim.task, order: takeOrder(table) });
  if (queue.ended.size > queue.limits.endedClaimsMax) noteForgotten(queue.changes, queue.ended.forgetOldest());
}

/** A row that the claim holds is about to be deleted. A stale claim has nothing to lose by what comes of the row. */
export function addOrphan(queue: PartitionQueue, id: number, claim: Claim): void {
  if (claim.stale) return;
  (claim as OwnClaim).orphans.push(id);
  linkOrphan(writable(queue), id, claim);
  queue.changes.claims.add(claim.claim);
}

/** One of its orphans came back as a new row. */
export function makeStale(queue: PartitionQueue, claim: Claim): void {
  forgetOrphans(writable(queue), claim);
  (claim as OwnClaim).stale = true;
  queue.changes.claims.add(claim.claim);
}

/** Claims as they were saved, in the order of their numbers. */
export interface LoadedClaims {
  readonly known: readonly Claim[];
  readonly ended: readonly (EndedClaim & { readonly claim: number })[];
}

/** Fills the table of a queue that has its tasks; nothing of it counts as changed. */
export function loadClaims(queue: PartitionQueue, { known, ended }: LoadedClaims): void {
  const table = writable(queue);
  const { claimsSaved } = queue.changes;
  for (const claim of known) {
    table.claims.set(claim.claim, claim);
    claimsSaved.add(claim.claim);
    for (const id of claim.orphans) linkOrphan(table, id, claim);
    if (claim.order === 0) pushLease(queue.leases, claim);
  }
  for (const claims of table.orphans.values()) claims.sort((a, b) => a.task.index - b.task.index);
  const expired = known.filter((claim) => claim.order > 0);
  for (const claim of expired.sort((a, b) => a.order - b.order)) {
    table.expired.add(claim);
    table.expiredRows += claim.slots.length;
  }
  for (const { claim, how, task, order } of ended.toSorted((a, b) => a.order - b.order)) {
    queue.ended.add(claim, { how, task, order }, { isSaved: true });
    claimsSaved.add(claim);
  }
  for (const { order } of [...known, ...ended]) table.orderNext = Math.max(table.orderNext, order + 1);
}

export function isLeased(claim: Claim): boolean {
  return claim.heapAt >= 0;
}

/** The task of a claim that is known, also after its end. */
export function taskOf(queue: PartitionQueue, claim: number): Task | undefined {
  return (queue.claims.get(claim) ?? queue.ended.get(claim))?.task;
}

function writable(queue: PartitionQueue): Table {
  return queue as Table;
}

function takeOrder(table: Table): number {
  table.orderNext += 1;
  return table.orderNext - 1;
}

/** Lets the claim be found by a row that it lost. */
function linkOrphan({ orphans }: Table, id: number, claim: Claim): void {
  const claims = orphans.get(id);
  if (claims === undefined) orphans.set(id, [claim]);
  else claims.push(claim);
}

function forgetOrphans(table: Table, claim: Claim): void {
  for (const id of claim.orphans) {
    const rest = table.orphans.get(id)!.filter((other) => other !== claim);
    if (rest.length === 0) table.orphans.delete(id);
    else table.orphans.set(id, rest);
  }
  (claim as OwnClaim).orphans.length = 0;
}

function sameFields(some: readonly number[], others: readonly number[]): boolean {
  return some.length === others.length && some.every((field, i) => field === others[i]);
}
