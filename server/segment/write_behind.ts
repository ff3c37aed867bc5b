/**
 * Writes a reservation to the file of its segment behind the socket that fills it.
 *
 *   | written | in flight | filled ........ | not there yet ...        the next write takes all that is filled by then
 *
 * Invariants: one write at a time, since several to one file would only wait for each other in the system; after a
 * failed write none follows.
 */
import type { Reservation, Segments } from './segments.ts';

/** Less than this waits for more, or for the end of the body. */
const WRITE_SIZE_MIN = 1 << 20;

export class WriteBehind {
  readonly #segments: Segments;
  readonly #reservation: Reservation;
  #written = 0;
  #filled = 0;
  #isWhole = false;
  #writing: Promise<void> | null = null;

  constructor(segments: Segments, reservation: Reservation) {
    this.#segments = segments;
    this.#reservation = reservation;
  }

  /** The first `size` bytes are there, and will not change. */
  fill(size: number): void {
    this.#filled = size;
    const sizeMin = this.#isWhole ? 1 : WRITE_SIZE_MIN;
    if (this.#writing === null && size - this.#written >= sizeMin) this.#start();
  }

  /** The same, and no more will come: they are written while the caller looks whether they are any good. */
  end(size: number): void {
    this.#isWhole = true;
    this.fill(size);
  }

  /** Resolves when all is written; rejects when a write failed. */
  async finish(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Resolves when nothing is in flight; no write follows. */
  async stop(): Promise<void> {
    this.#filled = 0;
    await this.#writing?.catch(() => undefined);
  }

  #start(): void {
    const size = this.#filled;
    this.#writing = this.#segments.write(this.#reservation, this.#written, size).then(() => {
      this.#written = size;
      this.#writing = null;
      this.fill(this.#filled);
    });
    // Whoever finishes the put sees the failure; until then nobody listens.
    this.#writing.catch(() => undefined);
  }
}
