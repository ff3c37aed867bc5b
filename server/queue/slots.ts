/**
 * Rows and their slots: each group of ids has a run of adjacent slots, in pages of bitmaps.
 *
 *   group = floor(id / groupSize)      slot = page * pageBits + run * groupSize + id % groupSize
 *
 *   page 0  | run 0: n slots | run 1 | ... | run k | rest, never used |      live     1011 1111 ...   the row is there
 *   page 1  | ...                                                           field 7  1011 0000 ...   it has the field
 *
 * Invariants:
 * - slots rise for ever, so slot order is the order in which groups first arrived (FIFO); a slot never gets another id;
 * - all slots of a group are handed out together, at the arrival of its first row, in one page;
 * - a field bit implies the live bit;
 * - a group without live rows is forgotten (coming again it gets new slots), a page without live rows is freed.
 */
import { add, createIdTable, lookUp, remove, type IdTable } from '../index/id_table.ts';
import type { Bitmaps } from './bitmaps.ts';

/** What one task knows about the rows of one page. */
export interface TaskPage {
  /** Bitmap: leased or consumed. */
  taken: number;
  takenRows: number;
  /** Rows with a holder. */
  heldRows: number;
  /** Undefined while there is nothing to remember: no claim yet, or all rows consumed. */
  marks: Marks | undefined;
}

export interface Marks {
  /** By offset: the claim that may still consume the row, leased or expired; 0: none. */
  holders: Float64Array;
  /** By offset: how often the row came back, by expiry or release. */
  returns: Uint16Array;
}

export interface Page {
  readonly number: number;
  /** Length of its bitmaps and columns; it doubles as the page fills, up to pageBits. */
  bits: number;
  /** Runs handed out so far. */
  runs: number;
  /** Live rows. */
  rows: number;
  /** By run: the group, and how many of its rows are live. */
  groups: Float64Array;
  members: Uint16Array;
  live: number;
  readonly fields: Map<number, number>;
  /** By task index. */
  readonly tasks: (TaskPage | undefined)[];
}

export interface Slots {
  readonly groupSize: number;
  readonly runsPerPage: number;
  /** Slots of one page are numbered from a multiple of this; a page has at most as many. */
  readonly pageBits: number;
  readonly bitmaps: Bitmaps;
  readonly table: IdTable;
  /** In rising order of their numbers. */
  readonly pages: Page[];
  pageNext: number;
  rows: number;
  /** Rows that have the field. */
  readonly fieldRows: Map<number, number>;
}

export function createSlots(groupSize: number, bitmaps: Bitmaps): Slots {
  return {
    groupSize,
    runsPerPage: Math.floor(bitmaps.bitsMax / groupSize),
    pageBits: bitmaps.bitsMax,
    bitmaps,
    table: createIdTable(),
    pages: [],
    pageNext: 0,
    rows: 0,
    fieldRows: new Map(),
  };
}

/** The slot of a live row, or -1. */
export function slotOf(slots: Slots, id: number): number {
  const group = Math.floor(id / slots.groupSize);
  const base = lookUp(slots.table, group);
  if (base < 0) return -1;
  const slot = base + (id - group * slots.groupSize);
  const page = pageOf(slots, slot)!;
  return slots.bitmaps.has(page.live, offsetOf(slots, slot)) ? slot : -1;
}

export function offsetOf(slots: Slots, slot: number): number {
  return slot % slots.pageBits;
}

export function idAt(slots: Slots, page: Page, offset: number): number {
  const run = Math.floor(offset / slots.groupSize);
  return page.groups[run] * slots.groupSize + (offset - run * slots.groupSize);
}

/** The page that has the slot, or undefined when it was freed. */
export function pageOf(slots: Slots, slot: number): Page | undefined {
  const number = pageNumberOf(slots, slot);
  const page = slots.pages[pageIndexFrom(slots, number)];
  return page !== undefined && page.number === number ? page : undefined;
}

export function pageNumberOf(slots: Slots, slot: number): number {
  return Math.floor(slot / slots.pageBits);
}

/** The index in `pages` of the first page with this number or a later one. */
export function pageIndexFrom(slots: Slots, number: number): number {
  const { pages } = slots;
  let low = 0;
  let high = pages.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pages[middle].number < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Hands on the rising `list` page by page; slots of freed pages are passed over. `offsets` is reused. */
export function eachPage(
  slots: Slots,
  list: Float64Array,
  visit: (page: Page, offsets: Uint32Array, count: number) => void,
): void {
  const offsets = new Uint32Array(Math.min(list.length, slots.pageBits));
  for (let from = 0; from < list.length;) {
    const start = list[from] - offsetOf(slots, list[from]);
    let count = 0;
    while (from < list.length && list[from] < start + slots.pageBits) {
      offsets[count] = list[from] - start;
      count += 1;
      from += 1;
    }
    const page = pageOf(slots, start);
    if (page !== undefined) visit(page, offsets, count);
  }
}

/** Gives rows fields, and slots where they have none; returns their slots, rising. */
export function insertRows(slots: Slots, ids: Float64Array, fields: readonly number[]): Float64Array {
  const list = reserve(slots, ids);
  eachPage(slots, list, (page, offsets, count) => {
    countMembers(slots, page, offsets, count);
    const rowsNew = slots.bitmaps.set(page.live, offsets, count);
    page.rows += rowsNew;
    slots.rows += rowsNew;
    for (const field of fields) {
      let bitmap = page.fields.get(field);
      if (bitmap === undefined) page.fields.set(field, (bitmap = slots.bitmaps.alloc(page.bits)));
      const cellsNew = slots.bitmaps.set(bitmap, offsets, count);
      slots.fieldRows.set(field, (slots.fieldRows.get(field) ?? 0) + cellsNew);
    }
  });
  return list;
}

/** Takes live rows, given by rising slots, out of all bitmaps of presence; frees what they leave empty. */
export function deleteRows(slots: Slots, list: Float64Array): void {
  eachPage(slots, list, (page, offsets, count) => {
    for (const [field, bitmap] of page.fields) {
      const cellsGone = slots.bitmaps.clear(bitmap, offsets, count);
      slots.fieldRows.set(field, slots.fieldRows.get(field)! - cellsGone);
    }
    slots.bitmaps.clear(page.live, offsets, count);
    page.rows -= count;
    slots.rows -= count;
    for (let i = 0; i < count; i += 1) {
      const run = Math.floor(offsets[i] / slots.groupSize);
      page.members[run] -= 1;
      if (page.members[run] === 0) remove(slots.table, page.groups[run]);
    }
    if (page.rows === 0) freePage(slots, page);
  });
}

export function freePage(slots: Slots, page: Page): void {
  slots.bitmaps.free(page.live, page.bits);
  for (const bitmap of page.fields.values()) slots.bitmaps.free(bitmap, page.bits);
  for (const taskPage of page.tasks) if (taskPage !== undefined) slots.bitmaps.free(taskPage.taken, page.bits);
  slots.pages.splice(pageIndexFrom(slots, page.number), 1);
}

/** What task `index` knows about the page, made at first need. */
export function taskPageOf(slots: Slots, page: Page, index: number): TaskPage {
  return (page.tasks[index] ??= {
    taken: slots.bitmaps.alloc(page.bits),
    takenRows: 0,
    heldRows: 0,
    marks: undefined,
  });
}

export function marksOf(page: Page, taskPage: TaskPage): Marks {
  return (taskPage.marks ??= { holders: new Float64Array(page.bits), returns: new Uint16Array(page.bits) });
}

/** The slots of the rows, rising; a group that is not known gets its run. Siblings mostly come one after the other. */
function reserve(slots: Slots, ids: Float64Array): Float64Array {
  const list = new Float64Array(ids.length);
  let groupBefore = -1;
  let base = -1;
  let rising = true;
  for (let i = 0; i < ids.length; i += 1) {
    const group = Math.floor(ids[i] / slots.groupSize);
    if (group !== groupBefore) {
      base = lookUp(slots.table, group);
      if (base < 0) add(slots.table, group, (base = nextRun(slots, group)));
      groupBefore = group;
    }
    list[i] = base + (ids[i] - group * slots.groupSize);
    rising &&= i === 0 || list[i] > list[i - 1];
  }
  return rising ? list : list.sort();
}

function nextRun(slots: Slots, group: number): number {
  let page = slots.pages[slots.pages.length - 1];
  if (page === undefined || page.runs === slots.runsPerPage) {
    page = createPage(slots);
    slots.pages.push(page);
  }
  if ((page.runs + 1) * slots.groupSize > page.bits) doublePage(slots, page);
  page.groups[page.runs] = group;
  page.runs += 1;
  return page.number * slots.pageBits + (page.runs - 1) * slots.groupSize;
}

function createPage(slots: Slots): Page {
  let bits = slots.bitmaps.bitsMin;
  while (bits < slots.groupSize) bits *= 2;
  const runs = Math.floor(bits / slots.groupSize);
  const page: Page = {
    number: slots.pageNext,
    bits,
    runs: 0,
    rows: 0,
    groups: new Float64Array(runs),
    members: new Uint16Array(runs),
    live: slots.bitmaps.alloc(bits),
    fields: new Map(),
    tasks: [],
  };
  slots.pageNext += 1;
  return page;
}

function doublePage(slots: Slots, page: Page): void {
  const bits = page.bits * 2;
  const runs = Math.floor(bits / slots.groupSize);
  page.groups = longer(page.groups, new Float64Array(runs));
  page.members = longer(page.members, new Uint16Array(runs));
  page.live = longerBitmap(slots.bitmaps, page.live, page.bits);
  for (const [field, bitmap] of page.fields) page.fields.set(field, longerBitmap(slots.bitmaps, bitmap, page.bits));
  for (const taskPage of page.tasks) {
    if (taskPage === undefined) continue;
    taskPage.taken = longerBitmap(slots.bitmaps, taskPage.taken, page.bits);
    if (taskPage.marks === undefined) continue;
    taskPage.marks.holders = longer(taskPage.marks.holders, new Float64Array(bits));
    taskPage.marks.returns = longer(taskPage.marks.returns, new Uint16Array(bits));
  }
  page.bits = bits;
}

function longerBitmap(bitmaps: Bitmaps, bitmap: number, bits: number): number {
  const to = bitmaps.alloc(bits * 2);
  bitmaps.copy(bitmap, to, bits);
  bitmaps.free(bitmap, bits);
  return to;
}

function countMembers(slots: Slots, page: Page, offsets: Uint32Array, count: number): void {
  for (let i = 0; i < count; i += 1) {
    if (slots.bitmaps.has(page.live, offsets[i])) continue;
    page.members[Math.floor(offsets[i] / slots.groupSize)] += 1;
  }
}

function longer<Column extends Float64Array | Uint16Array>(column: Column, to: Column): Column {
  to.set(column);
  return to;
}
