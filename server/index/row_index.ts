/**
 * The index of one partition: which puts hold a row.
 *
 *   row (id)  ->  [ (batch, ordinal) of the newest put, ... of the oldest that still matters ]
 *
 * Lookups are batched and asynchronous, since the index may lie on disk. Changes are synchronous, since they are
 * applied in the turn in which the journal took them: what a row had before must be in memory by then. `ready` says
 * whether it is, `load` brings it there.
 *
 * Batches are numbers that the store gives; the index knows nothing of fields, and asks through `BatchOrder` which of a
 * row's puts still matter.
 */

/** The puts of the rows asked for: row i has the entries `starts[i]` to `starts[i + 1]`, newest first. */
export interface RowPuts {
  readonly starts: Uint32Array;
  readonly batches: Float64Array;
  readonly ordinals: Uint32Array;
}

/** What the index asks of the store when a row gets one more put. */
export interface BatchOrder {
  /** Marks in `keep` which of a row's `count` puts, newest first, still show at least one cell. */
  judge(batches: Float64Array, count: number, keep: Uint8Array): void;
  /** So many rows no longer refer to this batch. */
  forget(batch: number, rows: number): void;
}

/** A batch that becomes the newest put of its rows, whose ordinals in the batch rise from 0. */
export interface BatchOfPut {
  readonly batch: number;
  readonly lsn: number;
  readonly rows: number;
}

/** Batches that follow each other, and their rows: those of the first, those of the second... */
export interface RowsPut {
  readonly puts: readonly BatchOfPut[];
  readonly ids: Float64Array;
  /** Of an only batch, by place: 1 for a row that is there already. Null when all rows are new, each another. */
  readonly known: Uint8Array | null;
}

/** A batch whose rows that still show it were written anew: `ids[i]`, at `ordinals[i]` of it, is row i of `by`. */
export interface RowsReplaced {
  readonly ids: Float64Array;
  readonly ordinals: Float64Array;
  readonly batch: number;
  readonly by: number;
  readonly lsn: number;
}

export interface RowsRange {
  readonly start: number;
  readonly end: number;
  readonly rowsMax: number;
  /** The state of this LSN, which a snapshot holds; the newest without it. */
  readonly lsn?: number;
}

export interface RowIndex {
  /** Whether rows that are there can be put again or removed in this turn. */
  ready(ids: Float64Array): boolean;
  /** Makes rows ready, unless they change meanwhile: ask again. */
  load(ids: Float64Array): Promise<void>;
  /** How many puts a row that is ready shows cells of. */
  putsOf(id: number): number;
  /** Known rows must be ready, and show cells of less than `limits.putsPerRowMax` puts. */
  add(put: RowsPut): void;
  /** Removes rows that are there and ready. */
  remove(ids: Float64Array, lsn: number): void;
  /** Names another batch where rows still show the old one; says how many did. Rows that are there must be ready. */
  replace(replaced: RowsReplaced): number;
  /** Rows that show a cell of a batch, with their places in it. */
  rowsOf(batch: number): Promise<{ ids: Float64Array; ordinals: Float64Array }>;
  /** The puts of each id, none for an id that is not there. */
  lookup(ids: Float64Array, lsn?: number): Promise<RowPuts>;
  /** The ids in `[start, end)`, rising, at most `rowsMax`. */
  scan(range: RowsRange): Promise<Float64Array>;
}
