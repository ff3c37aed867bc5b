/**
 * Which block the cache gives up: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23).
 *
 *   new ----------> small (10 %) --used more than once--> main (90 %) --used since--> main again, one use less
 *                     | not                                 | not
 *                     v                                     v
 *   came back <---- ghost: numbers only                    out
 *
 * A scan passes through `small` and leaves `main` as it is. It was chosen over LRU-K and 2Q since a hit only counts: no
 * list is touched on the path of a cached read, and in the published traces it misses less than both.
 *
 * Invariants: a pinned frame is not given up; a frame stands in one queue, or in none while it is free.
 */

const SMALL_SHARE = 0.1;
const USES_MAX = 3;
/** Used as often as this while in `small`, a block goes to `main`. */
const PROMOTED_USES_MIN = 2;

export interface Queued {
  /** Names the content; ghosts are known by it. */
  id: number;
  pins: number;
  uses: number;
  queue: Queue<Queued> | null;
  newer: Queued | null;
  older: Queued | null;
}

/** A queue as a chain through its members. */
class Queue<T extends Queued> {
  newest: T | null = null;
  oldest: T | null = null;
  count = 0;

  push(one: T): void {
    one.queue = this;
    one.newer = null;
    one.older = this.newest;
    if (this.newest !== null) this.newest.newer = one;
    else this.oldest = one;
    this.newest = one;
    this.count++;
  }

  remove(one: T): void {
    if (one.newer !== null) one.newer.older = one.older;
    else this.newest = one.older as T | null;
    if (one.older !== null) one.older.newer = one.newer;
    else this.oldest = one.newer as T | null;
    one.queue = null;
    this.count--;
  }
}

export class S3Fifo<T extends Queued> {
  readonly #small = new Queue<T>();
  readonly #main = new Queue<T>();
  readonly #ghosts = new Set<number>();
  readonly #smallMax: number;
  readonly #ghostsMax: number;

  constructor(capacity: number) {
    this.#smallMax = Math.max(1, Math.floor(capacity * SMALL_SHARE));
    this.#ghostsMax = capacity - this.#smallMax;
  }

  /** A frame with new content, which is in no queue. */
  admit(frame: T): void {
    frame.uses = 0;
    if (this.#ghosts.delete(frame.id)) this.#main.push(frame);
    else this.#small.push(frame);
  }

  use(frame: T): void {
    if (frame.uses < USES_MAX) frame.uses++;
  }

  /** Takes a frame out whose content is worth nothing any more. */
  remove(frame: T): void {
    (frame.queue as unknown as Queue<T> | null)?.remove(frame);
  }

  /** Takes the frame out that is given up next; null when all are pinned. */
  evict(): T | null {
    // A frame may go round once for each use that it has left, and once from `small` to `main`.
    for (let left = (this.#small.count + this.#main.count) * (USES_MAX + 2); left > 0; left--) {
      const fromSmall = this.#main.count === 0 || this.#small.count > this.#smallMax;
      const given = fromSmall ? this.#tryOldestOfSmall() : this.#tryOldestOfMain();
      if (given !== null) return given;
    }
    return null;
  }

  #tryOldestOfSmall(): T | null {
    const frame = this.#small.oldest;
    if (frame === null) return null;
    this.#small.remove(frame);
    if (frame.pins > 0) {
      this.#small.push(frame);
      return null;
    }
    if (frame.uses >= PROMOTED_USES_MIN) {
      frame.uses = 0;
      this.#main.push(frame);
      return null;
    }
    this.#remember(frame.id);
    return frame;
  }

  #tryOldestOfMain(): T | null {
    const frame = this.#main.oldest;
    if (frame === null) return null;
    this.#main.remove(frame);
    if (frame.pins === 0 && frame.uses === 0) return frame;
    if (frame.uses > 0) frame.uses--;
    this.#main.push(frame);
    return null;
  }

  #remember(id: number): void {
    this.#ghosts.add(id);
    if (this.#ghosts.size <= this.#ghostsMax) return;
    for (const oldest of this.#ghosts) {
      this.#ghosts.delete(oldest);
      return;
    }
  }
}
