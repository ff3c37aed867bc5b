/**
 * When groups changed last, for claims that take what survived of a group after a while.
 *
 *   page -> by run: monotonic time of the latest put to a row of the group
 *
 * It is kept for partitions that have groups only, and not saved: after a restart nobody knows how long ago a change
 * was, so all of it counts from there anew, as leases do.
 */
import type { Page } from '../page.ts';
import { eachPageOfIds, type Slots } from '../slots.ts';

export interface GroupClock {
  /** Of the restart: no group changed longer ago. */
  startMs: number;
  readonly pages: WeakMap<Page, Float64Array>;
}

/** A queue, as far as it is concerned. */
interface Clocked {
  readonly slots: Slots;
  readonly groupClock: GroupClock;
}

export function createGroupClock(): GroupClock {
  return { startMs: 0, pages: new WeakMap() };
}

/** The rows of the page were put or tagged. */
export function touchGroups(
  { slots, groupClock }: Clocked,
  page: Page,
  { offsets, count, now }: { readonly offsets: Uint32Array; readonly count: number; readonly now: number },
): void {
  if (slots.groupSize === 1) return;
  const times = timesOf(groupClock, slots, page);
  for (let i = 0; i < count; i += 1) times[Math.floor(offsets[i] / slots.groupSize)] = now;
}

/** The same of rows by their ids; those that are not there are passed over. */
export function touchRows(queue: Clocked, ids: Float64Array, now: number): void {
  if (queue.slots.groupSize === 1) return;
  eachPageOfIds(queue.slots, ids, (page, offsets) => {
    touchGroups(queue, page, { offsets, count: offsets.length, now });
  });
}

export function changedMs({ groupClock }: Clocked, page: Page, run: number): number {
  return Math.max(groupClock.startMs, groupClock.pages.get(page)?.[run] ?? 0);
}

function timesOf({ pages }: GroupClock, { groupSize }: Slots, page: Page): Float64Array {
  const times = pages.get(page);
  const runs = Math.floor(page.bits / groupSize);
  if (times !== undefined && times.length >= runs) return times;
  const longer = new Float64Array(runs);
  if (times !== undefined) longer.set(times);
  pages.set(page, longer);
  return longer;
}
