/** The rows that a claim was granted, by their ids: those that are still there. */
import { idAt, offsetOf, pageOf } from './slots.ts';
import type { Claim, PartitionQueue } from './state.ts';

/** The first `max` of them. */
export function idsOfClaim({ slots }: PartitionQueue, claim: Claim, max: number): number[] {
  const ids: number[] = [];
  for (const slot of claim.slots) {
    if (ids.length === max) break;
    const page = pageOf(slots, slot);
    const offset = offsetOf(slots, slot);
    if (page !== undefined && slots.bitmaps.has(page.live, offset)) ids.push(idAt(slots, page, offset));
  }
  return ids;
}
