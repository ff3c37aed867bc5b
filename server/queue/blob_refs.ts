/**
 * How many cells of a queue name each blob. The blobs themselves are rows of another partition (engine/blobs.ts).
 *
 *   cell --names--> BlobRef { digest, cells }      one object for all cells that name the same blob
 *
 * Derived: the cells are saved (page_values.ts), the counts are made anew as they are loaded.
 *
 * Invariants: a blob is known while a cell names it; what no cell names any more is in `freed` until it is taken.
 */
export interface BlobRef {
  /** SHA-256 of the bytes, in hexadecimal. */
  readonly digest: string;
  cells: number;
}

export class BlobRefs {
  readonly #refs = new Map<string, BlobRef>();
  #freed = new Set<string>();

  /** Blobs that some cell names. */
  get count(): number {
    return this.#refs.size;
  }

  has(digest: string): boolean {
    return this.#refs.has(digest);
  }

  /** One more cell names the blob. */
  take(digest: string): BlobRef {
    let ref = this.#refs.get(digest);
    if (ref === undefined) {
      ref = { digest, cells: 0 };
      this.#refs.set(digest, ref);
      this.#freed.delete(digest);
    }
    ref.cells += 1;
    return ref;
  }

  /** A cell that named the blob is gone, or names another one. */
  leave(ref: BlobRef): void {
    ref.cells -= 1;
    if (ref.cells > 0) return;
    this.#refs.delete(ref.digest);
    this.#freed.add(ref.digest);
  }

  /** The blobs that lost their last cell since the last call, and did not get one again. */
  takeFreed(): ReadonlySet<string> {
    const freed = this.#freed;
    if (freed.size > 0) this.#freed = new Set();
    return freed;
  }
}
