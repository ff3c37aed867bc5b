/**
 * The priority sampler: the highest priority first, and of equal ones the earlier slot.
 *
 * A row without a priority (NaN) has priority 0, in the middle of the scale: producers that know nothing of
 * priorities go on as before, one that knows them can put a row before theirs (> 0) or behind (< 0). Infinite
 * priorities are allowed; they are the ends of the scale.
 *
 * Rows of low priority can wait for ever while higher ones keep coming. That is what priority means; who wants every
 * row to have a chance takes the weighted sampler.
 *
 * Neighbours are looked at in blocks, each for its best row: the k best rows are in the k best blocks, since a row of
 * any other block comes after the best rows of these. So few rows are compared with more than one other, also where
 * priorities rise from row to row and each is the best so far.
 */
import { createTop, offer, placesOf, type ColumnRows, type Top } from './top.ts';

/** Offers rows, which follow those that were offered before. */
export function offerByPriority(top: Top, rows: ColumnRows): void {
  const { length } = rows.offsets;
  const count = top.keys.length;
  // As many blocks as there are rows in k blocks.
  const blockRows = Math.floor(Math.sqrt(length / count));
  if (blockRows <= 1) return offerRange(top, rows, 0, length);
  const blocks = createTop(count);
  for (let from = 0; from < length; from += blockRows) {
    offer(blocks, bestIn(rows, from, Math.min(length, from + blockRows), top.floor), from);
  }
  for (const from of placesOf(blocks).sort()) offerRange(top, rows, from, Math.min(length, from + blockRows));
}

function offerRange(top: Top, rows: ColumnRows, from: number, to: number): void {
  for (let i = from; i < to; i += 1) offer(top, priorityOf(rows, i), rows.first + rows.offsets[i]);
}

/** The highest priority, or the floor if that is higher. */
function bestIn(rows: ColumnRows, from: number, to: number, floor: number): number {
  let best = floor;
  for (let i = from; i < to; i += 1) {
    const priority = priorityOf(rows, i);
    if (priority > best) best = priority;
  }
  return best;
}

function priorityOf({ offsets, numbers }: ColumnRows, i: number): number {
  const number = numbers === undefined ? NaN : numbers[offsets[i]];
  return Number.isNaN(number) ? 0 : number;
}
