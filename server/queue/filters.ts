/**
 * Filters in use: which rows they hold for, as bitmaps that are joined with those of readiness.
 *
 *   text, or window --useFilters--> FilterUse --filterBitmap(page)--> bitmap     made at first need, kept right then:
 *
 *   a row comes    as one without values        its values change    evaluated anew        it goes    cleared
 *   the version of the queue advances           rows leave the windows, none comes in      those      cleared
 *
 * All of it can be made anew from tags and numbers, so that none of it is saved, and deciding may make it and drop it.
 *
 * Invariants: a bitmap has bits of live rows only; at most `limits.filtersPerPartitionMax` filters are in use, beyond
 * it the one goes that was not used for the longest time and that nobody keeps.
 */
import { limits } from '@transfer-queue/core/protocol';
import {
  compileFilter,
  FilterError,
  filterNames,
  filterText,
  parseFilter,
  type Filter,
  type Predicate,
} from '../sampler/filter.ts';
import { newlyStale, placeOf } from '../sampler/window.ts';
import type { Refusal } from './events.ts';
import type { FilterUse, WindowAsk } from './filter_use.ts';
import { numbersOf } from './numbers.ts';
import { clearFilterBits, dropFilterBitmaps, makeFilterBitmap, setFilterBits } from './page_filters.ts';
import type { Page } from './page.ts';
import { hasRoom } from './room.ts';
import type { PartitionQueue } from './state.ts';
import { rowReader } from './values.ts';

export type { FilterUse } from './filter_use.ts';

/** One spelling for all that mean the same; a text that is no filter stays as it is, for `useFilter` to refuse it. */
export function canonicalFilter(text: string): string {
  try {
    return filterText(parseFilter(text));
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    return text;
  }
}

/** The filter of this text. */
export function useFilter(queue: PartitionQueue, text: string): FilterUse | Refusal {
  const found = useFilters(queue, [text]);
  return 'code' in found ? found : found[0];
}

/**
 * The filters of these texts and windows. They must be found anew for each decision: until then those that nobody keeps
 * may go. There is room for all bitmaps that they lack, together.
 */
export function useFilters(queue: PartitionQueue, asks: readonly (string | WindowAsk)[]): FilterUse[] | Refusal {
  const uses: FilterUse[] = [];
  let refusal: Refusal | undefined;
  let bitmapsLacking = 0;
  for (const ask of asks) {
    const use = findUse(queue, ask);
    if ('code' in use) {
      refusal = use;
      break;
    }
    // None of them goes to make place or room for another one.
    keepFilter(use);
    uses.push(use);
    bitmapsLacking += queue.slots.pages.length - use.pages;
  }
  if (refusal === undefined && !makeRoom(queue, bitmapsLacking)) refusal = { kind: 'refuse', code: 'memory_full' };
  for (const use of uses) letFilterGo(use);
  return refusal ?? uses;
}

/** Whether there is memory for so many more bitmaps. For that, those of filters that nobody keeps go, oldest first. */
export function makeRoom(queue: PartitionQueue, bitmapsNew: number): boolean {
  for (const use of queue.filters.values()) {
    if (hasRoom(queue.slots, bitmapsNew)) return true;
    if (use.keepers === 0 && use.pages > 0) drop(queue, use);
  }
  return hasRoom(queue.slots, bitmapsNew);
}

/** Keeps the filter in use until `letFilterGo`. */
export function keepFilter(use: FilterUse): void {
  use.keepers += 1;
}

export function letFilterGo(use: FilterUse): void {
  use.keepers -= 1;
}

/** The bitmap of the rows of the page for which the filter holds. The filter was found in this turn. */
export function filterBitmap(queue: PartitionQueue, use: FilterUse, page: Page): number {
  return page.filters.get(use) ?? makeFilterBitmap(queue.slots, page, use, evaluate(queue, use, page));
}

/** Values of these names changed of rows of the page. */
export function filterAgain(queue: PartitionQueue, page: Page, offsets: Uint32Array, names: ReadonlySet<string>): void {
  for (const use of page.filters.keys()) {
    if (![...use.heads].some((name) => names.has(name))) continue;
    const { valueOf, turnTo } = rowReader(queue, page, use.names);
    const held = offsets.filter((offset) => {
      turnTo(offset);
      return use.holds(valueOf);
    });
    clearFilterBits(queue.slots, page, use, offsets, offsets.length);
    if (held.length > 0) setFilterBits(queue.slots, page, use, held, held.length);
  }
}

/** The version of the queue was `before` until now: rows that went stale leave the windows in use. */
export function clearStale(queue: PartitionQueue, before: number): void {
  for (const use of queue.filters.values()) {
    if (use.window === undefined) continue;
    const { number, rule } = use.window;
    const { from, end } = newlyStale(rule, { before, after: queue.version });
    if (from === end) continue;
    for (const page of queue.slots.pages) {
      const versions = numbersOf(page, number);
      if (versions === undefined || !page.filters.has(use)) continue;
      const stale = new Uint32Array(page.bits);
      let count = 0;
      for (let offset = 0; offset < page.bits; offset += 1) {
        if (versions[offset] >= from && versions[offset] < end) stale[count++] = offset;
      }
      if (count > 0) clearFilterBits(queue.slots, page, use, stale, count);
    }
  }
}

/** The filter as the one used last. */
function findUse(queue: PartitionQueue, ask: string | WindowAsk): FilterUse | Refusal {
  if (typeof ask !== 'string') {
    const { number, rule } = ask;
    const key = `window ${number} ${rule.minVersion} ${rule.maxStaleness}`;
    return useAgain(queue, key) ?? addWindow(queue, key, ask);
  }
  return useAgain(queue, keyOf(ask)) ?? addText(queue, ask);
}

function keyOf(text: string): string {
  return `where ${text}`;
}

function useAgain({ filters }: PartitionQueue, key: string): FilterUse | undefined {
  const use = filters.get(key);
  if (use === undefined) return undefined;
  filters.delete(key);
  filters.set(key, use);
  return use;
}

function addWindow(queue: PartitionQueue, key: string, window: WindowAsk): FilterUse | Refusal {
  const name = queue.settings.numbers![window.number];
  const holds: Predicate = (valueOf) => placeOf(valueOf(name) as number, window.rule, queue.version) === 'in';
  return addUse(queue, { key, holds, names: [name], window });
}

function addText(queue: PartitionQueue, text: string): FilterUse | Refusal {
  let filter: Filter;
  try {
    filter = parseFilter(text);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const { position, expected, found } = error;
    return { kind: 'refuse', code: 'filter_invalid', details: { position, expected, found } };
  }
  const key = keyOf(filterText(filter));
  return useAgain(queue, key) ?? addUse(queue, { key, holds: compileFilter(filter), names: filterNames(filter) });
}

function addUse(
  queue: PartitionQueue,
  added: Pick<FilterUse, 'key' | 'holds' | 'names' | 'window'>,
): FilterUse | Refusal {
  const { filters } = queue;
  const limit = limits.filtersPerPartitionMax;
  if (filters.size >= limit && !dropOldest(queue)) {
    return { kind: 'refuse', code: 'too_many_filters', details: { limit } };
  }
  const heads = new Set(added.names.map((name) => name.split('.', 1)[0]));
  const use: FilterUse = { ...added, heads, holdsForNone: added.holds(() => undefined), pages: 0, keepers: 0 };
  filters.set(use.key, use);
  return use;
}

/** Makes place for another filter, if one may go. */
function dropOldest(queue: PartitionQueue): boolean {
  for (const use of queue.filters.values()) {
    if (use.keepers > 0) continue;
    drop(queue, use);
    return true;
  }
  return false;
}

function drop({ filters, slots }: PartitionQueue, use: FilterUse): void {
  filters.delete(use.key);
  dropFilterBitmaps(slots, use);
}

/** The bits of the live rows for which the filter holds. */
function evaluate(queue: PartitionQueue, use: FilterUse, page: Page): Uint8Array {
  const bytes = queue.slots.bitmaps.read(page.live, page.bits);
  const { valueOf, turnTo } = rowReader(queue, page, use.names);
  for (let i = 0; i < bytes.length; i += 1) {
    for (let rest = bytes[i]; rest !== 0; rest &= rest - 1) {
      const bit = rest & -rest;
      turnTo(i * 8 + 31 - Math.clz32(bit));
      if (!use.holds(valueOf)) bytes[i] &= ~bit;
    }
  }
  return bytes;
}
