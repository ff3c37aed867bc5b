/**
 * The decision about a part of a batch that several askers share. The first of them draws for all parts; the others,
 * and whoever asks again, are given the claim that their part got.
 *
 *   the part               asked for again
 *   leased, acked          the same claim
 *   expired                the same rows under a new claim, but for those that went elsewhere
 *   released, stale        its rows went back: a share of its own is drawn
 *   empty                  empty
 *   cut off by a crash     nobody was told of the others either: a share of its own is drawn
 */
import { balance } from '../../sampler/balance.ts';
import { findBatch, mayBeForgotten, type Batch } from '../batches.ts';
import { isLeased } from '../claim_table.ts';
import type { BatchAsk, BatchDecision, ClaimCommand, PartGrant } from '../events.ts';
import { holderAt } from '../marks.ts';
import { offsetOf, pageOf } from '../slots.ts';
import type { Claim, PartitionQueue } from '../state.ts';
import { drawGrant, type DrawnGrant } from './claim.ts';
import { countUnits, unitSums } from './draw.ts';
import { attemptsOf, idsOf } from './rows.ts';

export function decideBatch(queue: PartitionQueue, command: ClaimCommand, now: number): BatchDecision {
  const ask = command.batch!;
  const task = queue.tasks.get(command.task)?.index;
  const batch = findBatch(queue, task, ask);
  if (batch === undefined) {
    if (mayBeForgotten(queue, task, ask)) return { kind: 'refuse', code: 'batch_unknown' };
    return drawAll(queue, command, ask, now);
  }
  if (batch.claims.length !== ask.parts) {
    return { kind: 'refuse', code: 'batch_conflict', details: { parts: batch.claims.length } };
  }
  return recall(queue, batch, ask.part) ?? drawShare(queue, command, ask, now);
}

/** Whether the batch was drawn: then nothing need be waited for to hear of it. */
export function isDrawn(queue: PartitionQueue, { task, batch }: ClaimCommand): boolean {
  return batch !== undefined && findBatch(queue, queue.tasks.get(task)?.index, batch) !== undefined;
}

/** What the part got, if that is still its own; a part whose lease ran out gets its rows anew. */
function recall(queue: PartitionQueue, { claims, outcome }: Batch, part: number): BatchDecision | undefined {
  const number = claims[part];
  if (number === 0) return outcome === undefined ? undefined : { kind: 'empty', outcome };
  const claim = queue.claims.get(number);
  if (claim !== undefined && !isLeased(claim)) return regrant(queue, claim, part);
  const end = queue.ended.get(number)?.how;
  return end === 'released' || end === 'stale' ? undefined : { kind: 'known', claim: number };
}

/** The rows of an expired claim that nobody else has. */
function regrant(queue: PartitionQueue, claim: Claim, part: number): BatchDecision | undefined {
  const { slots } = queue;
  const { task } = claim;
  const rows = claim.slots.filter((slot) => {
    const page = pageOf(slots, slot);
    const taskPage = page?.tasks[task.index];
    const offset = offsetOf(slots, slot);
    if (taskPage === undefined || holderAt(slots, taskPage, offset) !== claim.claim) return false;
    return !slots.bitmaps.has(taskPage.taken, offset);
  });
  if (rows.length === 0) return undefined;
  const ids = idsOf(queue, rows);
  const parts = [{ part, ids, attempts: attemptsOf(queue, task, rows) }];
  return { kind: 'parts', parts, emptied: false, isPartial: false };
}

function drawAll(queue: PartitionQueue, command: ClaimCommand, ask: BatchAsk, now: number): BatchDecision {
  const drawn = drawGrant(queue, command, now);
  if (drawn.kind !== 'drawn') return drawn;
  const shares = split(queue, drawn, ask.parts).map((rows, part) => grantOf(queue, drawn, rows, part));
  const parts = shares.filter(({ ids }) => ids.length > 0);
  return { kind: 'parts', parts, emptied: parts.length < ask.parts, isPartial: drawn.isPartial };
}

/** For a part that has to be drawn after the others. */
function drawShare(queue: PartitionQueue, command: ClaimCommand, ask: BatchAsk, now: number): BatchDecision {
  const unit = command.sampler === 'group' ? queue.slots.groupSize : 1;
  const share = (rows: number): number => Math.max(unit, Math.ceil(rows / ask.parts));
  const { rowsMax, rowsMin } = command;
  const drawn = drawGrant(queue, { ...command, rowsMax: share(rowsMax), rowsMin: share(rowsMin) }, now);
  if (drawn.kind !== 'drawn') return drawn;
  const parts = [grantOf(queue, drawn, drawn.rows, ask.part)];
  return { kind: 'parts', parts, emptied: false, isPartial: drawn.isPartial };
}

function grantOf(queue: PartitionQueue, { sought }: DrawnGrant, rows: Float64Array, part: number): PartGrant {
  return { part, ids: idsOf(queue, rows), attempts: attemptsOf(queue, sought.task, rows) };
}

/** As many units for each part, the first ones one more where they do not come out even; or balanced by a number. */
function split(queue: PartitionQueue, drawn: DrawnGrant, parts: number): Float64Array[] {
  const { rows, starts, sought } = drawn;
  const units = countUnits(drawn);
  const rowAt = (unit: number): number => (unit === units ? rows.length : (starts?.[unit] ?? unit));
  if (sought.balanceBy < 0) {
    const size = Math.floor(units / parts);
    const first = (part: number): number => part * size + Math.min(part, units % parts);
    return Array.from({ length: parts }, (_, part) => rows.subarray(rowAt(first(part)), rowAt(first(part + 1))));
  }
  const weights = unitSums(queue, sought.balanceBy, drawn);
  return balance(weights, { parts, equalSize: true }).map((chosen) =>
    Float64Array.from([...chosen].flatMap((unit) => [...rows.subarray(rowAt(unit), rowAt(unit + 1))])),
  );
}
