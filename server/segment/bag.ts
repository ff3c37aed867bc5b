/**
 * A set of things each of which knows its place in it: adding and removing hash nothing, and cost a word of memory,
 * where those of a Set of a million things cost a hundred nanoseconds and forty bytes.
 *
 *   items   | a | b | c | d |        b leaves: | a | d | c |        place of d: 1
 *
 * What stands for many things that are not made yet may be in a bag for them: they are made when someone wants to see
 * all that the bag has.
 *
 * Invariants: `items[placeOf(item)] === item` for what is in the bag; things are in no order; a thing is in at most one
 * bag of a kind.
 */
/** The place of a thing that is in no bag. */
export const NOWHERE = -1;
/** Of what stands for things: a part of a millisecond. */
const MADE_AT_ONCE = 8;

/** So many things that are not made yet; `make` takes it out of all bags, and puts the things in. */
export interface Unmade {
  readonly count: number;
  readonly make: () => void;
}

/** Each kind of bag says where its things keep their place: a property named by a variable would be looked up. */
export abstract class Bag<Item> {
  readonly #items: Item[] = [];
  #unmade: Set<Unmade> | null = null;
  #unmadeCount = 0;

  protected abstract placeOf(item: Item): number;
  protected abstract setPlace(item: Item, place: number): void;

  get size(): number {
    return this.#items.length + this.#unmadeCount;
  }

  has(item: Item): boolean {
    const at = this.placeOf(item);
    return at >= 0 && at < this.#items.length && this.#items[at] === item;
  }

  add(item: Item): void {
    if (this.has(item)) return;
    this.setPlace(item, this.#items.length);
    this.#items.push(item);
  }

  /** Whether it was there. */
  delete(item: Item): boolean {
    if (!this.has(item)) return false;
    const last = this.#items.pop()!;
    const place = this.placeOf(item);
    this.setPlace(item, NOWHERE);
    if (last === item) return true;
    this.setPlace(last, place);
    this.#items[place] = last;
    return true;
  }

  /** Takes one out, whichever; undefined when there is none. */
  take(): Item | undefined {
    while (this.#items.length === 0 && this.#makeNext());
    const last = this.#items.pop();
    if (last !== undefined) this.setPlace(last, NOWHERE);
    return last;
  }

  /** The bag must not change meanwhile. */
  [Symbol.iterator](): IterableIterator<Item> {
    while (this.#makeNext());
    return this.#items.values();
  }

  addUnmade(unmade: Unmade): void {
    this.#unmade ??= new Set();
    this.#unmade.add(unmade);
    this.#unmadeCount += unmade.count;
  }

  /** Whether it was there. */
  deleteUnmade(unmade: Unmade): boolean {
    if (this.#unmade?.delete(unmade) !== true) return false;
    this.#unmadeCount -= unmade.count;
    return true;
  }

  /** Makes things that are not made yet, some of them; false when there are none. */
  makeSome(): boolean {
    for (let some = 0; some < MADE_AT_ONCE; some++) if (!this.#makeNext()) return false;
    return true;
  }

  #makeNext(): boolean {
    for (const unmade of this.#unmade ?? []) {
      unmade.make();
      return true;
    }
    return false;
  }
}
