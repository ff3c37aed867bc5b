/**
 * How the events of the journal are written as payloads: the fields of each event in the order of its codec, in the
 * primitives of bytes.ts.
 *
 * Invariant: a payload is read to its last byte or refused.
 */
import { ByteReader, FormatError, type ByteWriter } from './bytes.ts';
import { readColumns, writeColumns } from './columns.ts';
import { eventTypes } from './events.ts';
import type {
  AckEvent,
  BatchColumns,
  CheckpointEvent,
  ClaimEvent,
  DeclareEvent,
  DeleteEvent,
  DescriptorEvent,
  DropEvent,
  Extent,
  InsertEvent,
  JournalEvent,
  MoveEvent,
  PartitionSettings,
  ReleaseEvent,
  RewriteEvent,
  SealEvent,
} from './events.ts';

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

/** Bytes of a batch that has nothing in its lists. */
const BATCH_SIZE_MIN = 8;

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
    const batches = new Array<BatchColumns>(source.count(BATCH_SIZE_MIN));
    for (let i = 0; i < batches.length; i++) {
      const ids = source.numbers();
      batches[i] = { rows: ids.length, ids, columns: readColumns(source) };
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
    const task = source.name();
    const counter = source.number();
    const epoch = source.number();
    const leaseMs = source.u32();
    const autoAck = source.u8() === 1;
    const fields = source.list();
    const ids = source.numbers();
    const attempts = new Uint16Array(ids.length);
    for (let i = 0; i < attempts.length; i++) attempts[i] = source.u16();
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
    batches: Array.from({ length: source.count(BATCH_SIZE_MIN) }, () => ({
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
const codecOfNumber: (Codec<JournalEvent> | undefined)[] = [];
for (const [type, number] of Object.entries(eventTypes)) {
  codecOfNumber[number] = codecs[type as JournalEvent['type']];
}

export function writeEvent(out: ByteWriter, event: JournalEvent): void {
  (codecs[event.type] as Codec<JournalEvent>).write(out, event);
}

/**
 * Reads a payload whose checksum was right. A `FormatError` here is corruption or another version, never a torn write.
 */
export function readEvent(type: number, payload: Buffer): JournalEvent {
  return readEventFrom(type, new ByteReader(payload));
}

/** The same of a payload that a reader was turned to. */
export function readEventFrom(type: number, source: ByteReader): JournalEvent {
  const codec = codecOfNumber[type];
  if (codec === undefined) throw new FormatError(`event type ${type} is unknown`);
  const event = codec.read(source);
  if (!source.done) throw new FormatError(`a ${event.type} event has bytes left over`);
  return event;
}
