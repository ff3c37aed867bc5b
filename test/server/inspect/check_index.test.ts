/** The check of the index can fail: each of the things that it looks at, put wrong in memory, is found. */
import { describe, expect, test } from 'vitest';
import { checkExtents } from '../../../server/inspect/check_extents.ts';
import { checkIndex } from '../../../server/inspect/check_index.ts';
import { silentMeter } from '../../../server/inspect/meter.ts';
import { startOn } from '../../../server/inspect/start.ts';
import { damageProblem } from '../../../server/inspect/where.ts';
import type { RowIndex, RowPuts } from '../../../server/index/row_index.ts';
import { machine, type PartitionQueue } from '../../../server/queue/machine.ts';
import type { LiveExtent, Partition, StoredBatch } from '../../../server/store/partition.ts';
import { core } from '../../support/node.ts';
import { simEnv } from '../../support/sim_env.ts';
import { DIR, makeDirectory } from './made.ts';

/** Partition p of the test directory: rows 1 to 6; batches of fields a, of b, and of a again for row 2. */
interface World {
  readonly partition: Partition;
  readonly queue: PartitionQueue;
  readonly batches: StoredBatch[];
  /** Changes what a lookup says. */
  alter(change: (puts: RowPuts) => void): void;
}

/** What the check finds after a change, with the row when it names one. */
async function problemsAfter(change: (world: World) => void): Promise<(readonly [string, number | undefined])[]> {
  const started = await startOn(simEnv(await makeDirectory({ checkpoint: true })), DIR);
  const { state } = started.node.parts;
  const partition = state.store.partition('p')!;
  const queue = state.queue(partition);
  const { index } = partition;
  const batches = [...partition.extents].flatMap((extent) => extent.batches.filter((batch) => batch !== undefined));
  const alter: World['alter'] = (changePuts) => {
    const lookup: RowIndex['lookup'] = async (ids) => {
      const puts = await index.lookup(ids);
      changePuts(puts);
      return puts;
    };
    Object.assign(partition, { index: { scan: index.scan.bind(index), lookup } });
  };
  change({ partition, queue, batches, alter });
  const batch = (number: number): StoredBatch | undefined => batches.find((one) => one.number === number);
  const context = { queue, batch, wanted: new Set<StoredBatch>(), looked: () => undefined };
  const { problems } = await checkIndex(partition, context);
  await started.close();
  return problems.map(({ what, row }) => [what, row] as const);
}

describe('the check of the index', () => {
  test('finds nothing in a sound one', async () => {
    expect(await problemsAfter(() => undefined)).toEqual([]);
  });

  test('finds a batch that is not there', async () => {
    const problems = await problemsAfter(({ alter }) => alter(({ batches }) => (batches[0] += 1)));
    expect(problems).toContainEqual(['a row shows a batch that is not there', 1]);
  });

  test('finds an ordinal beyond its batch', async () => {
    const problems = await problemsAfter(({ alter }) => alter(({ ordinals }) => (ordinals[0] = 4)));
    expect(problems).toContainEqual(['row 4 of a batch of 4 is shown', 1]);
  });

  test('finds a batch that a row shows twice', async () => {
    const problems = await problemsAfter(({ alter }) => alter((puts) => (puts.batches[3] = puts.batches[2])));
    expect(problems).toContainEqual(['a row shows a batch twice', 3]);
  });

  test('finds a batch of another partition', async () => {
    const problems = await problemsAfter(({ batches }) => {
      for (const { extent } of batches) Object.assign(extent, { partition: { ...extent.partition } });
    });
    expect(problems).toContainEqual(['a row shows a batch of another partition', 1]);
  });

  test('finds a count of rows that is one off, either way', async () => {
    for (const step of [1, -1]) {
      const problems = await problemsAfter(({ batches }) => (batches[0].rowsLive += step));
      expect(problems).toEqual([
        [expect.stringMatching(/^a batch counts \d rows that show it, and \d do$/), undefined],
      ]);
    }
  });

  test('finds a column that lies outside of its extent', async () => {
    const problems = await problemsAfter(({ batches }) => {
      const [batch] = batches;
      const length = batch.regions.find((regions) => regions !== undefined)![0];
      Object.assign(batch.extent, { length });
    });
    expect(problems).toContainEqual(['a part of a column lies outside of its extent', undefined]);
  });

  test('finds rows that only the queue, or only the index has, and fields that are not the same', async () => {
    const without = await problemsAfter(({ queue }) => machine.applyDelete(queue, Float64Array.of(3)));
    expect(without).toContainEqual(['a row is in the index and not in the queue', 3]);
    expect(without).toContainEqual(['the queue has 5 rows, the index 6', undefined]);
    const ready = await problemsAfter(({ queue }) =>
      machine.applyInsert(queue, { ids: Float64Array.of(1), fields: [1] }),
    );
    expect(ready).toEqual([['field b of a row is ready and not there', 1]]);
  });
});

test('extents that overlap are found', async () => {
  const started = await startOn(simEnv(await makeDirectory()), DIR);
  const { state, segments } = started.node.parts;
  const extents = [...state.store.extents()];
  const [first, second] = extents.filter(({ place }) => place.segment === extents[0].place.segment);
  second.place = { ...second.place, offset: first.place.offset + 1 };
  const { damages } = await checkExtents(extents, { segments, core, meter: silentMeter });
  expect(damages.map(({ what }) => what)).toContain(`its place overlaps that of the put with LSN ${first.key}`);
  await started.close();
});

describe('damage is put into words', () => {
  const partition = {
    settings: { name: 'p' },
    fields: [
      { id: 0, name: 'dense', layout: { layout: 'dense', dtype: 'float32', shape: [4] } },
      { id: 1, name: 'text', layout: { layout: 'text' } },
    ],
  } as unknown as Partition;
  const extent = {
    partition,
    key: 7,
    place: { segment: { id: 3 }, offset: 640 },
    batches: [] as StoredBatch[],
  };
  /** 10 rows of 16 bytes, then offsets and values of texts. */
  const batch = {
    number: 7_168,
    extent: extent as unknown as LiveExtent,
    rows: 10,
    regions: [
      [64, 160],
      [256, 44, 320, 100],
    ],
  } as unknown as StoredBatch;
  extent.batches.push(batch);
  const shown = new Map([[batch, Array.from({ length: 10 }, (_, ordinal) => ({ id: 100 + ordinal, ordinal }))]]);
  const of = (from: number, to: number, known: typeof shown | null = shown): ReturnType<typeof damageProblem> =>
    damageProblem({ extent: batch.extent, from, to, what: 'it is wrong' }, known);

  test('values of one size tell which rows are hit', () => {
    expect(of(96, 97)).toMatchObject({ rows: [102], rowCount: 1, fields: ['dense'], offset: 736, length: 1 });
    expect(of(95, 97)).toMatchObject({ rows: [101, 102] });
    expect(of(0, 65)).toMatchObject({ rows: [100], file: 'segments/0000000003.seg', lsn: 7, partition: 'p' });
  });

  test('texts may be hit in all rows of the batch', () => {
    expect(of(330, 331)).toMatchObject({ rowCount: 10, fields: ['text'] });
    expect(of(0, 400)).toMatchObject({ rowCount: 10, fields: ['dense', 'text'] });
  });

  test('bytes of no column, or that no row shows, are nobody loss; without an index nobody knows', () => {
    expect(of(0, 64)).toMatchObject({ rowCount: 0, fields: [] });
    expect(of(64, 65, new Map()).advice).toContain('No row shows these bytes any more');
    const unknown = of(64, 65, null);
    expect(unknown).not.toHaveProperty('rows');
    expect(unknown.advice).toContain('Put these cells anew');
  });
});
