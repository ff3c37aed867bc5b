/**
 * Parked claims of one partition. Pure bookkeeping: the engine owns the deadlines and says, by `attempt`, whether a
 * waiter could be served (true: it leaves).
 *
 *   line = (task, fields, sampler)      field -> lines that need it      task -> its lines
 *   head -> waiter -> waiter            only the head is tried, the next one when it was served
 *
 * Invariants: a change costs O(lines it concerns + waiters it serves); a line without waiters is forgotten.
 */
import type { JournalEvent } from '../journal/events.ts';
import { taskOf } from './claim_table.ts';
import type { ClaimCommand } from './events.ts';
import {
  addTo,
  addToFields,
  createFieldMap,
  inFields,
  removeFrom,
  removeFromFields,
  type FieldMap,
} from './field_map.ts';
import type { PartitionQueue, Task } from './state.ts';

type Attempt<Waiter> = (waiter: Waiter) => boolean;

export interface ClaimWaiter {
  readonly command: Pick<ClaimCommand, 'task' | 'fields' | 'sampler'>;
}

interface Line<Waiter> {
  readonly key: string;
  readonly task: string;
  readonly fields: readonly number[];
  /** In the order of their arrival. */
  readonly waiters: Set<Waiter>;
  /** Its head is being tried: what that does must not try it again. */
  busy: boolean;
}

export interface ClaimWaiters<Waiter extends ClaimWaiter> {
  readonly lines: Map<string, Line<Waiter>>;
  readonly byField: FieldMap<Line<Waiter>>;
  readonly byTask: Map<string, Set<Line<Waiter>>>;
}

export function createClaimWaiters<Waiter extends ClaimWaiter>(): ClaimWaiters<Waiter> {
  return { lines: new Map(), byField: createFieldMap(), byTask: new Map() };
}

export function addClaimWaiter<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, waiter: Waiter): void {
  const { task, fields } = waiter.command;
  const key = keyOf(waiter);
  let line = waiters.lines.get(key);
  if (line === undefined) {
    line = { key, task, fields, waiters: new Set(), busy: false };
    waiters.lines.set(key, line);
    addToFields(waiters.byField, fields, line);
    addTo(waiters.byTask, task, line);
  }
  line.waiters.add(waiter);
}

/** Whether somebody waits for the same: who comes later must queue behind. */
export function hasLine<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, waiter: ClaimWaiter): boolean {
  return waiters.lines.has(keyOf(waiter));
}

/** A waiter gave up. The one behind it may want less, so its line must be tried afterwards (`wakeLine`). */
export function removeClaimWaiter<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, waiter: Waiter): void {
  const line = waiters.lines.get(keyOf(waiter));
  if (line === undefined || !line.waiters.delete(waiter) || line.waiters.size > 0) return;
  waiters.lines.delete(line.key);
  removeFromFields(waiters.byField, line.fields, line);
  removeFrom(waiters.byTask, line.task, line);
}

/**
 * Tries whom an event may let through, right after it was applied:
 *
 *   insert   brings fields                              the lines that need one of them
 *   release  brings rows back to its task               the lines of the task
 *   seal     lets last batches and drained tasks end    all lines
 *   ack, auto_ack (of the task) and delete (all)        only once sealed: fewer unconsumed rows are left
 */
export function wakeAfter<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  queue: PartitionQueue,
  event: JournalEvent,
  attempt: Attempt<Waiter>,
): void {
  switch (event.type) {
    case 'insert': {
      const fields = event.batches[0]?.columns.map((column) => column.field);
      if (fields !== undefined) wakeByFields(waiters, fields, attempt);
      if (queue.sealed && event.ackClaim !== 0) wakeByTask(waiters, taskOf(queue, event.ackClaim), attempt);
      return;
    }
    case 'release':
      return wakeByTask(waiters, taskOf(queue, event.claim), attempt);
    case 'ack':
      if (queue.sealed) wakeByTask(waiters, taskOf(queue, event.claim), attempt);
      return;
    case 'claim':
      if (queue.sealed && event.autoAck) wakeByTask(waiters, queue.tasks.get(event.task), attempt);
      return;
    case 'delete':
      if (queue.sealed) wakeAll(waiters, attempt);
      return;
    case 'seal':
      return wakeAll(waiters, attempt);
    default:
      return;
  }
}

/** Rows got these fields. */
export function wakeByFields<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  fields: readonly number[],
  attempt: Attempt<Waiter>,
): void {
  for (const line of inFields(waiters.byField, fields)) serve(waiters, line, attempt);
}

/** The head of the waiter's line left. */
export function wakeLine<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  waiter: ClaimWaiter,
  attempt: Attempt<Waiter>,
): void {
  const line = waiters.lines.get(keyOf(waiter));
  if (line !== undefined) serve(waiters, line, attempt);
}

/** The partition was sealed, or rows of a sealed one were deleted. */
export function wakeAll<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, attempt: Attempt<Waiter>): void {
  for (const line of [...waiters.lines.values()]) serve(waiters, line, attempt);
}

function wakeByTask<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  task: Task | undefined,
  attempt: Attempt<Waiter>,
): void {
  if (task === undefined) return;
  for (const line of [...(waiters.byTask.get(task.name) ?? [])]) serve(waiters, line, attempt);
}

function keyOf({ command }: ClaimWaiter): string {
  return `${command.task}/${command.sampler}/${[...command.fields].sort((a, b) => a - b).join()}`;
}

/** Serves a line from its head until one must go on waiting. */
function serve<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  line: Line<Waiter>,
  attempt: Attempt<Waiter>,
): void {
  if (line.busy) return;
  line.busy = true;
  for (const waiter of line.waiters) {
    if (!attempt(waiter)) break;
    removeClaimWaiter(waiters, waiter);
  }
  line.busy = false;
}
