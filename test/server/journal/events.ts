/** Events of every type, as fast-check makes them: with what later versions added to them, and without. */
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

const count = fc.integer({ min: 1, max: 2 ** 40 });
const added = {
  tasks: fc.array(
    fc.record({ name: fc.string(), maxAttempts: fc.integer({ min: 1, max: 65_534 }) }, { requiredKeys: ['name'] }),
    { maxLength: 3 },
  ),
  release: fc.constantFrom('never' as const, 'consumed' as const),
  numbers: fc.array(fc.string(), { maxLength: 3 }),
  rowsMax: count,
  bytesMax: count,
  pace: fc.record({ rowsPerVersion: count, maxAhead: fc.nat() }),
  retention: fc.record({ rowsMax: count, ageMsMax: count }, { requiredKeys: [] }),
};

const declared = {
  name: fc.string(),
  fields: fc.array(fc.record({ name: fc.string(), layout: fc.constant({ layout: 'text' } as const) }), {
    maxLength: 3,
  }),
  open: fc.boolean(),
  groupSize: fc.integer({ min: 1, max: 4_096 }),
  ack: fc.constantFrom('memory' as const, 'os' as const, 'disk' as const),
};

const settings = fc.record(
  { ...declared, ...added },
  { requiredKeys: Object.keys(declared) as (keyof typeof declared)[] },
);
const texts = fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 4 });
const task = fc.string();
/** Fields of an event that are undefined are not there at all when it is read. */
const withoutUndefined = <E extends object>(event: E): E =>
  Object.fromEntries(Object.entries(event).filter(([, value]) => value !== undefined)) as E;
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

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
    batch: optional(fc.record({ name: fc.string(), number: id, part: u16, parts: u16 })),
  }),
);

const anyEvent: fc.Arbitrary<JournalEvent> = fc.oneof(
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
    tags: optional(fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 4 })),
  }),
  fc.record({
    type: fc.constant('delete' as const),
    ...{ partition, requestId, ids },
    reason: fc.constantFrom(undefined, 'asked' as const, 'released' as const, 'evicted' as const),
  }),
  claimEvent,
  fc.record({ type: fc.constant('ack' as const), partition, claim, requestId }),
  fc.record({
    type: fc.constant('release' as const),
    ...{ partition, claim, requestId },
    reason: fc.constantFrom('released' as const, 'expired' as const, 'undelivered' as const),
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
  fc.record({
    type: fc.constant('batch' as const),
    ...{ partition, task, name: fc.string(), number: id, parts: u16 },
    outcome: fc.constantFrom('timed_out' as const, 'drained' as const),
  }),
  fc.record({ type: fc.constant('requeue' as const), partition, task, ids }),
  fc.record({ type: fc.constant('reset' as const), partition, requestId, task }),
  fc.record({ type: fc.constant('skip' as const), partition, task, fields: fc.array(u16, { maxLength: 4 }), ids }),
  fc.record({ type: fc.constant('tag' as const), partition, requestId, ids, tags: texts }),
  fc.record({ type: fc.constant('advance' as const), partition, version: id }),
  fc.record({ type: fc.constant('restore' as const), partition, last: fc.boolean(), bytes: fc.uint8Array() }),
  fc.record({
    type: fc.constant('adopt' as const),
    pairs: fc.array(fc.record({ partition, name: fc.string(), replaced: u32 }), { maxLength: 4 }),
  }),
);
export const events = anyEvent.map(withoutUndefined);

/** The event as a version wrote it that knew nothing of what was added at its end. */
export function olderForm(event: JournalEvent): JournalEvent {
  const {
    tags: _tags,
    reason: _reason,
    batch: _batch,
    ...older
  } = event as JournalEvent & { tags?: unknown; reason?: unknown; batch?: unknown };
  switch (event.type) {
    case 'insert':
    case 'delete':
    case 'claim':
      return older as JournalEvent;
    default:
      return event;
  }
}
