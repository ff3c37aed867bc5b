/**
 * Whole groups of ready rows, as units of a draw.
 *
 *   by id       the n rows of a run of slots                     | a b c d | e f - h | i j k l |
 *   by number   n rows, wherever, that have the same number      7 9 7 7 9 - 9 7 9    the 7s, then the 9s
 *
 * With `survivorsMin`, so many ready rows are a whole group once it did not change for a while:
 *   ready rows >= survivorsMin, no sibling taken by the task, unchanged for waitMs     whole
 *   the same, changed a moment ago                                                     due then
 *   a sibling is leased, or a dead letter                                              waits for what becomes of it
 *   a sibling was consumed: the group was granted without them                         late, to be passed by the task
 *
 * Groups come in the order in which their last ready rows were put, so that nothing that comes later is drawn before.
 */
import { holderAt } from '../marks.ts';
import { numbersOf, rangeOf } from '../numbers.ts';
import type { Page, TaskPage } from '../page.ts';
import { offsetOf, pageOf, type Slots } from '../slots.ts';
import type { PartitionQueue, Task } from '../state.ts';
import { changedMs } from './group_clock.ts';
import { eachOpenPage, type Wanted } from './pages.ts';

const NONE = new Float64Array(0);
/** Slots that are looked at together. */
const STEP = 4_096;
/** Ready rows that a search by number looks at: the oldest, so that it ends among rows that never get together. */
const ROWS_SEARCHED_MAX = 1 << 20;

export interface GroupSearch {
  /** The place of the number that siblings share; -1: they share a run of slots. */
  readonly number: number;
  readonly groupsMax: number;
  /** Undefined: none but whole groups. */
  readonly survivorsMin: number | undefined;
  readonly waitMs: number;
  readonly now: number;
}

export interface Groups {
  /** Slots, group by group. */
  readonly rows: Float64Array;
  /** Where each group begins in `rows`. */
  readonly starts: Uint32Array;
  /** Rows that the task must pass: their groups were granted without them. */
  readonly late: Float64Array;
  /** When the next group is whole if nothing happens; Infinity when none will be. */
  readonly dueMs: number;
}

export function findGroups(queue: PartitionQueue, wanted: Wanted, search: GroupSearch): Groups {
  if (search.number >= 0) return groupsByNumber(queue, wanted, search);
  return search.survivorsMin === undefined ? wholeRuns(queue, wanted, search) : survivingRuns(queue, wanted, search);
}

function wholeRuns(queue: PartitionQueue, wanted: Wanted, { groupsMax }: GroupSearch): Groups {
  const { slots } = queue;
  const { groupSize } = slots;
  const rows = new Float64Array(Math.min(groupsMax * groupSize, slots.rows));
  let count = 0;
  eachOpenPage(queue, wanted, (page, present, taken) => {
    const bits = page.runs * groupSize;
    const groupsLeft = Math.floor((rows.length - count) / groupSize);
    const firsts = slots.bitmaps.scanGroups(present, taken, bits, groupSize, groupsLeft);
    const start = page.number * slots.pageBits;
    for (let i = 0; i < firsts.length; i += 1) {
      for (let k = 0; k < groupSize; k += 1) rows[count + k] = start + firsts[i] + k;
      count += groupSize;
    }
    return rows.length - count >= groupSize;
  });
  const starts = new Uint32Array(count / groupSize);
  for (let i = 1; i < starts.length; i += 1) starts[i] = i * groupSize;
  return { rows: rows.subarray(0, count), starts, late: NONE, dueMs: Infinity };
}

/** Groups as they are found, each with its slots. */
interface Found {
  readonly groups: (readonly number[])[];
  readonly late: number[];
  dueMs: number;
}

function survivingRuns(queue: PartitionQueue, wanted: Wanted, search: GroupSearch): Groups {
  const { slots } = queue;
  const found: Found = { groups: [], late: [], dueMs: Infinity };
  eachChunk(queue, wanted, (page, offsets) => {
    for (let at = 0; at < offsets.length;) {
      const start = at;
      const run = Math.floor(offsets[start] / slots.groupSize);
      while (at < offsets.length && offsets[at] < (run + 1) * slots.groupSize) at += 1;
      const rows = Array.from(offsets.subarray(start, at), (offset) => page.number * slots.pageBits + offset);
      if (rows.length === slots.groupSize) found.groups.push(rows);
      else judge(found, search, rows, siblingsOfRun(queue, page, run, wanted.task), changedMs(queue, page, run));
      if (found.groups.length === search.groupsMax) return false;
    }
    return true;
  });
  return asGroups(found, search.groupsMax);
}

function groupsByNumber(queue: PartitionQueue, wanted: Wanted, search: GroupSearch): Groups {
  const { slots } = queue;
  const found: Found = { groups: [], late: [], dueMs: Infinity };
  const short = new Map<number, number[]>();
  const whole = new Set<number>();
  let rowsSearched = 0;
  let isCut = false;
  eachChunk(queue, wanted, (page, offsets) => {
    const column = numbersOf(page, search.number);
    if (column === undefined) return true;
    for (const offset of offsets) {
      const group = column[offset];
      if (Number.isNaN(group)) continue;
      const rows = short.get(group) ?? [];
      rows.push(page.number * slots.pageBits + offset);
      if (rows.length < slots.groupSize) short.set(group, rows);
      else {
        short.delete(group);
        whole.add(group);
        found.groups.push(rows);
        isCut = found.groups.length === search.groupsMax;
        if (isCut) return false;
      }
    }
    rowsSearched += offsets.length;
    isCut = rowsSearched >= ROWS_SEARCHED_MAX;
    return !isCut;
  });
  // What is left over of a group of which others are ready is judged when these are taken.
  for (const group of whole) short.delete(group);
  if (search.survivorsMin !== undefined) judgeShort(queue, wanted, search, { short, isCut }, found);
  return asGroups(found, search.groupsMax);
}

/** Visits ready rows in slot order, some at a time and never a part of a run, until `visit` says false. */
function eachChunk(queue: PartitionQueue, wanted: Wanted, visit: (page: Page, offsets: Uint32Array) => boolean): void {
  const { bitmaps, groupSize } = queue.slots;
  const step = Math.max(1, Math.floor(STEP / groupSize)) * groupSize;
  eachOpenPage(queue, wanted, (page, present, taken) => {
    const bits = page.runs * groupSize;
    for (let from = 0; from < bits; from += step) {
      const offsets = bitmaps.scanReady(present, taken, from, Math.min(from + step, bits), step);
      if (offsets.length > 0 && !visit(page, offsets)) return false;
    }
    return true;
  });
}

/** What became of the rows of a group that are not ready: nothing, a lease, or one of them was consumed. */
type Siblings = 'free' | 'held' | 'consumed';

/** Of a group that lacks rows: its ready ones, and what became of the others. */
function judge(found: Found, search: GroupSearch, rows: readonly number[], siblings: Siblings, changed: number): void {
  const { survivorsMin = Infinity, waitMs, now } = search;
  if (siblings === 'consumed') found.late.push(...rows);
  if (siblings !== 'free' || rows.length < survivorsMin) return;
  if (changed + waitMs <= now) found.groups.push(rows);
  else found.dueMs = Math.min(found.dueMs, changed + waitMs);
}

/** Of `short`, groups that lack rows as far as the search went: if it was cut, some may have them further on. */
function judgeShort(
  queue: PartitionQueue,
  wanted: Wanted,
  search: GroupSearch,
  { short, isCut }: { readonly short: ReadonlyMap<number, readonly number[]>; readonly isCut: boolean },
  found: Found,
): void {
  const due = new Set<number>();
  for (const [group, rows] of short) {
    const changed = changedAt(queue, rows);
    if (changed + search.waitMs <= search.now) due.add(group);
    else if (rows.length >= search.survivorsMin!) found.dueMs = Math.min(found.dueMs, changed + search.waitMs);
  }
  if (due.size === 0) return;
  const groups = Float64Array.from(due).sort();
  const rowsOf = isCut ? readyMembers(queue, wanted, search.number, groups) : short;
  const siblingsOf = takenSiblings(queue, wanted.task, search.number, groups);
  for (const group of due) {
    const rows = rowsOf.get(group)!;
    if (rows.length >= queue.slots.groupSize) continue;
    judge(found, search, rows, siblingsOf.get(group) ?? 'free', changedAt(queue, rows));
  }
}

/** The ready rows of these groups, which rise. */
function readyMembers(
  queue: PartitionQueue,
  wanted: Wanted,
  number: number,
  groups: Float64Array,
): Map<number, number[]> {
  const members = new Map<number, number[]>(Array.from(groups, (group) => [group, []]));
  eachChunk(queue, wanted, (page, offsets) => {
    if (!mayHave(page, number, groups)) return true;
    const column = numbersOf(page, number)!;
    for (const offset of offsets) members.get(column[offset])?.push(page.number * queue.slots.pageBits + offset);
    return true;
  });
  return members;
}

/** What became of the rows of these groups, which rise, that the task has taken. */
function takenSiblings(
  { slots }: PartitionQueue,
  task: Task | undefined,
  number: number,
  groups: Float64Array,
): Map<number, Siblings> {
  const siblingsOf = new Map<number, Siblings>();
  if (task === undefined) return siblingsOf;
  const wanted = new Set(groups);
  for (const page of slots.pages) {
    const taskPage = page.tasks[task.index];
    if (taskPage === undefined || taskPage.takenRows === 0 || !mayHave(page, number, groups)) continue;
    const column = numbersOf(page, number)!;
    const bits = page.runs * slots.groupSize;
    for (const offset of slots.bitmaps.scanReady([taskPage.taken], 0, 0, bits, bits)) {
      const group = column[offset];
      if (!wanted.has(group) || siblingsOf.get(group) === 'consumed') continue;
      siblingsOf.set(group, stateOfTaken(slots, taskPage, offset));
    }
  }
  return siblingsOf;
}

/** Whether rows of the page may be of some of these groups, which rise. */
function mayHave(page: Page, number: number, groups: Float64Array): boolean {
  const range = rangeOf(page, number);
  if (range === undefined) return false;
  let low = 0;
  let high = groups.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (groups[middle] < range.min) low = middle + 1;
    else high = middle;
  }
  return low < groups.length && groups[low] <= range.max;
}

function siblingsOfRun(queue: PartitionQueue, page: Page, run: number, task: Task | undefined): Siblings {
  const { groupSize, bitmaps } = queue.slots;
  const taskPage = task === undefined ? undefined : page.tasks[task.index];
  if (taskPage === undefined) return 'free';
  const start = run * groupSize;
  const taken = bitmaps.scanReady([taskPage.taken], 0, start, start + groupSize, groupSize);
  if (taken.length === 0) return 'free';
  return taken.every((offset) => stateOfTaken(queue.slots, taskPage, offset) === 'held') ? 'held' : 'consumed';
}

function stateOfTaken(slots: Slots, taskPage: TaskPage, offset: number): Siblings {
  return holderAt(slots, taskPage, offset) === 0 ? 'consumed' : 'held';
}

/** When the groups of these rows changed last. */
function changedAt(queue: PartitionQueue, rows: readonly number[]): number {
  const { slots } = queue;
  let latest = 0;
  for (const slot of rows) {
    const run = Math.floor(offsetOf(slots, slot) / slots.groupSize);
    latest = Math.max(latest, changedMs(queue, pageOf(slots, slot)!, run));
  }
  return latest;
}

/** In the order of their last rows. */
function asGroups({ groups, late, dueMs }: Found, groupsMax: number): Groups {
  const lastOf = (rows: readonly number[]): number => rows[rows.length - 1];
  const first = groups.sort((one, other) => lastOf(one) - lastOf(other)).slice(0, groupsMax);
  const starts = new Uint32Array(first.length);
  for (let i = 1; i < first.length; i += 1) starts[i] = starts[i - 1] + first[i - 1].length;
  return { rows: Float64Array.from(first.flat()), starts, late: Float64Array.from(late), dueMs };
}
