/**
 * The queue's bitmaps on the memory of core.wasm: full ones are pages of its allocator, smaller ones parts of pages.
 *
 *   page of 8 KiB   | 64 B | 64 B | 64 B | ...        512 bits each, or 128 B, 256 B ... 4 KiB: one length per page
 *
 * Parts that are freed wait in a list for the next bitmap of their length, so the memory of small bitmaps is bounded by
 * the most that were alive at once.
 */
import type { Core } from '@transfer-queue/core/wasm';
import { PAGE_BITS, PAGE_SIZE } from '@transfer-queue/core/wasm';
import type { Bitmaps } from './bitmaps.ts';
import { invariant } from './invariant.ts';

/** 64 bytes: the shortest that scans take whole words of. */
const BITS_MIN = 512;

/** Of the 1 GiB that core.wasm may have; the rest is for other users of its pages. */
export const BITMAP_BYTES_MAX_DEFAULT = 768 << 20;

export function createBitmaps(core: Core, bytesMax = BITMAP_BYTES_MAX_DEFAULT): Bitmaps {
  const { bitmaps, raw } = core;
  const partsFree = new Map<number, number[]>();

  const allocPage = (): number => {
    const page = bitmaps.alloc();
    invariant(page !== 0, 'the memory for bitmaps ran out although there was room');
    return page;
  };
  const partsOf = (bits: number): number[] => {
    let parts = partsFree.get(bits);
    if (parts === undefined) partsFree.set(bits, (parts = []));
    return parts;
  };
  const bytes = (at: number, bits: number): Uint8Array => new Uint8Array(raw.memory.buffer, at, bits / 8);

  return {
    bitsMin: BITS_MIN,
    bitsMax: PAGE_BITS,
    bytesFree: () => bytesMax - bitmaps.pagesUsed * PAGE_SIZE,
    alloc: (bits) => {
      if (bits === PAGE_BITS) return allocPage();
      const parts = partsOf(bits);
      if (parts.length === 0) {
        const page = allocPage();
        for (let at = PAGE_SIZE - bits / 8; at >= 0; at -= bits / 8) parts.push(page + at);
      }
      const part = parts.pop()!;
      bytes(part, bits).fill(0);
      return part;
    },
    free: (bitmap, bits) => {
      if (bits === PAGE_BITS) bitmaps.free(bitmap);
      else partsOf(bits).push(bitmap);
    },
    copy: (from, to, bits) => bytes(to, bits).set(bytes(from, bits)),
    set: (bitmap, offsets, count) => bitmaps.set(bitmap, offsets.subarray(0, count)),
    clear: (bitmap, offsets, count) => bitmaps.clear(bitmap, offsets.subarray(0, count)),
    has: (bitmap, offset) => bitmaps.has(bitmap, offset),
    countReady: (present, taken, bits) => bitmaps.countReady({ and: present, not: [taken], bits }),
    scanReady: (present, taken, from, bits, max) => bitmaps.scanReady({ and: present, not: [taken], from, bits }, max),
    scanGroups: (present, taken, bits, groupSize, max) =>
      bitmaps.scanGroups({ and: present, not: [taken], bits }, { groupSize, limit: max }),
  };
}
