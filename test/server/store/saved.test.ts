/** The store in records: a start from them finds what was there, whatever was saved between which changes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ackLevels } from '@transfer-queue/core/protocol';
import { isSaved, type LiveExtent, type Partition } from '../../../server/store/partition.ts';
import { settingsOf, StoreWorld } from './world.ts';

/** All of a store that a start must find again; rows of level `memory` and what they need are not among it. */
async function dump({ store, rows }: StoreWorld): Promise<unknown> {
  const partitions = [];
  for (const partition of [...store.partitions()].sort((a, b) => a.id - b.id)) {
    const ids = Float64Array.from([...rows.get(partition.id)!].sort((a, b) => a - b));
    const { starts, batches, ordinals } = await partition.index.lookup(ids);
    const puts = Array.from(starts, (start, i) => [...batches.subarray(start, starts[i + 1])]);
    partitions.push({
      ...plain(partition),
      puts: isSaved(partition) && [puts, [...ordinals.subarray(0, starts.at(-1))]],
    });
  }
  const segments = [...store.segments.all()].filter(({ level, live }) => level !== 'memory' && live > 0);
  return {
    partitions,
    next: store.partitionNext,
    segments: segments.map(({ id, live, liveSize }) => ({ id, live, liveSize })).sort((a, b) => a.id - b.id),
  };
}

function plain(partition: Partition): object {
  const { id, settings, lsn, bytes, extents } = partition;
  if (!isSaved(partition)) return { id, settings };
  return { id, settings, lsn, bytes, extents: [...extents].sort((a, b) => a.key - b.key).map(plainExtent) };
}

function plainExtent({ key, place, length, blocks, level, refs, batches }: LiveExtent): object {
  const living = batches.flatMap((batch, at) => {
    if (batch === undefined) return [];
    const { number, lsn, rows, rowsLive, pins, cells } = batch;
    const regions = batch.regions.map((region, field) => [field, region]).filter(([, region]) => region !== undefined);
    return [{ at, number, lsn, rows, rowsLive, pins, fieldBits: cells.fieldBits, regions }];
  });
  return { key, segment: place.segment.id, offset: place.offset, length, blocks: [...blocks], level, refs, living };
}

const partition = fc.integer({ min: 1, max: 3 });
const ids = fc.uniqueArray(fc.nat(9), { maxLength: 5 });
const batch = fc.record({ ids, fields: fc.uniqueArray(fc.nat(2), { minLength: 1, maxLength: 3 }) });
const commands = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        act: fc.constant('insert' as const),
        partition,
        batches: fc.array(batch, { maxLength: 3 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('delete' as const), partition, ids }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('move' as const), choice: fc.nat(9) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('rewrite' as const), choice: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('drop' as const), partition }) },
    { weight: 4, arbitrary: fc.record({ act: fc.constant('save' as const), unitsMax: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.constant({ act: 'flush' as const }) },
    { weight: 1, arbitrary: fc.constant({ act: 'restart' as const }) },
  ),
  { maxLength: 50, size: 'max' },
);

type Commands = typeof commands extends fc.Arbitrary<infer Value> ? Value : never;

/** Partitions 1 to 3 are of levels memory, os and disk; what was dropped comes back under a new number. */
async function run(sequence: Commands): Promise<StoreWorld> {
  const world = new StoreWorld();
  const current = new Map<number, number>();
  const idOf = (number: number): number => {
    const known = current.get(number);
    if (known !== undefined) return known;
    const id = world.store.partitionNext;
    world.declare(id, settingsOf(`p${number}`, ackLevels[number - 1], 3));
    current.set(number, id);
    return id;
  };
  for (const command of sequence) {
    if (command.act === 'insert') {
      await world.insert(idOf(command.partition), command.batches, ackLevels[command.partition - 1]);
    } else if (command.act === 'delete') await world.delete(idOf(command.partition), command.ids);
    else if (command.act === 'move') world.move(command.choice);
    else if (command.act === 'rewrite') await world.rewrite(command.choice);
    else if (command.act === 'drop') {
      world.drop(idOf(command.partition));
      current.delete(command.partition);
    } else if (command.act === 'save') expect(world.save(command.unitsMax)).toBeLessThanOrEqual(command.unitsMax);
    else if (command.act === 'flush') await world.flush();
    else await world.restart();
  }
  return world;
}

test('a start finds partitions, extents, batches and counts as they were, and a second start does too', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const world = await run(sequence);
      const before = await dump(world);
      for (let start = 0; start < 2; start++) {
        await world.restart();
        expect(await dump(world)).toEqual(before);
      }
    }),
    { seed: 9, numRuns: 150 },
  );
});

test('nothing is left of rows that are gone', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const world = await run(sequence);
      for (const { id } of [...world.store.partitions()]) await world.delete(id, [...world.rows.get(id)!]);
      await world.restart();
      // Each partition, and the number of the next one.
      const partitions = world.store.partitionCount;
      expect(await world.recordCount()).toBe(world.store.partitionNext === 1 ? 0 : partitions + 1);
    }),
    { seed: 10, numRuns: 100 },
  );
});

describe('numbers of partitions', () => {
  test.each(ackLevels)(
    'are not given again, also when one of level %s came and went between two saves',
    async (ack) => {
      const world = new StoreWorld();
      world.declare(1, settingsOf('p', 'os', 1));
      await world.restart();
      world.declare(2, settingsOf('q', ack, 1));
      world.drop(2);
      await world.restart();
      expect(world.store.partitionNext).toBe(3);
      expect(world.store.partition('q')).toBeUndefined();
    },
  );
});
