/**
 * Nodes of a memtable: a B+tree over entries (see memtable.ts) that never move and are never removed.
 *
 *     node    | count u16 | level u8 | shared u8 | next u32 | before u32 | low child u32 | prefix 24 B |
 *             | heads u64 x FANOUT | entries u32 x FANOUT | children u32 x FANOUT, inner nodes only |
 *
 * heads    the 8 bytes behind the first `shared` ones of each entry's key: a search compares these numbers, and touches
 *          an entry only when they are equal
 * prefix   the `shared` bytes that all keys of the node have in common, at most 24
 * low      the child for keys before entry 0; child i is for keys from entry i on
 * next, before   the leaves in order
 *
 * Invariants: entries of a node are in order of their keys; a separator of an inner node is the first entry of the leaf
 * to its right, for ever; `shared` is right for every key in the node, and what a split can learn it does learn.
 */
import { byteOrder, commonPrefix, compareKeys, copyWords, headOf, lowBytes } from './bytes';

export const FANOUT: u32 = 64;
const PREFIX_SIZE_MAX: u32 = 24;

const COUNT: usize = 0;
const LEVEL: usize = 2;
const SHARED: usize = 3;
const NEXT: usize = 4;
const BEFORE: usize = 8;
const LOW: usize = 12;
const PREFIX: usize = 16;
const HEADS: usize = 40;
const ENTRIES: usize = HEADS + FANOUT * 8;
const CHILDREN: usize = ENTRIES + FANOUT * 4;
export const LEAF_SIZE: u32 = <u32>CHILDREN;
export const INNER_SIZE: u32 = <u32>CHILDREN + FANOUT * 4;

/** Of an entry: its key is a size byte and the bytes behind its first word. */
const ENTRY_KEY_SIZE: usize = 4;
const ENTRY_KEY: usize = 5;

/** Whether the last `lowerBound` met the key itself. */
export let matched: bool = false;

export function nodeCount(node: usize): u32 {
  return load<u16>(node, COUNT);
}

export function nextLeaf(leaf: usize): usize {
  return load<usize>(leaf, NEXT);
}

export function leafBefore(leaf: usize): usize {
  return load<usize>(leaf, BEFORE);
}

export function entryAt(node: usize, i: u32): usize {
  return load<usize>(node + ((<usize>i) << 2), ENTRIES);
}

export function keySizeOf(entry: usize): u32 {
  return load<u8>(entry, ENTRY_KEY_SIZE);
}

export function keyOf(entry: usize): usize {
  return entry + ENTRY_KEY;
}

function headAt(node: usize, i: u32): usize {
  return node + HEADS + ((<usize>i) << 3);
}

/** Makes an empty node at an address. */
export function initNode(node: usize, level: u32): void {
  memory.fill(node, 0, <u32>HEADS);
  store<u8>(node, level, LEVEL);
}

/** An inner node whose only child is `low`. */
export function initRoot(node: usize, level: u32, low: usize): void {
  initNode(node, level);
  store<usize>(node, low, LOW);
}

/** The order of a key against the bytes that all keys of the node begin with. */
function prefixOrder(node: usize, key: usize, keyLen: u32): i32 {
  const shared: u32 = load<u8>(node, SHARED);
  const common = min<u32>(shared, keyLen);
  for (let i: u32 = 0; i < common; i += 8) {
    const rest = common - i;
    const mask = rest >= 8 ? u64.MAX_VALUE : lowBytes(rest);
    const left = load<u64>(key + i) & mask;
    const right = load<u64>(node + i, PREFIX) & mask;
    if (left != right) return byteOrder(left, right);
  }
  return keyLen < shared ? -1 : 0;
}

/** How many entries of the node come before the key. Sets `matched`. */
export function lowerBound(node: usize, key: usize, keyLen: u32): u32 {
  matched = false;
  const count = nodeCount(node);
  const order = prefixOrder(node, key, keyLen);
  if (order != 0) return order < 0 ? 0 : count;
  const shared: u32 = load<u8>(node, SHARED);
  const head = headOf(key + shared, <i32>keyLen - <i32>shared);
  // No branch depends on a head, since no predictor could know it.
  let base: usize = 0;
  for (let n = <usize>count; n > 1;) {
    const half = n >> 1;
    base += half & (0 - <usize>(load<u64>(node + ((base + half) << 3), HEADS - 8) < head));
    n -= half;
  }
  let i = <u32>base;
  if (i < count && load<u64>(headAt(node, i)) < head) i++;
  for (; i < count && load<u64>(headAt(node, i)) == head; i++) {
    const entry = entryAt(node, i);
    const order = compareKeys(keyOf(entry), keySizeOf(entry), key, keyLen);
    if (order >= 0) {
      matched = order == 0;
      break;
    }
  }
  return i;
}

/** Where a key may stand that is looked for behind entry i of a leaf: elsewhere, in the next entry, or before that. */
export const ELSEWHERE: u32 = 0;
export const NEXT_ENTRY: u32 = 1;
export const GAP: u32 = 2;

/** One of these: ELSEWHERE also when the heads of the neighbours do not tell. */
export function placeBehind(leaf: usize, i: u32, key: usize, keyLen: u32): u32 {
  if (prefixOrder(leaf, key, keyLen) != 0) return ELSEWHERE;
  const shared: u32 = load<u8>(leaf, SHARED);
  const head = headOf(key + shared, <i32>keyLen - <i32>shared);
  const isAbove = load<u64>(headAt(leaf, i)) < head;
  const next = i + 1;
  if (next == nodeCount(leaf)) return isAbove && nextLeaf(leaf) == 0 ? GAP : ELSEWHERE;
  const nextHead = load<u64>(headAt(leaf, next));
  if (head < nextHead) return isAbove ? GAP : ELSEWHERE;
  if (head > nextHead) return ELSEWHERE;
  const entry = entryAt(leaf, next);
  return compareKeys(keyOf(entry), keySizeOf(entry), key, keyLen) == 0 ? NEXT_ENTRY : ELSEWHERE;
}

/** The child of an inner node to go on with: the one behind the last entry that is not behind the key. */
export function childOf(node: usize, key: usize, keyLen: u32): usize {
  const i = lowerBound(node, key, keyLen) + <u32>matched;
  return i == 0 ? load<usize>(node, LOW) : load<usize>(node + ((<usize>i) << 2), CHILDREN - 4);
}

/** Takes `shared` bytes of the first key as the prefix of the node and makes its heads anew. */
function rebase(node: usize, shared: u32): void {
  const first = entryAt(node, 0);
  copyWords(node + PREFIX, keyOf(first), shared);
  store<u8>(node, shared, SHARED);
  const count = nodeCount(node);
  for (let i: u32 = 0; i < count; i++) {
    const entry = entryAt(node, i);
    store<u64>(headAt(node, i), headOf(keyOf(entry) + shared, <i32>keySizeOf(entry) - <i32>shared));
  }
}

/** Makes the prefix as long as the keys of the node allow. */
function learnPrefix(node: usize): void {
  const first = entryAt(node, 0);
  const last = entryAt(node, nodeCount(node) - 1);
  const limit = min<u32>(PREFIX_SIZE_MAX, min<u32>(keySizeOf(first), keySizeOf(last)));
  const shared = commonPrefix(keyOf(first), keyOf(last), limit);
  if (shared != load<u8>(node, SHARED)) rebase(node, shared);
}

/** Makes room for element i of an array of `count` elements of 8 bytes. */
function openGap8(array: usize, i: u32, count: u32): void {
  let at = array + ((<usize>count) << 3);
  const end = array + ((<usize>i) << 3);
  for (; at >= end + 16; at -= 16) v128.store(at - 8, v128.load(at - 16));
  if (at > end) store<u64>(at, load<u64>(at - 8));
}

/** The same for elements of 4 bytes. */
function openGap4(array: usize, i: u32, count: u32): void {
  let at = array + ((<usize>count) << 2);
  const end = array + ((<usize>i) << 2);
  for (; at >= end + 16; at -= 16) v128.store(at - 12, v128.load(at - 16));
  for (; at > end; at -= 4) store<u32>(at, load<u32>(at - 4));
}

/** Inserts an entry (and its child in an inner node) at place i of a node that is not full. */
export function insertAt(node: usize, i: u32, entry: usize, child: usize): void {
  const count = nodeCount(node);
  const keyLen = keySizeOf(entry);
  let shared: u32 = load<u8>(node, SHARED);
  if (count == 0) {
    shared = min<u32>(PREFIX_SIZE_MAX, keyLen);
    copyWords(node + PREFIX, keyOf(entry), shared);
    store<u8>(node, shared, SHARED);
  } else {
    const common = commonPrefix(node + PREFIX, keyOf(entry), min<u32>(shared, keyLen));
    if (common < shared) rebase(node, (shared = common));
  }
  openGap8(node + HEADS, i, count);
  store<u64>(headAt(node, i), headOf(keyOf(entry) + shared, <i32>keyLen - <i32>shared));
  openGap4(node + ENTRIES, i, count);
  store<usize>(node + ((<usize>i) << 2), entry, ENTRIES);
  if (child != 0) {
    openGap4(node + CHILDREN, i, count);
    store<usize>(node + ((<usize>i) << 2), child, CHILDREN);
  }
  store<u16>(node, count + 1, COUNT);
}

/** Links an empty leaf behind another. */
function linkLeaf(leaf: usize, right: usize): void {
  const next = nextLeaf(leaf);
  store<usize>(right, next, NEXT);
  store<usize>(right, leaf, BEFORE);
  store<usize>(leaf, right, NEXT);
  if (next != 0) store<usize>(next, right, BEFORE);
}

/** Moves the entries from place `from` on of a leaf to the empty leaf `right`; all stay when keys come in order. */
export function splitLeaf(leaf: usize, right: usize, from: u32): void {
  initNode(right, 0);
  linkLeaf(leaf, right);
  const moved = nodeCount(leaf) - from;
  if (moved == 0) return;
  moveUpper(leaf, right, from, moved);
  store<u16>(leaf, from, COUNT);
  learnPrefix(leaf);
  learnPrefix(right);
}

/** Moves what is behind entry `middle` of an inner node to the node `right`; returns that entry, which goes up. */
export function splitInner(node: usize, right: usize, middle: u32): usize {
  const entry = entryAt(node, middle);
  const moved = nodeCount(node) - middle - 1;
  initRoot(right, load<u8>(node, LEVEL), load<usize>(node + ((<usize>middle) << 2), CHILDREN));
  moveUpper(node, right, middle + 1, moved);
  memory.copy(right + CHILDREN, node + CHILDREN + ((<usize>middle + 1) << 2), (<usize>moved) << 2);
  store<u16>(node, middle, COUNT);
  learnPrefix(node);
  learnPrefix(right);
  return entry;
}

function moveUpper(node: usize, right: usize, from: u32, moved: u32): void {
  memory.copy(right + HEADS, headAt(node, from), (<usize>moved) << 3);
  memory.copy(right + ENTRIES, node + ENTRIES + ((<usize>from) << 2), (<usize>moved) << 2);
  memory.copy(right + PREFIX, node + PREFIX, PREFIX_SIZE_MAX);
  store<u8>(right, load<u8>(node, SHARED), SHARED);
  store<u16>(right, moved, COUNT);
}
