/**
 * The allocator of bitmap pages: 8 KiB each, zeroed, 8 KiB-aligned, recycled through a free list.
 *
 *     memory   | statics, scratch | chunk: 128 pages | chunk: 128 pages | ...  up to the maximum of asconfig.json
 *     free     a free page holds the address of the next free page in its first word
 *
 * Invariants: a page never moves; memory only grows, so hosts must make their views anew after an allocation.
 */

/** Bytes and bits of a page. */
export const PAGE_SIZE: u32 = 8192;
export const PAGE_BITS: u32 = 65536;

const WASM_PAGE_SIZE: u32 = 65536;
const CHUNK_WASM_PAGES: u32 = 16;

let freePage: usize = 0;
let usedCount: u32 = 0;

/** Makes `wasmPages` more pages of memory and returns where they start, 0 at the maximum. */
export function growMemory(wasmPages: u32): usize {
  const before = memory.grow(wasmPages);
  return before < 0 ? 0 : <usize>before * WASM_PAGE_SIZE;
}

/** A zeroed page, or 0 when the memory is at its maximum. */
export function page_alloc(): usize {
  if (freePage == 0) {
    const chunk = growMemory(CHUNK_WASM_PAGES);
    if (chunk == 0) return 0;
    for (let page = chunk; page < chunk + CHUNK_WASM_PAGES * WASM_PAGE_SIZE; page += PAGE_SIZE) {
      store<usize>(page, freePage);
      freePage = page;
    }
  }
  const page = freePage;
  freePage = load<usize>(page);
  memory.fill(page, 0, PAGE_SIZE);
  usedCount++;
  return page;
}

/** Gives a page back; freeing a page twice is a bug of the caller. */
export function page_free(page: usize): void {
  store<usize>(page, freePage);
  freePage = page;
  usedCount--;
}

/** Pages in use. */
export function pages_used(): u32 {
  return usedCount;
}
