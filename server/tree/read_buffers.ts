/**
 * Buffers that reads from the disk go through on their way into the tree's memory, which may move while a read is under
 * way. They are used again: an allocation for each read costs more than the read of a block.
 */
import { SLOT_SIZE } from '@transfer-queue/core/lsm';

/** A block with its checksum; larger reads are rare enough to allocate. */
const BUFFER_SIZE = SLOT_SIZE + 64;
const KEPT_MAX = 64;

export class ReadBuffers {
  readonly #free: Buffer[] = [];

  /** A buffer of exactly this size, with any content. */
  take(size: number): Buffer {
    if (size > BUFFER_SIZE) return Buffer.allocUnsafe(size);
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_SIZE);
    return buffer.subarray(0, size);
  }

  give(buffer: Buffer): void {
    if (buffer.buffer.byteLength !== BUFFER_SIZE || this.#free.length >= KEPT_MAX) return;
    this.#free.push(Buffer.from(buffer.buffer));
  }
}
