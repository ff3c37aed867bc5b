/** Cuts long work into slices that leave the event loop to others in between. */
import { nextTurn, type Clock } from './env.ts';

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

/** Work that can rest between its steps; what is there then is its own business. */
export type Steps<Result> = Generator<void, Result, void>;

/** Does the work in this turn. */
export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Does the work in slices; `check` is called before each, and what it throws ends the work. */
export async function inSlices<Result>(
  steps: Steps<Result>,
  clock: Clock,
  check: () => void = () => undefined,
): Promise<Result> {
  check();
  const slice = new Slice(clock);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (!slice.look()) continue;
    await slice.next();
    try {
      check();
    } catch (error) {
      // The work gives back what it took.
      steps.throw(error);
      throw error;
    }
  }
}
