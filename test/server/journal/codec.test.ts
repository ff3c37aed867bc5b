/** The payloads of events: what is written is what is read, and nothing else is read without an error. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, FormatError } from '../../../server/journal/bytes.ts';
import { readEvent, writeEvent } from '../../../server/journal/event_codecs.ts';
import { eventTypes } from '../../../server/journal/events.ts';
import type { JournalEvent } from '../../../server/journal/events.ts';
import { events, olderForm } from './events.ts';

function payloadOf(event: JournalEvent): Buffer {
  const out = new ByteWriter();
  writeEvent(out, event);
  return Buffer.from(out.view());
}

describe('events', () => {
  test('come back as they were written', () => {
    fc.assert(
      fc.property(events, (event) => {
        expect(readEvent(eventTypes[event.type], payloadOf(event))).toEqual(event);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test('a payload that was cut or goes on is refused, unless it is that of an older version', () => {
    fc.assert(
      fc.property(events, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (event, where) => {
        const payload = payloadOf(event);
        const cut = payload.subarray(0, Math.floor(where * payload.length));
        const older = payloadOf(olderForm(event));
        if (cut.equals(older)) expect(readEvent(eventTypes[event.type], cut)).toEqual(olderForm(event));
        else expect(() => readEvent(eventTypes[event.type], cut)).toThrow(FormatError);
        // A byte that begins none of what may be added.
        const longer = Buffer.concat([payload, Buffer.of(0xff)]);
        expect(() => readEvent(eventTypes[event.type], longer)).toThrow(FormatError);
      }),
      { seed: 6, numRuns: 300 },
    );
  });

  test('any bytes are an event or a FormatError, and cost no more memory than they have', () => {
    const noise = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 19 }), noise, (type, payload) => {
        try {
          readEvent(type, payload);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });
});

describe('bytes', () => {
  test('names come back as texts do, whatever names were read before', () => {
    const names = fc.array(
      fc.oneof(fc.constantFrom('', 'a', 'ab', 'ba', 'é', 'trainer'), fc.string({ maxLength: 80 })),
    );
    fc.assert(
      fc.property(names, (texts) => {
        const out = new ByteWriter();
        for (const text of texts) out.text(text);
        const source = new ByteReader(Buffer.from(out.view()));
        for (const text of texts) expect(source.name()).toBe(text);
        expect(source.done).toBe(true);
      }),
    );
  });

  test('a writer that is used again writes as a new one', () => {
    const out = new ByteWriter();
    out.text('x'.repeat(10_000));
    out.reset();
    out.u16(0xabcd);
    out.number(Number.MAX_SAFE_INTEGER);
    expect(out.view().toString('hex')).toBe('cdabffffffffffff1f00');
  });

  test('a number beyond 2^53 is refused', () => {
    expect(() => new ByteReader(Buffer.from('000000000000200000', 'hex')).number()).toThrow(FormatError);
    expect(() => new ByteReader(Buffer.from('ffffffffffffffff', 'hex')).number()).toThrow(FormatError);
    expect(new ByteReader(Buffer.from('ffffffffffff1f00', 'hex')).number()).toBe(Number.MAX_SAFE_INTEGER);
  });

  test('what was read stays when the buffer changes', () => {
    const bytes = Buffer.from('03000000010203', 'hex');
    const read = new ByteReader(bytes).bytes();
    bytes.fill(0);
    expect([...read]).toEqual([1, 2, 3]);
  });
});
