/** Cuts long work into slices that leave the event loop to others in between. */
import type { Clock } from '../env/env.ts';

const SLICE_MS = 2;
/** A slice ends after so many looks, whatever the clock says. */
const LOOKS_MAX = 4;

export class Slice {
  readonly #clock: Clock;
  #endMs: number;
  #looksLeft = LOOKS_MAX;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#endMs = clock.nowMs() + SLICE_MS;
  }

  /** Call it once for each step of the work. */
  look(): boolean {
    this.#looksLeft--;
    return this.isOver;
  }

  get isOver(): boolean {
    return this.#looksLeft <= 0 || this.#clock.nowMs() >= this.#endMs;
  }

  /** Resolves in a later turn, when the next slice begins. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.soon(resolve));
    this.begin();
  }

  /** The next slice begins now, after a wait of the caller's. */
  begin(): void {
    this.#endMs = this.#clock.nowMs() + SLICE_MS;
    this.#looksLeft = LOOKS_MAX;
  }
}
