/** What the server answers, as far as the commands look at it. The names are those of the wire. */

export interface TaskAnswer {
  readonly ready: number;
  readonly leased: number;
  readonly consumed: number;
  readonly incomplete: number;
  readonly dead: number;
  readonly skipped: number;
  /** Leased claims. */
  readonly claims: number;
}

export interface PartitionAnswer {
  readonly name: string;
  readonly sealed: boolean;
  readonly rows: number;
  readonly rows_max: number | null;
  readonly bytes: number;
  readonly bytes_max: number | null;
  /** Rows that ever came. */
  readonly rows_admitted: number;
  readonly version: number;
  readonly evicted: number;
  /** Claims and reads that wait for rows, and puts that wait for room. */
  readonly waiters: number;
  readonly waiting_puts: number;
  readonly field_rows: Readonly<Record<string, number>>;
  readonly tasks: Readonly<Record<string, TaskAnswer>>;
}

export interface LeaseAnswer {
  readonly claim: number;
  readonly task: string;
  readonly rows: number;
  /** The first of them. */
  readonly ids: readonly number[];
  readonly attempts_max: number;
  readonly lease_ms: number;
  readonly left_ms: number;
  readonly fields: readonly string[];
}

export interface DeadLettersAnswer {
  readonly rows: readonly { readonly id: number; readonly attempts: number }[];
  /** Where the next page begins; null at the end. */
  readonly next: number | string | null;
}

/** Columns: place i of each is about row i. */
export interface ListAnswer {
  readonly ids: readonly number[];
  readonly tags: readonly Readonly<Record<string, unknown>>[];
  readonly numbers: Readonly<Record<string, readonly (number | null)[]>>;
  /** Of rows that are ready for a task. */
  readonly attempts?: readonly number[];
  readonly next: number | null;
}
