/**
 * Rows that a claim would take, were they not too old for its window.
 *
 *   ready but for the window   | in the window | stale: version < oldest | without a version: they may still get one |
 */
import { isStale, oldestIn } from '../../sampler/window.ts';
import { filterBitmap } from '../filters.ts';
import { numbersOf } from '../numbers.ts';
import type { PartitionQueue } from '../state.ts';
import { eachOpenPage, type Wanted } from './pages.ts';
import { readyOf, valuesOf } from './rows.ts';
import type { Sought, Window } from './sought.ts';

/** The first `max` stale rows. */
export function staleRows(queue: PartitionQueue, sought: Sought, max: number): Float64Array {
  const { window, filters, command } = sought;
  if (window === undefined) return new Float64Array(0);
  const wanted = { ...sought, filters: filters.filter((use) => use !== window.use) };
  if (command.ids === undefined) return findStale(queue, wanted, window, max);
  const rows = readyOf(queue, wanted, command.ids);
  const versions = valuesOf(queue, window.number, rows);
  const oldest = oldestIn(window.rule, queue.version);
  return rows.filter((_, place) => isStale(versions[place], oldest)).subarray(0, max);
}

/** In slot order. */
function findStale(queue: PartitionQueue, wanted: Wanted, window: Window, max: number): Float64Array {
  const { slots } = queue;
  const { bitmaps } = slots;
  const oldest = oldestIn(window.rule, queue.version);
  const found: number[] = [];
  eachOpenPage(queue, wanted, (page, present, taken) => {
    const versions = numbersOf(page, window.number);
    if (versions === undefined) return true;
    const bits = page.runs * slots.groupSize;
    const fresh = [...present, filterBitmap(queue, window.use, page)];
    // Mostly all rows are fresh, and counting them is cheaper than looking at them.
    if (bitmaps.countReady(present, taken, bits) === bitmaps.countReady(fresh, taken, bits)) return true;
    const offsets = bitmaps.scanReady(present, taken, 0, bits, bits);
    for (let place = 0; place < offsets.length; place += 1) {
      if (found.length === max) return false;
      const offset = offsets[place];
      if (isStale(versions[offset], oldest)) found.push(page.number * slots.pageBits + offset);
    }
    return true;
  });
  return Float64Array.from(found);
}
