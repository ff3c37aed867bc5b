/**
 * The full check of bytes that claim to be a block: every byte belongs to the grammar, entries are in strict order, and
 * each shares all that it can with the entry before it.
 */
import {
  beginGroup,
  DAMAGED,
  entriesEnd,
  groupCount,
  groupEntries,
  groupStart,
  keyBytes,
  keySize,
  nextEntry,
  openBlock,
  readEntry,
  shared,
  stamp,
  unshared,
} from './block';
import { compareKeys, copyWords } from './bytes';

const KEY: usize = memory.data(264, 8);

/** Size and stamp of the key in KEY. */
let sizeBefore: u32 = 0;
let stampBefore: u64 = 0;

/** Whether the entry that was read last comes behind the one before it, and says so in the only way. */
function isBehind(first: bool): bool {
  if (first) {
    const keys = compareKeys(KEY, sizeBefore, keyBytes, unshared);
    return keys < 0 || (keys == 0 && stampBefore >> 1 > stamp >> 1);
  }
  if (shared < sizeBefore) return unshared > 0 && load<u8>(keyBytes) > load<u8>(KEY + shared);
  return unshared > 0 || stampBefore >> 1 > stamp >> 1;
}

/** 0 for a block of which every byte means something, else DAMAGED. */
export function block_check(block: usize, size: u32): i32 {
  if (!openBlock(block, size)) return DAMAGED;
  let at = block;
  for (let group: u32 = 0; group < groupCount; group++) {
    if (groupStart(block, group) != at) return DAMAGED;
    beginGroup();
    for (let i: u32 = 0, n = groupEntries(group); i < n; i++) {
      if (!readEntry(at)) return DAMAGED;
      if (group + i > 0 && !isBehind(i == 0)) return DAMAGED;
      copyWords(KEY + shared, keyBytes, unshared);
      sizeBefore = keySize;
      stampBefore = stamp;
      at = nextEntry;
    }
  }
  return at == entriesEnd ? 0 : DAMAGED;
}
