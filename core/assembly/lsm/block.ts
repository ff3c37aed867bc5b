/**
 * Blocks of an SST: entries in order, prefix-compressed, in groups of 16. Index blocks have the same form. This is a
 * format on disk; its grammar, with varints of 7 bits a byte, lowest first, and integers little-endian:
 *
 *     block     entry+ | restart u16 x groups | entry count u16 | group count u16 | base LSN u64 |
 *     entry     | shared | unshared | stamp | value shared | value unshared | key bytes | value bytes |     a put
 *               | shared | unshared | stamp | key bytes |                                                   a deletion
 *
 * shared          bytes that the key has in common with the key before it; the `unshared` bytes that follow are stored
 * stamp           zigzag(LSN - LSN of the entry before) << 1, plus 1 for a deletion
 * value shared    bytes that the value has in common with the value of the entry before it, so a repeated batch number
 *                 costs nothing; the `value unshared` bytes that follow are stored
 * restart         where a group begins: every 16th entry, whose `shared` and `value shared` are 0, and whose stamp
 *                 counts from the base LSN (the LSN of the first entry)
 * index entry     key and LSN: lower bound of what it covers; value: three varints of the tree, u32 each
 *
 * Invariants: entries are in order: key ascending as bytes, LSN descending, no two alike; keys have at most 255 bytes,
 * values 8 KiB; only values up to 255 bytes share. Readers here stay inside the block whatever its bytes are.
 */

export const GROUP_ENTRIES: u32 = 16;
/** Entry count, group count and base LSN. */
export const TRAILER_SIZE: u32 = 12;
export const KEY_SIZE_MAX: u32 = 255;
export const VALUE_SIZE_MAX: u32 = 8192;
/** The longest value that shares bytes with another, and that others share bytes with. */
export const SHARING_SIZE_MAX: u32 = 255;
export const LSN_MAX: u64 = 9007199254740991;

/** A search or check met bytes that are no block. */
export const DAMAGED: i32 = -1;

// ---- the block that was opened last

/** Where entries end, which is where restarts begin. */
export let entriesEnd: usize = 0;
export let entryCount: u32 = 0;
export let groupCount: u32 = 0;
export let baseLsn: u64 = 0;

/** Reads the trailer; false when it cannot be one of `size` bytes. */
export function openBlock(block: usize, size: u32): bool {
  if (size < TRAILER_SIZE || size > 65535) return false;
  const trailer = block + size - TRAILER_SIZE;
  entryCount = load<u16>(trailer);
  groupCount = load<u16>(trailer, 2);
  baseLsn = load<u64>(trailer, 4);
  if (baseLsn > LSN_MAX || entryCount == 0 || groupCount != (entryCount + GROUP_ENTRIES - 1) / GROUP_ENTRIES) {
    return false;
  }
  if (size < TRAILER_SIZE + 2 * groupCount) return false;
  entriesEnd = trailer - 2 * groupCount;
  return true;
}

/** Where a group of the open block begins, 0 when its restart lies outside the entries. */
export function groupStart(block: usize, group: u32): usize {
  const start = block + load<u16>(entriesEnd + ((<usize>group) << 1));
  return start < entriesEnd ? start : 0;
}

/** How many entries a group of the open block has. */
export function groupEntries(group: u32): u32 {
  return min<u32>(GROUP_ENTRIES, entryCount - group * GROUP_ENTRIES);
}

// ---- the entry that was read last

export let shared: u32 = 0;
export let unshared: u32 = 0;
/** LSN << 1, plus 1 for a deletion. */
export let stamp: u64 = 0;
export let valueShared: u32 = 0;
export let valueUnshared: u32 = 0;
/** Where the unshared bytes stand. */
export let keyBytes: usize = 0;
export let valueBytes: usize = 0;
/** Where the next entry begins. */
export let nextEntry: usize = 0;

/** Sizes of the whole key and the whole value. */
export let keySize: u32 = 0;
export let valueSize: u32 = 0;
let lsn: u64 = 0;

/** Makes the next entry the first of a group. */
export function beginGroup(): void {
  lsn = baseLsn;
  keySize = 0;
  valueSize = 0;
}

/** Where a varint was read up to; 0 when it had no end in time. */
export let varintEnd: usize = 0;

export function readVarint(at: usize, bits: u64): u64 {
  let value: u64 = 0;
  for (let shift: u64 = 0; shift < bits && at < entriesEnd; shift += 7) {
    const byte: u64 = load<u8>(at++);
    value |= (byte & 127) << shift;
    if (byte < 128) {
      varintEnd = at;
      return value;
    }
  }
  varintEnd = 0;
  return 0;
}

function readLongHead(at: usize): bool {
  shared = <u32>readVarint(at, 14);
  if (varintEnd == 0) return false;
  unshared = <u32>readVarint(varintEnd, 14);
  if (varintEnd == 0) return false;
  stamp = readVarint(varintEnd, 56);
  if (varintEnd == 0) return false;
  valueShared = 0;
  valueUnshared = 0;
  if ((stamp & 1) == 0) {
    valueShared = <u32>readVarint(varintEnd, 14);
    if (varintEnd == 0) return false;
    valueUnshared = <u32>readVarint(varintEnd, 14);
    if (varintEnd == 0) return false;
  }
  keyBytes = varintEnd;
  return true;
}

/** The number of a varint of up to four bytes. */
function joinSevens(bytes: u64): u64 {
  return (bytes & 127) | ((bytes >> 1) & 0x3f80) | ((bytes >> 2) & 0x1fc000) | ((bytes >> 3) & 0xfe00000);
}

/** Reads the numbers of the entry at a place of the open block as they stand there; false when they leave it. */
export function readHead(at: usize): bool {
  if (at >= entriesEnd) return false;
  // A load of 8 bytes ends inside the trailer at the latest. Nearly all heads are of a put and have at most eight
  // bytes: one for each number, and up to four for the stamp.
  const head = load<u64>(at);
  const stampBits: u64 = (ctz<u64>(~head & 0x808080800000) & 56) - 8;
  const sizes = head >> (stampBits + 16);
  if (stampBits <= 32 && (head & 0x18080) == 0 && (sizes & 0x8080) == 0) {
    shared = (<u32>head) & 127;
    unshared = (<u32>(head >> 8)) & 127;
    stamp = joinSevens((head >> 16) & ~(u64.MAX_VALUE << stampBits));
    valueShared = (<u32>sizes) & 127;
    valueUnshared = (<u32>(sizes >> 8)) & 127;
    keyBytes = at + 4 + <usize>(stampBits >> 3);
  } else if (!readLongHead(at)) {
    return false;
  }
  valueBytes = keyBytes + unshared;
  nextEntry = valueBytes + valueUnshared;
  return nextEntry <= entriesEnd;
}

/** The LSN that a stamp of the format tells behind an entry of the LSN `before`. */
export function lsnBehind(before: u64, delta: u64): u64 {
  const zigzag = delta >> 1;
  return before + ((zigzag >> 1) ^ (0 - (zigzag & 1)));
}

/** Reads the entry behind the one that was read last, at a place of the open block; false when it does not fit. */
export function readEntry(at: usize): bool {
  if (!readHead(at)) return false;
  lsn = lsnBehind(lsn, stamp);
  stamp = (lsn << 1) | (stamp & 1);
  const sharable = valueSize <= SHARING_SIZE_MAX ? valueSize : 0;
  const fits = shared <= keySize && valueShared <= sharable && lsn <= LSN_MAX;
  keySize = shared + unshared;
  valueSize = valueShared + valueUnshared;
  const sizeMax = valueShared == 0 ? VALUE_SIZE_MAX : SHARING_SIZE_MAX;
  return fits && keySize <= KEY_SIZE_MAX && valueSize <= sizeMax;
}
