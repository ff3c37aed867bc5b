/**
 * How the latest claims ended, oldest first, as columns in a ring: each claim of a stream comes here, and an object and
 * three entries of Maps for each would be a good part of what a claim costs.
 *
 *   place     0     1     2     3     4     5     6     7
 *   numbers | 19  | 20  |  -  |  -  | 14  | 16  | 15  | 18  |        begin: 4, end: 10
 *   unsaved |  1  |  1  |  -  |  -  |  0  |  0  |  1  |  1  |        unsavedFrom: 6
 *
 * Invariants: a claim ends once; begin and end count from the first claim that ever ended; `size` is at most the length
 * of the ring; no claim before `unsavedFrom` is unsaved.
 */
import { add, createIdTable, lookUp, remove, type IdTable } from '../index/id_table.ts';

export type ClaimEnd = 'acked' | 'released' | 'stale';

export interface Ended<Task> {
  readonly how: ClaimEnd;
  readonly task: Task;
  /** Of its end among all ends and expiries. */
  readonly order: number;
}

const ENDS: readonly ClaimEnd[] = ['acked', 'released', 'stale'];
const LENGTH_START = 16;

export class EndedClaims<Task> {
  #numbers = new Float64Array(LENGTH_START);
  #orders = new Float64Array(LENGTH_START);
  #hows = new Uint8Array(LENGTH_START);
  #unsaved = new Uint8Array(LENGTH_START);
  readonly #tasks: Task[] = [];
  /** From the number of a claim to its place. */
  #places: IdTable = this.#createPlaces();
  #begin = 0;
  #end = 0;
  #unsavedFrom = 0;
  #unsavedCount = 0;

  get size(): number {
    return this.#end - this.#begin;
  }

  /** Ends that have no record, or another one. */
  get unsavedCount(): number {
    return this.#unsavedCount;
  }

  has(claim: number): boolean {
    return lookUp(this.#places, claim) >= 0;
  }

  get(claim: number): Ended<Task> | undefined {
    const place = lookUp(this.#places, claim);
    return place < 0 ? undefined : this.#at(place);
  }

  /** The claim ended, after all others. */
  add(claim: number, { how, task, order }: Ended<Task>, { isSaved = false } = {}): void {
    if (this.size === this.#numbers.length) this.#grow();
    const place = this.#placeOf(this.#end);
    this.#numbers[place] = claim;
    this.#orders[place] = order;
    this.#hows[place] = ENDS.indexOf(how);
    this.#unsaved[place] = isSaved ? 0 : 1;
    this.#tasks[place] = task;
    if (!isSaved) this.#unsavedCount += 1;
    this.#end += 1;
    add(this.#places, claim, place);
  }

  /** Takes out the one that ended first and returns its number; there must be one. */
  forgetOldest(): number {
    const place = this.#placeOf(this.#begin);
    const claim = this.#numbers[place];
    remove(this.#places, claim);
    this.#unsavedCount -= this.#unsaved[place];
    this.#begin += 1;
    return claim;
  }

  /** The claims whose ends have no record. Those that were returned may be noted as saved meanwhile. */
  *unsaved(): Generator<number, void> {
    this.#unsavedFrom = Math.max(this.#unsavedFrom, this.#begin);
    for (let at = this.#unsavedFrom; at < this.#end; at += 1) {
      const place = this.#placeOf(at);
      if (this.#unsaved[place] === 1) yield this.#numbers[place];
      if (at === this.#unsavedFrom && this.#unsaved[place] === 0) this.#unsavedFrom = at + 1;
    }
  }

  noteSaved(claim: number): void {
    const place = lookUp(this.#places, claim);
    this.#unsavedCount -= this.#unsaved[place];
    this.#unsaved[place] = 0;
  }

  /** Oldest first. */
  *[Symbol.iterator](): Generator<[number, Ended<Task>], void> {
    for (let at = this.#begin; at < this.#end; at += 1) {
      const place = this.#placeOf(at);
      yield [this.#numbers[place], this.#at(place)];
    }
  }

  #at(place: number): Ended<Task> {
    return { how: ENDS[this.#hows[place]], task: this.#tasks[place], order: this.#orders[place] };
  }

  #placeOf(at: number): number {
    return at % this.#numbers.length;
  }

  #createPlaces(): IdTable {
    return createIdTable((place) => this.#numbers[place]);
  }

  /** The ring becomes twice as long, and begins at 0. */
  #grow(): void {
    const all = [...this];
    const unsaved = new Set(this.unsaved());
    const length = 2 * this.#numbers.length;
    this.#numbers = new Float64Array(length);
    this.#orders = new Float64Array(length);
    this.#hows = new Uint8Array(length);
    this.#unsaved = new Uint8Array(length);
    this.#places = this.#createPlaces();
    this.#begin = this.#end = this.#unsavedFrom = this.#unsavedCount = 0;
    for (const [claim, end] of all) this.add(claim, end, { isSaved: !unsaved.has(claim) });
  }
}
