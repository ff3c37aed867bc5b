/**
 * Batches that several askers share: what each part of a recent one got.
 *
 *   task, name, number  -->  | part 0: claim | part 1: claim | part 2: empty | ...
 *
 *   parts are granted by claim events of one turn; what these leave out is empty once a batch event says so
 *
 * Invariants: at most `limits.batchesKeptPerTask` of a task are kept, the latest; a batch that no kept one of its name
 * is older than may have been forgotten once so many are kept.
 */
import { limits } from '@transfer-queue/core/protocol';
import type { BatchEvent, BatchPart, ClaimEvent } from '../journal/events.ts';

export interface Batch {
  /** Of its first event among those of all batches: the key of its record. */
  readonly order: number;
  /** Index of its task. */
  readonly task: number;
  readonly name: string;
  readonly number: number;
  /** By part: the claim that has it; 0 for none. */
  readonly claims: Float64Array;
  /** What those hear who ask for a part without a claim; undefined: it is still to be drawn. */
  readonly outcome: BatchEvent['outcome'] | undefined;
}

type OwnBatch = { outcome: Batch['outcome'] } & Batch;

export interface BatchTable {
  /** By task, then by name and number; oldest first. */
  readonly byTask: Map<number, Map<string, Batch>>;
  readonly byOrder: Map<number, Batch>;
  orderNext: number;
  /** Orders of batches that changed since they were saved, and of those that have a record. */
  readonly changed: Set<number>;
  readonly saved: Set<number>;
}

/** A queue, as far as it is concerned. */
interface Keeper {
  readonly batches: BatchTable;
}

export function createBatchTable(): BatchTable {
  return {
    byTask: new Map(),
    byOrder: new Map(),
    orderNext: 1,
    changed: new Set(),
    saved: new Set(),
  };
}

export function findBatch(
  { batches }: Keeper,
  task: number | undefined,
  ask: Pick<BatchPart, 'name' | 'number'>,
): Batch | undefined {
  return task === undefined ? undefined : batches.byTask.get(task)?.get(keyOf(ask));
}

/** Whether a batch that is not kept may have been drawn: as many as can be are kept, and it is older than them. */
export function mayBeForgotten(
  { batches }: Keeper,
  task: number | undefined,
  { name, number }: Pick<BatchPart, 'name' | 'number'>,
): boolean {
  const kept = task === undefined ? undefined : batches.byTask.get(task);
  if (kept === undefined || kept.size < limits.batchesKeptPerTask) return false;
  let oldest = Infinity;
  for (const batch of kept.values()) if (batch.name === name) oldest = Math.min(oldest, batch.number);
  return number < oldest && oldest < Infinity;
}

/** A part got a claim: its first, or one that follows a claim which gave the rows back. */
export function notePart(queue: Keeper, task: number, { claim, batch: part }: ClaimEvent): void {
  if (part === undefined) return;
  const batch = needBatch(queue, task, part);
  batch.claims[part.part] = claim;
  queue.batches.changed.add(batch.order);
}

export function noteEmpty(queue: Keeper, task: number, event: BatchEvent): void {
  const batch: OwnBatch = needBatch(queue, task, event);
  batch.outcome = event.outcome;
  queue.batches.changed.add(batch.order);
}

/** The task begins anew, and so do its batches. */
export function forgetBatches({ batches }: Keeper, task: number): void {
  for (const batch of [...(batches.byTask.get(task)?.values() ?? [])]) forget(batches, batch);
}

/** Takes in a batch that was saved; they come in their order. */
export function loadBatch({ batches }: Keeper, batch: Batch): void {
  add(batches, batch);
  batches.saved.add(batch.order);
}

function needBatch(
  queue: Keeper,
  task: number,
  { name, number, parts }: Pick<BatchPart, 'name' | 'number' | 'parts'>,
): Batch {
  const { batches } = queue;
  const found = findBatch(queue, task, { name, number });
  if (found !== undefined) return found;
  const kept = batches.byTask.get(task);
  if (kept !== undefined && kept.size >= limits.batchesKeptPerTask) {
    const [oldest] = kept.values();
    forget(batches, oldest);
  }
  const claims = new Float64Array(parts);
  const batch: Batch = { order: batches.orderNext, task, name, number, claims, outcome: undefined };
  add(batches, batch);
  return batch;
}

function add(batches: BatchTable, batch: Batch): void {
  let kept = batches.byTask.get(batch.task);
  if (kept === undefined) batches.byTask.set(batch.task, (kept = new Map<string, Batch>()));
  kept.set(keyOf(batch), batch);
  batches.byOrder.set(batch.order, batch);
  batches.orderNext = batch.order + 1;
}

function forget(batches: BatchTable, batch: Batch): void {
  batches.byTask.get(batch.task)!.delete(keyOf(batch));
  batches.byOrder.delete(batch.order);
  if (batches.saved.has(batch.order)) batches.changed.add(batch.order);
  else batches.changed.delete(batch.order);
}

function keyOf({ name, number }: Pick<BatchPart, 'name' | 'number'>): string {
  return `${name}/${number}`;
}
