/**
 * What an LSM tree offers: ordered keys to small values, in versions by LSN, bounded memory, files that are written
 * once. The tree has no log of its own: the journal is the log, and what a `flush` has not written yet comes back by
 * replaying it.
 *
 *   put, delete -> active memtable --rotate--> frozen memtable --flush--> SSTs of level 0 --compaction--> deeper levels
 *
 * Invariants: keys compare as bytes; LSNs of writes never fall; a write replaces the version before it unless a
 * snapshot still sees that one; what the manifest names is complete and synced.
 */

import type { PeekedRows, RowsOfPut } from '@transfer-queue/core/lsm';

/** Bounds of what a tree takes, in bytes. */
export const KEY_SIZE_MAX = 255;
export const VALUE_SIZE_MAX = 8 << 10;

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** In the order of the keys; null where there is none. */
export type Values = readonly (Uint8Array | null)[];

/** Keys that are a prefix and a big-endian u64. */
export interface Rows {
  readonly prefix: Uint8Array;
  readonly ids: Float64Array;
}

/** A range of keys, `end` exclusive. */
export interface Range {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly reverse?: boolean;
  /** Reads the state of this LSN, which a snapshot must hold; the newest state without it. */
  readonly lsn?: number;
}

/** The manifest carries what the owner of the tree must know to go on from its last flush, as JSON. */
export type Checkpoint = Readonly<Record<string, unknown>>;

export interface Tree {
  /** In memory at once; lasting after the next `rotate` and `flush`. */
  put(key: Uint8Array, value: Uint8Array, lsn: number): void;
  delete(key: Uint8Array, lsn: number): void;
  /** Many writes of one LSN at a tenth of the cost of as many `put`s; null deletes. */
  putMany(keys: readonly Uint8Array[], values: Values, lsn: number): void;
  /** The same for rows of puts in the order of their LSNs: their values are varint(batch), varint(ordinal). */
  putRows(rows: Rows & { readonly puts: readonly RowsOfPut[] }): void;
  /**
   * Nobody asks for the keys in `[start, end)` any more, nor writes them: their space comes back with compaction. It
   * belongs to the active memtable as a deletion does: lasting with the flush of that one, not with one frozen before.
   */
  dropRange(range: { readonly start: Uint8Array; readonly end: Uint8Array }): void;
  /** Whether a memtable has a version of the key (a deletion is one): `peek` answers for it without a disk. */
  inMemory(key: Uint8Array): boolean;
  /** The same for all of some rows. */
  rowsInMemory(rows: Rows): boolean;
  /** The newest version in the memtables: null when it was deleted, undefined when no memtable knows the key. */
  peek(key: Uint8Array): Uint8Array | null | undefined;
  /** As `peek` for the first of some rows, as many as fit into one answer: at least one. */
  peekRows(rows: Rows): PeekedRows;
  /** Brings the newest versions of keys into the active memtable, so that `peek` finds them. */
  load(keys: readonly Uint8Array[]): Promise<void>;
  /**
   * The values of keys, null where there is none, as of the turn of the call or of `lsn`. A value at once when memory
   * and cache have all of them, else a promise; also when they are thousands, which is work for more than one turn.
   * Rejects with `data_corrupt` when a block that it needs is damaged.
   */
  get(keys: readonly Uint8Array[], lsn?: number): Values | Promise<Values>;
  /** The same for the keys of rows, without one array for each. */
  getRows(rows: Rows, lsn?: number): Values | Promise<Values>;
  /**
   * Entries in order, as of the turn of the call or of `range.lsn`. Ending the loop early is fine; not to begin it
   * holds a snapshot for ever.
   */
  scan(range: Range): AsyncIterable<readonly Entry[]>;
  /** Holds the versions that a reader at this LSN sees until `release`. */
  snapshot(lsn: number): { readonly lsn: number; release(): void };
  /** Freezes the active memtable; puts go to a new one. One frozen memtable at a time. */
  rotate(): void;
  /** Writes into the frozen memtable: records of the moment of the rotation that took longer to gather. */
  putFrozen(key: Uint8Array, value: Uint8Array, lsn: number): void;
  /** Writes the frozen memtable to files and installs them in the manifest together with `checkpoint`, durably. */
  flush(checkpoint: Checkpoint): Promise<void>;
  /** The checkpoint that the manifest had when the tree was opened, or that was flushed last; null for a new tree. */
  readonly checkpoint: Checkpoint | null;
  /** Bytes of the memtables: of the active one, and of the frozen one that is not flushed yet. */
  readonly activeSize: number;
  readonly frozenSize: number;
  /** Forgets the memtables: the state is that of the last flush again. */
  discard(): void;
  /** Resolves when no compaction is due; for tests and benchmarks. */
  compacted(): Promise<void>;
  /**
   * Reads all files from the disk; `take` is asked before so many bytes are read, and ends it by false. Calls `damaged`
   * with the name of each file that is not what was written.
   */
  scrub(take: (size: number) => Promise<boolean>, damaged: (file: string) => void): Promise<void>;
  readonly stats: TreeStats;
  close(): Promise<void>;
}

export interface TreeStats {
  readonly levels: readonly { readonly files: number; readonly size: number }[];
  /** Runs of level 0: a lookup may look into each of them. */
  readonly runs: number;
  /** Bytes written by flushes and by compactions since the tree was opened. */
  readonly flushedSize: number;
  readonly compactedSize: number;
  /** Bytes of the tree's memory: memtables, cache, and what is free between them. */
  readonly memorySize: number;
  /** Whether a flush waits for compaction to catch up. */
  readonly stalled: boolean;
  readonly cache: Readonly<Record<'data' | 'index' | 'filter', { hits: number; misses: number; size: number }>>;
}
