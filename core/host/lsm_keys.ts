/**
 * A batch of keys to look up, in the memory of the tree: sorted once, then resolved by memtables and blocks.
 *
 *     keys       in the order of the caller: key i has result i
 *     pending    [ 4 | 0 | 7 | ... ]  keys without a version yet, in order of their bytes; a place is a position
 *     results    kind, value (a copy), LSN per key
 *
 *     memtable.find(keys)                                                  newest memtable first
 *     per SST of level 0, newest first; per deeper level:
 *       groups = indexSearch(0, pendingCount, file or block index)         runs of positions with the same block
 *       per group: filterProbe(from, to, filter), blockSearch(from, to, block)   any order, also after an await
 *       settle()                                                           then what was found is no longer pending
 *
 * Invariants: positions stay as they are until `settle` or `Memtable.find`; found values are copies in the batch.
 */
import { LsmMemoryFull, type LsmMemory } from './lsm_memory.ts';
import { EntryKind, packKey } from './lsm_pack.ts';

/** More keys than this are several batches. */
export const BATCH_KEYS_MAX = 65_536;

/** Positions [from, to) of the pending keys may stand where a, b, c say: the numbers of an index entry. */
export interface Group {
  readonly from: number;
  readonly to: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/** Positions [from, to) of the pending keys may stand in the data block at an address. */
export interface BlockItem {
  readonly from: number;
  readonly to: number;
  readonly address: number;
  readonly size: number;
}

const ITEM_SIZE = 16;
const PENDING_COUNT_AT = 24;
const RESULTS_AT = 32;
const GROUPS_AT = 40;
const MAYBE_AT = 44;
const GROUP_WORDS = 5;
const RESULT_SIZE = 24;
const RESULT_LSN_AT = 16;

const DAMAGED = -1;

export class KeyBatch {
  readonly #memory: LsmMemory;
  #keys: number;
  readonly count: number;

  private constructor(memory: LsmMemory, count: number, lsn: number) {
    if (count > BATCH_KEYS_MAX) throw new RangeError(`a batch takes at most ${BATCH_KEYS_MAX} keys, not ${count}`);
    this.#memory = memory;
    this.count = count;
    this.#keys = memory.checked(memory.raw.keys_create(lsn, count));
  }

  /** Looks for the newest versions up to `lsn`. Throws LsmMemoryFull. Ends with `free`. */
  static of(memory: LsmMemory, keys: readonly Uint8Array[], lsn = Number.MAX_SAFE_INTEGER): KeyBatch {
    const batch = new KeyBatch(memory, keys.length, lsn);
    const { raw, window, windowSize } = memory;
    const end = window + windowSize;
    for (let from = 0; from < keys.length;) {
      const { bytes } = memory;
      let next = window;
      let to = from;
      while (to < keys.length && next + 1 + keys[to].length <= end) {
        next = packKey(bytes, next, keys[to]);
        to += 1;
      }
      batch.#checkPlaced(raw.keys_add(batch.#keys, window, to - from));
      from = to;
    }
    raw.keys_sort(batch.#keys);
    return batch;
  }

  /** The same for the keys prefix + big-endian u64 of each id. */
  static ofRows(
    memory: LsmMemory,
    { prefix, ids }: { prefix: Uint8Array; ids: ArrayLike<number> },
    lsn = Number.MAX_SAFE_INTEGER,
  ): KeyBatch {
    const batch = new KeyBatch(memory, ids.length, lsn);
    const { raw, results, window, windowSize } = memory;
    const perCall = windowSize / 8;
    for (let from = 0; from < ids.length; from += perCall) {
      const count = Math.min(perCall, ids.length - from);
      memory.write(results, prefix);
      memory.writeNumbers(window, ids, from, count);
      batch.#checkPlaced(raw.keys_add_rows(batch.#keys, results, prefix.length, window, count));
    }
    raw.keys_sort(batch.#keys);
    return batch;
  }

  /** For Memtable.find. */
  get address(): number {
    return this.#keys;
  }

  get pendingCount(): number {
    return this.#memory.words[(this.#keys + PENDING_COUNT_AT) / 4];
  }

  /**
   * The groups of positions [from, to) by the index entry that covers them (the last one at or before the key and LSN);
   * keys before the first entry are in no group. Null when the index is damaged. Marks all of them as maybe there.
   */
  indexSearch(from: number, to: number, address: number, size: number): Group[] | null {
    const { raw } = this.#memory;
    const count = raw.index_search(this.#keys, from, to, address, size);
    if (count < 0) return damagedOrFull(count);
    const { words } = this.#memory;
    const groups: Group[] = [];
    let at = words[(this.#keys + GROUPS_AT) / 4] / 4;
    for (let i = 0; i < count; i++, at += GROUP_WORDS) {
      groups.push({ from: words[at], to: words[at + 1], a: words[at + 2], b: words[at + 3], c: words[at + 4] });
    }
    return groups;
  }

  /**
   * Asks a filter about positions [from, to): those that are surely not there are left out by `blockSearch`. Returns
   * how many may be there, null when the filter is damaged.
   */
  filterProbe(from: number, to: number, address: number, size: number): number | null {
    const count = this.#memory.raw.filter_probe(this.#keys, from, to, address, size);
    return count < 0 ? damagedOrFull(count) : count;
  }

  /** Whether a filter has left one of the positions [from, to). */
  areMaybe(from: number, to: number): boolean {
    const { words, bytes } = this.#memory;
    const maybe = words[(this.#keys + MAYBE_AT) / 4];
    for (let position = from; position < to; position++) {
      if (bytes[maybe + position] !== 0) return true;
    }
    return false;
  }

  /** Looks for positions [from, to) in a data block; returns how many it found, null when the block is damaged. */
  blockSearch(from: number, to: number, address: number, size: number): number | null {
    const found = this.#memory.raw.block_search(this.#keys, from, to, address, size);
    return found < 0 ? damagedOrFull(found) : found;
  }

  /**
   * The same for many blocks, quicker than one by one when each has few of the keys. Null when one of them is damaged:
   * which one, `blockSearch` tells, since it may be repeated.
   */
  blocksSearch(items: readonly BlockItem[]): number | null {
    const { raw, window, windowSize } = this.#memory;
    const perCall = Math.floor(windowSize / ITEM_SIZE);
    let found = 0;
    for (let first = 0; first < items.length; first += perCall) {
      const count = Math.min(perCall, items.length - first);
      const { words } = this.#memory;
      for (let i = 0, at = window / 4; i < count; i++, at += ITEM_SIZE / 4) {
        const { from, to, address, size } = items[first + i];
        words[at] = from;
        words[at + 1] = to;
        words[at + 2] = address;
        words[at + 3] = size;
      }
      const status = raw.blocks_search(this.#keys, window, count);
      if (status < 0) return damagedOrFull(status);
      found += status;
    }
    return found;
  }

  /** Takes what was found out of the pending keys; returns how many are left. */
  settle(): number {
    return this.#memory.raw.keys_settle(this.#keys);
  }

  /** EntryKind of the version that was found for key i, `absent` when none was. */
  kindOf(i: number): number {
    return this.#memory.words[this.#resultAt(i) / 4];
  }

  /** The LSN of the version that was found for key i. */
  lsnOf(i: number): number {
    return this.#memory.numbers[(this.#resultAt(i) + RESULT_LSN_AT) / 8];
  }

  /** A copy of the value of key i, null when there is none. */
  valueOf(i: number): Uint8Array | null {
    const { words } = this.#memory;
    const at = this.#resultAt(i) / 4;
    return words[at] === EntryKind.put ? this.#memory.read(words[at + 1], words[at + 2]) : null;
  }

  /** The values of all keys, null where there is none. They share buffers of their own. */
  values(): (Uint8Array | null)[] {
    const { raw, window, windowSize } = this.#memory;
    const values = new Array<Uint8Array | null>(this.count).fill(null);
    for (let from = 0; from < this.count;) {
      const to = raw.keys_values(this.#keys, from, window, windowSize);
      this.#placeValues(values, { from, to });
      from = to;
    }
    return values;
  }

  /** Keys [from, to) have their values in the window. */
  #placeValues(values: (Uint8Array | null)[], { from, to }: { from: number; to: number }): void {
    const { words, window } = this.#memory;
    const first = this.#resultAt(0) / 4;
    const step = RESULT_SIZE / 4;
    let total = 0;
    for (let i = from, at = first + from * step; i < to; i++, at += step) {
      if (words[at] === EntryKind.put) total += words[at + 2];
    }
    const { buffer } = this.#memory.read(window, total);
    let next = 0;
    for (let i = from, at = first + from * step; i < to; i++, at += step) {
      if (words[at] !== EntryKind.put) continue;
      const size = words[at + 2];
      values[i] = new Uint8Array(buffer, next, size);
      next += size;
    }
  }

  free(): void {
    this.#memory.raw.arena_free(this.#keys);
    this.#keys = 0;
  }

  #resultAt(i: number): number {
    return this.#memory.words[(this.#keys + RESULTS_AT) / 4] + i * RESULT_SIZE;
  }

  #checkPlaced(status: number): void {
    if (status < 0) {
      this.free();
      throw new LsmMemoryFull();
    }
  }
}

function damagedOrFull(status: number): null {
  if (status !== DAMAGED) throw new LsmMemoryFull();
  return null;
}
