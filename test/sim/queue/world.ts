/**
 * A node in a simulated world, which is killed or loses power, and starts again on the disk that this left.
 *
 * Each life has a clock of its own, as processes have; the times of the history count on.
 */
import { StoreError } from '../../../server/errors.ts';
import { settle, SimClock, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';
import type { Plant } from '../life.ts';
import { DIR, openSimNode, type SimNode } from '../open.ts';
import { patiently, WAIT_MS } from '../patience.ts';
import type { LifeNow } from './recorder.ts';

const TICKS_MAX = 999;

/** A wall clock that people and daemons set. */
export class SetClock extends SimClock {
  setMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.setMs;
  }
}

export class World {
  env!: SimEnv;
  clock!: SetClock;
  life!: LifeNow & { isOver: boolean };
  /** Reasons for which a process ended itself. */
  readonly crashes: string[] = [];
  #opened!: SimNode;
  #fs = SimFs.withReserve(DIR);
  readonly #random: () => number;
  readonly #plant: Plant;
  /** Milliseconds of the lives before. */
  #before = 0;
  #ticks = 0;
  #ticksMs = 0;

  constructor(random: () => number, plant: Plant) {
    this.#random = random;
    this.#plant = plant;
  }

  async start(): Promise<void> {
    this.clock = new SetClock();
    const { clock } = this;
    // Whatever clock the node goes by, the history goes by this one.
    const monotonicMs = SimClock.prototype.nowMs.bind(clock);
    const startMs = monotonicMs();
    this.env = this.#plant(simEnv({ fs: this.#fs, clock, seed: 1 + Math.floor(this.#random() * 1e9) }));
    this.#opened = await openSimNode(this.env);
    const base = this.#before;
    // Lines of one millisecond are in the order in which they were written.
    const at = (): number => {
      const ms = base + monotonicMs() - startMs;
      this.#ticks = ms === this.#ticksMs ? Math.min(TICKS_MAX, this.#ticks + 1) : 0;
      this.#ticksMs = ms;
      return ms * 1_000 + this.#ticks;
    };
    this.life = { node: this.#opened.node, at, isOver: false };
  }

  /** Lets time pass; what falls due happens. */
  async passTime(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /** Resolves when the act has, which may take time. */
  async ended<T>(act: Promise<T>): Promise<T | null> {
    return patiently(act, () => this.passTime(WAIT_MS));
  }

  /** The process ends at this moment: of what it had begun, the disk has what was written, or what was synced. */
  async crash(kind: 'kill' | 'power'): Promise<void> {
    const { life, env } = this;
    const keeps = (): boolean => this.#random() < 0.5;
    this.#fs =
      kind === 'kill'
        ? env.fs.afterCrash()
        : env.fs.afterPowerCut({ keep: (_, current, durable) => (keeps() ? current : durable) });
    life.isOver = true;
    this.#before += SimClock.prototype.nowMs.call(this.clock) + 1;
    await this.#bury();
    await this.start();
  }

  /** Ends what is left of a process: in this one, all share their memory. */
  async #bury(): Promise<void> {
    const { crashes } = this.env;
    this.crashes.push(...crashes);
    this.#opened.node.waits.refuseAll(new StoreError('shutting_down'));
    await settle();
    await this.#opened.abandon();
  }

  async close(): Promise<void> {
    this.life.isOver = true;
    await this.#bury();
  }

  checkpoint(): Promise<unknown> {
    return this.#opened.node.checkpoints.run();
  }
}
