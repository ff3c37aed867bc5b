/**
 * Who holds the rows of a page for a task, and how often they came back: the only writer of both.
 *
 *   chunk 0   holders [ 0 | 7 | 7 | 0 | ... ]   returns [ 0 | 1 | 0 | 0 | ... ]     the slots of a unit, of short pages
 *   chunk 1   -                                                                   all slots
 *   chunk 2   holders ...
 *
 * Invariants: a chunk without holders and returns is not there; whoever changes marks notes their unit in the same
 * turn, but for one that has no marks and no record.
 */
import { chunkLength, chunkOf, indexOf, marksUnit, type Marks, type Page, type TaskPage } from './page.ts';
import { note, type ChangedPages } from './page_notes.ts';
import type { MarksRun } from './page_units.ts';

/** What this file needs of the pages of a queue. */
interface MarkedPages extends ChangedPages {
  readonly pageBits: number;
}

/** Rising offsets in a page, the first `count` of the array. */
interface Rows {
  readonly page: Page;
  readonly task: number;
  readonly offsets: Uint32Array;
  readonly count: number;
}

/**
 * A claim mostly begins where one ended: chunks that became empty, for the next that are needed. One by priority or
 * chance needs those of all its candidates, of two pages and more.
 */
const SPARE_MAX = 64;
const spare: Marks[] = [];

/** The claim that may still consume the row, leased or expired; 0: none; DEAD. */
export function holderAt({ pageBits }: MarkedPages, { marks }: TaskPage, offset: number): number {
  const length = chunkLength(pageBits);
  const chunk = Math.floor(offset / length);
  return marks[chunk]?.holders[offset - chunk * length] ?? 0;
}

/** How often the row came back, by expiry or release. */
export function returnsAt({ pageBits }: MarkedPages, { marks }: TaskPage, offset: number): number {
  const length = chunkLength(pageBits);
  const chunk = Math.floor(offset / length);
  return marks[chunk]?.returns[offset - chunk * length] ?? 0;
}

/** Makes a claim, none (0) or DEAD the holder of rows. The caller counts `heldRows` and `deadRows`. */
export function setHolders(
  pages: MarkedPages,
  page: Page,
  task: number,
  offsets: Uint32Array,
  count: number,
  claim: number,
): void {
  eachChunk(pages, { page, task, offsets, count }, claim !== 0, (marks, start, from, to) => {
    for (let i = from; i < to; i += 1) hold(marks, offsets[i] - start, claim);
  });
}

/** Counts one more return of each row, up to `returnsMax`. */
export function countReturns(
  pages: MarkedPages,
  page: Page,
  task: number,
  offsets: Uint32Array,
  count: number,
  returnsMax: number,
): void {
  eachChunk(pages, { page, task, offsets, count }, true, (marks, start, from, to) => {
    for (let i = from; i < to; i += 1) {
      const at = offsets[i] - start;
      setReturns(marks, at, Math.min(marks.returns[at] + 1, returnsMax));
    }
  });
}

/** Rows begin with their first attempt again. */
export function clearReturns(pages: MarkedPages, page: Page, task: number, offsets: Uint32Array, count: number): void {
  eachChunk(pages, { page, task, offsets, count }, false, (marks, start, from, to) => {
    for (let i = from; i < to; i += 1) setReturns(marks, offsets[i] - start, 0);
  });
}

/** Forgets all that is known of rows but whether they are taken. */
export function clearMarks(pages: MarkedPages, page: Page, task: number, offsets: Uint32Array, count: number): void {
  eachChunk(pages, { page, task, offsets, count }, false, (marks, start, from, to) => {
    for (let i = from; i < to; i += 1) {
      hold(marks, offsets[i] - start, 0);
      setReturns(marks, offsets[i] - start, 0);
    }
  });
}

/** There is nothing to remember any more of any row. */
export function dropMarks(pages: MarkedPages, page: Page, task: number): void {
  page.tasks[task]!.marks.forEach((marks, chunk) => {
    if (marks !== undefined) dropChunk(pages, page, task, chunk);
  });
}

/** Adds the marks of a unit that was saved. */
export function loadMarks({ pageBits }: MarkedPages, page: Page, unit: number, runs: readonly MarksRun[]): void {
  const taskPage = page.tasks[indexOf(unit)]!;
  const length = chunkLength(pageBits);
  const start = chunkOf(unit) * length;
  const marks = (taskPage.marks[chunkOf(unit)] = createMarks(Math.min(length, page.bits)));
  for (const { from, to, holder, returns } of runs) {
    marks.holders.fill(holder, from - start, to - start);
    marks.returns.fill(returns, from - start, to - start);
    if (holder !== 0) marks.held += to - from;
    if (returns !== 0) marks.returned += to - from;
    if (holder > 0) taskPage.heldRows += to - from;
  }
}

/** The page becomes longer: in a short one, the first chunk is no whole one. */
export function growMarks({ pageBits }: MarkedPages, { marks }: TaskPage, bits: number): void {
  const length = Math.min(chunkLength(pageBits), bits);
  const first = marks[0];
  if (first === undefined || first.holders.length === length) return;
  const longer = createMarks(length);
  longer.holders.set(first.holders);
  longer.returns.set(first.returns);
  longer.held = first.held;
  longer.returned = first.returned;
  marks[0] = longer;
}

function createMarks(length: number): Marks {
  return { holders: new Float64Array(length), returns: new Uint16Array(length), held: 0, returned: 0 };
}

function hold(marks: Marks, at: number, holder: number): void {
  marks.held += (holder === 0 ? 0 : 1) - (marks.holders[at] === 0 ? 0 : 1);
  marks.holders[at] = holder;
}

function setReturns(marks: Marks, at: number, returns: number): void {
  marks.returned += (returns === 0 ? 0 : 1) - (marks.returns[at] === 0 ? 0 : 1);
  marks.returns[at] = returns;
}

/**
 * Changes the marks of the rising offsets, chunk by chunk: places [from, to) of them are in the one that begins with
 * the slot `start`. Chunks that are not there are made, or passed over.
 */
function eachChunk(
  pages: MarkedPages,
  { page, task, offsets, count }: Rows,
  isMade: boolean,
  change: (marks: Marks, start: number, from: number, to: number) => void,
): void {
  const length = chunkLength(pages.pageBits);
  const all = page.tasks[task]!.marks;
  for (let from = 0; from < count;) {
    const chunk = Math.floor(offsets[from] / length);
    const start = chunk * length;
    let to = from + 1;
    while (to < count && offsets[to] < start + length) to += 1;
    if (isMade) all[chunk] ??= takeMarks(Math.min(length, page.bits));
    const marks = all[chunk];
    if (marks !== undefined) {
      change(marks, start, from, to);
      note(pages, page, marksUnit(task, chunk));
      if (marks.held + marks.returned === 0) dropChunk(pages, page, task, chunk);
    }
    from = to;
  }
}

function takeMarks(length: number): Marks {
  const last = spare[spare.length - 1];
  return last?.holders.length === length ? spare.pop()! : createMarks(length);
}

function dropChunk(pages: MarkedPages, page: Page, task: number, chunk: number): void {
  const { marks } = page.tasks[task]!;
  const dropped = marks[chunk]!;
  const isWhole = dropped.holders.length === chunkLength(pages.pageBits);
  if (isWhole && dropped.held + dropped.returned === 0 && spare.length < SPARE_MAX) spare.push(dropped);
  marks[chunk] = undefined;
  const unit = marksUnit(task, chunk);
  if (page.saved.has(unit)) note(pages, page, unit);
  else page.changed.delete(unit);
}
