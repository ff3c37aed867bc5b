/**
 * When the rows of a queue came, as coarsely as its retention by age asks for.
 *
 *   slots   0 ......... a ......... b ......... c        arrivals = [{a, t0 to t1}, {b, t2 to t3}, {c, t4 to t5}]
 *             t0 .. t1    t2 .. t3    t4 .. t5           a span is a 64th of the age, or one put
 *
 * A row is as old as its group: slots rise with the first row of each group. Times are the wall clock's as the journal
 * has it, so that a replay finds the same.
 *
 * Invariants: both slots and times rise; every row in a slot below `slotEnd` came at or before `lastMs`; at most one
 * arrival is older than the age, so that there are never many.
 */
import type { PartitionQueue } from './state.ts';

const SPANS_PER_AGE = 64;

/** The rows that are there came by now. Called after each put of new rows, and when the retention is declared. */
export function noteArrivals(queue: PartitionQueue, wallMs: number): void {
  const ageMsMax = queue.settings.retention?.ageMsMax;
  if (ageMsMax === undefined) {
    if (queue.arrivals.length > 0) queue.arrivals = [];
    return;
  }
  const slotEnd = slotEndOf(queue);
  const last = queue.arrivals.at(-1);
  if (last?.slotEnd === slotEnd) return;
  const now = Math.max(Math.floor(wallMs), last?.lastMs ?? 0);
  const oldest = queue.arrivals.findLastIndex(({ lastMs }) => lastMs <= now - ageMsMax);
  const kept = queue.arrivals.slice(Math.max(oldest, 0));
  if (last !== undefined && now - last.firstMs < ageMsMax / SPANS_PER_AGE) {
    kept[kept.length - 1] = { slotEnd, firstMs: last.firstMs, lastMs: now };
  } else {
    kept.push({ slotEnd, firstMs: now, lastMs: now });
  }
  queue.arrivals = kept;
}

/** All rows below this slot came at `wallMs` or before. */
export function slotEndBefore(queue: PartitionQueue, wallMs: number): number {
  return queue.arrivals.findLast(({ lastMs }) => lastMs <= wallMs)?.slotEnd ?? 0;
}

/** Behind the slot that was handed out last. */
function slotEndOf({ slots }: PartitionQueue): number {
  const last = slots.pages.at(-1);
  if (last === undefined || last.number < slots.pageNext - 1) return slots.pageNext * slots.pageBits;
  return last.number * slots.pageBits + last.runs * slots.groupSize;
}
