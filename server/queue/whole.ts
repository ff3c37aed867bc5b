/**
 * A queue as a whole: written as records for a checkpoint of users, and put in the place of another one by a load.
 *
 *   loadQueue --forgetClaims--> wholeRecords --file--> loadQueue --takePlace of the staged queue
 *
 * Invariants: what is written knows no claims: rows that were leased are unclaimed, with as many attempts behind them
 * as before; after `takePlace` the records of the queue that was there are overwritten or removed by the next save.
 */
import { FormatError } from '../journal/bytes.ts';
import type { PartitionSettings } from '../journal/events.ts';
import { drop } from './apply.ts';
import { isLeased } from './claim_table.ts';
import { endClaim, returnRows } from './claims.ts';
import { noteAllConsumed } from './consumed.ts';
import type { Page } from './page.ts';
import { note } from './page_notes.ts';
import { loadQueue, loadQueueInSlices } from './load.ts';
import { recordKinds, type QueueRecord } from './records.ts';
import { saveDirty } from './saved.ts';
import { idAt, offsetOf, pageOf, slotOf } from './slots.ts';
import type { PartitionQueue, QueueOptions } from './state.ts';

/** A record that is there. */
export interface WholeRecord extends QueueRecord {
  readonly value: Uint8Array;
}

/** All records of a queue that nobody uses any more, without its claims. */
export function wholeRecords(queue: PartitionQueue): WholeRecord[] {
  forgetClaims(queue);
  noteAllChanged(queue);
  const records: WholeRecord[] = [];
  saveDirty(queue, Infinity, ({ key, value }) => {
    if (value !== null && !isOfClaims(key)) records.push({ key, value });
  });
  return records;
}

/** What is known of a queue that was saved. */
export interface WholeQueue {
  readonly settings: PartitionSettings;
  readonly records: readonly QueueRecord[];
}

/**
 * A queue out of records that come from elsewhere, and fits the settings that came with them. Claims belong to the
 * store that granted them. Throws a `FormatError`.
 */
export function queueOfState(state: WholeQueue, place: QueuePlace): PartitionQueue {
  checkNoClaims(state);
  return fitting(loadQueue(optionsOf(state, place), state.records), state.settings);
}

/** As `queueOfState`, page by page with a pause after each. */
export async function queueOfStateInSlices(
  state: WholeQueue,
  place: QueuePlace,
  pause: () => Promise<void>,
): Promise<PartitionQueue> {
  checkNoClaims(state);
  return fitting(await loadQueueInSlices(optionsOf(state, place), state.records, pause), state.settings);
}

type QueuePlace = Pick<QueueOptions, 'partition' | 'bitmaps' | 'values'>;

function optionsOf({ settings }: WholeQueue, place: QueuePlace): QueueOptions {
  return { ...place, groupSize: settings.groupSize, settings };
}

function checkNoClaims({ records }: WholeQueue): void {
  if (records.some(({ key }) => isOfClaims(key))) throw new FormatError('a saved queue brings claims');
}

function fitting(queue: PartitionQueue, settings: PartitionSettings): PartitionQueue {
  const fieldEnd = settings.fields.length;
  const isField = (field: number): boolean => field < fieldEnd;
  const fits =
    [...queue.tasks.values()].every(({ fields }) => fields.every(isField)) &&
    queue.slots.pages.every(
      ({ fields, numbers }) => [...fields.keys()].every(isField) && numbers.length <= (settings.numbers?.length ?? 0),
    );
  if (fits) return queue;
  drop(queue);
  throw new FormatError('a saved queue has fields or numbers that are not declared');
}

/** `queue` is used from now on, and has no record yet; `before`, which has, is not used any more. */
export function takePlace(queue: PartitionQueue, before: PartitionQueue): void {
  drop(before);
  // Deletions of the pages that were saved come before the pages that are there, some under the same numbers.
  for (const page of before.slots.changed) queue.slots.changed.add(page);
  noteAllChanged(queue);
  noteAllConsumed(queue);
}

/** Which fields the rows have: each set of fields has a number, 0 is the empty one. */
export class FieldSets {
  readonly #fields: (readonly number[])[] = [[]];
  readonly #larger: Map<number, number>[] = [new Map<number, number>()];

  get count(): number {
    return this.#fields.length;
  }

  /** Rising. */
  fields(set: number): readonly number[] {
    return this.#fields[set];
  }

  /** The set with one more field, which is behind those that it has. */
  with(set: number, field: number): number {
    const known = this.#larger[set].get(field);
    if (known !== undefined) return known;
    const larger = this.#fields.length;
    this.#fields.push([...this.#fields[set], field]);
    this.#larger.push(new Map());
    this.#larger[set].set(field, larger);
    return larger;
  }

  /** By offset: the set of each row, -1 where there is none. */
  ofPage({ slots: { bitmaps } }: PartitionQueue, page: Page): Int32Array {
    const sets = new Int32Array(page.bits).fill(-1);
    eachBit(bitmaps.read(page.live, page.bits), (offset) => {
      sets[offset] = 0;
    });
    for (const field of [...page.fields.keys()].sort((a, b) => a - b)) {
      let from = -1;
      let to = -1;
      eachBit(bitmaps.read(page.fields.get(field)!, page.bits), (offset) => {
        if (sets[offset] !== from) {
          from = sets[offset];
          to = this.with(from, field);
        }
        sets[offset] = to;
      });
    }
    return sets;
  }
}

/** Rows that have the same fields, in the order of arrival. */
export interface RowsOfSet {
  readonly fields: readonly number[];
  readonly ids: Float64Array;
}

/** The rows of a queue that does not change meanwhile, by their fields. Pauses after each page. */
export async function rowsBySet(queue: PartitionQueue, pause: () => Promise<void>): Promise<RowsOfSet[]> {
  const { slots } = queue;
  const sets = new FieldSets();
  const lists: number[][] = [];
  for (const page of slots.pages) {
    for (const [offset, set] of sets.ofPage(queue, page).entries()) {
      if (set >= 0) (lists[set] ??= []).push(idAt(slots, page, offset));
    }
    await pause();
  }
  return lists.flatMap((ids, set) => [{ fields: sets.fields(set), ids: Float64Array.from(ids) }]);
}

/** A row of one queue that is not in the other with the same fields; undefined: they have the same rows. */
export function findOtherRow(queue: PartitionQueue, other: PartitionQueue): number | undefined {
  const sets = new FieldSets();
  const ofOther = new Map<Page, Int32Array>();
  for (const page of queue.slots.pages) {
    for (const [offset, set] of sets.ofPage(queue, page).entries()) {
      if (set < 0) continue;
      const id = idAt(queue.slots, page, offset);
      const slot = slotOf(other.slots, id);
      if (slot < 0) return id;
      const otherPage = pageOf(other.slots, slot)!;
      let others = ofOther.get(otherPage);
      if (others === undefined) ofOther.set(otherPage, (others = sets.ofPage(other, otherPage)));
      if (others[offsetOf(other.slots, slot)] !== set) return id;
    }
  }
  return other.slots.rows > queue.slots.rows ? findOtherRow(other, queue) : undefined;
}

function forgetClaims(queue: PartitionQueue): void {
  for (const claim of [...queue.claims.values()]) {
    const leased = isLeased(claim);
    if (leased) returnRows(queue, claim, { delivered: false });
    endClaim(queue, claim, leased ? 'released' : 'stale');
  }
}

/** Nothing of the queue has a record. */
function noteAllChanged(queue: PartitionQueue): void {
  const { slots, changes } = queue;
  changes.headerSaved = undefined;
  changes.claimsSaved.clear();
  for (const task of queue.tasks.values()) changes.tasks.add(task.index);
  for (const page of slots.pages) {
    for (const unit of page.saved) note(slots, page, unit);
    page.saved.clear();
  }
}

function isOfClaims([kind]: Uint8Array): boolean {
  return kind === recordKinds.claim || kind === recordKinds.batch;
}

function eachBit(bytes: Uint8Array, visit: (offset: number) => void): void {
  for (const [at, byte] of bytes.entries()) {
    for (let left = byte; left !== 0; left &= left - 1) visit(8 * at + 31 - Math.clz32(left & -left));
  }
}
