/** Failpoints of a simulated process: armed by name, counted, paused and released by hand. */
import type { Clock } from '../../../server/env/env.ts';
import { FsError } from '../../../server/env/env.ts';
import type { Arming, Failpoint } from '../../../server/env/failpoints.ts';

export type Armed = Partial<Record<Failpoint, Arming>>;

export class SimFailpoints {
  /** How often each point was passed. */
  readonly passes = new Map<Failpoint, number>();
  /** Points that struck, in order. */
  readonly struck: Failpoint[] = [];
  readonly #clock: Clock;
  readonly #exit: (point: Failpoint) => void;
  readonly #armed = new Map<Failpoint, { arming: Arming; passes: number }>();
  readonly #paused = new Map<Failpoint, () => void>();

  constructor(options: { clock: Clock; armed: Armed; exit: (point: Failpoint) => void }) {
    this.#clock = options.clock;
    this.#exit = options.exit;
    for (const [point, arming] of Object.entries(options.armed)) this.arm(point as Failpoint, arming);
  }

  arm(point: Failpoint, arming: Arming): void {
    this.#armed.set(point, { arming, passes: 0 });
  }

  /** Lets the process go on that waits at a point. */
  release(point: Failpoint): void {
    this.#paused.get(point)?.();
    this.#paused.delete(point);
  }

  pass(point: Failpoint): Promise<void> | null {
    this.passes.set(point, (this.passes.get(point) ?? 0) + 1);
    const armed = this.#armed.get(point);
    if (armed === undefined || ++armed.passes < armed.arming.pass) return null;
    this.#armed.delete(point);
    this.struck.push(point);
    const { arming } = armed;
    switch (arming.action) {
      case 'pause':
        return new Promise((resolve) => this.#paused.set(point, resolve));
      case 'throw':
        return Promise.reject(new FsError('EIO', point, 'failpoint'));
      case 'delay':
        return new Promise((resolve) => void this.#clock.after(arming.ms, resolve));
      case 'exit':
        this.#exit(point);
        // A process that ended goes on nowhere.
        return new Promise(() => undefined);
    }
  }
}
