/**
 * The bytes of a file, read in pieces that are asked for at once, so that who reads from front to back begins with the
 * first while the others are under way.
 *
 *   bytes   | piece | piece | piece | piece |        ready: from the front, without a gap
 *           |---- ready ----|  read, or not yet
 */
import type { File } from '../env/env.ts';

const PIECE_SIZE = 1 << 20;

export class FileReading {
  /** Room for the whole file; what is behind `ready` means nothing. */
  readonly bytes: Buffer;
  readonly #pieces: readonly Piece[];
  #passed = 0;
  #ready = 0;

  static async of(file: File, pieceSize = PIECE_SIZE): Promise<FileReading> {
    return new FileReading(file, await file.size(), pieceSize);
  }

  private constructor(file: File, size: number, pieceSize: number) {
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.#pieces = Array.from({ length: Math.ceil(size / pieceSize) }, (_, piece) => {
      const from = piece * pieceSize;
      const part = this.bytes.subarray(from, from + pieceSize);
      const read = file.pread(part, from);
      // Who comes to the piece hears of it.
      read.catch(() => undefined);
      return { size: part.length, read };
    });
  }

  /** How many bytes are there. */
  get ready(): number {
    return this.#ready;
  }

  /** Whether nothing more comes. */
  get isWhole(): boolean {
    return this.#passed === this.#pieces.length;
  }

  /** Waits for the next piece, if there is one. Rejects when it cannot be read. */
  async more(): Promise<void> {
    if (this.isWhole) return;
    const { size, read } = this.#pieces[this.#passed];
    const count = await read;
    this.#ready += count;
    // A file that became shorter meanwhile ends there.
    this.#passed = count < size ? this.#pieces.length : this.#passed + 1;
  }

  async whole(): Promise<void> {
    while (!this.isWhole) await this.more();
  }
}

interface Piece {
  readonly size: number;
  readonly read: Promise<number>;
}
