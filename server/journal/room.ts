/** Who waits until the journal has room for long events, in the order in which they came. */
import type { Clock } from '../env/env.ts';
import { StoreError } from '../errors.ts';

const WAIT_MS_MAX = 10_000;

export class RoomWaiters {
  readonly #clock: Clock;
  readonly #waiters = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves with the next `wake`. Rejects with `memory_full` when there is none for too long. */
  wait(waitingSize: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        timer.cancel();
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = this.#clock.after(WAIT_MS_MAX, () => {
        this.#waiters.delete(wake);
        reject(new StoreError('memory_full', { journal_waiting_bytes: waitingSize }));
      });
      this.#waiters.add(wake);
    });
  }

  /** All of them: each asks again, and waits again when those before it have filled the room. */
  wake(): void {
    for (const wake of this.#waiters) wake();
  }
}
