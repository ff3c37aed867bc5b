/**
 * A page of slots as data, and its units: the parts of it that a checkpoint saves, each by itself.
 *
 *   unit, a u32   | kind u8 | index u16 | chunk u8 |
 *
 *   kind      index   chunk   holds
 *   groups            yes     the groups of some of its runs
 *   live                      bitmap: the row is there
 *   field     field           bitmap: the row has the field
 *   taken     task            bitmap: the row is leased or consumed
 *   marks     task    yes     holders and returns of some of its slots
 *   tags              yes     tags of some of its slots
 *   numbers   number  yes     values of a declared number of some of its slots
 *   blobs     field   yes     digests of the blobs that cells of some of its slots name
 *
 * Invariants:
 * - what is not in a unit follows from the units: length, counts, members;
 * - a chunk is the same part of every page, whatever its length, so that a page can grow without a change of its units.
 */
import type { Tags } from '../sampler/merge_tags.ts';
import type { BlobRef } from './blob_refs.ts';
import type { FilterUse } from './filter_use.ts';

export const unitKinds = { groups: 1, live: 2, field: 3, taken: 4, marks: 5, tags: 6, numbers: 7, blobs: 8 } as const;

/** Chunks of a page: a claim changes the marks of few slots, and a put appends few runs. */
const CHUNKS = 16;
/** Tags and digests are longer than all else, and change row by row. */
const LONG_CHUNKS = 256;

/** What one task knows about the rows of one page. */
export interface TaskPage {
  /** Bitmap: leased or consumed. */
  taken: number;
  takenRows: number;
  /** Rows that a claim holds. */
  heldRows: number;
  /** Dead letters: taken, though their claim is not leased any more. */
  deadRows: number;
  /** By chunk; undefined while there is nothing to remember of it. */
  readonly marks: (Marks | undefined)[];
}

/** In the place of a claim: the holder of a dead letter that no claim may consume any more. */
export const DEAD = -1;

/** What is remembered of the rows of a chunk. Written in marks.ts only. */
export interface Marks {
  /** By slot of the chunk: the claim that may still consume the row, leased or expired; 0: none; DEAD. */
  readonly holders: Float64Array;
  /** By slot of the chunk: how often the row came back, by expiry or release. */
  readonly returns: Uint16Array;
  /** How many holders and returns are not 0. */
  held: number;
  returned: number;
}

export interface NumberRange {
  min: number;
  max: number;
}

export interface Page {
  readonly number: number;
  /** Its index among the places of pages, recycled. */
  readonly place: number;
  /** Length of its bitmaps and columns; it doubles as the page fills, up to pageBits. */
  bits: number;
  /** Runs handed out so far. */
  runs: number;
  /** Live rows. */
  rows: number;
  /** By run: the group, and how many of its rows are live; empty when groups are single rows, live or gone. */
  groups: Float64Array;
  members: Uint16Array;
  /** Bitmap; 0 once the page was freed. */
  live: number;
  readonly fields: Map<number, number>;
  /** By task index. */
  readonly tasks: (TaskPage | undefined)[];
  /** By offset: the tags of the row but for its declared numbers; undefined until some row has any. */
  tags: (Tags | undefined)[] | undefined;
  /** By number and offset: values, NaN for none; a column is undefined until some row has a value. */
  readonly numbers: (Float64Array | undefined)[];
  /** By number, of each column: between which all values lie and lay. */
  readonly numberRanges: (NumberRange | undefined)[];
  /** By field and offset: the blob that the cell names; a field is undefined until some cell names one. */
  readonly blobs: ((BlobRef | undefined)[] | undefined)[];
  /** Bytes of tags, numbers and names of blobs, as value_memory.ts weighs them. */
  valuesSize: number;
  /** The bitmap of each filter that was asked about the page. */
  readonly filters: Map<FilterUse, number>;
  /** Units that changed since they were saved. */
  readonly changed: Set<number>;
  /** Units that have a record. */
  readonly saved: Set<number>;
}

export const LIVE_UNIT = unitOf(unitKinds.live, 0, 0);

export function groupsUnit(chunk: number): number {
  return unitOf(unitKinds.groups, 0, chunk);
}

export function fieldUnit(field: number): number {
  return unitOf(unitKinds.field, field, 0);
}

export function takenUnit(task: number): number {
  return unitOf(unitKinds.taken, task, 0);
}

export function marksUnit(task: number, chunk: number): number {
  return unitOf(unitKinds.marks, task, chunk);
}

export function tagsUnit(chunk: number): number {
  return unitOf(unitKinds.tags, 0, chunk);
}

export function numbersUnit(number: number, chunk: number): number {
  return unitOf(unitKinds.numbers, number, chunk);
}

export function blobsUnit(field: number, chunk: number): number {
  return unitOf(unitKinds.blobs, field, chunk);
}

export function kindOf(unit: number): number {
  return unit >>> 24;
}

/** The field, the task or the number. */
export function indexOf(unit: number): number {
  return (unit >>> 8) & 0xffff;
}

export function chunkOf(unit: number): number {
  return unit & 0xff;
}

/** Slots, or runs, of a chunk of a kind. */
export function chunkLength(pageBits: number, kind: number = unitKinds.marks): number {
  return Math.ceil(pageBits / (kind === unitKinds.tags || kind === unitKinds.blobs ? LONG_CHUNKS : CHUNKS));
}

/** The bitmap that is a unit; undefined when the page has no such bitmap. */
export function bitmapOf(page: Page, unit: number): number | undefined {
  switch (kindOf(unit)) {
    case unitKinds.live:
      return page.live;
    case unitKinds.field:
      return page.fields.get(indexOf(unit));
    case unitKinds.taken:
      return page.tasks[indexOf(unit)]?.taken;
    default:
      return undefined;
  }
}

function unitOf(kind: number, index: number, chunk: number): number {
  return kind * 2 ** 24 + index * 2 ** 8 + chunk;
}
