/** Finds peers that are too slow: fewer bytes per second than a minimum, on average over a whole window of time. */

export interface RateLimit {
  readonly bytesPerSecMin: number;
  readonly windowMs: number;
}

export class RateMeter {
  readonly #limit: RateLimit;
  #sinceMs = -1;
  #sizeThen = 0;

  constructor(limit: RateLimit) {
    this.#limit = limit;
  }

  /** Begins a new window with the next call of `isTooSlow`: while the peer need not move, no time counts. */
  rest(): void {
    this.#sinceMs = -1;
  }

  /** `size` is the number of bytes moved since the beginning of the connection. */
  isTooSlow(nowMs: number, size: number): boolean {
    const { bytesPerSecMin, windowMs } = this.#limit;
    if (this.#sinceMs >= 0 && nowMs - this.#sinceMs < windowMs) return false;
    const tooSlow = this.#sinceMs >= 0 && size - this.#sizeThen < (bytesPerSecMin * windowMs) / 1_000;
    this.#sinceMs = nowMs;
    this.#sizeThen = size;
    return tooSlow;
  }
}
