/**
 * The pages of a queue: made, filled, grown and freed here; the only writer of their units, each of which it notes.
 *
 *   createPage --appendRun, setBits, ...--> doubles as it fills, up to pageBits --freePage--> gone, with its records
 *
 * Invariants:
 * - whoever changes a unit notes it in the same turn; what is saved later is its state of that moment;
 * - a page stands in `changed` while it has changed units; a freed one until the deletion of its records is saved;
 * - page numbers rise for ever: a slot is never handed out twice.
 */
import type { Bitmaps, ReadonlyBitmaps } from './bitmaps.ts';
import {
  bitmapOf,
  chunkLength,
  fieldUnit,
  groupsUnit,
  marksUnit,
  takenUnit,
  type Marks,
  type Page,
  type TaskPage,
} from './page.ts';
import type { MarksRun } from './page_units.ts';

export interface Pages {
  readonly groupSize: number;
  readonly runsPerPage: number;
  /** Slots of one page are numbered from a multiple of this; a page has at most as many. */
  readonly pageBits: number;
  /** Read by all, written by this file. */
  readonly bitmaps: ReadonlyBitmaps;
  /** In rising order of their numbers. */
  readonly pages: Page[];
  pageNext: number;
  /** Pages with units that changed since they were saved. */
  readonly changed: Set<Page>;
}

/** The marks as this file writes them. */
interface OwnMarks {
  holders: Float64Array;
  returns: Uint16Array;
}

/** The index in `pages` of the first page with this number or a later one. */
export function pageIndexFrom({ pages }: Pages, number: number): number {
  let low = 0;
  let high = pages.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pages[middle].number < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Hands out the next run, to `group`, and says its first slot. `noteRuns` follows, once for all runs of a put. */
export function appendRun(pages: Pages, group: number): number {
  let page = pages.pages[pages.pages.length - 1];
  if (page === undefined || page.runs === pages.runsPerPage) {
    page = createPage(pages, pages.pageNext, 1);
    pages.pageNext += 1;
  }
  if ((page.runs + 1) * pages.groupSize > page.bits) doublePage(pages, page);
  const run = page.runs;
  page.groups[run] = group;
  page.runs += 1;
  return page.number * pages.pageBits + run * pages.groupSize;
}

/** Notes the runs that were appended since there were so many pages, the last of them with so many runs. */
export function noteRuns(pages: Pages, pageCount: number, runCount: number): void {
  const length = chunkLength(pages.pageBits);
  let from = runCount;
  for (let index = Math.max(pageCount - 1, 0); index < pages.pages.length; index += 1) {
    const page = pages.pages[index];
    for (; from < page.runs; from = (Math.floor(from / length) + 1) * length) {
      note(pages, page, groupsUnit(Math.floor(from / length)));
    }
    from = 0;
  }
}

/** Adds a page behind the others, with room for some runs. */
export function createPage(pages: Pages, number: number, runs: number): Page {
  let bits = pages.bitmaps.bitsMin;
  while (bits < runs * pages.groupSize) bits *= 2;
  const runsMax = Math.floor(bits / pages.groupSize);
  const page: Page = {
    number,
    bits,
    runs: 0,
    rows: 0,
    groups: new Float64Array(runsMax),
    members: new Uint16Array(runsMax),
    live: writable(pages).alloc(bits),
    fields: new Map(),
    tasks: [],
    changed: new Set(),
    saved: new Set(),
  };
  pages.pages.push(page);
  return page;
}

export function freePage(pages: Pages, page: Page): void {
  const bitmaps = writable(pages);
  bitmaps.free(page.live, page.bits);
  for (const bitmap of page.fields.values()) bitmaps.free(bitmap, page.bits);
  for (const taskPage of page.tasks) if (taskPage !== undefined) bitmaps.free(taskPage.taken, page.bits);
  page.live = 0;
  pages.pages.splice(pageIndexFrom(pages, page.number), 1);
  page.changed.clear();
  for (const unit of page.saved) page.changed.add(unit);
  if (page.changed.size > 0) pages.changed.add(page);
  else pages.changed.delete(page);
}

/** Sets bits of a bitmap and says how many were zero before. */
export function setBits(pages: Pages, page: Page, unit: number, offsets: Uint32Array, count: number): number {
  const bitsNew = writable(pages).set(bitmapOf(page, unit)!, offsets, count);
  if (bitsNew > 0) note(pages, page, unit);
  return bitsNew;
}

/** Clears bits of a bitmap and says how many were one before. */
export function clearBits(pages: Pages, page: Page, unit: number, offsets: Uint32Array, count: number): number {
  const bitsGone = writable(pages).clear(bitmapOf(page, unit)!, offsets, count);
  if (bitsGone > 0) note(pages, page, unit);
  return bitsGone;
}

/** Fills a bitmap that is still empty with what was saved. */
export function loadBits(pages: Pages, page: Page, unit: number, bytes: Uint8Array): void {
  writable(pages).write(bitmapOf(page, unit)!, page.bits, bytes);
}

/** Makes the bitmap of a field, if it is the first of the page. */
export function needField(pages: Pages, page: Page, field: number): void {
  if (page.fields.has(field)) return;
  page.fields.set(field, writable(pages).alloc(page.bits));
  note(pages, page, fieldUnit(field));
}

/** What a task knows about the page, made at first need. */
export function needTaskPage(pages: Pages, page: Page, task: number): TaskPage {
  const found = page.tasks[task];
  if (found !== undefined) return found;
  note(pages, page, takenUnit(task));
  return (page.tasks[task] = {
    taken: writable(pages).alloc(page.bits),
    takenRows: 0,
    heldRows: 0,
    marks: undefined,
  });
}

/** Makes a claim, or none (0), the holder of rows. The caller counts `heldRows`. */
export function setHolders(
  pages: Pages,
  page: Page,
  task: number,
  offsets: Uint32Array,
  count: number,
  claim: number,
): void {
  const { holders } = needMarks(pages, page, task, offsets, count);
  for (let i = 0; i < count; i += 1) holders[offsets[i]] = claim;
}

/** Counts one more return of each row, up to `returnsMax`. */
export function countReturns(
  pages: Pages,
  page: Page,
  task: number,
  offsets: Uint32Array,
  count: number,
  returnsMax: number,
): void {
  const { returns } = needMarks(pages, page, task, offsets, count);
  for (let i = 0; i < count; i += 1) returns[offsets[i]] = Math.min(returns[offsets[i]] + 1, returnsMax);
}

/** Forgets all that is known of rows but whether they are taken. */
export function clearMarks(pages: Pages, page: Page, task: number, offsets: Uint32Array, count: number): void {
  const { holders, returns } = needMarks(pages, page, task, offsets, count);
  for (let i = 0; i < count; i += 1) {
    holders[offsets[i]] = 0;
    returns[offsets[i]] = 0;
  }
}

/** There is nothing to remember any more of any row. */
export function dropMarks(pages: Pages, page: Page, task: number): void {
  page.tasks[task]!.marks = undefined;
  const chunks = Math.ceil(page.bits / chunkLength(pages.pageBits));
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const unit = marksUnit(task, chunk);
    if (page.saved.has(unit)) note(pages, page, unit);
    else page.changed.delete(unit);
  }
}

/** Adds marks that were saved. */
export function loadMarks(page: Page, task: number, runs: readonly MarksRun[]): void {
  const taskPage = page.tasks[task]!;
  const { holders, returns } = ((taskPage.marks as OwnMarks | undefined) ??= createMarks(page));
  for (const run of runs) {
    holders.fill(run.holder, run.from, run.to);
    returns.fill(run.returns, run.from, run.to);
    if (run.holder !== 0) taskPage.heldRows += run.to - run.from;
  }
}

/** These units of the page have records, and no others; none of them changed since. */
export function noteSaved(pages: Pages, page: Page, units: readonly number[]): void {
  for (const unit of units) page.saved.add(unit);
  page.changed.clear();
  pages.changed.delete(page);
}

function createMarks(page: Page): OwnMarks {
  return { holders: new Float64Array(page.bits), returns: new Uint16Array(page.bits) };
}

function note(pages: Pages, page: Page, unit: number): void {
  if (page.changed.size === 0) pages.changed.add(page);
  page.changed.add(unit);
}

/** The marks of a task, with those noted that rising `offsets` name. */
function needMarks(pages: Pages, page: Page, task: number, offsets: Uint32Array, count: number): OwnMarks {
  const length = chunkLength(pages.pageBits);
  const last = Math.floor(offsets[count - 1] / length);
  for (let chunk = Math.floor(offsets[0] / length); chunk <= last; chunk += 1) {
    note(pages, page, marksUnit(task, chunk));
  }
  return ((page.tasks[task]!.marks as OwnMarks | undefined) ??= createMarks(page));
}

function writable(pages: Pages): Bitmaps {
  return pages.bitmaps as Bitmaps;
}

function doublePage(pages: Pages, page: Page): void {
  const bits = page.bits * 2;
  const runs = Math.floor(bits / pages.groupSize);
  const bitmaps = writable(pages);
  page.groups = longer(page.groups, new Float64Array(runs));
  page.members = longer(page.members, new Uint16Array(runs));
  page.live = longerBitmap(bitmaps, page.live, page.bits);
  for (const [field, bitmap] of page.fields) page.fields.set(field, longerBitmap(bitmaps, bitmap, page.bits));
  for (const taskPage of page.tasks) {
    if (taskPage === undefined) continue;
    taskPage.taken = longerBitmap(bitmaps, taskPage.taken, page.bits);
    if (taskPage.marks !== undefined) taskPage.marks = longerMarks(taskPage.marks as OwnMarks, bits);
  }
  page.bits = bits;
}

function longerBitmap(bitmaps: Bitmaps, bitmap: number, bits: number): number {
  const to = bitmaps.alloc(bits * 2);
  bitmaps.copy(bitmap, to, bits);
  bitmaps.free(bitmap, bits);
  return to;
}

function longerMarks({ holders, returns }: OwnMarks, bits: number): Marks {
  return { holders: longer(holders, new Float64Array(bits)), returns: longer(returns, new Uint16Array(bits)) };
}

function longer<Column extends Float64Array | Uint16Array>(column: Column, to: Column): Column {
  to.set(column);
  return to;
}
