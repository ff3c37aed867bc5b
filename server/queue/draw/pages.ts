/** The pages in which a claim looks for rows, and the bitmaps that say which of their rows have what it asks for. */
import type { FilterUse } from '../filter_use.ts';
import { filterBitmap } from '../filters.ts';
import type { Page } from '../page.ts';
import { pageIndexFrom } from '../pages.ts';
import type { PartitionQueue, Task } from '../state.ts';

/** What rows must have to be ready: they are not taken by the task, have the fields, and pass the filters. */
export interface Wanted {
  readonly task: Task | undefined;
  readonly fields: readonly number[];
  readonly filters: readonly FilterUse[];
}

/**
 * Visits the pages with rows that the task has not taken and with all the fields, until `visit` says false: with the
 * bitmaps that a ready row is in, and the one it is not in.
 */
export function eachOpenPage(
  queue: PartitionQueue,
  wanted: Wanted,
  visit: (page: Page, present: readonly number[], taken: number) => boolean,
): void {
  const { slots } = queue;
  const from = wanted.task === undefined ? 0 : pageIndexFrom(slots, wanted.task.cursor);
  for (let index = from; index < slots.pages.length; index += 1) {
    const page = slots.pages[index];
    const open = openPage(queue, wanted, page);
    if (open !== undefined && !visit(page, open.present, open.taken)) return;
  }
}

/** The bitmaps of a page that a ready row is in, and the one it is not in; 0: none is taken. */
export interface Open {
  readonly present: readonly number[];
  readonly taken: number;
}

/** Undefined: the task has taken all its rows, or none has some field. */
export function openPage(queue: PartitionQueue, { task, fields, filters }: Wanted, page: Page): Open | undefined {
  const taskPage = task === undefined ? undefined : page.tasks[task.index];
  if (taskPage !== undefined && taskPage.takenRows === page.rows) return undefined;
  const present = presentIn(page, fields);
  if (present === undefined) return undefined;
  for (const use of filters) present.push(filterBitmap(queue, use, page));
  return { present, taken: taskPage?.taken ?? 0 };
}

/** The bitmaps to join: every field's, or the live rows' without fields; undefined when no row has some field. */
export function presentIn(page: Page, fields: readonly number[]): number[] | undefined {
  if (fields.length === 0) return [page.live];
  const present: number[] = [];
  for (const field of fields) {
    const bitmap = page.fields.get(field);
    if (bitmap === undefined) return undefined;
    present.push(bitmap);
  }
  return present;
}
