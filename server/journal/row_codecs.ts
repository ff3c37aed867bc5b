/** How the events of rows are written: puts, deletes, tags, and bytes that go to another place. */
import { readTexts, wordOf, writeTexts, type Codec } from './codec.ts';
import { readColumns, writeColumns } from './columns.ts';
import { BLOB_DIGEST_SIZE } from '@transfer-queue/core/protocol';
import { FormatError, type ByteReader, type ByteWriter } from './bytes.ts';
import type {
  BatchColumns,
  BlobColumn,
  DeleteEvent,
  Extent,
  InsertEvent,
  MoveEvent,
  RewriteEvent,
  TagEvent,
} from './events.ts';

function writeExtent(out: ByteWriter, extent: Extent): void {
  out.u32(extent.segment);
  out.number(extent.offset);
  out.number(extent.length);
  out.bytes(extent.blocks);
}

function readExtent(source: ByteReader): Extent {
  return { segment: source.u32(), offset: source.number(), length: source.number(), blocks: source.bytes() };
}

/** Bytes of a column that names no blobs. */
const BLOBS_SIZE_MIN = 12;

function writeBlobs(out: ByteWriter, blobs: readonly BlobColumn[]): void {
  out.u32(blobs.length);
  for (const { field, digests, places } of blobs) {
    out.u32(field);
    out.bytes(Buffer.from(digests.join(''), 'hex'));
    out.u32(places.length);
    for (const place of places) out.u32(place);
  }
}

function readBlobs(source: ByteReader): BlobColumn[] {
  return Array.from({ length: source.count(BLOBS_SIZE_MIN) }, () => {
    const field = source.u32();
    const all = Buffer.from(source.bytes()).toString('hex');
    const digests = all.match(new RegExp(`.{${2 * BLOB_DIGEST_SIZE}}`, 'g')) ?? [];
    const places = Uint32Array.from({ length: source.count(4) }, () => source.u32());
    const fits =
      digests.length * 2 * BLOB_DIGEST_SIZE === all.length && places.every((place) => place < digests.length);
    if (!fits) throw new FormatError(`field ${field} names blobs that are not there`);
    return { field, digests, places };
  });
}

/** Bytes of a batch that has nothing in its lists. */
const BATCH_SIZE_MIN = 8;

export const insert: Codec<InsertEvent> = {
  write(out, { partition, requestId, extent, batches, ackClaim, tags, blobs }) {
    out.u32(partition);
    out.text(requestId);
    out.number(ackClaim);
    writeExtent(out, extent);
    out.u32(batches.length);
    for (const batch of batches) {
      out.numbers(batch.ids);
      writeColumns(out, batch.columns);
    }
    if (tags !== undefined || blobs !== undefined) writeTexts(out, tags ?? []);
    if (blobs !== undefined) writeBlobs(out, blobs);
  },
  read(source) {
    const partition = source.u32();
    const requestId = source.text();
    const ackClaim = source.number();
    const extent = readExtent(source);
    const batches = new Array<BatchColumns>(source.count(BATCH_SIZE_MIN));
    for (let i = 0; i < batches.length; i++) {
      const ids = source.numbers();
      batches[i] = { rows: ids.length, ids, columns: readColumns(source) };
    }
    const event: InsertEvent = { type: 'insert', partition, requestId, extent, batches, ackClaim };
    if (source.done) return event;
    const texts = readTexts(source);
    const tags = texts.length === 0 ? undefined : texts;
    return source.done ? { ...event, tags } : { ...event, tags, blobs: readBlobs(source) };
  },
};

const deleteReasons = ['asked', 'released', 'evicted'] as const;

export const remove: Codec<DeleteEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.requestId);
    out.numbers(event.ids);
    if (event.reason !== undefined) out.u8(deleteReasons.indexOf(event.reason));
  },
  read(source) {
    const partition = source.u32();
    const requestId = source.text();
    const ids = source.numbers();
    const event: DeleteEvent = { type: 'delete', partition, requestId, ids };
    return source.done ? event : { ...event, reason: wordOf(deleteReasons, source.u8()) };
  },
};

export const tag: Codec<TagEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.requestId);
    out.numbers(event.ids);
    writeTexts(out, event.tags);
  },
  read: (source) => ({
    type: 'tag',
    partition: source.u32(),
    requestId: source.text(),
    ids: source.numbers(),
    tags: readTexts(source),
  }),
};

export const move: Codec<MoveEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.number(event.extent);
    out.u32(event.segment);
    out.number(event.offset);
    out.u32(event.fromSegment);
    out.number(event.fromOffset);
  },
  read: (source) => ({
    type: 'move',
    partition: source.u32(),
    extent: source.number(),
    segment: source.u32(),
    offset: source.number(),
    fromSegment: source.u32(),
    fromOffset: source.number(),
  }),
};

export const rewrite: Codec<RewriteEvent> = {
  write(out, { partition, fromExtent, extent, batches }) {
    out.u32(partition);
    out.number(fromExtent);
    writeExtent(out, extent);
    out.u32(batches.length);
    for (const batch of batches) {
      out.number(batch.batch);
      out.numbers(batch.ids);
      out.numbers(batch.ordinals);
      writeColumns(out, batch.columns);
    }
  },
  read: (source) => ({
    type: 'rewrite',
    partition: source.u32(),
    fromExtent: source.number(),
    extent: readExtent(source),
    batches: Array.from({ length: source.count(BATCH_SIZE_MIN) }, () => ({
      batch: source.number(),
      ids: source.numbers(),
      ordinals: source.numbers(),
      columns: readColumns(source),
    })),
  }),
};
