/**
 * The arena: the memory tier. One buffer, allocated once, cut into equal frames; runs of adjacent frames hold the image
 * of a segment while it is written and, after that, serve as its read cache until the frames are wanted again.
 *
 *   | frame 0 | frame 1 | frame 2 | ...      run = [first, first + count)
 *
 *   free -> take -> held <- hold -- cached -> (evicted) free
 *                     | `-- cache ->  |          ^
 *                     `-------- release ---------'
 *
 * Invariants: a held or pinned run is never evicted; eviction takes the runs that were cached first; whoever waits for
 * memory is served in the order of asking, and not for ever.
 */
import { invariant, StoreError } from '../errors.ts';
import type { Clock } from '../env/env.ts';

export interface Run {
  readonly first: number;
  readonly count: number;
  readonly bytes: Buffer;
  /** Readers whose answer still points into the run. */
  pins: number;
  /** Set while the run is cached: tells its segment that the bytes are gone. */
  onEvict: (() => void) | null;
  cachedAt: number;
}

interface Waiter {
  readonly size: number;
  readonly resolve: (run: Run) => void;
}

const WAITERS_MAX = 4_096;
const PAGE_SIZE = 4096;

export class Arena {
  readonly frameSize: number;
  readonly frameCount: number;
  readonly #clock: Clock;
  readonly #memory: ArrayBuffer;
  readonly #runOfFrame: (Run | null)[];
  readonly #waiters: Waiter[] = [];
  #cachings = 0;

  /** `memory`: zeros that nobody uses any more, of just this size; fresh ones without it. */
  constructor(options: { clock: Clock; memorySize: number; frameSize: number; memory?: ArrayBuffer }) {
    this.#clock = options.clock;
    this.frameSize = options.frameSize;
    this.frameCount = Math.floor(options.memorySize / options.frameSize);
    invariant(this.frameCount >= 4, 'an arena has at least four frames');
    const size = this.frameCount * this.frameSize;
    this.#memory = options.memory ?? new ArrayBuffer(size);
    invariant(this.#memory.byteLength === size, 'memory that is used again has the size of the arena');
    this.#runOfFrame = new Array<Run | null>(this.frameCount).fill(null);
  }

  get size(): number {
    return this.#memory.byteLength;
  }

  /** Bytes in frames that cannot be evicted now. */
  get heldSize(): number {
    let frames = 0;
    for (const run of this.#runOfFrame) if (run !== null && !evictable(run)) frames++;
    return frames * this.frameSize;
  }

  /** Takes a run of at least `size` bytes, or null when too much is held. */
  take(size: number): Run | null {
    const count = Math.max(1, Math.ceil(size / this.frameSize));
    const first = this.#cheapestRange(count);
    if (first === -1) return null;
    for (let frame = first; frame < first + count; frame++) this.#evict(frame);
    const bytes = Buffer.from(this.#memory, first * this.frameSize, count * this.frameSize);
    const run: Run = { first, count, bytes, pins: 0, onEvict: null, cachedAt: 0 };
    this.#runOfFrame.fill(run, first, first + count);
    return run;
  }

  /** As `take`, but waits for up to `waitMs`; rejects with `memory_full`. */
  taken(size: number, waitMs: number): Promise<Run> {
    const run = this.#waiters.length === 0 ? this.take(size) : null;
    if (run !== null) return Promise.resolve(run);
    const refusal = new StoreError('memory_full', { bytes: size, memory_bytes: this.size, held_bytes: this.heldSize });
    if (this.#waiters.length >= WAITERS_MAX) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        size,
        resolve: (granted) => {
          timer.cancel();
          resolve(granted);
        },
      };
      const timer = this.#clock.after(waitMs, () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(refusal);
        this.#serveWaiters();
      });
      this.#waiters.push(waiter);
    });
  }

  /** The holder writes no more, or not now: the run is a read cache and may be evicted. */
  cache(run: Run, onEvict: () => void): void {
    run.onEvict = onEvict;
    run.cachedAt = ++this.#cachings;
    this.#serveWaiters();
  }

  /** The holder of a run that was not evicted writes to it again. */
  hold(run: Run): void {
    run.onEvict = null;
  }

  /** The bytes are worth nothing any more. A pinned run is freed by its last unpin. */
  release(run: Run): void {
    run.onEvict = () => undefined;
    run.cachedAt = 0;
    if (run.pins === 0) this.#evict(run.first);
    this.#serveWaiters();
  }

  pin(run: Run): void {
    run.pins++;
  }

  unpin(run: Run): void {
    run.pins--;
    if (run.pins === 0 && this.#waiters.length > 0) this.#serveWaiters();
  }

  /**
   * First touch of fresh memory costs more than receiving into it: writes to a few pages at a time, between requests.
   * Only to pages of free frames: into the others a read of a file may be writing at the same moment.
   */
  touchInBackground(stepSize: number): void {
    const pages = new Uint8Array(this.#memory);
    let at = 0;
    const step = (): void => {
      const end = Math.min(at + stepSize, pages.length);
      for (; at < end; at += PAGE_SIZE) {
        if (this.#runOfFrame[Math.floor(at / this.frameSize)] === null) pages[at] = 0;
      }
      if (at < pages.length) this.#clock.soon(step);
    };
    step();
  }

  #serveWaiters(): void {
    while (this.#waiters.length > 0) {
      const run = this.take(this.#waiters[0].size);
      if (run === null) return;
      this.#waiters.shift()!.resolve(run);
    }
  }

  #evict(frame: number): void {
    const run = this.#runOfFrame[frame];
    if (run === null || run === undefined) return;
    invariant(evictable(run), 'a held run is never evicted');
    this.#runOfFrame.fill(null, run.first, run.first + run.count);
    run.onEvict?.();
  }

  /**
   * The range of adjacent frames whose youngest cached run is oldest; free frames count as age 0. -1 when there is
   * none.
   */
  #cheapestRange(count: number): number {
    let best = -1;
    let bestAge = Infinity;
    for (let first = 0; first + count <= this.frameCount; first++) {
      const age = this.#ageOfRange(first, count);
      if (age < bestAge) [best, bestAge] = [first, age];
      if (bestAge === 0) break;
    }
    return best;
  }

  #ageOfRange(first: number, count: number): number {
    let age = 0;
    for (let frame = first; frame < first + count; frame++) {
      const run = this.#runOfFrame[frame];
      if (run === null || run === undefined) continue;
      if (!evictable(run)) return Infinity;
      age = Math.max(age, run.cachedAt);
    }
    return age;
  }
}

function evictable(run: Run): boolean {
  return run.onEvict !== null && run.pins === 0;
}
