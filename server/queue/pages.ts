/**
 * The pages of a queue: made, filled, grown and freed here; the only writer of their bitmaps and groups, whose units it
 * notes.
 *
 *   createPage --appendRun, setBits, ...--> doubles as it fills, up to pageBits --freePage--> gone, with its records
 *
 * Invariants:
 * - whoever changes a unit notes it in the same turn; what is saved later is its state of that moment;
 * - a page stands in `changed` while it has changed units; a freed one until the deletion of its records is saved;
 * - page numbers rise for ever: a slot is never handed out twice;
 * - a page has a place as long as it is there, so that a u32 names a run.
 */
import type { Bitmaps, ReadonlyBitmaps } from './bitmaps.ts';
import type { BlobRefs } from './blob_refs.ts';
import { invariant } from './invariant.ts';
import { dropMarks, growMarks } from './marks.ts';
import { bitmapOf, chunkLength, fieldUnit, groupsUnit, takenUnit, type Page, type TaskPage } from './page.ts';
import { note } from './page_notes.ts';
import { freeValues, growValues } from './page_values.ts';
import type { ValueMemory } from './value_memory.ts';

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
  /** By place. */
  readonly places: (Page | undefined)[];
  readonly placesFree: number[];
  /** Pages with units that changed since they were saved. */
  readonly changed: Set<Page>;
  /** What tags, numbers and the names of blobs take, in all partitions. */
  readonly values: ValueMemory;
  readonly blobRefs: BlobRefs;
}

/** A page but the last has a bitmap of live rows and one of a field, 16 KiB, and core.wasm has 1 GiB at most. */
const PLACES_MAX = 65_536;

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

/** A u32 that names a run as long as its page is there: the place of the page, u16, and the run in the page, u16. */
export function nameOfRun(page: Page, run: number): number {
  return page.place * PLACES_MAX + run;
}

export function placeOfRun(name: number): number {
  return name >>> 16;
}

export function runOfName(name: number): number {
  return name & 0xffff;
}

/** Hands out the next run, to `group`, and says its name. `noteRuns` follows, once for all runs of a put. */
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
  return nameOfRun(page, run);
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
  const place = pages.placesFree.pop() ?? pages.places.length;
  invariant(place < PLACES_MAX, 'there are more pages than the memory for bitmaps, of which each has two, can hold');
  const page: Page = {
    number,
    place,
    bits,
    runs: 0,
    rows: 0,
    groups: new Float64Array(runsMax),
    members: createMembers(pages, runsMax),
    live: writable(pages).alloc(bits),
    fields: new Map(),
    tasks: [],
    tags: undefined,
    numbers: [],
    numberRanges: [],
    blobs: [],
    valuesSize: 0,
    filters: new Map(),
    changed: new Set(),
    saved: new Set(),
  };
  pages.pages.push(page);
  pages.places[place] = page;
  return page;
}

export function freePage(pages: Pages, page: Page): void {
  const bitmaps = writable(pages);
  bitmaps.free(page.live, page.bits);
  for (const bitmap of page.fields.values()) bitmaps.free(bitmap, page.bits);
  for (const [use, bitmap] of page.filters) {
    bitmaps.free(bitmap, page.bits);
    use.pages -= 1;
  }
  page.filters.clear();
  freeValues(pages, page);
  for (const taskPage of page.tasks) if (taskPage !== undefined) bitmaps.free(taskPage.taken, page.bits);
  page.live = 0;
  pages.pages.splice(pageIndexFrom(pages, page.number), 1);
  pages.places[page.place] = undefined;
  pages.placesFree.push(page.place);
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
    deadRows: 0,
    marks: [],
  });
}

/** The task begins anew with the page. */
export function clearTaskPage(pages: Pages, page: Page, task: number): void {
  const taskPage = page.tasks[task]!;
  writable(pages).write(taskPage.taken, page.bits, new Uint8Array(Math.ceil(page.bits / 8)));
  note(pages, page, takenUnit(task));
  dropMarks(pages, page, task);
  taskPage.takenRows = 0;
  taskPage.heldRows = 0;
  taskPage.deadRows = 0;
}

/** These units of the page have records, and no others; none of them changed since. */
export function noteSaved(pages: Pages, page: Page, units: readonly number[]): void {
  for (const unit of units) page.saved.add(unit);
  page.changed.clear();
  pages.changed.delete(page);
}

function writable(pages: Pages): Bitmaps {
  return pages.bitmaps as Bitmaps;
}

function createMembers({ groupSize }: Pages, runs: number): Uint16Array {
  return new Uint16Array(groupSize === 1 ? 0 : runs);
}

function doublePage(pages: Pages, page: Page): void {
  const bits = page.bits * 2;
  const runs = Math.floor(bits / pages.groupSize);
  const bitmaps = writable(pages);
  page.groups = longer(page.groups, new Float64Array(runs));
  page.members = longer(page.members, createMembers(pages, runs));
  page.live = longerBitmap(bitmaps, page.live, page.bits);
  for (const [field, bitmap] of page.fields) page.fields.set(field, longerBitmap(bitmaps, bitmap, page.bits));
  for (const taskPage of page.tasks) {
    if (taskPage === undefined) continue;
    taskPage.taken = longerBitmap(bitmaps, taskPage.taken, page.bits);
    growMarks(pages, taskPage, bits);
  }
  for (const [use, bitmap] of page.filters) page.filters.set(use, longerBitmap(bitmaps, bitmap, page.bits));
  growValues(pages, page, bits);
  page.bits = bits;
}

function longerBitmap(bitmaps: Bitmaps, bitmap: number, bits: number): number {
  const to = bitmaps.alloc(bits * 2);
  bitmaps.copy(bitmap, to, bits);
  bitmaps.free(bitmap, bits);
  return to;
}

function longer<Column extends Float64Array | Uint16Array>(column: Column, to: Column): Column {
  to.set(column);
  return to;
}
