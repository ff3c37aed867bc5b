/**
 * A memtable in the memory of the tree: keys in order, each with its versions by LSN, newest first.
 *
 *     put -> window | key size, kind, value size (u16), key, value |  --one crossing per call-->  memtable
 *
 * Invariants: a put replaces the newest version of its key when no snapshot can see that one (its LSN is above
 * `keepLsn`, the highest LSN that a snapshot holds, 0 without snapshots); versions may come in any order of LSNs, the
 * same LSN again replaces; what a cursor or a KeyBatch has read are copies, which later puts do not change.
 */
import type { KeyBatch } from './lsm_keys.ts';
import { LsmMemoryFull, type LsmMemory } from './lsm_memory.ts';
import { EntryKind, packedSize, packEntry } from './lsm_pack.ts';

/** Which version is written, and which older ones may go. */
export interface WriteAt {
  readonly lsn: number;
  /** The highest LSN that a snapshot holds, 0 without snapshots. */
  readonly keepLsn: number;
}

/** Keys that are a prefix and a big-endian u64. */
export interface RowKeys {
  readonly prefix: Uint8Array;
  /** Safe integers, 0 or more. */
  readonly ids: ArrayLike<number>;
}

/** So many of the rows, those behind the rows of the put before: the value of one is varint(batch) varint(ordinal). */
export interface RowsOfPut {
  readonly rows: number;
  readonly batch: number;
  /** Of the first row; 0 without it. */
  readonly ordinal?: number;
  readonly lsn: number;
}

/** Rows of puts that follow each other. */
export interface PutRows extends RowKeys {
  readonly puts: readonly RowsOfPut[];
}

/** The newest versions of the first rows that were asked for: as many as fit, at least one. */
export interface PeekedRows {
  /** By row: of its value, or one of `Peeked`. */
  readonly sizes: Uint32Array;
  /** The values, one behind the other. */
  readonly bytes: Uint8Array;
}

/** Instead of the size of a value. */
export const Peeked = { deleted: 0xffff_fffe, unknown: 0xffff_ffff } as const;

/** What one crossing peeks at; their values mostly take a tenth of the window. */
const PEEK_ROWS_MAX = 4_096;

/** A row that is put: id, batch, ordinal and LSN, 8 bytes each. */
const ROW_NUMBERS = 4;

/** Where the words of a memtable stand that hosts read. */
const SIZE_AT = 16;
const COUNT_AT = 20;
const VERSIONS_AT = 24;

export class Memtable {
  readonly #memory: LsmMemory;
  #table: number;

  /** Throws LsmMemoryFull, as every put may. */
  constructor(memory: LsmMemory) {
    this.#memory = memory;
    this.#table = memory.checked(memory.raw.memtable_create());
  }

  /** For Merge. */
  get address(): number {
    return this.#table;
  }

  /** Bytes that the memtable takes from the memory, with its nodes and superseded versions. */
  get size(): number {
    return this.#memory.words[(this.#table + SIZE_AT) / 4];
  }

  /** Keys, deleted ones too. */
  get keyCount(): number {
    return this.#memory.words[(this.#table + COUNT_AT) / 4];
  }

  /** Versions of all keys. */
  get versionCount(): number {
    return this.#memory.words[(this.#table + VERSIONS_AT) / 4];
  }

  put(key: Uint8Array, value: Uint8Array, at: WriteAt): void {
    this.#putOne(key, value, at);
  }

  delete(key: Uint8Array, at: WriteAt): void {
    this.#putOne(key, null, at);
  }

  /** Many writes of one LSN, null deletes: a crossing per 500 KiB. */
  putMany(keys: readonly Uint8Array[], values: readonly (Uint8Array | null)[], { lsn, keepLsn }: WriteAt): void {
    const { raw, window, windowSize } = this.#memory;
    const end = window + windowSize;
    for (let from = 0; from < keys.length;) {
      let next = window;
      let to = from;
      while (to < keys.length && next + packedSize(keys[to], values[to]) <= end) {
        next = packEntry(this.#memory.bytes, next, keys[to], values[to]);
        to += 1;
      }
      this.#checkPlaced(raw.memtable_put(this.#table, window, to - from, lsn, keepLsn), to - from);
      from = to;
    }
  }

  /** All rows of some puts: a crossing per 16,000 rows. */
  putRows({ prefix, ids, puts }: PutRows, keepLsn: number): void {
    const { window, windowSize } = this.#memory;
    const from = window / 8;
    const end = from + Math.floor(windowSize / (8 * ROW_NUMBERS)) * ROW_NUMBERS;
    let { numbers } = this.#memory;
    let at = from;
    let row = 0;
    for (const { rows, batch, ordinal = 0, lsn } of puts) {
      for (let i = 0; i < rows; i++) {
        if (at === end) {
          this.#placeRows(prefix, (at - from) / ROW_NUMBERS, keepLsn);
          numbers = this.#memory.numbers;
          at = from;
        }
        numbers[at] = ids[row++];
        numbers[at + 1] = batch;
        numbers[at + 2] = ordinal + i;
        numbers[at + 3] = lsn;
        at += ROW_NUMBERS;
      }
    }
    this.#placeRows(prefix, (at - from) / ROW_NUMBERS, keepLsn);
  }

  #placeRows(prefix: Uint8Array, count: number, keepLsn: number): void {
    const { raw, results, window } = this.#memory;
    this.#memory.write(results, prefix);
    this.#checkPlaced(raw.memtable_put_rows(this.#table, results, prefix.length, window, count, keepLsn), count);
  }

  /** The newest version up to `lsn`: a copy of its value, null when it deletes, undefined when there is none. */
  get(key: Uint8Array, lsn = Number.MAX_SAFE_INTEGER): Uint8Array | null | undefined {
    const { raw, results, window } = this.#memory;
    this.#memory.write(window, key);
    const kind = raw.memtable_get(this.#table, window, key.length, lsn, results);
    if (kind === EntryKind.absent) return undefined;
    if (kind === EntryKind.delete) return null;
    const { words } = this.#memory;
    return this.#memory.read(words[results / 4], words[results / 4 + 1]);
  }

  /** Whether there is a version of the key, a deletion counts. */
  has(key: Uint8Array): boolean {
    const { raw, results, window } = this.#memory;
    this.#memory.write(window, key);
    return raw.memtable_get(this.#table, window, key.length, Number.MAX_SAFE_INTEGER, results) !== EntryKind.absent;
  }

  /** Whether there is a version of each row, a deletion counts, here or in the memtable before this one. */
  hasRows({ prefix, ids }: RowKeys, older: Memtable | null): boolean {
    for (let from = 0; from < ids.length;) {
      const { sizesAt, reached } = this.#peek(prefix, ids, from, older);
      const { words } = this.#memory;
      for (let i = 0; i < reached; i++) if (words[sizesAt / 4 + i] === Peeked.unknown) return false;
      from += reached;
    }
    return true;
  }

  /** The newest versions of rows, here or else in the memtable before this one. */
  peekRows({ prefix, ids }: RowKeys, older: Memtable | null): PeekedRows {
    const { sizesAt, valuesAt, reached } = this.#peek(prefix, ids, 0, older);
    const sizes = this.#memory.words.slice(sizesAt / 4, sizesAt / 4 + reached);
    let size = 0;
    for (let i = 0; i < reached; i++) if (sizes[i] < Peeked.deleted) size += sizes[i];
    return { sizes, bytes: this.#memory.read(valuesAt, size) };
  }

  /** Peeks at rows from number `from` on, as many as fit: where in the window their sizes and values stand. */
  #peek(
    prefix: Uint8Array,
    ids: ArrayLike<number>,
    from: number,
    older: Memtable | null,
  ): { readonly sizesAt: number; readonly valuesAt: number; readonly reached: number } {
    const { raw, results, window, windowSize } = this.#memory;
    const count = Math.min(ids.length - from, PEEK_ROWS_MAX);
    const sizesAt = window + 8 * count;
    const valuesAt = sizesAt + 4 * count;
    this.#memory.write(results, prefix);
    this.#memory.writeNumbers(window, ids, from, count);
    const end = window + windowSize;
    const olderTable = older === null ? 0 : older.address;
    const reached = raw.memtable_peek_rows(
      this.#table,
      olderTable,
      results,
      prefix.length,
      window,
      count,
      sizesAt,
      end - valuesAt,
    );
    return { sizesAt, valuesAt, reached };
  }

  /** Resolves the pending keys that have a version here up to the LSN of the batch; returns how many stay pending. */
  find(keys: KeyBatch): number {
    const pending = this.#memory.raw.memtable_find(this.#table, keys.address);
    if (pending < 0) throw new LsmMemoryFull();
    return pending;
  }

  /** Gives the memory back; no Merge may read the table any more. */
  free(): void {
    this.#memory.raw.arena_free(this.#table);
    this.#table = 0;
  }

  #putOne(key: Uint8Array, value: Uint8Array | null, { lsn, keepLsn }: WriteAt): void {
    const { raw, window } = this.#memory;
    packEntry(this.#memory.bytes, window, key, value);
    this.#checkPlaced(raw.memtable_put(this.#table, window, 1, lsn, keepLsn), 1);
  }

  #checkPlaced(placed: number, count: number): void {
    if (placed < count) throw new LsmMemoryFull();
  }
}
