/**
 * The records of shared batches. Their grammar stands in records.ts.
 *
 * Invariant: a reader gives back what was written, or throws a `FormatError`.
 */
import { limits } from '@transfer-queue/core/protocol';
import { FormatError } from '../journal/bytes.ts';
import { findBatch, loadBatch, type Batch } from './batches.ts';
import { batchKey, type QueueRecord } from './records.ts';
import type { PartitionQueue } from './state.ts';
import { VarintReader, type VarintWriter } from './varints.ts';

const outcomes = [undefined, 'timed_out', 'drained'] as const;

/** Hands over up to `unitsMax` of the batches that changed; says how many. */
export function saveBatches(
  { batches }: PartitionQueue,
  unitsMax: number,
  out: VarintWriter,
  write: (record: QueueRecord) => void,
): number {
  const { changed, saved, byOrder } = batches;
  let units = 0;
  for (const order of changed) {
    if (units === unitsMax) break;
    const batch = byOrder.get(order);
    if (batch !== undefined) writeBatch(out, batch);
    write({ key: batchKey(order), value: batch === undefined ? null : out.take() });
    if (batch === undefined) saved.delete(order);
    else saved.add(order);
    changed.delete(order);
    units += 1;
  }
  return units;
}

export function writeBatch(out: VarintWriter, { task, name, number, outcome, claims }: Batch): void {
  out.number(task);
  out.text(name);
  out.number(number);
  out.u8(outcomes.indexOf(outcome));
  out.number(claims.length);
  let before = 0;
  // The claims of one draw are numbered one after the other.
  for (const claim of claims) {
    out.signed(claim - before);
    before = claim;
  }
}

/** Takes in a batch of a queue that has its tasks. */
export function readBatch(queue: PartitionQueue, order: number, value: Uint8Array): void {
  const source = new VarintReader(value);
  const task = source.number();
  const name = source.text();
  const number = source.number();
  const outcome = source.u8();
  const parts = source.number();
  if (task >= queue.tasks.size || order === 0) throw new FormatError(`batch ${order} of task ${task}`);
  if (outcome >= outcomes.length) throw new FormatError(`a batch with the outcome ${outcome}`);
  if (parts === 0 || parts > limits.batchPartsMax) throw new FormatError(`a batch of ${parts} parts`);
  const claims = new Float64Array(parts);
  let claim = 0;
  for (let part = 0; part < parts; part += 1) {
    claim += source.signed();
    if (!(claim >= 0 && claim <= Number.MAX_SAFE_INTEGER)) throw new FormatError(`a part of claim ${claim}`);
    claims[part] = claim;
  }
  source.end();
  if (findBatch(queue, task, { name, number }) !== undefined) throw new FormatError(`batch ${number} of ${name} twice`);
  loadBatch(queue, { order, task, name, number, claims, outcome: outcomes[outcome] });
}
