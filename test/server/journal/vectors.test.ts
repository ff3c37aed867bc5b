/** The journal's bytes against frozen vectors, which another program made from the description of the format. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AckLevel } from '@transfer-queue/core/protocol';
import { ByteWriter } from '../../../server/journal/bytes.ts';
import { readEvent, writeEvent } from '../../../server/journal/event_codecs.ts';
import { eventTypes, type JournalEvent } from '../../../server/journal/events.ts';
import {
  checkFileHeader,
  fileHeader,
  recordSize,
  RECORD_HEADER_SIZE,
  sealRecord,
} from '../../../server/journal/format.ts';
import { core, headerAt } from './files.ts';

interface Vectors {
  readonly files: readonly { readonly number: number; readonly lsnBefore: number; readonly header: string }[];
  readonly records: readonly {
    readonly event: Record<string, unknown> & { readonly type: JournalEvent['type'] };
    readonly lsn: number;
    readonly timestamp: number;
    readonly level: AckLevel;
    readonly epoch: number;
    readonly watermark: number;
    readonly record: string;
  }[];
}

const path = new URL('../../vectors/journal.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;

/** Bytes are hex and lists of numbers plain arrays in JSON. */
function eventOf(json: Vectors['records'][number]['event']): JournalEvent {
  const wide = ['ids', 'ordinals', 'voided'];
  const revived = JSON.parse(JSON.stringify(json), (key, value: unknown) => {
    if (['tokenKey', 'blocks', 'bytes'].includes(key)) return Uint8Array.from(Buffer.from(value as string, 'hex'));
    if (wide.includes(key)) return Float64Array.from(value as number[]);
    return key === 'attempts' ? Uint16Array.from(value as number[]) : value;
  }) as JournalEvent;
  return revived;
}

describe.each(vectors.records)('the record of a $event.type event', ({ event: json, record: hex, ...header }) => {
  const event = eventOf(json);
  const bytes = Buffer.from(hex, 'hex');

  test('is written as it was', () => {
    const out = new ByteWriter();
    writeEvent(out, event);
    const record = Buffer.alloc(recordSize(out.length), 0xaa);
    record.set(out.view(), RECORD_HEADER_SIZE);
    sealRecord(core, record, { ...header, type: eventTypes[event.type], payloadSize: out.length });
    expect(record.toString('hex')).toBe(hex);
  });

  test('is read as it was meant', () => {
    const found = headerAt(bytes, 0);
    expect(found).toMatchObject({ ...header, type: eventTypes[event.type] });
    const payload = bytes.subarray(RECORD_HEADER_SIZE, RECORD_HEADER_SIZE + found.payloadSize);
    expect(readEvent(found.type, payload)).toEqual(event);
  });
});

test('every type of event has a vector', () => {
  expect(new Set(vectors.records.map(({ event }) => event.type))).toEqual(new Set(Object.keys(eventTypes)));
});

test.each(vectors.files)(
  'the header of file $number is written and read as it was',
  ({ number, lsnBefore, header }) => {
    expect(fileHeader(core, number, lsnBefore).toString('hex')).toBe(header);
    expect(checkFileHeader(core, Buffer.from(header, 'hex'))).toEqual({ ok: true, number, lsnBefore });
  },
);
