/**
 * Sorts keys by their bytes: a merge sort of their numbers by heads (the 8 bytes behind what all keys have in common),
 * which looks at the keys themselves only when heads are equal. Keys that come in order cost one pass.
 *
 *     addresses   u32 per key -> | key size u8 | key |
 *     order       u32: numbers of keys, before and after     heads, spare   room for 8 and 4 bytes per key
 */
import { commonPrefix, compareKeys, headOf } from './bytes';

function addressOf(addresses: usize, i: u32): usize {
  return load<usize>(addresses + ((<usize>i) << 2));
}

/** Whether key i comes behind key j. */
function isBehind(addresses: usize, heads: usize, i: u32, j: u32): bool {
  const left = load<u64>(heads + ((<usize>i) << 3));
  const right = load<u64>(heads + ((<usize>j) << 3));
  if (left != right) return left > right;
  const a = addressOf(addresses, i);
  const b = addressOf(addresses, j);
  return compareKeys(a + 1, load<u8>(a), b + 1, load<u8>(b)) > 0;
}

function makeHeads(addresses: usize, n: u32, heads: usize): void {
  const first = addressOf(addresses, 0);
  let shared: u32 = load<u8>(first);
  for (let i: u32 = 1; i < n; i++) {
    const key = addressOf(addresses, i);
    shared = commonPrefix(first + 1, key + 1, min<u32>(shared, load<u8>(key)));
  }
  for (let i: u32 = 0; i < n; i++) {
    const key = addressOf(addresses, i);
    store<u64>(heads + ((<usize>i) << 3), headOf(key + 1 + shared, <i32>load<u8>(key) - <i32>shared));
  }
}

function isSorted(addresses: usize, heads: usize, n: u32): bool {
  for (let i: u32 = 1; i < n; i++) {
    if (isBehind(addresses, heads, i - 1, i)) return false;
  }
  return true;
}

/** Merges the sorted runs [from, middle) and [middle, to) of one array into another. */
function mergeRuns(
  addresses: usize,
  heads: usize,
  source: usize,
  target: usize,
  from: u32,
  middle: u32,
  to: u32,
): void {
  let left = from;
  let right = middle;
  for (let i = from; i < to; i++) {
    const atLeft = load<u32>(source + ((<usize>left) << 2));
    const atRight = load<u32>(source + ((<usize>right) << 2));
    const takeRight = left == middle || (right < to && isBehind(addresses, heads, atLeft, atRight));
    store<u32>(target + ((<usize>i) << 2), takeRight ? atRight : atLeft);
    if (takeRight) right++;
    else left++;
  }
}

/** Puts the numbers 0 ... n - 1 in `order` into the order of their keys. */
export function sortKeys(addresses: usize, n: u32, order: usize, heads: usize, spare: usize): void {
  if (n < 2) return;
  makeHeads(addresses, n, heads);
  if (isSorted(addresses, heads, n)) return;
  let source = order;
  let target = spare;
  for (let width: u32 = 1; width < n; width <<= 1) {
    for (let from: u32 = 0; from < n; from += width << 1) {
      const middle = min<u32>(from + width, n);
      mergeRuns(addresses, heads, source, target, from, middle, min<u32>(middle + width, n));
    }
    const swap = source;
    source = target;
    target = swap;
  }
  if (source != order) memory.copy(order, source, (<usize>n) << 2);
}
