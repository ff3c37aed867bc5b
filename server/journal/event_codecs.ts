/**
 * How the events of the journal are written as payloads: the fields of each event in the order of its codec, in the
 * primitives of bytes.ts.
 *
 * Invariant: a payload is read to its last byte or refused.
 */
import { ByteReader, FormatError, type ByteWriter } from './bytes.ts';
import type { Codec } from './codec.ts';
import { eventTypes } from './events.ts';
import type {
  AdoptEvent,
  CheckpointEvent,
  DeclareEvent,
  DescriptorEvent,
  DropEvent,
  JournalEvent,
  PartitionSettings,
  RestoreEvent,
} from './events.ts';
import { ack, advance, batch, claim, release, requeue, reset, seal, skip } from './queue_codecs.ts';
import { insert, move, remove, rewrite, tag } from './row_codecs.ts';

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

const checkpoint: Codec<CheckpointEvent> = {
  write: (out, event) => out.number(event.lsn),
  read: (source) => ({ type: 'checkpoint', lsn: source.number() }),
};

const restore: Codec<RestoreEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.u8(event.last ? 1 : 0);
    out.bytes(event.bytes);
  },
  read: (source) => ({
    type: 'restore',
    partition: source.u32(),
    last: source.u8() === 1,
    bytes: source.bytes(),
  }),
};

/** Bytes of a pair whose name is empty. */
const PAIR_SIZE_MIN = 12;

const adopt: Codec<AdoptEvent> = {
  write(out, { pairs }) {
    out.u32(pairs.length);
    for (const { partition, name, replaced } of pairs) {
      out.u32(partition);
      out.text(name);
      out.u32(replaced);
    }
  },
  read: (source) => ({
    type: 'adopt',
    pairs: Array.from({ length: source.count(PAIR_SIZE_MIN) }, () => ({
      partition: source.u32(),
      name: source.text(),
      replaced: source.u32(),
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
  batch,
  requeue,
  reset,
  skip,
  tag,
  advance,
  restore,
  adopt,
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
