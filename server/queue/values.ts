/** What a row has: tags and declared numbers, together, as their owner gave them. */
import type { ValueOf } from '../sampler/filter.ts';
import { valueAt, type Json } from '../sampler/json.ts';
import { NO_TAGS, type Tags } from '../sampler/merge_tags.ts';
import { numberIndex } from './numbers.ts';
import type { Page } from './page.ts';
import { tagsOf } from './page_values.ts';
import { offsetOf, pageOf, slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** The tags of a row with its numbers among them. */
export function tagsAt(queue: PartitionQueue, page: Page, offset: number): Tags {
  const { numbers: names = [] } = queue.settings;
  const numbers: [name: string, value: number][] = [];
  for (let number = 0; number < names.length; number += 1) {
    const value = page.numbers[number]?.[offset] ?? NaN;
    if (!Number.isNaN(value)) numbers.push([names[number], value]);
  }
  const tags = tagsOf(page, offset);
  return numbers.length === 0 ? tags : { ...tags, ...Object.fromEntries(numbers) };
}

/** The same of a row by its id; none when it is not there. */
export function tagsOfRow(queue: PartitionQueue, id: number): Tags {
  const slot = slotOf(queue.slots, id);
  return slot < 0 ? NO_TAGS : tagsAt(queue, pageOf(queue.slots, slot)!, offsetOf(queue.slots, slot));
}

/** Reads one row after the other of a page, for a filter that asks for these names and no others. */
export interface RowReader {
  readonly turnTo: (offset: number) => void;
  readonly valueOf: ValueOf;
}

export function rowReader(queue: PartitionQueue, page: Page, names: readonly string[]): RowReader {
  let at = 0;
  const turnTo = (offset: number): void => {
    at = offset;
  };
  const readers = names.map((name): (() => Json | undefined) => {
    const number = numberIndex(queue, name);
    const column = page.numbers[number];
    const { tags } = page;
    if (column !== undefined) return () => (Number.isNaN(column[at]) ? undefined : column[at]);
    if (number >= 0 || tags === undefined) return () => undefined;
    return () => {
      const found = tags[at];
      return found === undefined ? undefined : valueAt(found, name);
    };
  });
  // A filter of one name, the common case, needs no search for it.
  if (readers.length === 1) return { turnTo, valueOf: readers[0] };
  return { turnTo, valueOf: (name) => readers[names.indexOf(name)]() };
}
