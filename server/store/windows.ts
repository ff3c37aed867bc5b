/**
 * Sends a plan of pieces in windows: each resolves its pieces to memory when its turn comes, so that a slow reader pins
 * one window and never the arena.
 *
 *   pieces   | g |  slice  | slice | g | slice ...        g: generated
 *   windows  '------ <= 4 MiB ------' '-- ...             + 16 bytes of tail after the last piece, when asked for
 *
 * Short pieces are copied together: below about 1 KiB a copy costs less than one more vector element of a write.
 *
 * Invariants: windows hold exactly `size` bytes in all; what a window points to is held until its `release`; `close`
 * ends the answer, sent or not. What was located must stay open until then.
 */
import { GENERATED, type PieceList } from '@transfer-queue/core/arrow';
import { TAIL_MAGIC, TAIL_SIZE } from '@transfer-queue/core/protocol';
import type { BodyHasher, Core } from '@transfer-queue/core/wasm';
import { Holds, type ExtentReader } from './extents.ts';
import type { Located } from './locate.ts';

/** With the tail a window stays below 4 MiB. */
export const WINDOW_SIZE_MAX = (4 << 20) - 4_096;
const WINDOW_PARTS_MAX = 4_096;
const COPY_SIZE_MAX = 1_024;
const COPY_BUFFER_SIZE = 64 << 10;

export interface Window {
  readonly parts: readonly Uint8Array[];
  release(): void;
}

export class AnswerWindows {
  readonly size: number;
  readonly #reader: ExtentReader;
  readonly #located: Located;
  readonly #pieces: PieceList;
  readonly #hasher: BodyHasher | null;
  #piece = 0;
  /** Bytes of the current piece that went into former windows. */
  #taken = 0;
  /** Bytes of the pieces that are in no window yet. */
  #left: number;
  #first: Window | null = null;

  constructor(options: { reader: ExtentReader; located: Located; pieces: PieceList; core: Core; tail: boolean }) {
    this.#reader = options.reader;
    this.#located = options.located;
    this.#pieces = options.pieces;
    this.#hasher = options.tail ? options.core.bodyHasher() : null;
    this.#left = options.pieces.bytes;
    this.size = options.pieces.bytes + (options.tail ? TAIL_SIZE : 0);
  }

  /** Builds the first window, so that bytes which cannot be had are an error answer and not a cut connection. */
  async prepare(): Promise<void> {
    this.#first = await this.#build();
  }

  async next(): Promise<Window> {
    const first = this.#first;
    this.#first = null;
    return first ?? (await this.#build());
  }

  close(): void {
    this.#first?.release();
    this.#first = null;
  }

  async #build(): Promise<Window> {
    const holds = new Holds();
    const builder = new WindowBuilder(this.#hasher, Math.min(COPY_BUFFER_SIZE, this.#left));
    try {
      while (this.#piece < this.#pieces.count && builder.hasRoom) {
        const sizeMax = WINDOW_SIZE_MAX - builder.size;
        const bytes = this.#ready(sizeMax, holds) ?? (await this.#cold(sizeMax, holds, builder.size === 0));
        if (bytes === null) break;
        builder.add(bytes);
        this.#advance(bytes.length);
      }
      builder.end(this.#piece === this.#pieces.count);
    } catch (error) {
      this.#reader.release(holds);
      throw error;
    }
    return { parts: builder.parts, release: () => this.#reader.release(holds) };
  }

  /** The next bytes of the plan, at most `sizeMax`; null when they must come from disk. */
  #ready(sizeMax: number, holds: Holds): Uint8Array | null {
    const { source, offset, length } = this.#range(sizeMax);
    if (source === GENERATED) return this.#pieces.generated.subarray(offset, offset + length);
    return this.#reader.resident(this.#located.batches[source].extent, offset, length, holds);
  }

  /** Null when the cache is full and the window holds some of it already. */
  #cold(sizeMax: number, holds: Holds, mayWait: boolean): Promise<Uint8Array | null> {
    const { source, offset, length } = this.#range(sizeMax);
    return this.#reader.cold(this.#located.batches[source].extent, { offset, length }, holds, mayWait);
  }

  #range(sizeMax: number): { source: number; offset: number; length: number } {
    const { sources, offsets, lengths } = this.#pieces;
    return {
      source: sources[this.#piece],
      offset: offsets[this.#piece] + this.#taken,
      length: Math.min(lengths[this.#piece] - this.#taken, sizeMax),
    };
  }

  #advance(size: number): void {
    this.#left -= size;
    this.#taken += size;
    if (this.#taken < this.#pieces.lengths[this.#piece]) return;
    this.#piece++;
    this.#taken = 0;
  }
}

/** Gathers the parts of one window, copying short ones together, and hashes what it gathered. */
class WindowBuilder {
  readonly parts: Uint8Array[] = [];
  size = 0;
  readonly #hasher: BodyHasher | null;
  readonly #copySize: number;
  #copies: Uint8Array | null = null;
  #copied = 0;
  #copyStart = 0;

  /** `copySize`: of a buffer for what is copied together, all that is left of the answer or some of it. */
  constructor(hasher: BodyHasher | null, copySize: number) {
    this.#hasher = hasher;
    this.#copySize = copySize;
  }

  get hasRoom(): boolean {
    return this.size < WINDOW_SIZE_MAX && this.parts.length < WINDOW_PARTS_MAX;
  }

  add(bytes: Uint8Array): void {
    this.size += bytes.length;
    if (bytes.length >= COPY_SIZE_MAX) {
      this.#endCopies();
      this.#push(bytes);
      return;
    }
    if (this.#copies === null || this.#copied + bytes.length > this.#copies.length) {
      this.#endCopies();
      this.#copies = Buffer.allocUnsafe(this.#copySize);
      this.#copied = 0;
      this.#copyStart = 0;
    }
    this.#copies.set(bytes, this.#copied);
    this.#copied += bytes.length;
  }

  /** Nothing is added afterwards; the last window gets the tail. */
  end(last: boolean): void {
    this.#endCopies();
    if (!last || this.#hasher === null) return;
    const tail = Buffer.allocUnsafe(TAIL_SIZE);
    tail.write(TAIL_MAGIC, 0, 'latin1');
    tail.set(this.#hasher.finish(), TAIL_MAGIC.length);
    this.parts.push(tail);
  }

  #endCopies(): void {
    if (this.#copies === null || this.#copied === this.#copyStart) return;
    this.#push(this.#copies.subarray(this.#copyStart, this.#copied));
    this.#copyStart = this.#copied;
  }

  #push(bytes: Uint8Array): void {
    this.#hasher?.update(bytes);
    this.parts.push(bytes);
  }
}
