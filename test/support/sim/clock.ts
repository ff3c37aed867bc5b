/** Time that is moved by hand: what falls due runs in order, and promises settle in between. */
import type { Clock, Timer } from '../../../server/env/env.ts';

export class SimClock implements Clock {
  #now = 1_000;
  #wall = 1_700_000_000_000;
  readonly #timers = new Set<{ at: number; action: () => void; order: number }>();
  #order = 0;
  /** What each look at the clock takes: on a slow machine, work by slices ends its slices. */
  creepMs = 0;
  #isOver = false;

  nowMs(): number {
    this.#now += this.creepMs;
    return this.#now;
  }

  wallMs(): number {
    return this.#wall;
  }

  /** The process is gone: nothing falls due any more. */
  end(): void {
    this.#isOver = true;
    this.#timers.clear();
  }

  after(ms: number, action: () => void): Timer {
    const timer = { at: this.#now + ms, action, order: this.#order++ };
    if (!this.#isOver) this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  soon(action: () => void): void {
    setImmediate(() => {
      if (!this.#isOver) action();
    });
  }

  /** Moves time on, running what falls due in order, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const fallen = [...this.#timers].filter((timer) => timer.at <= end);
      const due = fallen.sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#wall += due.at - this.#now;
      this.#now = Math.max(this.#now, due.at);
      due.action();
      await settle();
    }
    this.#wall += end - this.#now;
    this.#now = end;
    await settle();
  }
}

/** Lets the event loop take a turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn();
}
