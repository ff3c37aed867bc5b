/**
 * A table by LSN, for things that are made in the order of their LSNs.
 *
 *   pages   | LSNs 0..63 | LSNs 64..127 | ... |        in a Map: only those that have a thing
 *
 * A Map of a million keys costs a cache miss or two for each access and stops the loop while it grows; here neighbours
 * share a page, and the Map is a 64th of the size.
 */
const PAGE_LENGTH = 64;

interface Page<Thing> {
  readonly things: (Thing | undefined)[];
  count: number;
}

export class LsnTable<Thing> {
  readonly #pages = new Map<number, Page<Thing>>();
  #last: { readonly number: number; readonly page: Page<Thing> | undefined } = { number: -1, page: undefined };

  get(lsn: number): Thing | undefined {
    return this.#page(Math.floor(lsn / PAGE_LENGTH))?.things[lsn % PAGE_LENGTH];
  }

  has(lsn: number): boolean {
    return this.get(lsn) !== undefined;
  }

  /** There is none of this LSN yet. */
  add(lsn: number, thing: Thing): void {
    const number = Math.floor(lsn / PAGE_LENGTH);
    let page = this.#page(number);
    if (page === undefined) {
      page = { things: new Array<Thing | undefined>(PAGE_LENGTH).fill(undefined), count: 0 };
      this.#pages.set(number, page);
      this.#last = { number, page };
    }
    page.things[lsn % PAGE_LENGTH] = thing;
    page.count++;
  }

  delete(lsn: number): void {
    const number = Math.floor(lsn / PAGE_LENGTH);
    const page = this.#page(number);
    if (page?.things[lsn % PAGE_LENGTH] === undefined) return;
    page.things[lsn % PAGE_LENGTH] = undefined;
    page.count--;
    if (page.count > 0) return;
    this.#pages.delete(number);
    this.#last = { number: -1, page: undefined };
  }

  /** Puts another thing in the place of one that is there. */
  replace(lsn: number, thing: Thing): void {
    this.#page(Math.floor(lsn / PAGE_LENGTH))!.things[lsn % PAGE_LENGTH] = thing;
  }

  /** LSNs above `lsn` that have a thing. Things may come and go meanwhile. */
  *lsnsAfter(lsn: number): Generator<number, void> {
    for (const [number, { things }] of this.#pages) {
      const first = number * PAGE_LENGTH;
      for (let i = Math.max(0, lsn + 1 - first); i < PAGE_LENGTH; i++) if (things[i] !== undefined) yield first + i;
    }
  }

  #page(number: number): Page<Thing> | undefined {
    if (number !== this.#last.number) this.#last = { number, page: this.#pages.get(number) };
    return this.#last.page;
  }
}
