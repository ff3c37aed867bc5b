/**
 * The bytes of one connection that were read and not used yet.
 *
 *   shared receive buffer   borrowed while one read is handled; belongs to all connections
 *   kept copy               what is left after that: part of a head, pipelined requests, a body nobody received yet
 *
 * Invariants: between two reads no connection points into the shared buffer, and an idle connection owns no buffer.
 */
const KEPT_SIZE_MIN = 512;
const empty = Buffer.alloc(0);

export class Input {
  bytes: Buffer = empty;
  start = 0;
  end = 0;
  #borrowed = false;

  get size(): number {
    return this.end - this.start;
  }

  /** Takes `shared[0, size)` in: as it is where nothing was kept, else as a copy behind what was. */
  add(shared: Buffer, size: number): void {
    if (this.end > this.start) {
      this.#append(shared, size);
      return;
    }
    this.bytes = shared;
    this.start = 0;
    this.end = size;
    this.#borrowed = true;
  }

  use(size: number): void {
    this.start += size;
    if (this.start === this.end) this.clear();
  }

  clear(): void {
    this.bytes = empty;
    this.start = 0;
    this.end = 0;
    this.#borrowed = false;
  }

  /** Gives the shared buffer back. Unpooled, so that a few bytes do not hold a pool of others'. */
  keep(): void {
    if (!this.#borrowed) return;
    const { bytes, start, end } = this;
    const kept = Buffer.allocUnsafeSlow(Math.max(KEPT_SIZE_MIN, end - start));
    bytes.copy(kept, 0, start, end);
    this.#own(kept, end - start);
  }

  #append(shared: Buffer, size: number): void {
    const { bytes, start, end } = this;
    const before = end - start;
    if (before + size <= bytes.length - start) {
      shared.copy(bytes, end, 0, size);
      this.end += size;
      return;
    }
    const kept = Buffer.allocUnsafeSlow(Math.max(2 * before, before + size));
    bytes.copy(kept, 0, start, end);
    shared.copy(kept, before, 0, size);
    this.#own(kept, before + size);
  }

  #own(kept: Buffer, size: number): void {
    this.bytes = kept;
    this.start = 0;
    this.end = size;
    this.#borrowed = false;
  }
}
