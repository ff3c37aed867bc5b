/** Events of every type, as fast-check makes them. */
import fc from 'fast-check';
import type { JournalEvent } from '../../../server/journal/events.ts';

const id = fc.maxSafeNat();
const u32 = fc.nat(2 ** 32 - 1);
const u16 = fc.nat(2 ** 16 - 1);
const partition = u32;
const claim = fc.maxSafeNat();
const requestId = fc.oneof(
  fc.constant(''),
  fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
  fc.string({ unit: 'grapheme' }),
);
const ids = fc.array(id, { maxLength: 20 }).map((list) => Float64Array.from(list));
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });

const settings = fc.record({
  name: fc.string(),
  fields: fc.array(fc.record({ name: fc.string(), layout: fc.constant({ layout: 'text' } as const) }), {
    maxLength: 3,
  }),
  open: fc.boolean(),
  groupSize: fc.integer({ min: 1, max: 4_096 }),
  ack: fc.constantFrom('memory' as const, 'os' as const, 'disk' as const),
});

const columns = fc.array(fc.record({ field: u16, regions: fc.array(id, { maxLength: 6 }) }), { maxLength: 4 });
const extent = fc.record({ segment: u32, offset: id, length: id, blocks: bytes(40) });

const batch = fc.record({ ids, columns }).map((given) => ({ rows: given.ids.length, ...given }));

const claimEvent = fc.array(fc.tuple(id, u16), { maxLength: 20 }).chain((rows) =>
  fc.record({
    type: fc.constant('claim' as const),
    ...{ partition, requestId, claim },
    task: fc.string(),
    epoch: fc.maxSafeNat(),
    fields: fc.array(u16, { maxLength: 4 }),
    ids: fc.constant(Float64Array.from(rows, ([row]) => row)),
    attempts: fc.constant(Uint16Array.from(rows, ([, attempt]) => attempt)),
    leaseMs: u32,
    autoAck: fc.boolean(),
  }),
);

export const events: fc.Arbitrary<JournalEvent> = fc.oneof(
  fc.record({
    type: fc.constant('descriptor' as const),
    formatVersion: u32,
    epoch: fc.maxSafeNat(),
    bootId: fc.string(),
    tokenKey: bytes(40),
    voided: ids,
  }),
  fc.record({ type: fc.constant('declare' as const), partition, settings }),
  fc.record({ type: fc.constant('drop' as const), partition }),
  fc.record({
    type: fc.constant('insert' as const),
    ...{ partition, requestId },
    extent,
    batches: fc.array(batch, { maxLength: 4 }),
    ackClaim: claim,
  }),
  fc.record({ type: fc.constant('delete' as const), partition, requestId, ids }),
  claimEvent,
  fc.record({ type: fc.constant('ack' as const), partition, claim, requestId }),
  fc.record({
    type: fc.constant('release' as const),
    ...{ partition, claim, requestId },
    reason: fc.constantFrom('released' as const, 'expired' as const),
  }),
  fc.record({ type: fc.constant('seal' as const), partition }),
  fc.record({ type: fc.constant('checkpoint' as const), lsn: id }),
  fc.record({
    type: fc.constant('move' as const),
    ...{ partition, extent: id },
    ...{ segment: u32, offset: id, fromSegment: u32, fromOffset: id },
  }),
  fc.record({
    type: fc.constant('rewrite' as const),
    ...{ partition, fromExtent: id, extent },
    batches: fc.array(fc.record({ batch: id, ids, ordinals: ids, columns }), { maxLength: 4 }),
  }),
);
