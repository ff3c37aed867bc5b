/**
 * Decisions: what a command would do to the queue. Reads only; the caller journals the outcome, then applies it.
 *
 * When is a claim granted?
 *   ready >= rowsMin                                  up to rowsMax of them, in slot order
 *   sealed, 0 < ready, ready = all unconsumed rows    a last, smaller batch: nothing else can join it
 *   sealed, all rows consumed                         drained
 *   otherwise                                         wait
 *
 * The group sampler counts whole groups only (rowsMax and rowsMin are rounded down, to one group at least). Rows of a
 * group of which a row is missing, lacks a field, or is taken are `incomplete`, also after the seal: such a task waits
 * until the row is completed or the group is deleted, and the counts tell which.
 */
import { limits } from '@transfer-queue/core/protocol';
import { isLeased } from './claim_table.ts';
import type {
  AckEvent,
  ClaimCommand,
  ClaimDecision,
  Counts,
  EndDecision,
  Insert,
  Refusal,
  ReleaseEvent,
  RenewDecision,
} from './events.ts';
import { dueLeases } from './leases.ts';
import type { Page } from './page.ts';
import { pageIndexFrom } from './pages.ts';
import { idAt, slotOf, type Slots } from './slots.ts';
import type { PartitionQueue, Task } from './state.ts';

/** Whether the put may be applied: it adds no row to a sealed partition, and there is memory for its bitmaps. */
export function decideInsert(queue: PartitionQueue, insert: Insert): Refusal | undefined {
  const { slots } = queue;
  const isNew = (id: number): boolean => slotOf(slots, id) < 0;
  if (queue.sealed && insert.ids.some(isNew)) return { kind: 'refuse', code: 'partition_sealed' };
  // As if all rows were new, and all pages lacked all fields: the answer is only needed near the end of the memory.
  const pagesMost = slots.pages.length + Math.ceil(insert.ids.length / slots.runsPerPage);
  const tail = slots.pages[slots.pages.length - 1];
  const bitmapsGrown = tail === undefined ? 0 : 1 + tail.fields.size + tail.tasks.length;
  const bitmapsMost = bitmapsGrown + pagesMost * (1 + insert.fields.length);
  return hasRoom(slots, bitmapsMost) ? undefined : { kind: 'refuse', code: 'memory_full' };
}

export function decideClaim(queue: PartitionQueue, command: ClaimCommand): ClaimDecision {
  const { slots } = queue;
  const task = queue.tasks.get(command.task);
  if (task === undefined && queue.tasks.size >= limits.tasksPerPartitionMax) {
    return { kind: 'refuse', code: 'too_many_tasks' };
  }
  const unit = command.sampler === 'group' ? slots.groupSize : 1;
  if (command.rowsMax < unit) return { kind: 'refuse', code: 'group_too_large' };
  const rowsMin = Math.max(1, Math.floor(command.rowsMin / unit)) * unit;
  const found = scan(queue, task, command, Math.floor(command.rowsMax / unit), unit);

  const ready = found.ids.length;
  const leased = task?.leased ?? 0;
  const unconsumed = slots.rows - (task?.consumed ?? 0);
  if (ready < rowsMin && !(queue.sealed && ready > 0 && ready === unconsumed)) {
    if (queue.sealed && unconsumed === 0) return { kind: 'drained' };
    return { kind: 'wait', counts: { ready, leased, incomplete: unconsumed - leased - ready } };
  }
  if (!hasRoom(slots, found.pagesNew)) return { kind: 'refuse', code: 'memory_full' };
  return { kind: 'grant', ids: found.ids, attempts: found.attempts };
}

/** An expired claim may be acked late, as long as none of its rows was granted again. */
export function decideAck(
  queue: PartitionQueue,
  command: { readonly claim: number; readonly requestId: string },
): EndDecision<AckEvent> {
  const claim = queue.claims.get(command.claim);
  if (claim === undefined) return decideEnded(queue, command.claim, 'acked');
  if (claim.stale) return { kind: 'refuse', code: 'claim_stale' };
  const { partition } = queue;
  return { kind: 'event', event: { type: 'ack', partition, claim: command.claim, requestId: command.requestId } };
}

/** A consumer gives its rows back; after the expiry it gives up the late ack. */
export function decideRelease(
  queue: PartitionQueue,
  command: { readonly claim: number; readonly requestId: string },
): EndDecision<ReleaseEvent> {
  const { claim, requestId } = command;
  if (!queue.claims.has(claim)) return decideEnded(queue, claim, 'released');
  const { partition } = queue;
  return { kind: 'event', event: { type: 'release', partition, claim, requestId, reason: 'released' } };
}

/**
 * Whether the lease may be moved, and by how much. Never by more than the claim was granted with: renewals are not
 * journaled, so after a restart a longer one would end while its consumer still counts on it.
 */
export function decideRenew(
  queue: PartitionQueue,
  command: { readonly claim: number; readonly leaseMs: number },
): RenewDecision {
  const claim = queue.claims.get(command.claim);
  if (claim !== undefined && isLeased(claim) && !claim.stale) {
    return { kind: 'renewed', leaseMs: Math.min(command.leaseMs, claim.leaseMs) };
  }
  const known = claim !== undefined || queue.ended.has(command.claim);
  return { kind: 'refuse', code: known ? 'claim_stale' : 'claim_unknown' };
}

/** The expiries that are due, the earliest deadline first. */
export function decideExpire(queue: PartitionQueue, now: number): ReleaseEvent[] {
  const { partition } = queue;
  return dueLeases(queue.leases, now).map(({ claim }) => {
    return { type: 'release', partition, claim, requestId: '', reason: 'expired' };
  });
}

/** How the unconsumed rows stand for a task that reads these fields. */
export function countRows(queue: PartitionQueue, task: Task | undefined, fields: readonly number[]): Counts {
  const { slots } = queue;
  let ready = 0;
  eachOpenPage(queue, task, fields, (page, present, taken) => {
    ready += slots.bitmaps.countReady(present, taken, page.runs * slots.groupSize);
    return true;
  });
  const leased = task?.leased ?? 0;
  return { ready, leased, incomplete: slots.rows - (task?.consumed ?? 0) - leased - ready };
}

function hasRoom(slots: Slots, bitmapsNew: number): boolean {
  return (bitmapsNew * slots.pageBits) / 8 <= slots.bitmaps.bytesFree();
}

function decideEnded(
  queue: PartitionQueue,
  claim: number,
  wanted: 'acked' | 'released',
): { kind: 'already' } | Refusal {
  const end = queue.ended.get(claim)?.how;
  if (end === wanted) return { kind: 'already' };
  return { kind: 'refuse', code: end === undefined ? 'claim_unknown' : 'claim_stale' };
}

interface Found {
  readonly ids: Float64Array;
  readonly attempts: Uint16Array;
  /** Pages in which the task takes rows for the first time. */
  readonly pagesNew: number;
}

/** The first `unitsMax` rows or groups that are ready for the task, in slot order. */
function scan(
  queue: PartitionQueue,
  task: Task | undefined,
  command: ClaimCommand,
  unitsMax: number,
  unit: number,
): Found {
  const { slots } = queue;
  const ids = new Float64Array(unitsMax * unit);
  const attempts = new Uint16Array(unitsMax * unit).fill(1);
  let units = 0;
  let pagesNew = 0;
  eachOpenPage(queue, task, command.fields, (page, present, taken) => {
    const bits = page.runs * slots.groupSize;
    const max = unitsMax - units;
    const starts =
      unit === 1
        ? slots.bitmaps.scanReady(present, taken, 0, bits, max)
        : slots.bitmaps.scanGroups(present, taken, bits, unit, max);
    const returns = task === undefined ? undefined : page.tasks[task.index]?.marks?.returns;
    for (let i = 0; i < starts.length; i += 1) {
      const at = (units + i) * unit;
      for (let k = 0; k < unit; k += 1) {
        ids[at + k] = idAt(slots, page, starts[i] + k);
        if (returns !== undefined) attempts[at + k] += returns[starts[i] + k];
      }
    }
    if (starts.length > 0 && taken === 0) pagesNew += 1;
    units += starts.length;
    return units < unitsMax;
  });
  const rows = units * unit;
  if (rows === ids.length) return { ids, attempts, pagesNew };
  return { ids: ids.slice(0, rows), attempts: attempts.slice(0, rows), pagesNew };
}

/** Visits the pages with rows that the task has not taken and with all the fields, until `visit` says false. */
function eachOpenPage(
  queue: PartitionQueue,
  task: Task | undefined,
  fields: readonly number[],
  visit: (page: Page, present: readonly number[], taken: number) => boolean,
): void {
  const { slots } = queue;
  const from = task === undefined ? 0 : pageIndexFrom(slots, task.cursor);
  for (let index = from; index < slots.pages.length; index += 1) {
    const page = slots.pages[index];
    const taskPage = task === undefined ? undefined : page.tasks[task.index];
    if (taskPage !== undefined && taskPage.takenRows === page.rows) continue;
    const present = presentIn(page, fields);
    if (present !== undefined && !visit(page, present, taskPage?.taken ?? 0)) return;
  }
}

/** The bitmaps to join: every field's, or the live rows' without fields; undefined when no row has some field. */
export function presentIn(page: Page, fields: readonly number[]): number[] | undefined {
  if (fields.length === 0) return [page.live];
  const present: number[] = [];
  for (const field of fields) {
    const bitmap = page.fields.get(field);
    if (bitmap === undefined) return undefined;
    present.push(bitmap);
  }
  return present;
}
