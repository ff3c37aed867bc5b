/**
 * The tags and numbers of the rows of a page, and the blobs that their cells name: the only writer of all three. A page
 * whose rows have none pays nothing.
 *
 *   offset          0        1        2
 *   tags        | { .. } |   -    | { .. } | ...      objects, shared by rows that were tagged alike
 *   numbers[0]  |  0.5   |  NaN   |   12   | ...      a column for each declared number
 *   blobs[2]    |  ref   |  ref   |   -    | ...      a column for each field of layout blob
 *
 * Invariants: a declared number is in its column only; a row that is not live has neither tags nor numbers, and names
 * no blob; the cells that a ref counts are those that name it; `valuesSize` is what all of them take together.
 */
import { NO_TAGS, type Tags } from '../sampler/merge_tags.ts';
import type { BlobRef, BlobRefs } from './blob_refs.ts';
import { blobsUnit, chunkLength, numbersUnit, tagsUnit, unitKinds, type Page } from './page.ts';
import { note, type ChangedPages } from './page_notes.ts';
import { weightOf, type ValueMemory } from './value_memory.ts';
import type { BlobsRun, NumbersRun, TagsRun } from './value_units.ts';

/** What this file needs of the pages of a queue. */
export interface ValuePages extends ChangedPages {
  readonly pageBits: number;
  readonly values: ValueMemory;
  readonly blobRefs: BlobRefs;
}

/** Of one value of a number, or one reference to tags or to a blob. */
const COLUMN_BYTES = Float64Array.BYTES_PER_ELEMENT;

export function tagsOf(page: Page, offset: number): Tags {
  return page.tags?.[offset] ?? NO_TAGS;
}

/** How much heavier a row is with the tags `after` than with those before. */
export function growthOf(before: Tags, after: Tags): number {
  return (isEmpty(after) ? 0 : weightOf(after)) - (isEmpty(before) ? 0 : weightOf(before));
}

/** Who knows how much heavier the row becomes may say it. */
export function setTags(
  pages: ValuePages,
  page: Page,
  offset: number,
  tags: Tags,
  growth = growthOf(tagsOf(page, offset), tags),
): void {
  const all = needTags(pages, page);
  weigh(pages, page, growth);
  all[offset] = isEmpty(tags) ? undefined : tags;
  note(pages, page, tagsUnit(chunkAt(pages, offset, unitKinds.tags)));
}

/** NaN for none. */
export function setNumber(pages: ValuePages, page: Page, number: number, offset: number, value: number): void {
  if (Number.isNaN(value) && page.numbers[number] === undefined) return;
  needNumbers(pages, page, number)[offset] = value;
  widen(page, number, value);
  note(pages, page, numbersUnit(number, chunkAt(pages, offset, unitKinds.numbers)));
}

/** The cell names the blob of this digest, instead of what it named before; undefined: none. */
export function setBlob(
  pages: ValuePages,
  page: Page,
  field: number,
  offset: number,
  digest: string | undefined,
): void {
  const column = needBlobs(pages, page, field);
  const before = column[offset];
  if (before?.digest === digest) return;
  column[offset] = digest === undefined ? undefined : pages.blobRefs.take(digest);
  if (before !== undefined) pages.blobRefs.leave(before);
  note(pages, page, blobsUnit(field, chunkAt(pages, offset, unitKinds.blobs)));
}

/** Rows are about to be deleted. */
export function clearValues(pages: ValuePages, page: Page, offsets: Uint32Array, count: number): void {
  if (page.tags !== undefined) {
    for (let i = 0; i < count; i += 1) {
      if (page.tags[offsets[i]] !== undefined) setTags(pages, page, offsets[i], NO_TAGS);
    }
  }
  page.numbers.forEach((column, number) => {
    for (let i = 0; i < count; i += 1) {
      if (!Number.isNaN(column![offsets[i]])) setNumber(pages, page, number, offsets[i], NaN);
    }
  });
  page.blobs.forEach((column, field) => {
    if (column === undefined) return;
    for (let i = 0; i < count; i += 1) setBlob(pages, page, field, offsets[i], undefined);
  });
}

/** The page becomes longer. */
export function growValues(pages: ValuePages, page: Page, bits: number): void {
  if (page.tags !== undefined) {
    weigh(pages, page, (bits - page.bits) * COLUMN_BYTES);
    page.tags.length = bits;
  }
  page.numbers.forEach((column, number) => {
    weigh(pages, page, (bits - page.bits) * COLUMN_BYTES);
    page.numbers[number] = columnOf(bits, column);
  });
  for (const column of page.blobs) {
    if (column === undefined) continue;
    weigh(pages, page, (bits - page.bits) * COLUMN_BYTES);
    column.length = bits;
  }
}

/** The page goes. */
export function freeValues(pages: ValuePages, page: Page): void {
  weigh(pages, page, -page.valuesSize);
  page.tags = undefined;
  page.numbers.length = 0;
  page.numberRanges.length = 0;
  for (const column of page.blobs) column?.forEach((ref) => ref !== undefined && pages.blobRefs.leave(ref));
  page.blobs.length = 0;
}

/** Adds tags that were saved. */
export function loadTags(pages: ValuePages, page: Page, runs: readonly TagsRun[]): void {
  const all = needTags(pages, page);
  for (const { from, to, tags } of runs) {
    all.fill(tags, from, to);
    weigh(pages, page, (to - from) * weightOf(tags));
  }
}

/** Adds numbers that were saved. */
export function loadNumbers(pages: ValuePages, page: Page, number: number, runs: readonly NumbersRun[]): void {
  const column = needNumbers(pages, page, number);
  for (const { from, to, value } of runs) {
    column.fill(value, from, to);
    widen(page, number, value);
  }
}

/** Adds names of blobs that were saved. */
export function loadBlobs(pages: ValuePages, page: Page, field: number, runs: readonly BlobsRun[]): void {
  const column = needBlobs(pages, page, field);
  for (const { from, to, digest } of runs) {
    for (let at = from; at < to; at += 1) column[at] = pages.blobRefs.take(digest);
  }
}

/** The values of the page take so much more, or less. */
function weigh(pages: ValuePages, page: Page, bytes: number): void {
  page.valuesSize += bytes;
  pages.values.add(bytes);
}

function needBlobs(pages: ValuePages, page: Page, field: number): (BlobRef | undefined)[] {
  const known = page.blobs[field];
  if (known !== undefined) return known;
  weigh(pages, page, page.bits * COLUMN_BYTES);
  return (page.blobs[field] = new Array<BlobRef | undefined>(page.bits));
}

function needTags(pages: ValuePages, page: Page): (Tags | undefined)[] {
  if (page.tags !== undefined) return page.tags;
  weigh(pages, page, page.bits * COLUMN_BYTES);
  return (page.tags = new Array<Tags | undefined>(page.bits));
}

function needNumbers(pages: ValuePages, page: Page, number: number): Float64Array {
  const known = page.numbers[number];
  if (known !== undefined) return known;
  weigh(pages, page, page.bits * COLUMN_BYTES);
  page.numberRanges[number] = { min: Infinity, max: -Infinity };
  return (page.numbers[number] = columnOf(page.bits));
}

/** Ranges never narrow: that would need a look at all values. */
function widen(page: Page, number: number, value: number): void {
  const range = page.numberRanges[number]!;
  if (value < range.min) range.min = value;
  if (value > range.max) range.max = value;
}

function columnOf(bits: number, values: Float64Array = new Float64Array(0)): Float64Array {
  const column = new Float64Array(bits).fill(NaN, values.length);
  column.set(values);
  return column;
}

function chunkAt({ pageBits }: ValuePages, offset: number, kind: number): number {
  return Math.floor(offset / chunkLength(pageBits, kind));
}

function isEmpty(tags: Tags): boolean {
  for (const _ in tags) return false;
  return true;
}
