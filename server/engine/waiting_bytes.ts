/**
 * What puts that wait for room hold meanwhile, which is bounded: their bytes on disk, or, at level `memory`, the memory
 * of the whole segments that they lie in.
 */
import type { Segment } from '../segment/segment.ts';

export interface HoldingPut {
  readonly size: number;
  /** The segment whose memory the put holds; null when its bytes are on disk. */
  readonly holds: Segment | null;
}

export class WaitingBytes {
  readonly #sizeMax: number;
  #size = 0;
  /** How many puts hold each segment. */
  readonly #holders = new Map<Segment, number>();

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  get size(): number {
    return this.#size;
  }

  hasRoom(put: HoldingPut): boolean {
    return this.#size + this.#sizeOf(put) <= this.#sizeMax;
  }

  add(put: HoldingPut): void {
    this.#size += this.#sizeOf(put);
    if (put.holds !== null) this.#holders.set(put.holds, (this.#holders.get(put.holds) ?? 0) + 1);
  }

  remove(put: HoldingPut): void {
    if (put.holds !== null) {
      const left = this.#holders.get(put.holds)! - 1;
      if (left > 0) this.#holders.set(put.holds, left);
      else this.#holders.delete(put.holds);
    }
    this.#size -= this.#sizeOf(put);
  }

  /** What it holds that no other put does. */
  #sizeOf({ size, holds }: HoldingPut): number {
    if (holds === null) return size;
    return this.#holders.has(holds) ? 0 : holds.capacity;
  }
}
