/**
 * Filters in use: which rows they hold for, as bitmaps that are joined with those of readiness.
 *
 *   text --useFilter--> FilterUse --filterBitmap(page)--> bitmap      made at first need, kept right from then on:
 *
 *   a row comes    as one without values        its values change    evaluated anew        it goes    cleared
 *
 * All of it can be made anew from tags and numbers, so that none of it is saved, and deciding may make it.
 *
 * Invariants: a bitmap has bits of live rows only; at most `limits.filtersPerPartitionMax` filters are in use, beyond
 * it the one goes that was not used for the longest time and that nobody keeps.
 */
import { limits } from '@transfer-queue/core/protocol';
import { compileFilter, FilterError, filterNames, parseFilter, type Predicate } from '../sampler/filter.ts';
import type { Refusal } from './events.ts';
import type { FilterUse } from './filter_use.ts';
import { clearFilterBits, dropFilterBitmaps, makeFilterBitmap, setFilterBits } from './page_filters.ts';
import type { Page } from './page.ts';
import { hasRoom } from './room.ts';
import type { PartitionQueue } from './state.ts';
import { rowReader } from './values.ts';

export type { FilterUse } from './filter_use.ts';

/** The filter of this text, which must be found anew for each decision: one that nobody keeps may go. */
export function useFilter(queue: PartitionQueue, text: string): FilterUse | Refusal {
  return findUse(queue, text) ?? addText(queue, text);
}

/** Rows whose version, the number of that index, is not below `oldest`. */
export function versionFilter(queue: PartitionQueue, number: number, oldest: number): FilterUse | Refusal {
  // No text of a filter begins like this.
  const key = `#${number} >= ${oldest}`;
  const name = queue.settings.numbers![number];
  const holds: Predicate = (valueOf) => {
    const version = valueOf(name);
    return Number.isSafeInteger(version) && (version as number) >= oldest;
  };
  return findUse(queue, key) ?? addUse(queue, key, holds, [name]);
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

/** The filter of that key as the one used last, if it is in use and there is memory for what it lacks. */
function findUse(queue: PartitionQueue, key: string): FilterUse | Refusal | undefined {
  const { filters, slots } = queue;
  const use = filters.get(key);
  if (use === undefined) return undefined;
  if (!hasRoom(slots, slots.pages.length - use.pages)) return { kind: 'refuse', code: 'memory_full' };
  filters.delete(key);
  filters.set(key, use);
  return use;
}

function addText(queue: PartitionQueue, text: string): FilterUse | Refusal {
  try {
    const filter = parseFilter(text);
    return addUse(queue, text, compileFilter(filter), filterNames(filter));
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const { position, expected, found } = error;
    return { kind: 'refuse', code: 'filter_invalid', details: { position, expected, found } };
  }
}

function addUse(queue: PartitionQueue, key: string, holds: Predicate, names: readonly string[]): FilterUse | Refusal {
  const { filters, slots } = queue;
  const limit = limits.filtersPerPartitionMax;
  if (filters.size >= limit && !dropOldest(queue)) {
    return { kind: 'refuse', code: 'too_many_filters', details: { limit } };
  }
  if (!hasRoom(slots, slots.pages.length)) return { kind: 'refuse', code: 'memory_full' };
  const heads = new Set(names.map((name) => name.split('.', 1)[0]));
  const holdsForNone = holds(() => undefined);
  const use: FilterUse = { key, names, heads, holds, holdsForNone, pages: 0, keepers: 0 };
  filters.set(key, use);
  return use;
}

/** Makes place for another filter, if one may go. */
function dropOldest({ filters, slots }: PartitionQueue): boolean {
  for (const use of filters.values()) {
    if (use.keepers > 0) continue;
    filters.delete(use.key);
    dropFilterBitmaps(slots, use);
    return true;
  }
  return false;
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
