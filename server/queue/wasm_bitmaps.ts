/**
 * The queue's bitmaps on the memory of core.wasm: full ones are pages of its allocator, smaller ones parts of pages.
 *
 *   slab: a page of 8 KiB   | 64 B | 64 B | 64 B | ...    512 bits each, or 128 B, 256 B ... 4 KiB: one length a slab
 *
 * Invariants: a slab without a bitmap goes back to the allocator; `open` has the slabs with room, by the length of
 * their bitmaps; pages are aligned, so the page of a part is found from its address.
 */
import { PAGE_BITS, PAGE_SIZE, type Core } from '@transfer-queue/core/wasm';
import type { Bitmaps } from './bitmaps.ts';
import { invariant } from './invariant.ts';

/** 64 bytes: one cache line, and whole words of the scans. */
const BITS_MIN = 512;

/** Of the 1 GiB that core.wasm may have; the rest is for other users of its pages. */
export const BITMAP_BYTES_MAX_DEFAULT = 768 << 20;

interface Slab {
  readonly page: number;
  readonly free: number[];
}

export function createBitmaps(core: Core, bytesMax = BITMAP_BYTES_MAX_DEFAULT): Bitmaps {
  const { bitmaps, raw } = core;
  const slabs = new Map<number, Slab>();
  const open = new Map<number, Set<Slab>>();

  const allocPage = (): number => {
    const page = bitmaps.alloc();
    invariant(page !== 0, 'the memory for bitmaps ran out although there was room');
    return page;
  };
  const openOf = (bits: number): Set<Slab> => {
    let found = open.get(bits);
    if (found === undefined) open.set(bits, (found = new Set()));
    return found;
  };
  const createSlab = (bits: number): Slab => {
    const slab: Slab = { page: allocPage(), free: [] };
    for (let at = PAGE_SIZE - bits / 8; at >= 0; at -= bits / 8) slab.free.push(slab.page + at);
    slabs.set(slab.page, slab);
    openOf(bits).add(slab);
    return slab;
  };
  const allocPart = (bits: number): number => {
    const [slab = createSlab(bits)] = openOf(bits);
    const part = slab.free.pop()!;
    if (slab.free.length === 0) openOf(bits).delete(slab);
    bytes(part, bits).fill(0);
    return part;
  };
  const freePart = (part: number, bits: number): void => {
    const slab = slabs.get(part - (part % PAGE_SIZE))!;
    slab.free.push(part);
    openOf(bits).add(slab);
    if (slab.free.length < PAGE_BITS / bits) return;
    openOf(bits).delete(slab);
    slabs.delete(slab.page);
    bitmaps.free(slab.page);
  };
  const bytes = (at: number, bits: number): Uint8Array => new Uint8Array(raw.memory.buffer, at, bits / 8);

  return {
    bitsMin: BITS_MIN,
    bitsMax: PAGE_BITS,
    bytesFree: () => bytesMax - bitmaps.pagesUsed * PAGE_SIZE,
    alloc: (bits) => (bits === PAGE_BITS ? allocPage() : allocPart(bits)),
    free: (bitmap, bits) => (bits === PAGE_BITS ? bitmaps.free(bitmap) : freePart(bitmap, bits)),
    copy: (from, to, bits) => bytes(to, bits).set(bytes(from, bits)),
    read: (bitmap, bits) => bytes(bitmap, bits).slice(),
    write: (bitmap, bits, from) => bytes(bitmap, bits).set(from),
    set: (bitmap, offsets, count) => bitmaps.set(bitmap, offsets, count),
    clear: (bitmap, offsets, count) => bitmaps.clear(bitmap, offsets, count),
    has: (bitmap, offset) => bitmaps.has(bitmap, offset),
    countReady: (present, taken, bits) => bitmaps.countReady({ and: present, not: [taken], bits }),
    scanReady: (present, taken, from, bits, max) => bitmaps.scanReady({ and: present, not: [taken], from, bits }, max),
    scanReadyInto: (present, taken, from, bits, out) =>
      bitmaps.scanReadyInto({ and: present, not: [taken], from, bits }, out),
    scanGroups: (present, taken, bits, groupSize, max) =>
      bitmaps.scanGroups({ and: present, not: [taken], bits }, { groupSize, limit: max }),
    chances: (seed, ids) => core.chancesInto(seed, ids, ids),
  };
}
