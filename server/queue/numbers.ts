/**
 * Declared numbers of rows: tags that are kept as columns, by their place in the declaration.
 *
 * Invariant: a number that is declared later takes over what rows have in their tags. Mostly there are only numbers
 * then, since the declaration is refused otherwise (`findNoNumber`); in a replay that leaves out what a crash took
 * there may be other values, which go.
 */
import type { Tags } from '../sampler/merge_tags.ts';
import type { NumberRange, Page } from './page.ts';
import { setNumber, setTags } from './page_values.ts';
import { idAt } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** The place of the number in the declaration; -1 when it is not declared. */
export function numberIndex(queue: PartitionQueue, name: string): number {
  return queue.settings.numbers?.indexOf(name) ?? -1;
}

/** Its values by offset, NaN for none; undefined when no row of the page has one. */
export function numbersOf(page: Page, number: number): Float64Array | undefined {
  return page.numbers[number];
}

/** Between which its values lie; undefined when no row of the page has one. */
export function rangeOf(page: Page, number: number): NumberRange | undefined {
  return page.numberRanges[number];
}

/** A row that has one of these names as a tag that is no number, so that the name can not be declared. */
export function findNoNumber(
  queue: PartitionQueue,
  names: readonly string[],
): { readonly id: number; readonly name: string } | undefined {
  for (const page of queue.slots.pages) {
    for (const [offset, tags] of page.tags?.entries() ?? []) {
      const name = names.find((one) => tags !== undefined && Object.hasOwn(tags, one) && typeof tags[one] !== 'number');
      if (name !== undefined) return { id: idAt(queue.slots, page, offset), name };
    }
  }
  return undefined;
}

/** Numbers from that place on are declared now: moves what rows have of them in their tags. */
export function moveNumbers({ slots, settings }: PartitionQueue, from: number): void {
  const names = settings.numbers?.slice(from) ?? [];
  if (names.length === 0) return;
  const left = new Map<Tags, Tags>();
  for (const page of slots.pages) {
    const { tags: all = [] } = page;
    for (let offset = 0; offset < all.length; offset += 1) {
      const tags = all[offset];
      if (tags === undefined || !names.some((name) => Object.hasOwn(tags, name))) continue;
      for (let index = 0; index < names.length; index += 1) {
        const value = Object.hasOwn(tags, names[index]) ? tags[names[index]] : undefined;
        if (typeof value === 'number') setNumber(slots, page, from + index, offset, value);
      }
      setTags(slots, page, offset, leftOf(left, tags, names));
    }
  }
}

/** Rows that share their tags mostly follow each other. */
const LEFT_KEPT = 1_024;

/** Rows that shared their tags go on sharing them. */
function leftOf(left: Map<Tags, Tags>, tags: Tags, names: readonly string[]): Tags {
  const known = left.get(tags);
  if (known !== undefined) return known;
  const made = without(tags, names);
  if (left.size === LEFT_KEPT) left.clear();
  left.set(tags, made);
  return made;
}

function without(tags: Tags, names: readonly string[]): Tags {
  return Object.freeze(Object.fromEntries(Object.entries(tags).filter(([name]) => !names.includes(name))));
}
