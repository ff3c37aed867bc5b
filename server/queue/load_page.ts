/**
 * One page of a queue out of the records of its units; the tasks and claims of the queue are there already.
 *
 *   groups -> the page and its length     live -> rows, members, the table of groups     field, taken, marks -> counts
 *   tags, numbers, blobs
 *
 * Invariants that are checked: a page has rows; a live group has one run; rows that have a field, are taken or marked
 * are live, and so are those with tags, numbers or names of blobs; a row that a claim holds is taken
 * while the claim is leased; one that is taken afterwards is a dead letter.
 */
import { ID_END } from '@transfer-queue/core/protocol';
import type { Steps } from '../env/slice.ts';
import { add, lookUp } from '../index/id_table.ts';
import { FormatError } from '../journal/bytes.ts';
import { isLeased } from './claim_table.ts';
import { RETURNS_MAX } from './claims.ts';
import {
  blobsUnit,
  chunkLength,
  chunkOf,
  DEAD,
  fieldUnit,
  groupsUnit,
  indexOf,
  kindOf,
  LIVE_UNIT,
  numbersUnit,
  tagsUnit,
  takenUnit,
  unitKinds,
  type Page,
} from './page.ts';
import { loadMarks } from './marks.ts';
import { readBitmap, readGroups, readMarks, type MarksRun } from './page_units.ts';
import { loadBlobs, loadNumbers, loadTags } from './page_values.ts';
import { createPage, loadBits, nameOfRun, needField, needTaskPage, noteSaved } from './pages.ts';
import { countField, type Slots } from './slots.ts';
import type { PartitionQueue } from './state.ts';
import { readBlobs, readNumbers, readTags } from './value_units.ts';

export interface UnitRecord {
  readonly unit: number;
  readonly value: Uint8Array;
}

/** The highest group so far: one above it is new, which needs no look into the table. */
export interface Highest {
  group: number;
}

/** Groups that are added to the table of groups in one step. */
const RUNS_PER_STEP = 1_024;

/** Adds the page behind the others. Its units come in the order of their keys. */
export function* loadPage(
  queue: PartitionQueue,
  number: number,
  units: readonly UnitRecord[],
  highest: Highest,
): Steps<void> {
  const { slots } = queue;
  const groups = units.filter(({ unit }) => kindOf(unit) === unitKinds.groups);
  const [liveUnit, ...others] = units.slice(groups.length);
  if (liveUnit?.unit !== LIVE_UNIT) throw new FormatError(`page ${number} does not say which rows it has`);
  const page = yield* loadGroups(slots, number, groups);
  const live = yield* loadLive(slots, page, liveUnit.value, highest);
  const taken: Uint8Array[] = [];
  for (const { unit, value } of others) {
    yield;
    const index = indexOf(unit);
    if (unit === fieldUnit(index)) loadField(slots, page, live, { unit, value });
    else if (unit === takenUnit(index)) taken[index] = loadTaken(queue, page, live, { unit, value });
    else if (kindOf(unit) === unitKinds.marks)
      loadTaskMarks(queue, page, { live, taken: taken[index] }, { unit, value });
    else if (unit === tagsUnit(chunkOf(unit))) loadTagsUnit(slots, page, live, { unit, value });
    else if (unit === numbersUnit(index, chunkOf(unit))) loadNumbersUnit(queue, page, live, { unit, value });
    else if (unit === blobsUnit(index, chunkOf(unit))) loadBlobsUnit(slots, page, live, { unit, value });
    else throw new FormatError(`unit ${unit} of page ${number} is of no kind`);
  }
  noteSaved(
    slots,
    page,
    units.map(({ unit }) => unit),
  );
}

function* loadGroups(slots: Slots, number: number, units: readonly UnitRecord[]): Steps<Page> {
  const length = chunkLength(slots.pageBits);
  const groupMax = Math.floor((ID_END - 1) / slots.groupSize);
  const groups: number[] = [];
  for (const [chunk, { unit, value }] of units.entries()) {
    const isNext = unit === groupsUnit(chunk) && groups.length === chunk * length;
    if (!isNext) throw new FormatError(`groups of page ${number} are missing`);
    for (const group of readGroups(value, Math.min(length, slots.runsPerPage - groups.length), groupMax)) {
      groups.push(group);
    }
    yield;
  }
  const page = createPage(slots, number, groups.length);
  page.groups.set(groups);
  page.runs = groups.length;
  return page;
}

function* loadLive(slots: Slots, page: Page, value: Uint8Array, highest: Highest): Steps<Uint8Array> {
  const { groupSize } = slots;
  const live = readBitmap(value, page.bits, page.runs * groupSize);
  page.rows = countBits(live);
  if (page.rows === 0) throw new FormatError(`page ${page.number} has no rows`);
  slots.rows += page.rows;
  loadBits(slots, page, LIVE_UNIT, live);
  for (let run = 0; run < page.runs; run += 1) {
    if (run % RUNS_PER_STEP === 0) yield;
    let members = 0;
    for (let at = run * groupSize; at < (run + 1) * groupSize; at += 1) members += bitAt(live, at);
    if (members === 0) continue;
    const group = page.groups[run];
    if (group > highest.group) highest.group = group;
    else if (lookUp(slots.table, group) >= 0) throw new FormatError(`group ${group} has two runs`);
    add(slots.table, group, nameOfRun(page, run));
    if (groupSize > 1) page.members[run] = members;
  }
  return live;
}

function loadField(slots: Slots, page: Page, live: Uint8Array, { unit, value }: UnitRecord): void {
  const bytes = readPart(slots, page, live, value);
  needField(slots, page, indexOf(unit));
  loadBits(slots, page, unit, bytes);
  const rows = countBits(bytes);
  if (rows > 0) countField(slots, indexOf(unit), rows);
}

function loadTaken(queue: PartitionQueue, page: Page, live: Uint8Array, { unit, value }: UnitRecord): Uint8Array {
  const task = indexOf(unit);
  if (task >= queue.tasks.size) throw new FormatError(`page ${page.number} has rows of task ${task}`);
  const bytes = readPart(queue.slots, page, live, value);
  needTaskPage(queue.slots, page, task).takenRows = countBits(bytes);
  loadBits(queue.slots, page, unit, bytes);
  return bytes;
}

/** A bitmap of some of the live rows. */
function readPart(slots: Slots, page: Page, live: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = readBitmap(value, page.bits, page.runs * slots.groupSize);
  for (let i = 0; i < bytes.length; i += 1) {
    if ((bytes[i] & ~live[i]) !== 0) throw new FormatError(`page ${page.number} knows of rows that it does not have`);
  }
  return bytes;
}

function loadTaskMarks(
  queue: PartitionQueue,
  page: Page,
  rows: { readonly live: Uint8Array; readonly taken: Uint8Array | undefined },
  { unit, value }: UnitRecord,
): void {
  const { live, taken } = rows;
  const task = indexOf(unit);
  if (taken === undefined) throw new FormatError(`page ${page.number} has marks of task ${task} that took no rows`);
  const length = chunkLength(queue.slots.pageBits);
  const from = chunkOf(unit) * length;
  const runs = readMarks(value, from, Math.min(from + length, page.runs * queue.slots.groupSize));
  if (runs.length === 0) throw new FormatError(`unit ${unit} of page ${page.number} marks nothing`);
  let dead = 0;
  for (const run of runs) {
    const { mustBeTaken, mayBeDead } = checkHolder(queue, task, run);
    for (let at = run.from; at < run.to; at += 1) {
      const isTaken = bitAt(taken, at) === 1;
      const isDead = isTaken && mayBeDead;
      const isRight = bitAt(live, at) === 1 && (isTaken || !mustBeTaken) && (!isDead || run.returns > 0);
      if (!isRight) throw new FormatError(`the marks of slot ${at} of page ${page.number} contradict its bits`);
      if (isDead) dead += 1;
    }
  }
  loadMarks(queue.slots, page, unit, runs);
  page.tasks[task]!.deadRows += dead;
}

function loadTagsUnit(slots: Slots, page: Page, live: Uint8Array, { unit, value }: UnitRecord): void {
  const { from, to } = slotsOfChunk(slots, page, unit);
  loadTags(slots, page, checkValues(page, unit, live, readTags(value, from, to)));
}

function loadNumbersUnit(queue: PartitionQueue, page: Page, live: Uint8Array, { unit, value }: UnitRecord): void {
  const number = indexOf(unit);
  const declared = queue.settings.numbers?.length ?? 0;
  if (number >= declared) throw new FormatError(`page ${page.number} has values of number ${number}`);
  const { from, to } = slotsOfChunk(queue.slots, page, unit);
  loadNumbers(queue.slots, page, number, checkValues(page, unit, live, readNumbers(value, from, to)));
}

function loadBlobsUnit(slots: Slots, page: Page, live: Uint8Array, { unit, value }: UnitRecord): void {
  const field = indexOf(unit);
  if (!page.fields.has(field)) throw new FormatError(`page ${page.number} names blobs in field ${field}`);
  const { from, to } = slotsOfChunk(slots, page, unit);
  loadBlobs(slots, page, field, checkValues(page, unit, live, readBlobs(value, from, to)));
}

function slotsOfChunk({ pageBits, groupSize }: Slots, page: Page, unit: number): { from: number; to: number } {
  const length = chunkLength(pageBits, kindOf(unit));
  const from = chunkOf(unit) * length;
  return { from, to: Math.min(from + length, page.runs * groupSize) };
}

/** Only live rows have tags or numbers. */
function checkValues<Run extends { readonly from: number; readonly to: number }>(
  page: Page,
  unit: number,
  live: Uint8Array,
  runs: readonly Run[],
): readonly Run[] {
  if (runs.length === 0) throw new FormatError(`unit ${unit} of page ${page.number} has no values`);
  for (const { from, to } of runs) {
    for (let at = from; at < to; at += 1) {
      if (bitAt(live, at) === 0) throw new FormatError(`slot ${at} of page ${page.number} has values but no row`);
    }
  }
  return runs;
}

/** What the holder of a run of rows says about them. */
function checkHolder(
  queue: PartitionQueue,
  task: number,
  { holder, returns }: MarksRun,
): { readonly mustBeTaken: boolean; readonly mayBeDead: boolean } {
  if (returns > RETURNS_MAX) throw new FormatError(`rows came back ${returns} times`);
  if (holder === 0) return { mustBeTaken: false, mayBeDead: false };
  if (holder === DEAD) return { mustBeTaken: true, mayBeDead: true };
  const claim = queue.claims.get(holder);
  if (claim?.task.index !== task) throw new FormatError(`claim ${holder} holds rows, but is not there`);
  return { mustBeTaken: isLeased(claim), mayBeDead: !isLeased(claim) };
}

function bitAt(bytes: Uint8Array, at: number): number {
  return (bytes[at >> 3] >> (at & 7)) & 1;
}

function countBits(bytes: Uint8Array): number {
  let count = 0;
  for (let rest of bytes) for (; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
