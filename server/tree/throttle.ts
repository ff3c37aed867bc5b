/**
 * How fast background work goes: in slices, slower than a rate, and behind reads that wait for the disk.
 *
 * Work that is urgent keeps to its slices only: when level 0 is too full, finishing is the kindest thing to do.
 */
import type { Env } from '../env/env.ts';
import type { Failpoint } from '../env/failpoints.ts';
import { Slice } from '../env/slice.ts';

/** How often a slice gives way to waiting reads before it goes on all the same. */
const YIELDS_MAX = 8;

export interface ThrottleOptions {
  readonly env: Env;
  /** Passed once a slice. */
  readonly point: Failpoint;
  /** Bytes a second that are written. */
  readonly rate: number;
  readonly isUrgent?: () => boolean;
  readonly isReadWaiting: () => boolean;
  /** Throws when the work should end. */
  readonly check?: () => void;
}

const never = (): boolean => false;
const nothing = (): void => undefined;

export class Throttle {
  readonly #options: ThrottleOptions;
  readonly #slice: Slice;
  readonly #startMs: number;

  constructor(options: ThrottleOptions) {
    this.#options = options;
    this.#slice = new Slice(options.env.clock);
    this.#startMs = options.env.clock.nowMs();
  }

  /** Null when there is no need to wait. */
  step(writtenSize: number): Promise<void> | null {
    return this.#slice.look() ? this.#wait(writtenSize) : null;
  }

  async #wait(writtenSize: number): Promise<void> {
    const { env, point, rate, isUrgent = never, isReadWaiting, check = nothing } = this.#options;
    await env.fail(point);
    await this.#slice.next();
    for (let i = 0; i < YIELDS_MAX && isReadWaiting() && !isUrgent(); i++) await this.#slice.next();
    const aheadMs = (writtenSize / rate) * 1_000 - (env.clock.nowMs() - this.#startMs);
    if (aheadMs > 1 && !isUrgent()) await new Promise<void>((resolve) => void env.clock.after(aheadMs, resolve));
    this.#slice.begin();
    check();
  }
}
