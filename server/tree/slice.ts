/** Cuts long work into slices that leave the event loop to others in between. */
import { nextTurn, type Clock } from '../env/env.ts';

const SLICE_MS = 2;
/** A slice ends after so many looks, whatever the clock says. */
export const LOOKS = 4;

export class Slice {
  readonly #clock: Clock;
  #endMs: number;
  #looksLeft = LOOKS;

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
  async next(looks = LOOKS): Promise<void> {
    await nextTurn(this.#clock);
    this.begin(looks);
  }

  /** The next slice begins now, after a wait of the caller's. */
  begin(looks = LOOKS): void {
    this.#endMs = this.#clock.nowMs() + SLICE_MS;
    this.#looksLeft = looks;
  }
}
