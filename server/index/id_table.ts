/**
 * A hash table from a group number to the slot of its first row, both safe integers, on typed arrays.
 *
 *   keys    [ 0 | 18 |  0 | 42 | ... ]   group + 1; 0: free
 *   values  [ . | 64 |  . |  8 | ... ]   slot
 *
 * A Map costs 40 bytes an entry, ends at 2^24 entries and stops the loop while it grows; this one costs 23 to 46 bytes,
 * has no end, and moves a few cells with each change from the old arrays into the new ones.
 *
 * Invariants: linear probing without tombstones in `cells` (deletion shifts the run back); while the table is resized
 * a group lies in `cells` or in `old`, never in both; the move ends before `cells` can fill up.
 */
interface Cells {
  readonly keys: Float64Array;
  readonly values: Float64Array;
  readonly mask: number;
}

export interface IdTable {
  cells: Cells;
  old: Cells | undefined;
  /** Cells of `old` below this have been moved. */
  moved: number;
  size: number;
}

const CAPACITY_MIN = 64;
const MOVED_PER_CHANGE = 16;
/** In `old` only: a key that was deleted or moved; probing goes on behind it. */
const GONE = -1;

export function createIdTable(): IdTable {
  return { cells: createCells(CAPACITY_MIN), old: undefined, moved: 0, size: 0 };
}

/** The slot of `group`, or -1. */
export function lookUp(table: IdTable, group: number): number {
  const at = find(table.cells, group + 1);
  if (at >= 0) return table.cells.values[at];
  if (table.old === undefined) return -1;
  const oldAt = find(table.old, group + 1);
  return oldAt >= 0 ? table.old.values[oldAt] : -1;
}

/** Adds a group that is not there. */
export function add(table: IdTable, group: number, slot: number): void {
  const capacity = table.cells.mask + 1;
  if (table.old === undefined && (table.size + 1) * 10 > capacity * 7) resize(table, capacity * 2);
  place(table.cells, group + 1, slot);
  table.size += 1;
  moveSome(table);
}

/** Removes a group that is there. */
export function remove(table: IdTable, group: number): void {
  const at = find(table.cells, group + 1);
  if (at >= 0) shiftBack(table.cells, at);
  else if (table.old !== undefined) table.old.keys[find(table.old, group + 1)] = GONE;
  table.size -= 1;
  moveSome(table);
  const capacity = table.cells.mask + 1;
  if (table.old === undefined && capacity > CAPACITY_MIN && table.size * 8 < capacity) resize(table, capacity / 2);
}

function createCells(capacity: number): Cells {
  return { keys: new Float64Array(capacity), values: new Float64Array(capacity), mask: capacity - 1 };
}

/**
 * Both halves of the number count: groups are often dense, or hold a shard in their high bits. Eight dense keys share a
 * home of a cache line, so that one in eight waits for memory.
 */
function home(cells: Cells, key: number): number {
  const high = Math.floor(key / 4294967296);
  let hash = Math.imul(((key >>> 3) | (high << 29)) ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) << 3) | (key & 7)) & cells.mask;
}

function find(cells: Cells, key: number): number {
  const { keys, mask } = cells;
  for (let at = home(cells, key); keys[at] !== 0; at = (at + 1) & mask) {
    if (keys[at] === key) return at;
  }
  return -1;
}

function place(cells: Cells, key: number, value: number): void {
  const { keys, mask } = cells;
  let at = home(cells, key);
  while (keys[at] !== 0) at = (at + 1) & mask;
  keys[at] = key;
  cells.values[at] = value;
}

/** Closes the gap: a later key of the run moves into it unless that would put it before its home. */
function shiftBack(cells: Cells, gapAt: number): void {
  const { keys, values, mask } = cells;
  let gap = gapAt;
  for (let at = (gap + 1) & mask; keys[at] !== 0; at = (at + 1) & mask) {
    const distance = (at - home(cells, keys[at])) & mask;
    if (distance < ((at - gap) & mask)) continue;
    keys[gap] = keys[at];
    values[gap] = values[at];
    gap = at;
  }
  keys[gap] = 0;
}

function resize(table: IdTable, capacity: number): void {
  table.old = table.cells;
  table.cells = createCells(capacity);
  table.moved = 0;
}

function moveSome(table: IdTable): void {
  const old = table.old;
  if (old === undefined) return;
  const end = Math.min(table.moved + MOVED_PER_CHANGE, old.mask + 1);
  for (let at = table.moved; at < end; at += 1) {
    const key = old.keys[at];
    if (key > 0) place(table.cells, key, old.values[at]);
    if (key !== 0) old.keys[at] = GONE;
  }
  table.moved = end;
  if (end === old.mask + 1) table.old = undefined;
}

/** Calls `visit` for every key, in no order. The table must not change meanwhile. */
export function forEachKey(table: IdTable, visit: (key: number) => void): void {
  for (const cells of [table.cells, table.old]) {
    if (cells === undefined) continue;
    const { keys } = cells;
    for (let at = 0; at < keys.length; at += 1) if (keys[at] > 0) visit(keys[at] - 1);
  }
}
