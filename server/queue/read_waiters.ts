/**
 * Parked reads of one partition: for rows by id, and for the newest row. The engine owns the deadlines.
 *
 *   by id    each waiter watches the first of its rows that is not complete; when it is, the next such row, and so on
 *   newest   field -> waiters that need it
 *
 * Invariants: a parked read takes one place, however many rows it wants, and looks at each of them once.
 */
import {
  addTo,
  addToFields,
  createFieldMap,
  inFields,
  removeFrom,
  removeFromFields,
  type FieldMap,
} from './field_map.ts';

export interface ReadWaiter {
  readonly ids: ArrayLike<number>;
  readonly fields: readonly number[];
}

type HasFields = (id: number, fields: readonly number[]) => boolean;

export interface ReadWaiters<Waiter extends ReadWaiter> {
  readonly byRow: Map<number, Set<Waiter>>;
  /** The index, in its ids, of the row that each waiter watches; all before it were complete when it looked. */
  readonly watched: Map<Waiter, number>;
}

export function createReadWaiters<Waiter extends ReadWaiter>(): ReadWaiters<Waiter> {
  return { byRow: new Map(), watched: new Map() };
}

/** Parks the read unless all its rows are complete: then it says false. */
export function addReadWaiter<Waiter extends ReadWaiter>(
  waiters: ReadWaiters<Waiter>,
  waiter: Waiter,
  has: HasFields,
): boolean {
  return watchFrom(waiters, waiter, 0, has);
}

export function removeReadWaiter<Waiter extends ReadWaiter>(waiters: ReadWaiters<Waiter>, waiter: Waiter): void {
  const index = waiters.watched.get(waiter);
  if (index === undefined) return;
  waiters.watched.delete(waiter);
  removeFrom(waiters.byRow, waiter.ids[index], waiter);
}

/**
 * Rows got fields. Who is woken has left and must look again at all its rows: one that was complete may have been
 * deleted since, and then it parks anew.
 */
export function wakeReads<Waiter extends ReadWaiter>(
  waiters: ReadWaiters<Waiter>,
  ids: ArrayLike<number>,
  has: HasFields,
  wake: (waiter: Waiter) => void,
): void {
  for (let i = 0; i < ids.length && waiters.byRow.size > 0; i += 1) {
    for (const waiter of [...(waiters.byRow.get(ids[i]) ?? [])]) {
      if (!has(ids[i], waiter.fields)) continue;
      const index = waiters.watched.get(waiter)!;
      removeReadWaiter(waiters, waiter);
      if (!watchFrom(waiters, waiter, index + 1, has)) wake(waiter);
    }
  }
}

export interface NewestWaiter {
  readonly fields: readonly number[];
}

/** Waiters for any row that has all their fields and is newer than what they know. */
export type NewestWaiters<Waiter extends NewestWaiter> = FieldMap<Waiter>;

export function createNewestWaiters<Waiter extends NewestWaiter>(): NewestWaiters<Waiter> {
  return createFieldMap();
}

export function addNewestWaiter<Waiter extends NewestWaiter>(waiters: NewestWaiters<Waiter>, waiter: Waiter): void {
  addToFields(waiters, waiter.fields, waiter);
}

export function removeNewestWaiter<Waiter extends NewestWaiter>(waiters: NewestWaiters<Waiter>, waiter: Waiter): void {
  removeFromFields(waiters, waiter.fields, waiter);
}

/** Rows got these fields. */
export function wakeNewest<Waiter extends NewestWaiter>(
  waiters: NewestWaiters<Waiter>,
  fields: readonly number[],
  attempt: (waiter: Waiter) => boolean,
): void {
  for (const waiter of inFields(waiters, fields)) {
    if (attempt(waiter)) removeNewestWaiter(waiters, waiter);
  }
}

function watchFrom<Waiter extends ReadWaiter>(
  waiters: ReadWaiters<Waiter>,
  waiter: Waiter,
  from: number,
  has: HasFields,
): boolean {
  for (let index = from; index < waiter.ids.length; index += 1) {
    if (has(waiter.ids[index], waiter.fields)) continue;
    waiters.watched.set(waiter, index);
    addTo(waiters.byRow, waiter.ids[index], waiter);
    return true;
  }
  return false;
}
