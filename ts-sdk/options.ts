/** Options that many calls share. Times are milliseconds. */

export interface CallOptions {
  /** Ends the call when it aborts; its reason is thrown. */
  readonly signal?: AbortSignal;
}

export interface WaitOptions extends CallOptions {
  /** How long to wait for rows that are not there yet. Default 0; Infinity waits until the signal aborts. */
  readonly waitMs?: number;
}
