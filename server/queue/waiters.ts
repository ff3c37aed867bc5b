/**
 * Parked claims of one partition. Pure bookkeeping: the engine owns the deadlines and says, by `attempt`, whether a
 * waiter could be served (true: it leaves).
 *
 *   line = all that decides which rows are ready        field -> lines that need it      task -> its lines
 *   head -> waiter -> waiter                            only the head is tried, the next one when it was served
 *
 * A claim of rows by their ids is a line of its own: others who ask for the same rows would get none of them anyway.
 *
 * Invariants: a change costs O(lines it concerns + waiters it serves); a line without waiters is forgotten.
 */
import type { BatchPart, JournalEvent } from '../journal/events.ts';
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

/** What decides about readiness; how many rows are wanted, and how they are leased, each waiter has for itself. */
export interface ClaimWaiter {
  readonly command: Pick<
    ClaimCommand,
    'task' | 'fields' | 'sampler' | 'by' | 'seed' | 'where' | 'tokens' | 'window' | 'group' | 'ids' | 'batch'
  >;
}

interface Line<Waiter> {
  readonly key: string;
  readonly command: ClaimWaiter['command'];
  /** In the order of their arrival. */
  readonly waiters: Set<Waiter>;
  /** Its head is being tried: what that does must not try it again. */
  busy: boolean;
}

export interface ClaimWaiters<Waiter extends ClaimWaiter> {
  readonly lines: Map<string, Line<Waiter>>;
  readonly byField: FieldMap<Line<Waiter>>;
  readonly byTask: Map<string, Set<Line<Waiter>>>;
  /** Lines that look at tags or numbers. */
  readonly byValues: Set<Line<Waiter>>;
  readonly lineOf: Map<Waiter, Line<Waiter>>;
  /** Makes keys of lines that nobody joins. */
  linesOwn: number;
}

export function createClaimWaiters<Waiter extends ClaimWaiter>(): ClaimWaiters<Waiter> {
  return {
    ...{ lines: new Map(), byField: createFieldMap(), byTask: new Map(), byValues: new Set() },
    lineOf: new Map(),
    linesOwn: 0,
  };
}

export function addClaimWaiter<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, waiter: Waiter): void {
  const { command } = waiter;
  const key = keyOf(command) ?? `own/${(waiters.linesOwn += 1)}`;
  let line = waiters.lines.get(key);
  if (line === undefined) {
    line = { key, command, waiters: new Set(), busy: false };
    waiters.lines.set(key, line);
    addToFields(waiters.byField, command.fields, line);
    addTo(waiters.byTask, command.task, line);
    if (looksAtValues(command)) waiters.byValues.add(line);
  }
  line.waiters.add(waiter);
  waiters.lineOf.set(waiter, line);
}

/** Whether somebody waits for the same: who comes later must queue behind. */
export function hasLine<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, { command }: ClaimWaiter): boolean {
  const key = keyOf(command);
  return key !== undefined && waiters.lines.has(key);
}

/** A waiter gave up. The one behind it may want less, so its line must be tried afterwards (`wakeLine`). */
export function removeClaimWaiter<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, waiter: Waiter): void {
  const line = waiters.lineOf.get(waiter);
  if (line === undefined) return;
  waiters.lineOf.delete(waiter);
  line.waiters.delete(waiter);
  if (line.waiters.size > 0) return;
  waiters.lines.delete(line.key);
  removeFromFields(waiters.byField, line.command.fields, line);
  removeFrom(waiters.byTask, line.command.task, line);
  waiters.byValues.delete(line);
}

/**
 * Tries whom an event may let through, right after it was applied:
 *
 *   insert   brings fields, and perhaps tags            the lines that need one of them, or look at tags or numbers
 *   tag      changes tags and numbers                   the lines that look at any
 *   release, requeue, reset  bring rows to their task   the lines of the task
 *   advance  makes rows stale, which tasks may pass     the lines that do
 *   delete   takes leased siblings out of groups        the lines that take what survives of groups
 *   batch, or a claim of a part of one                  those who wait for the same batch
 *   seal     lets last batches and drained tasks end    all lines
 *   ack, auto_ack, skip (of the task), delete (all)     only once sealed: fewer unconsumed rows are left
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
      if (event.tags !== undefined) wakeLines(waiters, waiters.byValues, attempt);
      if (queue.sealed && event.ackClaim !== 0) wakeByTask(waiters, taskOf(queue, event.ackClaim), attempt);
      return;
    }
    case 'release':
      return wakeByTask(waiters, taskOf(queue, event.claim), attempt);
    case 'ack':
      if (queue.sealed) wakeByTask(waiters, taskOf(queue, event.claim), attempt);
      return;
    case 'tag':
      return wakeLines(waiters, waiters.byValues, attempt);
    case 'advance':
      return wakeLines(waiters, waiters.byValues, attempt, ({ window }) => window?.onStale === 'skip');
    case 'batch':
      return wakeBatch(waiters, event.task, event, attempt);
    case 'claim':
      if (event.batch !== undefined) wakeBatch(waiters, event.task, event.batch, attempt);
      if (queue.sealed && event.autoAck) wakeByTask(waiters, queue.tasks.get(event.task), attempt);
      return;
    case 'requeue':
    case 'reset':
      return wakeByTask(waiters, queue.tasks.get(event.task), attempt);
    case 'skip':
      if (queue.sealed) wakeByTask(waiters, queue.tasks.get(event.task), attempt);
      return;
    case 'delete':
      if (queue.sealed) wakeAll(waiters, attempt);
      else wakeLines(waiters, waiters.lines.values(), attempt, ({ group }) => group?.survivorsMin !== undefined);
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
  wakeLines(waiters, inFields(waiters.byField, fields), attempt);
}

/** The line in which the waiter stands, or stood: its head left, or may be served now although nothing happened. */
export function wakeLine<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  waiter: Waiter,
  attempt: Attempt<Waiter>,
): void {
  const line = waiters.lineOf.get(waiter) ?? waiters.lines.get(keyOf(waiter.command) ?? '');
  if (line !== undefined) serve(waiters, line, attempt);
}

/** The partition was sealed, or rows of a sealed one were deleted. */
export function wakeAll<Waiter extends ClaimWaiter>(waiters: ClaimWaiters<Waiter>, attempt: Attempt<Waiter>): void {
  wakeLines(waiters, waiters.lines.values(), attempt);
}

function wakeByTask<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  task: Task | undefined,
  attempt: Attempt<Waiter>,
): void {
  if (task !== undefined) wakeLines(waiters, waiters.byTask.get(task.name) ?? [], attempt);
}

function wakeBatch<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  task: string,
  { name, number }: Pick<BatchPart, 'name' | 'number'>,
  attempt: Attempt<Waiter>,
): void {
  const isSame = ({ batch }: ClaimWaiter['command']): boolean => batch?.name === name && batch.number === number;
  wakeLines(waiters, waiters.byTask.get(task) ?? [], attempt, isSame);
}

/** Of lines as they are now: serving one changes the sets that it is in. */
function wakeLines<Waiter extends ClaimWaiter>(
  waiters: ClaimWaiters<Waiter>,
  lines: Iterable<Line<Waiter>>,
  attempt: Attempt<Waiter>,
  concerns: (command: ClaimWaiter['command']) => boolean = () => true,
): void {
  for (const line of [...lines]) if (concerns(line.command)) serve(waiters, line, attempt);
}

function keyOf(command: ClaimWaiter['command']): string | undefined {
  const { task, fields, sampler, by, seed, where, tokens, window, group, ids, batch } = command;
  if (ids !== undefined) return undefined;
  const part = batch && { name: batch.name, number: batch.number };
  return JSON.stringify([
    task,
    fields.toSorted((a, b) => a - b),
    sampler,
    by,
    seed,
    where,
    tokens,
    window,
    group,
    part,
  ]);
}

function looksAtValues({ sampler, where, tokens, window, group }: ClaimWaiter['command']): boolean {
  const isPlain = sampler === 'fifo' || (sampler === 'group' && group?.by === undefined);
  return !isPlain || where !== undefined || tokens !== undefined || window !== undefined;
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
