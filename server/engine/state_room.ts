/**
 * What whole states of partitions may take of the memory outside the arena: those that come in for loads, until these
 * end, and those that go out to clients that save, until they are sent.
 *
 *   take -- no room: `memory_full` -- else the bytes are made or received -> give
 *
 * Invariants: the bytes of all that took room have a bound; queues of states, which take several times their bytes, are
 * made one at a time, in the order of asking.
 */
import { limits } from '@transfer-queue/core/protocol';
import { StoreError } from '../errors.ts';

/** So many of the largest states that a load takes have room at once. */
const STATES_MAX = limits.statesBytesMax / limits.putBodyBytesMax;

export class StateRoom {
  /** `states_bytes_max` of this node. */
  readonly sizeMax: number;
  #size = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor({ stateSizeMax }: { readonly stateSizeMax: number }) {
    this.sizeMax = STATES_MAX * stateSizeMax;
  }

  /** Bytes that have room. */
  get size(): number {
    return this.#size;
  }

  /** Returns what gives the room back, once however often it is called. One state has room whatever its size. */
  take(size: number): () => void {
    if (this.#size > 0 && this.#size + size > this.sizeMax) {
      const reason = 'states of loads and saves have states_bytes_max together';
      throw new StoreError('memory_full', { bytes: size, held: this.#size, limit: this.sizeMax, reason });
    }
    this.#size += size;
    let left = size;
    return () => {
      this.#size -= left;
      left = 0;
    };
  }

  /** Does one such work at a time. */
  alone<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
