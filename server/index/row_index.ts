/**
 * The index of one partition: which puts hold a row. Lookups are batched and asynchronous, so that an index that lives
 * on disk changes no caller; changes are synchronous, since they are applied in the turn in which the journal took
 * them.
 *
 *   row (id)  ->  [ (batch, ordinal) of the newest put, ... of the oldest that still matters ]
 *
 * Batches are numbers that the store gives; the index knows nothing of fields, and asks through `BatchOrder` which of a
 * row's puts still matter.
 */

/** The puts of the rows asked for: row i has the entries `starts[i]` to `starts[i + 1]`, newest first. */
export interface RowPuts {
  readonly starts: Uint32Array;
  readonly batches: Uint32Array;
  readonly ordinals: Uint32Array;
}

/** What the index asks of the store when a row gets one more put. */
export interface BatchOrder {
  /** Marks in `keep` which of a row's `count` puts, newest first, still show at least one cell. */
  judge(batches: Uint32Array, count: number, keep: Uint8Array): void;
  /** A row no longer refers to this batch. */
  forget(batch: number): void;
}

export interface RowIndex {
  /** Rows that have at least one put. */
  readonly rows: number;
  /** Adds a batch as the newest put of each row; the place of an id is its ordinal in the batch. */
  add(ids: Float64Array, batch: number): void;
  /** Removes rows; returns those that were there. */
  remove(ids: Float64Array): Float64Array;
  /** The puts of each id, none for an id that is not there. */
  lookup(ids: Float64Array): Promise<RowPuts>;
  /** The ids in `[start, end)`, rising, at most `rowsMax`. */
  scan(range: { start: number; end: number; rowsMax: number }): Promise<Float64Array>;
  /** Forgets all rows, telling the store of each put. */
  clear(): void;
}
