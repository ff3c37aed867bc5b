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
import { BlobRefs } from './blob_refs.ts';
import type { Insert } from './events.ts';
import { ValueMemory } from './value_memory.ts';
import { fieldUnit, LIVE_UNIT, type Page } from './page.ts';
import { addToFilters, removeFromFilters } from './page_filters.ts';
import { clearValues } from './page_values.ts';
import {
  appendRun,
  clearBits,
  freePage,
  needField,
  noteRuns,
  pageIndexFrom,
  placeOfRun,
  runOfName,
  setBits,
  type Pages,
} from './pages.ts';

export interface Slots extends Pages {
  /** From a group with live rows to the name of its run. */
  readonly table: IdTable;
  rows: number;
  /** Rows that have the field, for each field that some row has. */
  readonly fieldRows: Map<number, number>;
}

export function createSlots(groupSize: number, bitmaps: Bitmaps, values = new ValueMemory()): Slots {
  const places: Slots['places'] = [];
  return {
    groupSize,
    runsPerPage: Math.floor(bitmaps.bitsMax / groupSize),
    pageBits: bitmaps.bitsMax,
    bitmaps,
    table: createIdTable((name) => places[placeOfRun(name)]!.groups[runOfName(name)]),
    pages: [],
    pageNext: 0,
    places,
    placesFree: [],
    changed: new Set(),
    values,
    blobRefs: new BlobRefs(),
    rows: 0,
    fieldRows: new Map(),
  };
}

/** The slot of a live row, or -1. */
export function slotOf(slots: Slots, id: number): number {
  const { groupSize, pageBits } = slots;
  const group = Math.floor(id / groupSize);
  const name = lookUp(slots.table, group);
  if (name < 0) return -1;
  const page = slots.places[placeOfRun(name)]!;
  const offset = runOfName(name) * groupSize + (id - group * groupSize);
  // A group that is known has a live row: of one row, this one.
  const isThere = groupSize === 1 || slots.bitmaps.has(page.live, offset);
  return isThere ? page.number * pageBits + offset : -1;
}

/** As `slotOf`, for who need not know where. */
export function hasRow(slots: Slots, id: number): boolean {
  return slots.groupSize === 1 ? lookUp(slots.table, id) >= 0 : slotOf(slots, id) >= 0;
}

export function offsetOf(slots: Slots, slot: number): number {
  return slot % slots.pageBits;
}

export function idAt(slots: Slots, page: Page, offset: number): number {
  const run = Math.floor(offset / slots.groupSize);
  return page.groups[run] * slots.groupSize + (offset - run * slots.groupSize);
}

/** The same of many rows of a page, into `ids`. */
export function idsAt({ groupSize }: Slots, { groups }: Page, offsets: Uint32Array, ids: Float64Array): void {
  if (groupSize === 1) {
    for (let i = 0; i < offsets.length; i += 1) ids[i] = groups[offsets[i]];
    return;
  }
  for (let i = 0; i < offsets.length; i += 1) {
    const offset = offsets[i];
    // A division of integers: Math.floor would be one of doubles, which takes twice as long.
    const run = (offset / groupSize) >>> 0;
    ids[i] = (groups[run] - run) * groupSize + offset;
  }
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

/** Most lists are short, and making an array costs more than what is done with it. As many as calls nest. */
const SHORT_LENGTH = 1_024;
const spare: Uint32Array[] = [];
/** The slots of the rows of a short put. */
const reserved = new Float64Array(SHORT_LENGTH);

/** Hands on the rising `list` up to `end`, page by page; slots of freed pages are passed over. `offsets` is reused. */
export function eachPage(
  slots: Slots,
  list: Float64Array,
  visit: (page: Page, offsets: Uint32Array, count: number) => void,
  end = list.length,
): void {
  const isShort = end <= SHORT_LENGTH;
  const length = isShort ? SHORT_LENGTH : Math.min(end, slots.pageBits);
  const offsets = (isShort ? spare.pop() : undefined) ?? new Uint32Array(length);
  for (let from = 0; from < end;) {
    const start = list[from] - offsetOf(slots, list[from]);
    let count = 0;
    while (from < end && list[from] < start + slots.pageBits) {
      offsets[count] = list[from] - start;
      count += 1;
      from += 1;
    }
    const page = pageOf(slots, start);
    if (page !== undefined) visit(page, offsets, count);
  }
  if (isShort) spare.push(offsets);
}

/** Hands on the rows that are there page by page, with the places of their ids in the list; says how many they are. */
export function eachPageOfIds(
  slots: Slots,
  ids: Float64Array,
  visit: (page: Page, offsets: Uint32Array, places: Uint32Array) => void,
): number {
  const slotsOfPlaces = new Float64Array(ids.length);
  const places = new Uint32Array(ids.length);
  let count = 0;
  let isRising = true;
  let before = -1;
  for (let place = 0; place < ids.length; place += 1) {
    const slot = slotOf(slots, ids[place]);
    if (slot < 0) continue;
    slotsOfPlaces[place] = slot;
    places[count] = place;
    count += 1;
    isRising &&= slot >= before;
    before = slot;
  }
  if (!isRising) places.subarray(0, count).sort((a, b) => slotsOfPlaces[a] - slotsOfPlaces[b]);
  const offsets = new Uint32Array(count);
  for (let from = 0; from < count;) {
    const first = slotsOfPlaces[places[from]];
    const start = first - offsetOf(slots, first);
    let to = from;
    for (; to < count && slotsOfPlaces[places[to]] < start + slots.pageBits; to += 1) {
      offsets[to] = slotsOfPlaces[places[to]] - start;
    }
    visit(pageOf(slots, start)!, offsets.subarray(from, to), places.subarray(from, to));
    from = to;
  }
  return count;
}

/** Gives rows fields, and slots where they have none, and hands them on; returns the lowest of their slots. */
export function insertRows(
  slots: Slots,
  { ids, fields, areNew = false }: Insert,
  visit?: (page: Page, offsets: Uint32Array, count: number) => void,
): number {
  const list = reserve(slots, ids, areNew);
  const give = (page: Page, offsets: Uint32Array, count: number): void => {
    countMembers(slots, page, offsets, count);
    addToFilters(slots, page, offsets, count);
    const rowsNew = setBits(slots, page, LIVE_UNIT, offsets, count);
    page.rows += rowsNew;
    slots.rows += rowsNew;
    for (let i = 0; i < fields.length; i += 1) {
      needField(slots, page, fields[i]);
      const bitsNew = setBits(slots, page, fieldUnit(fields[i]), offsets, count);
      if (bitsNew > 0) countField(slots, fields[i], bitsNew);
    }
    visit?.(page, offsets, count);
  };
  eachPage(slots, list, give, ids.length);
  return list[0];
}

/** Takes live rows, given by rising slots, out of all bitmaps of presence; frees what they leave empty. */
export function deleteRows(slots: Slots, list: Float64Array): void {
  eachPage(slots, list, (page, offsets, count) => {
    for (const field of page.fields.keys()) {
      countField(slots, field, -clearBits(slots, page, fieldUnit(field), offsets, count));
    }
    clearBits(slots, page, LIVE_UNIT, offsets, count);
    removeFromFilters(slots, page, offsets, count);
    clearValues(slots, page, offsets, count);
    page.rows -= count;
    slots.rows -= count;
    for (let i = 0; i < count; i += 1) {
      const run = Math.floor(offsets[i] / slots.groupSize);
      if (slots.groupSize > 1 && (page.members[run] -= 1) > 0) continue;
      remove(slots.table, page.groups[run]);
    }
    if (page.rows === 0) freePage(slots, page);
  });
}

/** Counts rows that got the field, or lost it with their lives. */
export function countField(slots: Slots, field: number, change: number): void {
  const rows = (slots.fieldRows.get(field) ?? 0) + change;
  if (rows > 0) slots.fieldRows.set(field, rows);
  else slots.fieldRows.delete(field);
}

/**
 * The slots of the rows, rising, valid until the next call; a group that is not known gets its run. Siblings mostly
 * come one after the other.
 */
function reserve(slots: Slots, ids: Float64Array, areNew: boolean): Float64Array {
  // A group of several rows may be known by another of them.
  const isUnknown = areNew && slots.groupSize === 1;
  const pageCount = slots.pages.length;
  const runCount = pageCount === 0 ? 0 : slots.pages[pageCount - 1].runs;
  const list = ids.length > SHORT_LENGTH ? new Float64Array(ids.length) : reserved;
  let groupBefore = -1;
  let base = -1;
  let rising = true;
  for (let i = 0; i < ids.length; i += 1) {
    const group = Math.floor(ids[i] / slots.groupSize);
    if (group !== groupBefore) {
      let name = isUnknown ? -1 : lookUp(slots.table, group);
      if (name < 0) add(slots.table, group, (name = appendRun(slots, group)));
      base = slots.places[placeOfRun(name)]!.number * slots.pageBits + runOfName(name) * slots.groupSize;
      groupBefore = group;
    }
    list[i] = base + (ids[i] - group * slots.groupSize);
    rising &&= i === 0 || list[i] > list[i - 1];
  }
  noteRuns(slots, pageCount, runCount);
  if (!rising) list.subarray(0, ids.length).sort();
  return list;
}

function countMembers(slots: Slots, page: Page, offsets: Uint32Array, count: number): void {
  if (slots.groupSize === 1) return;
  for (let i = 0; i < count; i += 1) {
    const run = Math.floor(offsets[i] / slots.groupSize);
    if (page.members[run] === 0 || !slots.bitmaps.has(page.live, offsets[i])) page.members[run] += 1;
  }
}
