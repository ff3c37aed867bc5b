/**
 * A pace for background work: so many bytes a second on average, in pieces, so that requests come in between.
 *
 * Invariant: whoever waits is let go by `stop`, with the word that it may not go on.
 */
import type { Clock, Timer } from '../env/env.ts';

/** What was not used for this long is forfeited. */
const SAVED_MS_MAX = 100;
/** Timers are coarse: a shorter wait is added to the next one. */
const WAIT_MS_MIN = 4;

export class Pace {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  /** When the bytes taken so far are paid for. */
  #paidMs = 0;
  #waiting: { readonly timer: Timer; readonly resolve: (mayGoOn: boolean) => void } | null = null;
  #stopped = false;

  constructor(options: { clock: Clock; bytesPerSecond: number }) {
    this.#clock = options.clock;
    this.#bytesPerMs = options.bytesPerSecond / 1_000;
  }

  /** Resolves when `size` bytes may be moved, to false once stopped. One caller at a time. */
  async take(size: number): Promise<boolean> {
    if (this.#stopped) return false;
    const nowMs = this.#clock.nowMs();
    this.#paidMs = Math.max(this.#paidMs, nowMs - SAVED_MS_MAX) + size / this.#bytesPerMs;
    const waitMs = this.#paidMs - nowMs;
    if (waitMs < WAIT_MS_MIN) return true;
    return new Promise((resolve) => {
      const go = (): void => this.#end(true);
      this.#waiting = { timer: this.#clock.after(waitMs, go), resolve };
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#end(false);
  }

  #end(mayGoOn: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.timer.cancel();
    waiting?.resolve(mayGoOn);
  }
}
