/**
 * Which rows the retention of a partition removes: the oldest of those that every declared task has consumed.
 *
 *   rows_max      as many as there are rows beyond it, oldest first
 *   age_ms_max    all that came so long ago (arrivals.ts says how exactly that is known)
 *
 * Invariant: rows that a declared task has not consumed stay, however many or old they are.
 */
import { slotEndBefore } from './arrivals.ts';
import { consumedRows } from './consumed.ts';
import type { Page } from './page.ts';
import { idAt, slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** The rows that came before `slotEnd`, and the `rows` oldest, if they are consumed. */
export interface Overdue {
  readonly rows: number;
  readonly slotEnd: number;
}

export function findOverdue(queue: PartitionQueue, wallMs: number): Overdue {
  const { rowsMax, ageMsMax } = queue.settings.retention ?? {};
  return {
    rows: rowsMax === undefined ? 0 : Math.max(0, queue.slots.rows - rowsMax),
    slotEnd: ageMsMax === undefined ? 0 : slotEndBefore(queue, wallMs - ageMsMax),
  };
}

/** Whether rows of the page may be overdue, if no page before it has any. */
export function mayBeOverdue(queue: PartitionQueue, page: Page, { rows, slotEnd }: Overdue): boolean {
  return rows > 0 || page.number * queue.slots.pageBits < slotEnd;
}

/** Ids of up to `rowsMax` overdue rows of the page, oldest first; no page before it has any. */
export function overdueIds(queue: PartitionQueue, page: Page, overdue: Overdue, rowsMax: number): Float64Array {
  const { slots } = queue;
  const offsets = consumedRows(queue, page, rowsMax);
  const offsetEnd = overdue.slotEnd - page.number * slots.pageBits;
  const isKept = (offset: number, at: number): boolean => at >= overdue.rows && offset >= offsetEnd;
  const kept = offsets.findIndex(isKept);
  return Float64Array.from(kept < 0 ? offsets : offsets.subarray(0, kept), (offset) => idAt(slots, page, offset));
}

/** Whether the row would be removed if it is consumed, by its age or, roughly, by the count of rows. */
export function isOverdue(queue: PartitionQueue, id: number, { rows, slotEnd }: Overdue): boolean {
  return rows > 0 || slotOf(queue.slots, id) < slotEnd;
}
