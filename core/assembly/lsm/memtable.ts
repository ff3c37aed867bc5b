/**
 * A memtable: keys in order, each with its versions, newest first, in an arena that is freed as a whole.
 *
 *     entry     | newest version u32 | key size u8 | key | pad to 4 |        one per key, never moved or removed
 *     version   | older version u32 | room u16 | size u16 | stamp u64 | value ....... |
 *     stamp     LSN << 1, plus 1 for a deletion
 *
 *     table     | arena ... | keys | versions | root | height | first leaf | last leaf | changes |
 *
 * A put replaces the newest version of its key when that one's LSN is above `keepLsn`, the highest LSN that a snapshot
 * holds: in its place when the new value fits into its room, else by a new version in its stead. Puts may come with any
 * LSN; the same one again replaces, and one below the newest that no snapshot can see is not stored at all.
 *
 * Invariants: versions of a key are in strictly descending order of LSNs; a put that finds no memory changes nothing.
 */
import { allocPiece, ARENA_FIELDS, createArena, reserve } from './arena';
import { copyBytes } from './bytes';
import {
  childOf,
  entryAt,
  ELSEWHERE,
  FANOUT,
  GAP,
  initNode,
  initRoot,
  INNER_SIZE,
  insertAt,
  keyOf,
  keySizeOf,
  LEAF_SIZE,
  lowerBound,
  matched,
  NEXT_ENTRY,
  nodeCount,
  placeBehind,
  splitInner,
  splitLeaf,
} from './nodes';

const CHUNK_CLASS: u32 = 2;
const KEYS: usize = ARENA_FIELDS;
const VERSIONS: usize = ARENA_FIELDS + 4;
const ROOT: usize = ARENA_FIELDS + 8;
/** Levels of inner nodes above the leaves. */
const HEIGHT: usize = ARENA_FIELDS + 12;
const FIRST_LEAF: usize = ARENA_FIELDS + 16;
const LAST_LEAF: usize = ARENA_FIELDS + 20;
/** Counts what a cursor must not miss. */
const CHANGES: usize = ARENA_FIELDS + 24;
const TABLE_SIZE: u32 = 64;

const NEWEST: usize = 0;
const ENTRY_KEY_SIZE: usize = 4;
const ENTRY_HEAD: u32 = 5;

const OLDER: usize = 0;
const ROOM: usize = 4;
const SIZE: usize = 6;
const STAMP: usize = 8;
const VERSION_HEAD: u32 = 16;

/** Nodes from the root down to a leaf; no table that fits into memory is higher. */
const PATH: usize = memory.data(12 * 4, 4);

export const PUT: u32 = 1;
export const DELETE: u32 = 2;

// ---- what cursors and searches read

export function newestOf(entry: usize): usize {
  return load<usize>(entry, NEWEST);
}

export function olderOf(version: usize): usize {
  return load<usize>(version, OLDER);
}

export function stampOf(version: usize): u64 {
  return load<u64>(version, STAMP);
}

export function valueOf(version: usize): usize {
  return version + VERSION_HEAD;
}

export function valueSizeOf(version: usize): u32 {
  return load<u16>(version, SIZE);
}

export function firstLeaf(table: usize): usize {
  return load<usize>(table, FIRST_LEAF);
}

export function lastLeaf(table: usize): usize {
  return load<usize>(table, LAST_LEAF);
}

export function changesOf(table: usize): u32 {
  return load<u32>(table, CHANGES);
}

/** The leaf in which a key is, or would be. */
export function leafOf(table: usize, key: usize, keyLen: u32): usize {
  let node = load<usize>(table, ROOT);
  for (let level = load<u32>(table, HEIGHT); level > 0; level--) node = childOf(node, key, keyLen);
  return node;
}

/** The newest version of an entry whose LSN is at most `lsn`, or 0. */
export function versionAt(entry: usize, lsn: u64): usize {
  let version = newestOf(entry);
  while (version != 0 && stampOf(version) >> 1 > lsn) version = olderOf(version);
  return version;
}

/** The version of a key that `lsn` sees, or 0. */
export function findVersion(table: usize, key: usize, keyLen: u32, lsn: u64): usize {
  const leaf = leafOf(table, key, keyLen);
  const i = lowerBound(leaf, key, keyLen);
  return matched ? versionAt(entryAt(leaf, i), lsn) : 0;
}

// ---- keys in order

/** Where the key stands that was met last, 0 when there is none. */
let metLeaf: usize = 0;
let metAt: u32 = 0;

/** The next key follows no other. Whoever puts, or finds by `findNext`, begins a table with this. */
export function beginKeys(): void {
  metLeaf = 0;
}

/** Where a key belongs, seen from the one that was met last: rows of a put mostly stand in order. */
function fromMet(key: usize, keyLen: u32): u32 {
  return metLeaf == 0 ? ELSEWHERE : placeBehind(metLeaf, metAt, key, keyLen);
}

/** The newest version of a key, or 0. */
export function findNext(table: usize, key: usize, keyLen: u32): usize {
  if (fromMet(key, keyLen) == NEXT_ENTRY) {
    metAt++;
    return newestOf(entryAt(metLeaf, metAt));
  }
  const leaf = leafOf(table, key, keyLen);
  const i = lowerBound(leaf, key, keyLen);
  metLeaf = matched ? leaf : 0;
  metAt = i;
  return matched ? newestOf(entryAt(leaf, i)) : 0;
}

// ---- making

/** An empty memtable, or 0. */
export function memtable_create(): usize {
  const table = createArena(CHUNK_CLASS, TABLE_SIZE);
  if (table == 0) return 0;
  // The first chunk has room for it.
  const leaf = allocPiece(table, LEAF_SIZE);
  initNode(leaf, 0);
  store<usize>(table, leaf, ROOT);
  store<usize>(table, leaf, FIRST_LEAF);
  store<usize>(table, leaf, LAST_LEAF);
  return table;
}

function count(table: usize, field: usize): void {
  store<u32>(table + field, load<u32>(table + field) + 1);
}

function fillVersion(version: usize, stamp: u64, value: usize, size: u32): void {
  store<u16>(version, size, SIZE);
  store<u64>(version, stamp, STAMP);
  copyBytes(version + VERSION_HEAD, value, size);
}

/** A version with room for the value, at a place that has it. */
function initVersion(version: usize, older: usize, stamp: u64, value: usize, size: u32): void {
  store<usize>(version, older, OLDER);
  store<u16>(version, (size + 3) & ~3, ROOM);
  fillVersion(version, stamp, value, size);
}

/** Puts a version in the stead of the one that `link` leads to; false without memory. */
function replace(table: usize, link: usize, stamp: u64, value: usize, size: u32): bool {
  const version = load<usize>(link);
  if (size <= load<u16>(version, ROOM)) {
    fillVersion(version, stamp, value, size);
    return true;
  }
  const fresh = allocPiece(table, VERSION_HEAD + size);
  if (fresh == 0) return false;
  initVersion(fresh, olderOf(version), stamp, value, size);
  store<usize>(link, fresh);
  return true;
}

/** Puts a version before the one that `link` leads to; false without memory. */
function insertVersion(table: usize, link: usize, stamp: u64, value: usize, size: u32): bool {
  const fresh = allocPiece(table, VERSION_HEAD + size);
  if (fresh == 0) return false;
  initVersion(fresh, load<usize>(link), stamp, value, size);
  store<usize>(link, fresh);
  count(table, VERSIONS);
  return true;
}

/** Gives an entry that exists one more version; false without memory. */
function addVersion(table: usize, entry: usize, stamp: u64, value: usize, size: u32, keepLsn: u64): bool {
  const lsn = stamp >> 1;
  let link = entry + NEWEST;
  const newest = stampOf(load<usize>(link)) >> 1;
  if (lsn >= newest) {
    const replaces = newest > keepLsn || lsn == newest;
    return replaces ? replace(table, link, stamp, value, size) : insertVersion(table, link, stamp, value, size);
  }
  if (lsn > keepLsn) return true;
  let version = load<usize>(link);
  while (version != 0 && stampOf(version) >> 1 > lsn) {
    link = version + OLDER;
    version = load<usize>(link);
  }
  if (version != 0 && stampOf(version) >> 1 == lsn) return replace(table, link, stamp, value, size);
  return insertVersion(table, link, stamp, value, size);
}

/** What an entry with one version takes of the arena. */
function entrySize(keyLen: u32, size: u32): u32 {
  return (((ENTRY_HEAD + keyLen + 3) & ~3) + VERSION_HEAD + size + 7) & ~7;
}

/** A new entry with one version, or 0. */
function createEntry(table: usize, key: usize, keyLen: u32, stamp: u64, value: usize, size: u32): usize {
  const head = (ENTRY_HEAD + keyLen + 3) & ~3;
  const entry = allocPiece(table, entrySize(keyLen, size));
  if (entry == 0) return 0;
  store<usize>(entry, entry + head, NEWEST);
  store<u8>(entry, keyLen, ENTRY_KEY_SIZE);
  copyBytes(entry + ENTRY_HEAD, key, keyLen);
  initVersion(entry + head, 0, stamp, value, size);
  return entry;
}

/** What the nodes take that a split of the leaf at the end of PATH makes. */
function splitSize(height: u32): u32 {
  let size = LEAF_SIZE;
  let depth = height;
  while (depth > 0 && nodeCount(load<usize>(PATH + ((<usize>(depth - 1)) << 2))) == FANOUT) {
    size += INNER_SIZE;
    depth--;
  }
  return depth == 0 ? size + INNER_SIZE : size;
}

/** Splits the full leaf at the end of PATH, and the nodes above it as far as they are full, and inserts the entry. */
function insertSplitting(table: usize, height: u32, entry: usize, i: u32): void {
  const leaf = load<usize>(PATH + ((<usize>height) << 2));
  // Keys that come in order leave full leaves behind.
  const from: u32 = i == FANOUT ? FANOUT : FANOUT / 2;
  const right = allocPiece(table, LEAF_SIZE);
  splitLeaf(leaf, right, from);
  if (lastLeaf(table) == leaf) store<usize>(table, right, LAST_LEAF);
  const isRight = i > from || from == FANOUT;
  metLeaf = isRight ? right : leaf;
  metAt = isRight ? i - from : i;
  insertAt(metLeaf, metAt, entry, 0);
  addSeparator(table, height, entryAt(right, 0), right);
}

/** Adds a node and its separator to the inner nodes of PATH above level `depth`. */
function addSeparator(table: usize, depth: u32, entry: usize, child: usize): void {
  while (depth > 0) {
    depth--;
    const node = load<usize>(PATH + ((<usize>depth) << 2));
    const i = lowerBound(node, keyOf(entry), keySizeOf(entry));
    if (nodeCount(node) < FANOUT) {
      insertAt(node, i, entry, child);
      return;
    }
    const middle: u32 = i == FANOUT ? FANOUT - 2 : FANOUT / 2;
    const right = allocPiece(table, INNER_SIZE);
    const raised = splitInner(node, right, middle);
    if (i > middle) insertAt(right, i - middle - 1, entry, child);
    else insertAt(node, i, entry, child);
    entry = raised;
    child = right;
  }
  const root = allocPiece(table, INNER_SIZE);
  const height = load<u32>(table, HEIGHT) + 1;
  initRoot(root, height, load<usize>(table, ROOT));
  insertAt(root, 0, entry, child);
  store<usize>(table, root, ROOT);
  store<u32>(table, height, HEIGHT);
}

/** Writes one version of a key; false without memory, and then nothing has changed. */
export function put(table: usize, key: usize, keyLen: u32, stamp: u64, value: usize, size: u32, keepLsn: u64): bool {
  const place = fromMet(key, keyLen);
  let isDone = false;
  if (place == NEXT_ENTRY) {
    metAt++;
    isDone = addVersion(table, entryAt(metLeaf, metAt), stamp, value, size, keepLsn);
  } else if (place == GAP && nodeCount(metLeaf) < FANOUT) {
    isDone = insertEntry(table, metLeaf, metAt + 1, createEntry(table, key, keyLen, stamp, value, size));
  } else {
    isDone = putFromRoot(table, key, keyLen, stamp, value, size, keepLsn);
  }
  if (isDone) count(table, CHANGES);
  return isDone;
}

/** Inserts a new entry, 0 for none, into a leaf that has room. */
function insertEntry(table: usize, leaf: usize, i: u32, entry: usize): bool {
  if (entry == 0) return false;
  insertAt(leaf, i, entry, 0);
  metLeaf = leaf;
  metAt = i;
  countKey(table);
  return true;
}

function countKey(table: usize): void {
  count(table, KEYS);
  count(table, VERSIONS);
}

function putFromRoot(table: usize, key: usize, keyLen: u32, stamp: u64, value: usize, size: u32, keepLsn: u64): bool {
  const height = load<u32>(table, HEIGHT);
  let node = load<usize>(table, ROOT);
  for (let depth: u32 = 0; depth < height; depth++) {
    store<usize>(PATH + ((<usize>depth) << 2), node);
    node = childOf(node, key, keyLen);
  }
  store<usize>(PATH + ((<usize>height) << 2), node);
  const i = lowerBound(node, key, keyLen);
  if (matched) {
    metLeaf = node;
    metAt = i;
    return addVersion(table, entryAt(node, i), stamp, value, size, keepLsn);
  }
  if (nodeCount(node) < FANOUT) {
    return insertEntry(table, node, i, createEntry(table, key, keyLen, stamp, value, size));
  }
  // All at once, so that a split cannot fail half-way.
  if (!reserve(table, entrySize(keyLen, size) + splitSize(height))) return false;
  insertSplitting(table, height, createEntry(table, key, keyLen, stamp, value, size), i);
  countKey(table);
  return true;
}
