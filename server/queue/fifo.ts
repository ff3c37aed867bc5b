/**
 * Numbers, first in, first out.
 *
 *   items   | gone ... | head: oldest | ... | newest |        what is gone is cut off when it is the larger part
 */
const CUT_MIN = 64;

export class Fifo {
  #items: number[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(number: number): void {
    this.#items.push(number);
  }

  /** Takes out the oldest; undefined when there is none. */
  shift(): number | undefined {
    if (this.size === 0) return undefined;
    const oldest = this.#items[this.#head++];
    if (this.#head >= CUT_MIN && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return oldest;
  }
}
