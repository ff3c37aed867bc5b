/**
 * The events of the journal: every change of the store's state, and how each is written as a payload.
 *
 * A payload is the fields of its event in the order of the codec below, in the primitives of bytes.ts. Live changes and
 * recovery feed the same events to the same `apply`, so that what is not in an event does not survive a restart.
 *
 * Invariants: a type number, once released, is never reused; a payload is read to its last byte or refused.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { FieldLayout } from '@transfer-queue/core/layout';
import type { ByteWriter } from './bytes.ts';
import { ByteReader, FormatError } from './bytes.ts';

/** First event of each run of the process: which format, which run, since which boot of the machine. */
export interface DescriptorEvent {
  readonly type: 'descriptor';
  readonly formatVersion: number;
  readonly epoch: number;
  readonly bootId: string;
  /** Key of the claim tokens' MAC, made when the directory is. */
  readonly tokenKey: Uint8Array;
  /** LSNs of the puts that this run left out, since a crash of the machine took their bytes: they never come back. */
  readonly voided: Float64Array;
}

/** A partition's whole declaration. Fields are numbered by their place in the list and only ever added. */
export interface PartitionSettings {
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly layout: FieldLayout }[];
  readonly open: boolean;
  readonly groupSize: number;
  readonly ack: AckLevel;
}

export interface DeclareEvent {
  readonly type: 'declare';
  readonly partition: number;
  readonly settings: PartitionSettings;
}

export interface DropEvent {
  readonly type: 'drop';
  readonly partition: number;
}

/** Where a put's bytes lie: the whole body, verbatim, with the xxh64 of each of its 1 MiB blocks. */
export interface Extent {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly blocks: Uint8Array;
}

/** One record batch inside an extent. `regions` are (offset, length) pairs relative to the extent. */
export interface BatchColumns {
  readonly rows: number;
  readonly ids: Float64Array;
  readonly columns: readonly { readonly field: number; readonly regions: readonly number[] }[];
}

export interface AckEvent {
  readonly type: 'ack';
  readonly partition: number;
  readonly claim: number;
  readonly requestId: string;
}

export interface InsertEvent {
  readonly type: 'insert';
  readonly partition: number;
  readonly requestId: string;
  readonly extent: Extent;
  readonly batches: readonly BatchColumns[];
  /** The claim that this put acks, of the same partition; 0 for none. */
  readonly ackClaim: number;
}

export interface DeleteEvent {
  readonly type: 'delete';
  readonly partition: number;
  readonly requestId: string;
  readonly ids: Float64Array;
}

export interface ClaimEvent {
  readonly type: 'claim';
  readonly partition: number;
  readonly requestId: string;
  readonly task: string;
  readonly claim: number;
  readonly epoch: number;
  readonly fields: readonly number[];
  readonly ids: Float64Array;
  readonly attempts: Uint16Array;
  readonly leaseMs: number;
  readonly autoAck: boolean;
}

export interface ReleaseEvent {
  readonly type: 'release';
  readonly partition: number;
  readonly claim: number;
  readonly requestId: string;
  readonly reason: 'released' | 'expired';
}

export interface SealEvent {
  readonly type: 'seal';
  readonly partition: number;
}

/** The state up to `lsn` is in the tree: a start replays what came after it. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly lsn: number;
}

/** The bytes of a live extent were copied: they lie at another place from now on. */
export interface MoveEvent {
  readonly type: 'move';
  readonly partition: number;
  /** LSN of the extent's insert. */
  readonly extent: number;
  readonly segment: number;
  readonly offset: number;
  readonly fromSegment: number;
  readonly fromOffset: number;
}

/** One batch of a rewrite: the rows that still showed the old batch, in their order in the new one. */
export interface RewrittenBatch {
  /** Number of the old batch. */
  readonly batch: number;
  readonly ids: Float64Array;
  /** Places of the rows in the old batch. */
  readonly ordinals: Float64Array;
  readonly columns: BatchColumns['columns'];
}

/** An extent with few rows that matter was written anew with those only. */
export interface RewriteEvent {
  readonly type: 'rewrite';
  readonly partition: number;
  /** LSN of the old extent's insert. */
  readonly fromExtent: number;
  readonly extent: Extent;
  readonly batches: readonly RewrittenBatch[];
}

export type JournalEvent =
  | DescriptorEvent
  | DeclareEvent
  | DropEvent
  | InsertEvent
  | DeleteEvent
  | ClaimEvent
  | AckEvent
  | ReleaseEvent
  | SealEvent
  | CheckpointEvent
  | MoveEvent
  | RewriteEvent;

/** Type numbers in the record header. */
export const eventTypes = {
  descriptor: 1,
  declare: 2,
  drop: 3,
  insert: 4,
  delete: 5,
  claim: 6,
  ack: 7,
  release: 8,
  seal: 9,
  checkpoint: 10,
  move: 11,
  rewrite: 12,
} as const satisfies Record<JournalEvent['type'], number>;

interface Codec<E extends JournalEvent> {
  write(out: ByteWriter, event: E): void;
  read(source: ByteReader): E;
}

const descriptor: Codec<DescriptorEvent> = {
  write(out, event) {
    out.u32(event.formatVersion);
    out.number(event.epoch);
    out.text(event.bootId);
    out.bytes(event.tokenKey);
    out.numbers(event.voided);
  },
  read: (source) => ({
    type: 'descriptor',
    formatVersion: source.u32(),
    epoch: source.number(),
    bootId: source.text(),
    tokenKey: source.bytes(),
    voided: source.numbers(),
  }),
};

const declare: Codec<DeclareEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(JSON.stringify(event.settings));
  },
  read: (source) => ({
    type: 'declare',
    partition: source.u32(),
    settings: parseSettings(source.text()),
  }),
};

function parseSettings(json: string): PartitionSettings {
  try {
    return JSON.parse(json) as PartitionSettings;
  } catch {
    throw new FormatError('the settings of a partition are not JSON');
  }
}

const drop: Codec<DropEvent> = {
  write: (out, event) => out.u32(event.partition),
  read: (source) => ({ type: 'drop', partition: source.u32() }),
};

function writeExtent(out: ByteWriter, extent: Extent): void {
  out.u32(extent.segment);
  out.number(extent.offset);
  out.number(extent.length);
  out.bytes(extent.blocks);
}

function readExtent(source: ByteReader): Extent {
  return { segment: source.u32(), offset: source.number(), length: source.number(), blocks: source.bytes() };
}

function writeColumns(out: ByteWriter, columns: BatchColumns['columns']): void {
  out.u32(columns.length);
  for (const column of columns) {
    out.u16(column.field);
    out.numbers(column.regions);
  }
}

function readColumns(source: ByteReader): BatchColumns['columns'] {
  const columns: BatchColumns['columns'][number][] = [];
  for (let left = source.u32(); left > 0; left--) columns.push({ field: source.u16(), regions: source.list() });
  return columns;
}

const insert: Codec<InsertEvent> = {
  write(out, { partition, requestId, extent, batches, ackClaim }) {
    out.u32(partition);
    out.text(requestId);
    out.number(ackClaim);
    writeExtent(out, extent);
    out.u32(batches.length);
    for (const batch of batches) {
      out.numbers(batch.ids);
      writeColumns(out, batch.columns);
    }
  },
  read(source) {
    const partition = source.u32();
    const requestId = source.text();
    const ackClaim = source.number();
    const extent = readExtent(source);
    const batches: BatchColumns[] = [];
    for (let left = source.u32(); left > 0; left--) {
      const ids = source.numbers();
      batches.push({ rows: ids.length, ids, columns: readColumns(source) });
    }
    return { type: 'insert', partition, requestId, extent, batches, ackClaim };
  },
};

const remove: Codec<DeleteEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.requestId);
    out.numbers(event.ids);
  },
  read: (source) => ({
    type: 'delete',
    partition: source.u32(),
    requestId: source.text(),
    ids: source.numbers(),
  }),
};

const claim: Codec<ClaimEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.requestId);
    out.text(event.task);
    out.number(event.claim);
    out.number(event.epoch);
    out.u32(event.leaseMs);
    out.u8(event.autoAck ? 1 : 0);
    out.numbers(event.fields);
    out.numbers(event.ids);
    for (const attempt of event.attempts) out.u16(attempt);
  },
  read(source) {
    const partition = source.u32();
    const requestId = source.text();
    const task = source.text();
    const counter = source.number();
    const epoch = source.number();
    const leaseMs = source.u32();
    const autoAck = source.u8() === 1;
    const fields = Array.from(source.numbers());
    const ids = source.numbers();
    const attempts = Uint16Array.from(ids, () => source.u16());
    return {
      type: 'claim',
      partition,
      requestId,
      task,
      claim: counter,
      epoch,
      fields,
      ids,
      attempts,
      leaseMs,
      autoAck,
    };
  },
};

const ack: Codec<AckEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.number(event.claim);
    out.text(event.requestId);
  },
  read: (source) => ({
    type: 'ack',
    partition: source.u32(),
    claim: source.number(),
    requestId: source.text(),
  }),
};

const release: Codec<ReleaseEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.number(event.claim);
    out.text(event.requestId);
    out.u8(event.reason === 'expired' ? 1 : 0);
  },
  read: (source) => ({
    type: 'release',
    partition: source.u32(),
    claim: source.number(),
    requestId: source.text(),
    reason: source.u8() === 1 ? 'expired' : 'released',
  }),
};

const seal: Codec<SealEvent> = {
  write: (out, event) => out.u32(event.partition),
  read: (source) => ({ type: 'seal', partition: source.u32() }),
};

const checkpoint: Codec<CheckpointEvent> = {
  write: (out, event) => out.number(event.lsn),
  read: (source) => ({ type: 'checkpoint', lsn: source.number() }),
};

const move: Codec<MoveEvent> = {
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

const rewrite: Codec<RewriteEvent> = {
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
    batches: Array.from({ length: source.u32() }, () => ({
      batch: source.number(),
      ids: source.numbers(),
      ordinals: source.numbers(),
      columns: readColumns(source),
    })),
  }),
};

const codecs = {
  descriptor,
  declare,
  drop,
  insert,
  delete: remove,
  claim,
  ack,
  release,
  seal,
  checkpoint,
  move,
  rewrite,
};
const codecOfNumber = new Map(
  Object.entries(eventTypes).map(([type, number]) => [number as number, codecs[type as JournalEvent['type']]]),
);

export function writeEvent(out: ByteWriter, event: JournalEvent): void {
  (codecs[event.type] as Codec<JournalEvent>).write(out, event);
}

/**
 * Reads a payload whose checksum was right. A `FormatError` here is corruption or another version, never a torn write.
 */
export function readEvent(type: number, payload: Buffer): JournalEvent {
  const codec = codecOfNumber.get(type);
  if (codec === undefined) throw new FormatError(`event type ${type} is unknown`);
  const source = new ByteReader(payload);
  const event = codec.read(source);
  if (!source.done) throw new FormatError(`a ${event.type} event has bytes left over`);
  return event;
}
