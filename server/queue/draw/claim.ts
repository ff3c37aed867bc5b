/**
 * The decision about a claim. Reads only; the caller journals the outcome, then applies it.
 *
 * When is a claim granted?
 *   ready >= rowsMin                                  up to rowsMax of them, in the order of the sampler
 *   no more fits into its tokens                      the same
 *   sealed, 0 < ready, ready = all unconsumed rows    a last, smaller batch: nothing else can join it
 *   0 < ready, and the caller is eager by now         a smaller batch
 *   sealed, all rows consumed                         drained; dead letters are not waited for
 *   rows that are to be passed for good               skip: the caller passes them and decides anew
 *   otherwise                                         wait
 *
 * The group sampler counts whole groups only (rowsMax and rowsMin are rounded down, to one group at least). Rows of a
 * group of which a row is missing, lacks a field, or is taken are `incomplete`, also after the seal: such a task waits
 * until the row is completed or the group is deleted, and the counts tell which.
 */
import { limits } from '@transfer-queue/core/protocol';
import type { ClaimCommand, ClaimDecision, Refusal } from '../events.ts';
import { makeRoom } from '../filters.ts';
import type { PartitionQueue } from '../state.ts';
import { countUnits, draw, type Drawn } from './draw.ts';
import { findGroups } from './groups.ts';
import { attemptsOf, countNewPages, idsOf } from './rows.ts';
import { seek, type Sought } from './sought.ts';
import { staleRows } from './window.ts';

/** A grant as the queue sees it: slots in units. */
export interface DrawnGrant {
  readonly kind: 'drawn';
  readonly sought: Sought;
  readonly rows: Float64Array;
  readonly starts: Uint32Array | undefined;
  readonly isPartial: boolean;
}

/** `now` is needed by claims that take what survived of groups. */
export function decideClaim(queue: PartitionQueue, command: ClaimCommand, now = 0): ClaimDecision {
  const drawn = drawGrant(queue, command, now);
  if (drawn.kind !== 'drawn') return drawn;
  const { sought, rows, isPartial } = drawn;
  return { kind: 'grant', ids: idsOf(queue, rows), attempts: attemptsOf(queue, sought.task, rows), isPartial };
}

export function drawGrant(
  queue: PartitionQueue,
  command: ClaimCommand,
  now: number,
): DrawnGrant | Exclude<ClaimDecision, { kind: 'grant' }> {
  const sought = seek(queue, command);
  if ('code' in sought) return sought;
  if (sought.window?.skips === true) {
    const stale = staleRows(queue, sought, limits.claimRowsMax);
    if (stale.length > 0) return skipped(queue, sought, stale);
  }
  const drawn = draw(queue, sought, now);
  if (drawn.kind === 'refuse') return drawn;
  if (drawn.late.length > 0) return skipped(queue, sought, drawn.late);
  const units = countUnits(drawn);
  const unitsMin = Math.max(1, Math.floor(command.rowsMin / sought.unitSize));
  const isPartial = units < unitsMin && !drawn.isFull;
  const { rows, starts } = drawn;
  const isEnough = !isPartial || (rows.length > 0 && (command.eager === true || isLast(queue, sought, rows)));
  if (!isEnough) return notYet(queue, sought, drawn, now);
  return refuseWithoutRoom(queue, sought, rows) ?? { kind: 'drawn', sought, rows, starts, isPartial };
}

/** Nothing else can join these rows. */
function isLast(queue: PartitionQueue, sought: Sought, rows: Float64Array): boolean {
  return queue.sealed && rows.length === countOpen(queue, sought);
}

/** Rows that the task may still be granted: also those that are leased, or not ready. */
export function countOpen(queue: PartitionQueue, { task }: Pick<Sought, 'task'>): number {
  return queue.slots.rows - (task === undefined ? 0 : task.consumed + task.dead);
}

function notYet(
  queue: PartitionQueue,
  sought: Sought,
  { dueMs }: Drawn,
  now: number,
): Exclude<ClaimDecision, { kind: 'grant' }> {
  if (!queue.sealed) return { kind: 'wait', dueMs };
  if (countOpen(queue, sought) === 0) return { kind: 'drained' };
  const late = lateUnready(queue, sought, now);
  return late.length > 0 ? skipped(queue, sought, late) : { kind: 'wait', dueMs };
}

/**
 * Rows that never became ready, of groups that were granted without them: before the seal their siblings may still
 * come back and be granted together with them; after it the task would wait for them in vain.
 */
function lateUnready(queue: PartitionQueue, sought: Sought, now: number): Float64Array {
  const { task, groupBy: number, command } = sought;
  if (command.group?.survivorsMin === undefined) return new Float64Array(0);
  const live = { task, fields: [], filters: [] };
  const never = { number, groupsMax: Infinity, survivorsMin: Infinity, waitMs: 0, now };
  return findGroups(queue, live, never).late;
}

function skipped(
  queue: PartitionQueue,
  sought: Sought,
  rows: Float64Array,
): { readonly kind: 'skip'; readonly ids: Float64Array } | Refusal {
  const first = rows.subarray(0, limits.claimRowsMax);
  return refuseWithoutRoom(queue, sought, first) ?? { kind: 'skip', ids: idsOf(queue, first) };
}

/** Unless there is memory to note that the task takes these rows. */
function refuseWithoutRoom(queue: PartitionQueue, { task }: Sought, rows: Float64Array): Refusal | undefined {
  return makeRoom(queue, countNewPages(queue, task, rows)) ? undefined : { kind: 'refuse', code: 'memory_full' };
}
