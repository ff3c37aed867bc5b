/** Whether the memory of the bitmaps, which all partitions share, holds some more of them. */
import type { Slots } from './slots.ts';

export function hasRoom(slots: Slots, bitmapsNew: number): boolean {
  return (bitmapsNew * slots.pageBits) / 8 <= slots.bitmaps.bytesFree();
}
