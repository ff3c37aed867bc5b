/**
 * A hash table from a number, a safe integer, to a u32, on typed arrays. It keeps no keys, only their hashes: the
 * owner, who has the keys anyway, says the key of a value.
 *
 *   words    [ 0 . | 9c.. 8 | 0 . | e1.. 64 | ... ]      a cell: hash of the key, value; hash 0: free
 *
 * A Map costs 40 bytes an entry, ends at 2^24 entries and stops the loop while it grows; this one costs 11 to 22 bytes,
 * has no end, and moves a few cells with each change from the old array into the new one.
 *
 * Invariants: linear probing without tombstones in `cells` (deletion shifts the run back); while the table is resized
 * a value lies in `cells` or in `old`, never in both; the move ends before `cells` can fill up.
 */
interface Cells {
  readonly words: Uint32Array;
  readonly mask: number;
}

/** Asked of values in the table only; the answer stays as long as they are there. */
type KeyOf = (value: number) => number;

export interface IdTable {
  readonly keyOf: KeyOf;
  cells: Cells;
  old: Cells | undefined;
  /** Cells of `old` below this have been moved. */
  moved: number;
  size: number;
}

const CAPACITY_MIN = 64;
const MOVED_PER_CHANGE = 16;

const FREE = 0;
/** In `old` only: a value that was deleted or moved; probing goes on behind it. */
const GONE = 1;
const HASH_MIN = 2;

export function createIdTable(keyOf: KeyOf): IdTable {
  return { keyOf, cells: createCells(CAPACITY_MIN), old: undefined, moved: 0, size: 0 };
}

/** The value of `key`, or -1. */
export function lookUp({ keyOf, cells, old }: IdTable, key: number): number {
  const hash = hashOf(key);
  const at = find(keyOf, cells, key, hash);
  if (at >= 0) return cells.words[2 * at + 1];
  if (old === undefined) return -1;
  const oldAt = find(keyOf, old, key, hash);
  return oldAt >= 0 ? old.words[2 * oldAt + 1] : -1;
}

/** Adds a key that is not there. */
export function add(table: IdTable, key: number, value: number): void {
  const capacity = table.cells.mask + 1;
  if (table.old === undefined && (table.size + 1) * 4 > capacity * 3) resize(table, capacity * 2);
  place(table.cells, hashOf(key), value);
  table.size += 1;
  moveSome(table);
}

/** Removes a key that is there. */
export function remove(table: IdTable, key: number): void {
  const { keyOf, cells, old } = table;
  const hash = hashOf(key);
  const at = find(keyOf, cells, key, hash);
  if (at >= 0) shiftBack(cells, at);
  else if (old !== undefined) old.words[2 * find(keyOf, old, key, hash)] = GONE;
  table.size -= 1;
  moveSome(table);
  const capacity = table.cells.mask + 1;
  if (table.old === undefined && capacity > CAPACITY_MIN && table.size * 8 < capacity) resize(table, capacity / 2);
}

/** Calls `visit` for every value, in no order. The table must not change meanwhile. */
export function eachValue(table: IdTable, visit: (value: number) => void): void {
  for (const cells of [table.cells, table.old]) {
    if (cells === undefined) continue;
    const { words } = cells;
    for (let at = 0; at < words.length; at += 2) if (words[at] >= HASH_MIN) visit(words[at + 1]);
  }
}

function createCells(capacity: number): Cells {
  return { words: new Uint32Array(2 * capacity), mask: capacity - 1 };
}

/**
 * Its low bits are the home of the key. Both halves of the number count: groups are often dense, or hold a shard in
 * their high bits. The homes of eight dense keys are one cache line, so that one in eight waits for memory.
 */
function hashOf(key: number): number {
  const high = Math.floor(key / 4294967296);
  let hash = Math.imul(((key >>> 3) | (high << 29)) ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  hash = (((hash ^ (hash >>> 16)) << 3) | (key & 7)) >>> 0;
  return hash < HASH_MIN ? hash + HASH_MIN : hash;
}

function find(keyOf: KeyOf, { words, mask }: Cells, key: number, hash: number): number {
  for (let at = hash & mask; words[2 * at] !== FREE; at = (at + 1) & mask) {
    if (words[2 * at] === hash && keyOf(words[2 * at + 1]) === key) return at;
  }
  return -1;
}

function place({ words, mask }: Cells, hash: number, value: number): void {
  let at = hash & mask;
  while (words[2 * at] !== FREE) at = (at + 1) & mask;
  words[2 * at] = hash;
  words[2 * at + 1] = value;
}

/** Closes the gap: a later value of the run moves into it unless that would put it before its home. */
function shiftBack({ words, mask }: Cells, gapAt: number): void {
  let gap = gapAt;
  for (let at = (gap + 1) & mask; words[2 * at] !== FREE; at = (at + 1) & mask) {
    const distance = (at - words[2 * at]) & mask;
    if (distance < ((at - gap) & mask)) continue;
    words[2 * gap] = words[2 * at];
    words[2 * gap + 1] = words[2 * at + 1];
    gap = at;
  }
  words[2 * gap] = FREE;
}

function resize(table: IdTable, capacity: number): void {
  table.old = table.cells;
  table.cells = createCells(capacity);
  table.moved = 0;
}

function moveSome(table: IdTable): void {
  const { old } = table;
  if (old === undefined) return;
  const { words, mask } = old;
  const end = Math.min(table.moved + MOVED_PER_CHANGE, mask + 1);
  for (let at = table.moved; at < end; at += 1) {
    const hash = words[2 * at];
    if (hash >= HASH_MIN) place(table.cells, hash, words[2 * at + 1]);
    if (hash !== FREE) words[2 * at] = GONE;
  }
  table.moved = end;
  if (end === mask + 1) table.old = undefined;
}
