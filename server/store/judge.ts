/**
 * Which puts of a row still show a cell of it: those with a field that no newer put of the row has.
 *
 *   newest   a b -     keep           The rows of one put mostly showed the same puts before, so that the judgement of
 *            - b c     keep: c        one row is that of the next: the last one is kept.
 *   oldest   a - c     hidden
 *
 * Invariant: the fields of a batch never change, and its number is never used again.
 */
import { limits } from '@transfer-queue/core/protocol';
import { addBits } from './cell_places.ts';

/** With the put that is about to hide others. */
const PUTS_MAX = limits.putsPerRowMax + 1;

export class Judge {
  readonly #fieldBits: (batch: number) => Uint32Array;
  readonly #union = new Uint32Array(limits.columnsMax / 32);
  readonly #batches = new Float64Array(PUTS_MAX);
  readonly #keep = new Uint8Array(PUTS_MAX);
  #count = 0;

  constructor(fieldBits: (batch: number) => Uint32Array) {
    this.#fieldBits = fieldBits;
  }

  /** Marks in `keep` which of a row's `count` puts, newest first, still show a cell. */
  judge(batches: Float64Array, count: number, keep: Uint8Array): void {
    if (!this.#isLast(batches, count)) this.#look(batches, count);
    for (let i = 0; i < count; i++) keep[i] = this.#keep[i];
  }

  #isLast(batches: Float64Array, count: number): boolean {
    if (count !== this.#count) return false;
    for (let i = 0; i < count; i++) if (batches[i] !== this.#batches[i]) return false;
    return true;
  }

  #look(batches: Float64Array, count: number): void {
    this.#union.fill(0);
    this.#count = count;
    for (let i = 0; i < count; i++) {
      this.#batches[i] = batches[i];
      this.#keep[i] = addBits(this.#union, this.#fieldBits(batches[i])) ? 1 : 0;
    }
  }
}
