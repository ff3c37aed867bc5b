/**
 * A queue as a whole: written as records for a checkpoint of users, and put in the place of another one by a load.
 *
 *   loadSteps --forgetClaims--> wholeRecords --file--> loadSteps --takePlace of the staged queue
 *
 * Invariants: what is written knows no claims: rows that were leased are unclaimed, with as many attempts behind them
 * as before; after `takePlace` the records of the queue that was there are overwritten or removed by the next save.
 * All but `takePlace` is work in steps: what it looks at must not change meanwhile, or be looked at again.
 */
import type { Steps } from '../env/slice.ts';
import { FormatError } from '../journal/bytes.ts';
import type { PartitionSettings } from '../journal/events.ts';
import { drop } from './apply.ts';
import { isLeased } from './claim_table.ts';
import { endClaim, returnRows } from './claims.ts';
import { noteAllConsumed } from './consumed.ts';
import type { Page } from './page.ts';
import { note } from './page_notes.ts';
import { loadSteps } from './load.ts';
import { recordKinds, type QueueRecord } from './records.ts';
import { saveDirty } from './saved.ts';
import { idAt, offsetOf, pageOf, slotOf } from './slots.ts';
import type { PartitionQueue, QueueOptions } from './state.ts';

/** A record that is there. */
export interface WholeRecord extends QueueRecord {
  readonly value: Uint8Array;
}

/** Of one step. */
const CLAIMS_PER_STEP = 64;
const ROWS_PER_STEP = 4_096;

/** All records of a queue that nobody uses any more, without its claims. */
export function* wholeRecords(queue: PartitionQueue): Steps<WholeRecord[]> {
  yield* forgetClaims(queue);
  noteAllChanged(queue);
  const records: WholeRecord[] = [];
  const write = ({ key, value }: QueueRecord): void => {
    if (value !== null && !isOfClaims(key)) records.push({ key, value });
  };
  while (saveDirty(queue, 1, write) > 0) yield;
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
export function* queueOfState(state: WholeQueue, place: QueuePlace): Steps<PartitionQueue> {
  checkNoClaims(state);
  const { settings, records } = state;
  return fitting(yield* loadSteps({ ...place, groupSize: settings.groupSize, settings }, records), settings);
}

type QueuePlace = Pick<QueueOptions, 'partition' | 'bitmaps' | 'values'>;

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
  *ofPage({ slots: { bitmaps } }: PartitionQueue, page: Page): Steps<Int32Array> {
    const sets = new Int32Array(page.bits).fill(-1);
    yield* eachBit(bitmaps.read(page.live, page.bits), (offset) => {
      sets[offset] = 0;
    });
    for (const field of [...page.fields.keys()].sort((a, b) => a - b)) {
      let from = -1;
      let to = -1;
      yield* eachBit(bitmaps.read(page.fields.get(field)!, page.bits), (offset) => {
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

/** Rows that have the same fields, in the order of arrival, page by page. */
export interface RowsOfSet {
  readonly fields: readonly number[];
  readonly ids: readonly Float64Array[];
}

/** The rows of a queue, by their fields. */
export function* rowsBySet(queue: PartitionQueue): Steps<RowsOfSet[]> {
  const { slots } = queue;
  const sets = new FieldSets();
  const lists: Float64Array[][] = [];
  for (const page of slots.pages) {
    const ofPage: number[][] = [];
    const found = yield* sets.ofPage(queue, page);
    for (let offset = 0; offset < found.length; offset += 1) {
      if (offset % ROWS_PER_STEP === 0) yield;
      if (found[offset] >= 0) (ofPage[found[offset]] ??= []).push(idAt(slots, page, offset));
    }
    ofPage.forEach((ids, set) => (lists[set] ??= []).push(Float64Array.from(ids)));
  }
  return lists.flatMap((ids, set) => [{ fields: sets.fields(set), ids }]);
}

/** A row of one queue that is not in the other with the same fields; undefined: they have the same rows. */
export function* findOtherRow(queue: PartitionQueue, other: PartitionQueue): Steps<number | undefined> {
  const sets = new FieldSets();
  const ofOther = new Map<Page, Int32Array>();
  for (const page of queue.slots.pages) {
    const found = yield* sets.ofPage(queue, page);
    for (let offset = 0; offset < found.length; offset += 1) {
      if (offset % ROWS_PER_STEP === 0) yield;
      if (found[offset] < 0) continue;
      const id = idAt(queue.slots, page, offset);
      const slot = slotOf(other.slots, id);
      if (slot < 0) return id;
      const otherPage = pageOf(other.slots, slot)!;
      let others = ofOther.get(otherPage);
      if (others === undefined) ofOther.set(otherPage, (others = yield* sets.ofPage(other, otherPage)));
      if (others[offsetOf(other.slots, slot)] !== found[offset]) return id;
    }
  }
  return other.slots.rows > queue.slots.rows ? yield* findOtherRow(other, queue) : undefined;
}

function* forgetClaims(queue: PartitionQueue): Steps<void> {
  for (const [place, claim] of [...queue.claims.values()].entries()) {
    if (place % CLAIMS_PER_STEP === 0) yield;
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

function* eachBit(bytes: Uint8Array, visit: (offset: number) => void): Steps<void> {
  for (let at = 0; at < bytes.length; at += 1) {
    if ((8 * at) % ROWS_PER_STEP === 0) yield;
    for (let left = bytes[at]; left !== 0; left &= left - 1) visit(8 * at + 31 - Math.clz32(left & -left));
  }
}
