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
 *
 * Invariants:
 * - what is not in a unit follows from the units: length, counts, members;
 * - a chunk is the same part of every page, whatever its length, so that a page can grow without a change of its units.
 */
export const unitKinds = { groups: 1, live: 2, field: 3, taken: 4, marks: 5 } as const;

/** Chunks of a page: a claim changes the marks of few slots, and a put appends few runs. */
const CHUNKS = 16;

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

/** Written in pages.ts only. */
export interface Marks {
  /** By offset: the claim that may still consume the row, leased or expired; 0: none. */
  readonly holders: ArrayLike<number>;
  /** By offset: how often the row came back, by expiry or release. */
  readonly returns: ArrayLike<number>;
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
  /** Bitmap; 0 once the page was freed. */
  live: number;
  readonly fields: Map<number, number>;
  /** By task index. */
  readonly tasks: (TaskPage | undefined)[];
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

export function kindOf(unit: number): number {
  return unit >>> 24;
}

/** The field or the task. */
export function indexOf(unit: number): number {
  return (unit >>> 8) & 0xffff;
}

export function chunkOf(unit: number): number {
  return unit & 0xff;
}

/** Slots, or runs, of a chunk. */
export function chunkLength(pageBits: number): number {
  return Math.ceil(pageBits / CHUNKS);
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
