/**
 * The bytes of a file on their way into memory: whoever reads on sees what has come while the rest comes.
 *
 *   bytes   | piece | piece | 0 0 ... 0 | piece | 0 0 ...        all pieces are asked for at once and come in any order
 *
 * Invariant: a byte that has not come is 0, so that nothing that was in memory before can be taken for a record.
 */
import type { File } from '../env/env.ts';

const PIECE_SIZE = 4 << 20;

export class Incoming {
  readonly bytes: Buffer;
  /** Those that nobody waited for yet. */
  readonly #pieces: Promise<unknown>[] = [];
  readonly #all: Promise<unknown>;

  constructor(file: Pick<File, 'pread'>, size: number, pieceSize = PIECE_SIZE) {
    this.bytes = Buffer.from(new ArrayBuffer(size));
    for (let from = 0; from < size; from += pieceSize) {
      this.#pieces.push(file.pread(this.bytes.subarray(from, from + pieceSize), from));
    }
    this.#all = Promise.allSettled(this.#pieces);
  }

  /** All has come, as far as `more` was asked. */
  get isWhole(): boolean {
    return this.#pieces.length === 0;
  }

  /** Waits until more has come; false when there is no more. */
  async more(): Promise<boolean> {
    if (this.isWhole) return false;
    await this.#pieces.shift();
    return true;
  }

  async whole(): Promise<void> {
    while (await this.more());
  }

  /** Resolves when nothing more is written to `bytes`. */
  async settled(): Promise<void> {
    await this.#all;
  }
}
