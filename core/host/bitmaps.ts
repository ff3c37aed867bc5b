/**
 * Bitmap pages over row slots, in the memory of core.wasm: 65,536 bits each, named by their address (0 = no page).
 *
 * Slots are positions inside a page, so callers split slot s into page floor(s / 65,536) and slot s % 65,536.
 * Invariants: a page belongs to the Bitmaps that allocated it; slots outside a page are a bug and throw.
 */
import type { CoreInstance } from './instance.ts';

export const PAGE_BITS = 65536;
export const PAGE_SIZE = PAGE_BITS / 8;

/** Pages that one scan takes; their addresses stand before its results in the window. */
const SCAN_PAGES_MAX = 4352;

/** Which slots are ready: in all pages of `and`, in none of `not`, in [from, bits). */
export interface Scan {
  /** An empty list means every slot; a 0 in it means none. */
  readonly and: readonly number[];
  readonly not: readonly number[];
  readonly from?: number;
  /** Bits of the page in use: the largest multiple of the group size. */
  readonly bits?: number;
}

export class Bitmaps {
  readonly #core: CoreInstance;

  constructor(core: CoreInstance) {
    this.#core = core;
  }

  /** A zeroed page, or 0 when the memory of core.wasm is at its maximum. */
  alloc(): number {
    return this.#core.raw.page_alloc();
  }

  free(page: number): void {
    this.#core.raw.page_free(page);
  }

  get pagesUsed(): number {
    return this.#core.raw.pages_used();
  }

  /** The bytes of a page, valid until the next alloc: for checkpoints. */
  bytesOf(page: number): Uint8Array {
    return this.#core.bytes().subarray(page, page + PAGE_SIZE);
  }

  /** Sets the first `count` slots and returns how many were clear. */
  set(page: number, slots: ArrayLike<number>, count = slots.length): number {
    if (count === 1) return checked(this.#core.raw.range_set(page, slots[0], 1));
    let changed = 0;
    for (let from = 0; from < count; from += PAGE_BITS) {
      const placed = this.#placeSlots(slots, from, count);
      changed += checked(this.#core.raw.bits_set(page, this.#core.window, placed));
    }
    return changed;
  }

  /** Clears the first `count` slots and returns how many were set. */
  clear(page: number, slots: ArrayLike<number>, count = slots.length): number {
    if (count === 1) return checked(this.#core.raw.range_clear(page, slots[0], 1));
    let changed = 0;
    for (let from = 0; from < count; from += PAGE_BITS) {
      const placed = this.#placeSlots(slots, from, count);
      changed += checked(this.#core.raw.bits_clear(page, this.#core.window, placed));
    }
    return changed;
  }

  /** 0 or 1 per slot. */
  test(page: number, slots: ArrayLike<number>): Uint8Array {
    const { raw, window } = this.#core;
    const results = window + PAGE_BITS * 4;
    const out = new Uint8Array(slots.length);
    for (let from = 0; from < slots.length; from += PAGE_BITS) {
      const count = this.#placeSlots(slots, from, slots.length);
      checked(raw.bits_test(page, window, count, results));
      out.set(this.#core.bytes().subarray(results, results + count), from);
    }
    return out;
  }

  has(page: number, slot: number): boolean {
    return checked(this.#core.raw.range_count(page, slot, 1)) === 1;
  }

  setRange(page: number, from: number, count: number): number {
    return checked(this.#core.raw.range_set(page, from, count));
  }

  clearRange(page: number, from: number, count: number): number {
    return checked(this.#core.raw.range_clear(page, from, count));
  }

  countRange(page: number, from: number, count: number): number {
    return checked(this.#core.raw.range_count(page, from, count));
  }

  count(page: number): number {
    return this.#core.raw.popcount(page);
  }

  /** The first `limit` ready slots, ascending. */
  scanReady(scan: Scan, limit: number): Uint32Array {
    return this.#scanReady(scan, limit).slice();
  }

  /** The first ready slots, as many as there is room for in out; says how many. */
  scanReadyInto(scan: Scan, out: Uint32Array): number {
    const found = this.#scanReady(scan, out.length);
    out.set(found);
    return found.length;
  }

  #scanReady(scan: Scan, limit: number): Uint32Array {
    const out = this.#placePages(scan);
    const { from = 0, bits = PAGE_BITS } = scan;
    const { raw, window } = this.#core;
    const nots = window + scan.and.length * 4;
    const most = Math.min(limit, PAGE_BITS);
    const found = raw.scan_ready(window, scan.and.length, nots, scan.not.length, from, bits, most, out);
    return this.#core.words().subarray(out / 4, out / 4 + checked(found));
  }

  /** The start slots of the first `limit` aligned groups of `groupSize` slots that are all ready, ascending. */
  scanGroups(scan: Scan, { groupSize, limit }: { groupSize: number; limit: number }): Uint32Array {
    const out = this.#placePages(scan);
    const { from = 0, bits = PAGE_BITS } = scan;
    const { raw, window } = this.#core;
    const nots = window + scan.and.length * 4;
    const most = Math.min(limit, PAGE_BITS);
    const found = raw.scan_groups(window, scan.and.length, nots, scan.not.length, from, bits, groupSize, most, out);
    return this.#core.copyWords(out, checked(found));
  }

  countReady(scan: Scan): number {
    this.#placePages(scan);
    const { from = 0, bits = PAGE_BITS } = scan;
    const { raw, window } = this.#core;
    const nots = window + scan.and.length * 4;
    return checked(raw.count_ready(window, scan.and.length, nots, scan.not.length, from, bits));
  }

  /** Writes up to a page's worth of slots, beginning with slot number `from` of the list, to the window. */
  #placeSlots(slots: ArrayLike<number>, from: number, end: number): number {
    const count = Math.min(PAGE_BITS, end - from);
    const words = this.#core.words();
    const base = this.#core.window / 4;
    for (let i = 0; i < count; i++) words[base + i] = slots[from + i];
    return count;
  }

  /** Writes the addresses of the pages, AND then NOT, to the window; returns where results may stand. */
  #placePages({ and, not }: Scan): number {
    const count = and.length + not.length;
    if (count > SCAN_PAGES_MAX) throw new RangeError(`a scan takes at most ${SCAN_PAGES_MAX} pages, not ${count}`);
    const words = this.#core.words();
    const base = this.#core.window / 4;
    for (let i = 0; i < and.length; i++) words[base + i] = and[i];
    for (let i = 0; i < not.length; i++) words[base + and.length + i] = not[i];
    return this.#core.window + SCAN_PAGES_MAX * 4;
  }
}

function checked(status: number): number {
  if (status < 0) throw new RangeError('slot or range outside the bitmap page');
  return status;
}
