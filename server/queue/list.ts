/**
 * Lists rows with what they have, page by page, in the order of their arrival.
 *
 *   rows there [, with all fields and not taken by the task] [, for which the filter holds] [, of these ids]
 *
 * Invariant: whoever asks again with `next` sees every row that is there all the while once, and none twice: slots rise
 * for ever.
 */
import { NO_TAGS, type Tags } from '../sampler/merge_tags.ts';
import type { FilterUse } from './filter_use.ts';
import { openPage, type Wanted } from './draw/pages.ts';
import { returnsAt } from './marks.ts';
import type { Page } from './page.ts';
import { pageIndexFrom } from './pages.ts';
import { eachPage, idAt, pageNumberOf, slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';
import { weightOf } from './value_memory.ts';

export interface ListCommand {
  /** Ids that are not there are passed over. */
  readonly ids?: Float64Array;
  readonly where?: FilterUse;
  /** Only rows that the task could claim. */
  readonly ready?: { readonly task: string; readonly fields: readonly number[] };
  /** `next` of the page before; 0 at first. */
  readonly from: number;
  readonly rowsMax: number;
}

export interface RowList {
  readonly ids: number[];
  /** Without the declared numbers. */
  readonly tags: Tags[];
  /** By number and row; NaN for none. */
  readonly numbers: readonly number[][];
  /** Of the next claim of the task; 1 for all when no task was asked about. */
  readonly attempts: number[];
  /** Where the next page begins; null at the end. */
  readonly next: number | null;
}

/** Ends a page early: an answer is made in one turn. */
const LIST_WEIGHT_MAX = 8 << 20;

export function listRows(queue: PartitionQueue, command: ListCommand): RowList {
  const list = createList(queue, command.rowsMax);
  if (command.ids === undefined) eachOfAll(queue, command, list);
  else eachOfIds(queue, command, list);
  const { ids, tags, numbers, attempts, next } = list;
  return { ids, tags, numbers, attempts, next };
}

interface OpenList extends RowList {
  weight: number;
  next: number | null;
  readonly rowsMax: number;
}

function createList(queue: PartitionQueue, rowsMax: number): OpenList {
  const numbers = (queue.settings.numbers ?? []).map((): number[] => []);
  return { ids: [], tags: [], numbers, attempts: [], weight: 0, next: null, rowsMax };
}

function eachOfAll(queue: PartitionQueue, command: ListCommand, list: OpenList): void {
  const { slots } = queue;
  const wanted = wantedOf(queue, command);
  for (let index = pageIndexFrom(slots, pageNumberOf(slots, command.from)); index < slots.pages.length; index += 1) {
    const page = slots.pages[index];
    const start = Math.max(0, command.from - page.number * slots.pageBits);
    const open = openPage(queue, wanted, page);
    if (open === undefined) continue;
    // One more than fits says where the next page begins.
    const max = list.rowsMax - list.ids.length + 1;
    const offsets = slots.bitmaps.scanReady(open.present, open.taken, start, page.runs * slots.groupSize, max);
    if (!addRows(queue, command, page, offsets, list)) return;
  }
}

function eachOfIds(queue: PartitionQueue, command: ListCommand, list: OpenList): void {
  const { slots } = queue;
  const wanted = wantedOf(queue, command);
  const slotsOfIds = command.ids!.map((id) => slotOf(slots, id)).filter((slot) => slot >= command.from);
  eachPage(slots, slotsOfIds.sort(), (page, offsets, count) => {
    const open = list.next === null ? openPage(queue, wanted, page) : undefined;
    if (open === undefined) return;
    const { present, taken } = open;
    const found = offsets.subarray(0, count).filter((offset) => {
      const isThere = present.every((bitmap) => slots.bitmaps.has(bitmap, offset));
      return isThere && !(taken !== 0 && slots.bitmaps.has(taken, offset));
    });
    addRows(queue, command, page, found, list);
  });
}

/** What listed rows must have. */
export function wantedOf(queue: PartitionQueue, { ready, where }: Pick<ListCommand, 'ready' | 'where'>): Wanted {
  const task = ready === undefined ? undefined : queue.tasks.get(ready.task);
  return { task, fields: ready?.fields ?? [], filters: where === undefined ? [] : [where] };
}

/** Says whether more rows fit. */
function addRows(
  queue: PartitionQueue,
  { ready }: ListCommand,
  page: Page,
  offsets: Uint32Array,
  list: OpenList,
): boolean {
  const { slots } = queue;
  const task = ready === undefined ? undefined : queue.tasks.get(ready.task);
  const taskPage = task === undefined ? undefined : page.tasks[task.index];
  for (const offset of offsets) {
    if (list.ids.length === list.rowsMax || list.weight > LIST_WEIGHT_MAX) {
      list.next = page.number * slots.pageBits + offset;
      return false;
    }
    const tags = page.tags?.[offset] ?? NO_TAGS;
    list.ids.push(idAt(slots, page, offset));
    list.tags.push(tags);
    list.weight += weightOf(tags);
    list.numbers.forEach((column, number) => column.push(page.numbers[number]?.[offset] ?? NaN));
    list.attempts.push(taskPage === undefined ? 1 : returnsAt(slots, taskPage, offset) + 1);
  }
  return true;
}
