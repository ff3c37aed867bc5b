/**
 * What the store knows of a partition: its declaration, its batches and the index of its rows.
 *
 *   partition -> index: id -> (batch, ordinal)...      batch -> extent -> segment
 *
 * A batch is one record batch of a put: it names, per field, where the buffers lie inside the extent. It lives while a
 * row shows one of its cells; an extent lives while one of its batches does, or a reader holds it.
 */
import type { FieldLayout } from '@transfer-queue/core/layout';
import { limits, type AckLevel } from '@transfer-queue/core/protocol';
import type { PartitionSettings } from '../journal/events.ts';
import type { RowIndex } from '../index/row_index.ts';
import type { SegmentExtent } from '../segment/segment.ts';

export interface Field {
  readonly id: number;
  readonly name: string;
  readonly layout: FieldLayout;
  /** LSN of its declaration, or a later one that a start found. */
  readonly lsn: number;
}

export interface LiveExtent extends SegmentExtent {
  readonly partition: Partition;
  readonly level: AckLevel;
  /** By place in the put; undefined for one that is dead. */
  readonly batches: (StoredBatch | undefined)[];
  /** Batches that live. */
  refs: number;
  /** The tree has a record of it. */
  saved: boolean;
  /** Numbers of the batches whose `rowsLive` has a record of its own. */
  savedCounts: Set<number> | null;
}

export interface StoredBatch {
  /** `batchNumber(lsn, place in the put)`. */
  readonly number: number;
  readonly extent: LiveExtent;
  /** LSN of the put that brought the rows; older than the extent's after a rewrite. */
  readonly lsn: number;
  readonly rows: number;
  /** By field id: (offset, length) pairs relative to the extent; undefined for a field that the batch lacks. */
  readonly regions: readonly (readonly number[] | undefined)[];
  /** The fields of the batch as bits. */
  readonly fieldBits: Uint32Array;
  /** Rows that show a cell of it. */
  rowsLive: number;
  /** Readers, claims and snapshots that still need its bytes. */
  pins: number;
}

export interface Partition {
  readonly id: number;
  settings: PartitionSettings;
  fields: readonly Field[];
  fieldsByName: ReadonlyMap<string, Field>;
  readonly index: RowIndex;
  readonly extents: Set<LiveExtent>;
  /** LSN of the last change. */
  lsn: number;
  /** Bytes of the extents that live. */
  bytes: number;
  dropped: boolean;
}

/** Rows of a `memory` partition vanish with the process: nothing of them is saved. */
export function isSaved(partition: Partition): boolean {
  return partition.settings.ack !== 'memory';
}

/** A batch is numbered by the LSN of its insert and its place in the put, so that a number never comes twice. */
export function batchNumber(lsn: number, place: number): number {
  return lsn * limits.putBatchesMax + place;
}

export function placeOfBatch(number: number): number {
  return number % limits.putBatchesMax;
}

/** LSN of the insert that brought a batch. */
export function lsnOfBatch(number: number): number {
  return Math.floor(number / limits.putBatchesMax);
}

/** The fields of a declaration of this LSN; those that were there `before` stay as they are. */
export function fieldsOf(
  settings: PartitionSettings,
  { lsn, before }: { lsn: number; before: readonly Field[] },
): { fields: readonly Field[]; fieldsByName: ReadonlyMap<string, Field> } {
  const fields = settings.fields.map(({ name, layout }, id) => before[id] ?? { id, name, layout, lsn });
  return { fields, fieldsByName: new Map(fields.map((field) => [field.name, field])) };
}

const WORD_BITS = 32;

export function bitsOf(fieldIds: readonly number[]): Uint32Array {
  const bits = new Uint32Array(Math.floor(Math.max(0, ...fieldIds) / WORD_BITS) + 1);
  for (const id of fieldIds) bits[Math.floor(id / WORD_BITS)] |= 1 << (id % WORD_BITS);
  return bits;
}

/** Adds `bits` to `union`; returns whether that brought anything new. */
export function addBits(union: Uint32Array, bits: Uint32Array): boolean {
  let news = false;
  for (let word = 0; word < bits.length; word++) {
    const before = union[word];
    union[word] = before | bits[word];
    if (union[word] !== before) news = true;
  }
  return news;
}
