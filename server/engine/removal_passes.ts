/**
 * Passes over what the server may delete by itself, begun by ticks.
 *
 * Invariants: one pass at a time; what was refused (a full disk) ends a pass, and a later one tries again; any other
 * failure is a fault of our own, and ends the process.
 */
import { StoreError } from '../errors.ts';
import type { Env } from '../env/env.ts';

export class RemovalPasses {
  readonly #env: Env;
  /** As the log says it. */
  readonly #name: string;
  readonly #run: () => Promise<void>;
  #pass: Promise<void> | null = null;
  #stopping = false;

  constructor({ env, name, run }: { env: Env; name: string; run: () => Promise<void> }) {
    this.#env = env;
    this.#name = name;
    this.#run = run;
  }

  /** A pass ends before its next event then. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Begins a pass, if none is under way. */
  tick(): void {
    if (this.#stopping) return;
    this.#pass ??= this.#run()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#pass = null;
      });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#pass;
  }

  #failed(error: unknown): void {
    if (!(error instanceof StoreError)) this.#env.crash(`${this.#name} failed`, error);
    if (!this.#stopping) this.#env.log.warn({ err: error }, `${this.#name} waits`);
  }
}
