/**
 * The bitmaps that a page has of filters in use: made, changed and freed here. They are no units: nothing is noted.
 *
 * Invariant: `use.pages` counts the pages that have a bitmap of it.
 */
import type { Bitmaps } from './bitmaps.ts';
import type { FilterUse } from './filter_use.ts';
import type { Page } from './page.ts';
import type { Pages } from './pages.ts';

/** Adds a bitmap with these bits. The caller knows that there is room for it. */
export function makeFilterBitmap(pages: Pages, page: Page, use: FilterUse, bits: Uint8Array): number {
  const bitmaps = writable(pages);
  const bitmap = bitmaps.alloc(page.bits);
  bitmaps.write(bitmap, page.bits, bits);
  page.filters.set(use, bitmap);
  use.pages += 1;
  return bitmap;
}

/** The filter goes out of use. */
export function dropFilterBitmaps(pages: Pages, use: FilterUse): void {
  for (const page of pages.pages) {
    const bitmap = page.filters.get(use);
    if (bitmap === undefined) continue;
    writable(pages).free(bitmap, page.bits);
    page.filters.delete(use);
  }
  use.pages = 0;
}

export function setFilterBits(pages: Pages, page: Page, use: FilterUse, offsets: Uint32Array, count: number): void {
  writable(pages).set(page.filters.get(use)!, offsets, count);
}

export function clearFilterBits(pages: Pages, page: Page, use: FilterUse, offsets: Uint32Array, count: number): void {
  writable(pages).clear(page.filters.get(use)!, offsets, count);
}

/** Rows are about to be live, those that are not already, without values. */
export function addToFilters(pages: Pages, page: Page, offsets: Uint32Array, count: number): void {
  if (page.filters.size === 0) return;
  const rowsNew = offsets.subarray(0, count).filter((offset) => !pages.bitmaps.has(page.live, offset));
  if (rowsNew.length === 0) return;
  for (const use of page.filters.keys()) {
    if (use.holdsForNone) setFilterBits(pages, page, use, rowsNew, rowsNew.length);
  }
}

/** Rows are about to be deleted. */
export function removeFromFilters(pages: Pages, page: Page, offsets: Uint32Array, count: number): void {
  for (const use of page.filters.keys()) clearFilterBits(pages, page, use, offsets, count);
}

function writable(pages: Pages): Bitmaps {
  return pages.bitmaps as Bitmaps;
}
