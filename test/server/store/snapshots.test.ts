/** Snapshots against a plain account of which row showed which batch when: what they pin, and for how long. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batchNumber } from '../../../server/store/partition.ts';
import { Snapshots } from '../../../server/store/snapshots.ts';
import { PlainTree } from '../../support/plain_tree.ts';

/** From when to when a row showed a batch, in LSNs; it shows it still while `to` is Infinity. */
interface Shown {
  readonly batch: number;
  readonly from: number;
  to: number;
}

class World {
  readonly pins = new Map<number, number>();
  readonly snapshots: Snapshots;
  readonly shown: Shown[] = [];
  readonly open: number[] = [];
  lsn = 0;

  constructor() {
    const count = (batch: number, by: number): void => {
      const pins = (this.pins.get(batch) ?? 0) + by;
      expect(pins).toBeGreaterThanOrEqual(0);
      this.pins.set(batch, pins);
    };
    this.snapshots = new Snapshots({
      tree: new PlainTree(),
      pins: { pin: (batch) => count(batch, 1), unpin: (batch) => count(batch, -1) },
    });
  }

  put(rows: number): void {
    const batch = batchNumber(++this.lsn, rows);
    for (let row = 0; row < rows; row++) this.shown.push({ batch, from: this.lsn, to: Infinity });
  }

  /** One of the rows stops showing a cell of its batch. */
  forget(choice: number): void {
    const living = this.shown.filter(({ to }) => to === Infinity);
    if (living.length === 0) return;
    const gone = living[choice % living.length];
    gone.to = ++this.lsn;
    this.snapshots.forgets(gone.batch);
  }

  snapshot(): void {
    this.snapshots.open(this.lsn);
    this.open.push(this.lsn);
  }

  close(choice: number): void {
    for (const lsn of this.open.splice(choice % Math.max(1, this.open.length), 1)) this.snapshots.close(lsn);
  }

  /** Batches that a snapshot sees in a row that shows them no more. */
  needed(): Set<number> {
    const past = this.shown.filter(({ from, to }) =>
      this.open.some((lsn) => lsn >= from && lsn < to && to !== Infinity),
    );
    return new Set(past.map(({ batch }) => batch));
  }
}

const choice = fc.nat(30);
const commands = fc.array(
  fc.oneof(
    fc.record({ act: fc.constant('put' as const), rows: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ act: fc.constant('forget' as const), choice }),
    fc.constant({ act: 'snapshot' as const }),
    fc.record({ act: fc.constant('close' as const), choice }),
  ),
  { maxLength: 80, size: 'max' },
);

test('what a snapshot sees in rows of the past is pinned while it is open, and nothing else', () => {
  fc.assert(
    fc.property(commands, (sequence) => {
      const world = new World();
      const pinned = (): number[] => [...world.pins].filter(([, pins]) => pins > 0).map(([batch]) => batch);
      for (const command of sequence) {
        if (command.act === 'put') world.put(command.rows);
        else if (command.act === 'forget') world.forget(command.choice);
        else if (command.act === 'snapshot') world.snapshot();
        else world.close(command.choice);
        expect(new Set(pinned())).toEqual(world.needed());
        expect(world.snapshots.count).toBe(new Set(world.open).size);
      }
      while (world.open.length > 0) world.close(0);
      expect([pinned(), world.snapshots.count]).toEqual([[], 0]);
    }),
    { seed: 8, numRuns: 400 },
  );
});

describe('a state', () => {
  test('that several asked for is held until the last of them lets go of it', () => {
    const world = new World();
    world.put(1);
    world.snapshot();
    world.snapshot();
    world.forget(0);
    world.close(0);
    expect([world.snapshots.has(1), world.needed().size]).toEqual([true, 1]);
    world.close(0);
    expect([world.snapshots.has(1), world.needed().size]).toEqual([false, 0]);
  });

  test('that is being read is held until the reading ends, well or not', async () => {
    const world = new World();
    world.put(1);
    world.snapshot();
    for (const failure of [null, new Error('broken')]) {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const reading = world.snapshots.reading(1, () => promise);
      if (failure === null) {
        resolve('rows');
        expect(await reading).toBe('rows');
        continue;
      }
      world.close(0);
      expect(world.snapshots.has(1)).toBe(true);
      reject(failure);
      await expect(reading).rejects.toBe(failure);
    }
    expect(world.snapshots.count).toBe(0);
  });

  test('that no snapshot holds is read all the same', async () => {
    const { snapshots } = new World();
    expect(await snapshots.reading(7, () => Promise.resolve('rows'))).toBe('rows');
    expect(snapshots.count).toBe(0);
  });
});
