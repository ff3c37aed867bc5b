/**
 * Names of blobs beside a model of plain objects: random puts, deletes, saves and restarts, with the counts looked at
 * after each step.
 *
 * SEED=n and RUNS=n in the environment choose other sequences.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { machine, type PartitionQueue } from '../../../server/queue/machine.ts';
import { runsOr, seedOr } from '../../support/runs.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { dump } from './dump.ts';
import { RecordStore } from './record_store.ts';

const seed = seedOr(20_261_121);
const numRuns = runsOr(200);
const FIELDS = [0, 3];
const digests = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(64));

type Step =
  | { readonly kind: 'put'; readonly field: number; readonly cells: readonly (readonly [number, string])[] }
  | { readonly kind: 'remove'; readonly ids: readonly number[] }
  | { readonly kind: 'save'; readonly units: number }
  | { readonly kind: 'restart' };

const id = fc.nat(11);
const cells = fc.uniqueArray(fc.tuple(id, fc.constantFrom(...digests)), {
  selector: ([row]) => row,
  minLength: 1,
  maxLength: 6,
});
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('put' as const), field: fc.constantFrom(...FIELDS), cells }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), ids: fc.uniqueArray(id) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('save' as const), units: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

function optionsOf(): Parameters<typeof machine.create>[0] {
  return { partition: 1, groupSize: 2, bitmaps: createPlainBitmaps(8, 16) };
}

class World {
  queue: PartitionQueue = machine.create(optionsOf());
  readonly store = new RecordStore();
  /** By field and row. */
  readonly named = new Map<string, string>();

  take(step: Step): void {
    switch (step.kind) {
      case 'put': {
        const ids = Float64Array.from(step.cells, ([row]) => row);
        const places = Uint32Array.from(step.cells, ([, digest]) => digests.indexOf(digest));
        machine.applyInsert(this.queue, { ids, fields: [step.field] });
        machine.applyBlobs(this.queue, ids, { field: step.field, digests, places }, 0);
        for (const [row, digest] of step.cells) this.named.set(`${step.field}/${row}`, digest);
        return;
      }
      case 'remove':
        machine.applyDelete(this.queue, Float64Array.from(step.ids));
        for (const row of step.ids) for (const field of FIELDS) this.named.delete(`${field}/${row}`);
        return;
      case 'save':
        this.store.save(this.queue, step.units);
        return;
      case 'restart': {
        this.store.saveAll(this.queue);
        const before = dump(this.queue);
        this.queue = this.store.load(optionsOf());
        expect(dump(this.queue)).toEqual(before);
      }
    }
  }

  check(): void {
    const { blobRefs } = this.queue.slots;
    const wanted = new Set(this.named.values());
    expect(digests.filter((digest) => blobRefs.has(digest))).toEqual(digests.filter((digest) => wanted.has(digest)));
    expect(blobRefs.count).toBe(wanted.size);
  }
}

test('a blob is known exactly while a cell names it, also after restarts', () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 40 }), (all) => {
      const world = new World();
      for (const step of all) {
        world.take(step);
        world.check();
      }
    }),
    { seed, numRuns },
  );
});

test('what lost its last cell is told once, unless it got one again', () => {
  const world = new World();
  const put = (row: number, digest: string): void => world.take({ kind: 'put', field: 0, cells: [[row, digest]] });
  put(1, digests[0]);
  put(2, digests[1]);
  put(1, digests[2]);
  put(2, digests[0]);
  expect([...world.queue.slots.blobRefs.takeFreed()]).toEqual([digests[1]]);
  expect([...world.queue.slots.blobRefs.takeFreed()]).toEqual([]);
});
