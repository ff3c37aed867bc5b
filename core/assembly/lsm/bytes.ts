/**
 * Keys as bytes: order, common prefix, and the 8 bytes of a key as one number, so that most compares are one compare.
 *
 *     key        70 61 72 74 00 00 00 01 | 2a             order: byte by byte, a prefix before what it is a prefix of
 *     head at 5  00 00 01 2a -- -- -- --                  big-endian, zeros behind the end
 *
 * Invariants: reading a key may touch up to 7 bytes behind it, so no key ends less than 8 bytes before the end of
 * memory; copying in words may overwrite up to 7 bytes behind the copy, which every target has room for.
 */

/** The key's 8 bytes from `at` on, of which `rest` belong to the key (none when it is 0 or less). */
export function headOf(at: usize, rest: i32): u64 {
  if (rest <= 0) return 0;
  const head = bswap<u64>(load<u64>(at));
  if (rest >= 8) return head;
  const missingBits: u64 = (8 - rest) * 8;
  return head & (u64.MAX_VALUE << missingBits);
}

/** Less than, equal to or above 0 as a is before, at or behind b. */
export function compareKeys(a: usize, aLen: u32, b: usize, bLen: u32): i32 {
  const common = min<u32>(aLen, bLen);
  let i: u32 = 0;
  for (; i + 8 <= common; i += 8) {
    const left = load<u64>(a + i);
    const right = load<u64>(b + i);
    if (left != right) return byteOrder(left, right);
  }
  if (i < common) {
    const mask = lowBytes(common - i);
    const left = load<u64>(a + i) & mask;
    const right = load<u64>(b + i) & mask;
    if (left != right) return byteOrder(left, right);
  }
  return <i32>aLen - <i32>bLen;
}

/** A word whose `count` < 8 lowest bytes are all ones. */
export function lowBytes(count: u32): u64 {
  return ((<u64>1) << (count << 3)) - 1;
}

/** The order of the first bytes in which two little-endian words differ. */
export function byteOrder(left: u64, right: u64): i32 {
  const shift = ctz<u64>(left ^ right) & 56;
  return <i32>((left >> shift) & 255) - <i32>((right >> shift) & 255);
}

/** How many bytes two keys have in common from their start, at most `limit`. */
export function commonPrefix(a: usize, b: usize, limit: u32): u32 {
  for (let i: u32 = 0; i < limit; i += 8) {
    const difference = load<u64>(a + i) ^ load<u64>(b + i);
    if (difference != 0) return min<u32>(limit, i + <u32>(ctz<u64>(difference) >> 3));
  }
  return limit;
}

/** Copies in words, forward; the target has room for up to 7 bytes more. */
export function copyWords(to: usize, from: usize, size: u32): void {
  for (let i: u32 = 0; i < size; i += 8) store<u64>(to + i, load<u64>(from + i));
}

/** Copies exactly `size` bytes between places that do not overlap; short ones without a call out of WASM. */
export function copyBytes(to: usize, from: usize, size: u32): void {
  if (size > 64) {
    memory.copy(to, from, size);
    return;
  }
  if (size < 8) {
    for (let i: u32 = 0; i < size; i++) store<u8>(to + i, load<u8>(from + i));
    return;
  }
  // The last word overlaps the one before it, which spares a loop over the bytes that are left.
  const last = size - 8;
  for (let i: u32 = 0; i < last; i += 8) store<u64>(to + i, load<u64>(from + i));
  store<u64>(to + last, load<u64>(from + last));
}

/** Writes a varint (7 bits a byte, lowest first) and returns where it ends. */
export function writeVarint(at: usize, value: u64): usize {
  while (value >= 128) {
    store<u8>(at++, <u8>(value | 128));
    value >>= 7;
  }
  store<u8>(at, <u8>value);
  return at + 1;
}
