/**
 * A queue out of its records (their grammar: records.ts), with all that they do not say made from what they do.
 *
 *   header -> tasks -> claims -> pages, one after the other -> batches -> counts and cursors of the tasks
 *
 * Invariants: the queue equals the one that was saved, but for its deadlines, for which `restartLeases` is called
 * later; or the records contradict each other, and a `FormatError` says so.
 */
import { atOnce, type Steps } from '../env/slice.ts';
import { FormatError } from '../journal/bytes.ts';
import { drop } from './apply.ts';
import { readBatch } from './batch_units.ts';
import { addTask, isLeased, loadClaims, type LoadedClaims } from './claim_table.ts';
import { advanceCursor, countHeld } from './claims.ts';
import { noteAllConsumed } from './consumed.ts';
import { loadPage, type UnitRecord } from './load_page.ts';
import { readClaim, readHeader, readTask } from './queue_units.ts';
import { parseKey, recordKinds, type ParsedKey, type QueueRecord } from './records.ts';
import { slotOf } from './slots.ts';
import { create, type Claim, type EndedClaim, type PartitionQueue, type QueueOptions, type Task } from './state.ts';

interface LoadedRecord {
  readonly key: Uint8Array;
  readonly parsed: ParsedKey;
  readonly value: Uint8Array;
}

/** Claims that are read, or counted, in one step; and records that are sorted. */
const CLAIMS_PER_STEP = 64;
const RECORDS_PER_STEP = 1_024;

/** Builds a queue from its records, in any order. Values are copied. */
export function loadQueue(options: QueueOptions, records: Iterable<QueueRecord>): PartitionQueue {
  return atOnce(loadSteps(options, records));
}

export function* loadSteps(options: QueueOptions, records: Iterable<QueueRecord>): Steps<PartitionQueue> {
  const kinds = yield* sortRecords(records);
  const queue = create(options);
  try {
    loadHeader(queue, kinds[recordKinds.header]);
    loadTasks(queue, kinds[recordKinds.task]);
    loadClaims(queue, yield* readClaims(queue, kinds[recordKinds.claim]));
    yield* loadPages(queue, kinds[recordKinds.unit]);
    for (const { parsed, value } of kinds[recordKinds.batch]) readBatch(queue, parsed.number, value);
    yield* countTasks(queue);
    noteAllConsumed(queue);
    // An older format did not count them.
    queue.rowsAdmitted = Math.max(queue.rowsAdmitted, queue.slots.rows);
    checkOrphans(queue);
  } catch (error) {
    drop(queue);
    throw error;
  }
  return queue;
}

/** By kind, in the order of their keys. */
function* sortRecords(records: Iterable<QueueRecord>): Steps<LoadedRecord[][]> {
  const kinds: LoadedRecord[][] = Object.values(recordKinds).map(() => []);
  let count = 0;
  for (const { key, value } of records) {
    if (count++ % RECORDS_PER_STEP === 0) yield;
    const parsed = parseKey(key);
    if (value === null) throw new FormatError('the record of a unit that is gone');
    kinds[parsed.kind].push({ key, parsed, value });
  }
  for (const list of kinds) {
    list.sort((a, b) => Buffer.compare(a.key, b.key));
    for (let i = 1; i < list.length; i += 1) {
      if (i % RECORDS_PER_STEP === 0) yield;
      if (Buffer.compare(list[i - 1].key, list[i].key) === 0) throw new FormatError('two records of one unit');
    }
  }
  return kinds;
}

function loadHeader(queue: PartitionQueue, records: readonly LoadedRecord[]): void {
  if (records.length === 0) throw new FormatError('a queue without a header');
  const { groupSize, pageBits, ...header } = readHeader(records[0].value);
  const { slots } = queue;
  if (groupSize !== slots.groupSize || pageBits !== slots.pageBits) {
    throw new FormatError(`a queue of groups of ${groupSize} rows in pages of ${pageBits}`);
  }
  const { sealed, pageNext, version, rowsAdmitted, evicted, arrivals } = header;
  Object.assign(queue, { sealed, version, rowsAdmitted, evicted, arrivals });
  slots.pageNext = pageNext;
  queue.changes.headerSaved = header;
}

function loadTasks(queue: PartitionQueue, records: readonly LoadedRecord[]): void {
  records.forEach(({ parsed, value }, index) => {
    const { name, fields, skipped } = readTask(value);
    if (parsed.number !== index || queue.tasks.has(name))
      throw new FormatError(`task ${parsed.number} is out of place`);
    addTask(queue, name, fields).skipped = skipped;
  });
}

function* readClaims(queue: PartitionQueue, records: readonly LoadedRecord[]): Steps<LoadedClaims> {
  const tasks = [...queue.tasks.values()];
  const slotEnd = queue.slots.pageNext * queue.slots.pageBits;
  const orders = new Set<number>();
  const known: Claim[] = [];
  const ended: (EndedClaim & { readonly claim: number })[] = [];
  for (const [place, { parsed, value }] of records.entries()) {
    if (place % CLAIMS_PER_STEP === 0) yield;
    const claim = parsed.number;
    const saved = readClaim(value, slotEnd);
    const task: Task | undefined = tasks[saved.task];
    if (claim === 0 || task === undefined) throw new FormatError(`claim ${claim} of task ${saved.task}`);
    const order = saved.kind === 'ended' ? saved.order : saved.claim.order;
    if (orders.has(order)) throw new FormatError(`two claims ended or expired as number ${order}`);
    if (order > 0) orders.add(order);
    if (saved.kind === 'ended') ended.push({ claim, how: saved.how, task, order });
    else known.push({ ...saved.claim, claim, task, deadlineMs: saved.claim.leaseMs, heapAt: -1 });
  }
  return { known, ended };
}

function* loadPages(queue: PartitionQueue, records: readonly LoadedRecord[]): Steps<void> {
  const highest = { group: -1 };
  for (let from = 0; from < records.length;) {
    const { number } = records[from].parsed;
    if (number >= queue.slots.pageNext) throw new FormatError(`page ${number} is beyond the last`);
    const units: UnitRecord[] = [];
    for (; from < records.length && records[from].parsed.number === number; from += 1) {
      units.push({ unit: records[from].parsed.unit, value: records[from].value });
    }
    yield* loadPage(queue, number, units, highest);
  }
}

/** Which rows are leased, or dead, shows from who holds them; the other taken ones are consumed. */
function* countTasks(queue: PartitionQueue): Steps<void> {
  const { slots } = queue;
  let held = 0;
  let counted = 0;
  for (const claim of queue.claims.values()) {
    if (counted++ % CLAIMS_PER_STEP === 0) yield;
    const rows = countHeld(queue, claim);
    held += rows;
    if (isLeased(claim)) claim.task.leased += rows;
  }
  for (const task of queue.tasks.values()) {
    for (const page of slots.pages) {
      const taskPage = page.tasks[task.index];
      if (taskPage === undefined) continue;
      task.consumed += taskPage.takenRows;
      task.dead += taskPage.deadRows;
      held -= taskPage.heldRows;
    }
    task.consumed -= task.leased + task.dead;
    advanceCursor(queue, task);
  }
  if (held !== 0) throw new FormatError('a claim holds rows that it was not granted');
}

function checkOrphans(queue: PartitionQueue): void {
  for (const [id, claims] of queue.orphans) {
    if (slotOf(queue.slots, id) >= 0) throw new FormatError(`row ${id} is lost and there`);
    const tasks = new Set(claims.map((claim) => claim.task));
    if (tasks.size < claims.length) throw new FormatError(`row ${id} was lost by two claims of one task`);
  }
}
