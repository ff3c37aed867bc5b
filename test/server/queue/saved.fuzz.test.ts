/**
 * Records with flipped, cut, doubled and swapped bytes: a queue of them is refused by a FormatError, or it is one that
 * could have been saved like this, and that works.
 *
 * SEED=n and RUNS=n in the environment choose other sequences.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FormatError } from '../../../server/journal/bytes.ts';
import { machine, type PartitionQueue, type QueueOptions, type QueueRecord } from '../../../server/queue/machine.ts';
import { runsOr, seedOr } from '../../support/runs.ts';
import { dump } from './dump.ts';
import { Harness } from './harness.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';
import { sequences, type Sequence, type Step } from './sequences.ts';
import { perform } from './steps.ts';

const seed = seedOr(5);
const numRuns = runsOr(150);
const DAMAGES = 40;
/** Above the numbers of all claims, damaged ones too. */
const CLAIM_NEXT = 2 ** 52;

const damages = fc.array(
  fc.record({
    how: fc.constantFrom('flip' as const, 'set' as const, 'cut' as const, 'double' as const, 'swap' as const),
    inKey: fc.nat(9).map((n) => n === 0),
    record: fc.nat(),
    at: fc.nat(),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff)),
  }),
  { minLength: DAMAGES, maxLength: DAMAGES },
);
type Damage = typeof damages extends fc.Arbitrary<(infer Value)[]> ? Value : never;

function damage(records: readonly QueueRecord[], { how, inKey, record, at, byte }: Damage): QueueRecord[] {
  const index = record % records.length;
  const { key, value } = records[index];
  if (how === 'swap') return replace(records, index, { key, value: records[at % records.length].value });
  const bytes = [...(inKey ? key : value!)];
  const place = at % Math.max(bytes.length, 1);
  if (how === 'flip') bytes[place] ^= 1 << (byte % 8);
  if (how === 'set') bytes[place] = byte;
  if (how === 'cut') bytes.splice(place, 1 + (byte % 3));
  if (how === 'double') bytes.splice(place, 0, bytes[place] ?? byte);
  const changed = Uint8Array.from(bytes);
  return replace(records, index, inKey ? { key: changed, value } : { key, value: changed });
}

function replace(records: readonly QueueRecord[], index: number, record: QueueRecord): QueueRecord[] {
  return records.map((each, i) => (i === index ? record : each));
}

/** All records of a queue that was just loaded. */
function saveAgain(queue: PartitionQueue): RecordStore {
  const { changes, slots } = queue;
  changes.headerSaved = undefined;
  for (const task of queue.tasks.values()) changes.tasks.add(task.index);
  for (const claim of changes.claimsSaved) changes.claims.add(claim);
  for (const page of slots.pages) {
    for (const unit of page.saved) page.changed.add(unit);
    slots.changed.add(page);
  }
  const store = new RecordStore();
  store.saveAll(queue);
  return store;
}

/** Says whether a queue was made of the damaged records; it must work then. */
function tryToLoad(records: readonly QueueRecord[], options: QueueOptions, steps: readonly Step[]): boolean {
  try {
    const loaded = machine.loadQueue(options, records);
    const again = saveAgain(loaded).load(options);
    expect(dump(again)).toEqual(dump(loaded));
    machine.drop(again);
    const harness = new Harness({ machine, ...options }).continuedOn(loaded, CLAIM_NEXT);
    for (const step of steps) perform(harness, step, options.groupSize);
    dump(loaded);
    machine.drop(loaded);
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}

function recordsOf({ groupSize, steps }: Sequence): RecordStore {
  const harness = new Harness({ machine, groupSize, bitmaps: createPlainBitmaps(2, 4) });
  for (const step of steps) perform(harness, step, groupSize);
  const store = new RecordStore();
  store.saveAll(harness.queue);
  return store;
}

test(`${numRuns * DAMAGES} damages, seed ${seed}`, () => {
  const ends = { refused: 0, loaded: 0 };
  const property = fc.property(sequences, damages, (sequence, list) => {
    const records = recordsOf(sequence).records();
    const bitmaps = createPlainBitmaps(2, 4);
    const options = { partition: 1, groupSize: sequence.groupSize, bitmaps };
    for (const each of list)
      ends[tryToLoad(damage(records, each), options, sequence.stepsAfter) ? 'loaded' : 'refused'] += 1;
    expect(bitmaps.bitsAlive()).toBe(0);
  });
  fc.assert(property, { seed, numRuns });
  expect(ends.refused).toBeGreaterThan(ends.loaded);
});
