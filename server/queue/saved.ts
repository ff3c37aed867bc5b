/**
 * What changed of a queue, handed over as records unit by unit, between the turns in which it changes.
 *
 *   pages.ts, claim_table.ts --note--> changed units --saveDirty--> records (their grammar: records.ts) --> loadSteps
 *
 * Invariants: what has a record and is no more gets one that says so; what never had a record needs none.
 */
import { saveBatches } from './batch_units.ts';
import { headerOf, sameHeader } from './changes.ts';
import { isLeased } from './claim_table.ts';
import { bitmapOf, chunkLength, chunkOf, indexOf, kindOf, unitKinds, type Page } from './page.ts';
import { writeBitmap, writeGroups, writeMarks } from './page_units.ts';
import { writeClaim, writeEnd, writeHeader, writeTask } from './queue_units.ts';
import { claimKey, headerKey, taskKey, unitKey, type QueueRecord } from './records.ts';
import type { Slots } from './slots.ts';
import type { PartitionQueue } from './state.ts';
import { writeBlobs, writeNumbers, writeTags } from './value_units.ts';
import { VarintWriter } from './varints.ts';

export type { QueueRecord } from './records.ts';

type Write = (record: QueueRecord) => void;

/** One for all records of all queues, since each is made in one turn. */
const out = new VarintWriter();

/** How many units changed since they were saved last. */
export function dirtyCount(queue: PartitionQueue): number {
  const { tasks, claims } = queue.changes;
  let count = (headerChanged(queue) ? 1 : 0) + tasks.size + claims.size;
  count += queue.ended.unsavedCount + queue.batches.changed.size;
  for (const page of queue.slots.changed) count += page.changed.size;
  return count;
}

/** Hands over the records of up to `unitsMax` units that changed, as they are now; says how many units it took. */
export function saveDirty(queue: PartitionQueue, unitsMax: number, write: Write): number {
  // What threw half-way may have left something.
  out.cut(0);
  let units = 0;
  if (unitsMax > 0 && headerChanged(queue)) {
    saveHeader(queue, write);
    units += 1;
  }
  units += saveTasks(queue, unitsMax - units, write);
  for (const page of queue.slots.changed) {
    units += saveUnits(queue.slots, page, unitsMax - units, write);
    if (page.changed.size > 0) return units;
    queue.slots.changed.delete(page);
  }
  units += saveBatches(queue, unitsMax - units, out, write);
  // Claims come last because they do not live long: one that ends before its turn is a record of few bytes.
  return units + saveClaims(queue, unitsMax - units, write);
}

function headerChanged(queue: PartitionQueue): boolean {
  const { headerSaved } = queue.changes;
  return headerSaved === undefined || !sameHeader(headerSaved, headerOf(queue));
}

function saveHeader(queue: PartitionQueue, write: Write): void {
  const { groupSize, pageBits } = queue.slots;
  const header = headerOf(queue);
  writeHeader(out, { groupSize, pageBits, ...header });
  write({ key: headerKey(), value: out.take() });
  queue.changes.headerSaved = header;
}

function saveTasks(queue: PartitionQueue, unitsMax: number, write: Write): number {
  const { tasks } = queue.changes;
  if (tasks.size === 0) return 0;
  let units = 0;
  for (const task of queue.tasks.values()) {
    if (units === unitsMax) break;
    if (!tasks.has(task.index)) continue;
    writeTask(out, task);
    write({ key: taskKey(task.index), value: out.take() });
    tasks.delete(task.index);
    units += 1;
  }
  return units;
}

function saveClaims(queue: PartitionQueue, unitsMax: number, write: Write): number {
  const { claims } = queue.changes;
  let units = 0;
  for (const number of claims) {
    if (units === unitsMax) return units;
    saveClaim(queue, number, write);
    claims.delete(number);
    units += 1;
  }
  for (const number of queue.ended.unsaved()) {
    if (units === unitsMax) return units;
    saveClaim(queue, number, write);
    queue.ended.noteSaved(number);
    units += 1;
  }
  return units;
}

function saveClaim(queue: PartitionQueue, number: number, write: Write): void {
  const claim = queue.claims.get(number);
  const end = queue.ended.get(number);
  if (claim !== undefined) writeClaim(out, claim, isLeased(claim));
  else if (end !== undefined) writeEnd(out, end);
  const isKnown = out.length > 0;
  write({ key: claimKey(number), value: isKnown ? out.take() : null });
  if (isKnown) queue.changes.claimsSaved.add(number);
  else queue.changes.claimsSaved.delete(number);
}

function saveUnits(slots: Slots, page: Page, unitsMax: number, write: Write): number {
  let units = 0;
  for (const unit of page.changed) {
    if (units === unitsMax) break;
    const isThere = page.live !== 0 && writeUnit(slots, page, unit);
    if (isThere || page.saved.has(unit)) write({ key: unitKey(page.number, unit), value: isThere ? out.take() : null });
    if (isThere) page.saved.add(unit);
    else page.saved.delete(unit);
    page.changed.delete(unit);
    units += 1;
  }
  return units;
}

/** Whether the unit of the page holds anything. */
function writeUnit({ bitmaps, pageBits }: Slots, page: Page, unit: number): boolean {
  const length = chunkLength(pageBits, kindOf(unit));
  const from = chunkOf(unit) * length;
  switch (kindOf(unit)) {
    case unitKinds.groups:
      writeGroups(out, page.groups, from, Math.min(from + length, page.runs));
      return true;
    case unitKinds.marks: {
      const marks = page.tasks[indexOf(unit)]!.marks[chunkOf(unit)];
      if (marks === undefined) return false;
      writeMarks(out, marks);
      return true;
    }
    case unitKinds.tags:
      return writeTags(out, page.tags!, from, Math.min(from + length, page.bits));
    case unitKinds.numbers:
      return writeNumbers(out, page.numbers[indexOf(unit)]!, from, Math.min(from + length, page.bits));
    case unitKinds.blobs:
      return writeBlobs(out, page.blobs[indexOf(unit)]!, from, Math.min(from + length, page.bits));
    default:
      writeBitmap(out, bitmaps.read(bitmapOf(page, unit)!, page.bits));
      return true;
  }
}
