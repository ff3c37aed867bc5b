/**
 * What the store knows of a partition: its declaration, its batches and the index of its rows.
 *
 *   partition -> index: id -> (batch, ordinal)...      batch -> extent -> segment
 *
 * A batch is one record batch of a put: it names, per field, where the buffers lie inside the extent. It lives while a
 * row shows one of its cells; an extent lives while one of its batches does, or a reader holds it.
 */
import type { FieldLayout } from '@transfer-queue/core/layout';
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { PartitionSettings } from '../journal/events.ts';
import type { RowIndex } from '../index/row_index.ts';
import type { Segment } from '../segment/segment.ts';

export interface Field {
  readonly id: number;
  readonly name: string;
  readonly layout: FieldLayout;
}

export interface LiveExtent {
  readonly segment: Segment;
  readonly offset: number;
  readonly length: number;
  /** xxh64 of each 1 MiB block, 8 bytes each. */
  readonly blocks: Uint8Array;
  readonly lsn: number;
  readonly level: AckLevel;
  /** Batches that live, and readers. */
  refs: number;
}

export interface StoredBatch {
  readonly handle: number;
  readonly partition: Partition;
  readonly extent: LiveExtent;
  readonly lsn: number;
  readonly rows: number;
  /** By field id: (offset, length) pairs relative to the extent; undefined for a field that the batch lacks. */
  readonly regions: readonly (readonly number[] | undefined)[];
  /** The fields of the batch as bits. */
  readonly fieldBits: Uint32Array;
  /** Rows that show a cell of it. */
  rowsLive: number;
}

export interface Partition {
  readonly id: number;
  settings: PartitionSettings;
  fields: readonly Field[];
  fieldsByName: ReadonlyMap<string, Field>;
  readonly index: RowIndex;
  /** LSN of the last change. */
  lsn: number;
  /** Bytes of the extents that live. */
  bytes: number;
  dropped: boolean;
}

export function fieldsOf(settings: PartitionSettings): {
  fields: readonly Field[];
  fieldsByName: ReadonlyMap<string, Field>;
} {
  const fields = settings.fields.map(({ name, layout }, id) => ({ id, name, layout }));
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
