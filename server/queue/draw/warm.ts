/**
 * What filters say about pages, found out before a claim or a list asks: page by page, in steps, since a decision is
 * one turn of the event loop, and a look at each row of a large partition takes too long for one.
 *
 *   the next page without a bitmap that the draw comes to --> evaluated --> the next, in another step ... none: decide
 *
 * Bitmaps are no state: what is decided is the same without this. Invariant: where the queue stays as it is meanwhile,
 * the decision that follows evaluates nothing.
 */
import type { Steps } from '../../env/slice.ts';
import type { ClaimCommand, Refusal } from '../events.ts';
import { filterBitmap, keepFilter, letFilterGo, useFilter, type FilterUse } from '../filters.ts';
import { wantedOf, type ListCommand } from '../list.ts';
import type { Page } from '../page.ts';
import { pageIndexFrom } from '../pages.ts';
import { pageNumberOf, slotOf } from '../slots.ts';
import type { PartitionQueue } from '../state.ts';
import { CANDIDATES_MAX } from './draw.ts';
import { openPage, type Wanted } from './pages.ts';
import { seek, type Sought } from './sought.ts';

/** For a claim. */
export function warmClaim(queue: PartitionQueue, command: ClaimCommand): Steps<void> {
  return warm(queue, () => {
    const sought = seek(queue, command);
    if ('code' in sought) return sought;
    const { task, unitSize } = sought;
    return { wanted: sought, from: task?.cursor ?? 0, ids: command.ids, unitSize, rowsMax: rowsSeen(sought) };
  });
}

/** For a list of rows for which a filter holds. */
export function warmList(queue: PartitionQueue, where: string, list: Omit<ListCommand, 'where'>): Steps<void> {
  return warm(queue, () => {
    const use = useFilter(queue, where);
    if ('code' in use) return use;
    const from = pageNumberOf(queue.slots, list.from);
    // A list that ends within a page looks for one row more, and may begin within one.
    const rowsMax = list.rowsMax + 1 + queue.slots.pageBits;
    return { wanted: wantedOf(queue, { ...list, where: use }), from, ids: list.ids, unitSize: 1, rowsMax };
  });
}

/** What will be looked for. */
interface Search {
  readonly wanted: Wanted;
  /** The number of the first page. */
  readonly from: number;
  /** Undefined: in all pages from there on; otherwise in those of these rows. */
  readonly ids: Float64Array | undefined;
  /** Rows come in whole units of so many neighbours, */
  readonly unitSize: number;
  /** and so many ready ones end the search. */
  readonly rowsMax: number;
}

/** The search is asked for anew in each step: rows come and go in between. A refusal is for the decision to tell. */
function* warm(queue: PartitionQueue, searchNow: () => Search | Refusal): Steps<void> {
  let kept: readonly FilterUse[] = [];
  let mayEvaluate = true;
  try {
    for (;;) {
      const search = searchNow();
      if ('code' in search) return;
      const page = coldPage(queue, search);
      if (page === undefined) return;
      if (!mayEvaluate) {
        yield;
        mayEvaluate = true;
        continue;
      }
      const { filters } = search.wanted;
      // Claims with other filters, between the steps of this one, must not make these go.
      for (const use of filters) keepFilter(use);
      for (const use of kept) letFilterGo(use);
      kept = filters;
      for (const use of filters) filterBitmap(queue, use, page);
      mayEvaluate = false;
    }
  } finally {
    for (const use of kept) letFilterGo(use);
  }
}

/** The first page that lacks a bitmap, of those that the search comes to. */
function coldPage(queue: PartitionQueue, { wanted, from, ids, unitSize, rowsMax }: Search): Page | undefined {
  const { slots } = queue;
  const { filters } = wanted;
  if (filters.length === 0) return undefined;
  const numbers = ids === undefined ? undefined : pageNumbersOf(queue, ids);
  let rowsLeft = rowsMax;
  for (let index = pageIndexFrom(slots, from); index < slots.pages.length && rowsLeft > 0; index += 1) {
    const page = slots.pages[index];
    if (numbers?.has(page.number) === false) continue;
    const open = openPage(queue, { ...wanted, filters: [] }, page);
    if (open === undefined) continue;
    if (!filters.every((use) => page.filters.has(use))) return page;
    const present = [...open.present, ...filters.map((use) => page.filters.get(use)!)];
    const bits = page.runs * slots.groupSize;
    rowsLeft -=
      unitSize === 1
        ? slots.bitmaps.countReady(present, open.taken, bits)
        : unitSize * slots.bitmaps.scanGroups(present, open.taken, bits, unitSize, bits / unitSize).length;
  }
  return undefined;
}

function pageNumbersOf({ slots }: PartitionQueue, ids: Float64Array): Set<number> {
  const there = [...ids].map((id) => slotOf(slots, id)).filter((slot) => slot >= 0);
  return new Set(there.map((slot) => pageNumberOf(slots, slot)));
}

/** Ready rows after which a draw looks at no more. */
function rowsSeen({ command, window, unitSize, groupBy }: Sought): number {
  const { sampler, rowsMax, ids, group } = command;
  if (window?.skips === true || ids !== undefined) return Infinity;
  if (sampler === 'fifo') return rowsMax;
  if (sampler !== 'group') return CANDIDATES_MAX;
  return groupBy >= 0 || group?.survivorsMin !== undefined ? Infinity : rowsMax - (rowsMax % unitSize);
}
