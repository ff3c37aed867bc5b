/** The index in memory against lists of puts: what a row shows, what is forgotten and when, and ranges. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryIndex } from '../../../server/index/memory_index.ts';
import {
  additions,
  allIds,
  Batches,
  expectReferences,
  FIELDS,
  knownIn,
  Model,
  onePut,
  putsOf,
  ranges,
  removals,
} from './rows_model.ts';

function addNew(index: MemoryIndex, ids: readonly number[], batch: number): void {
  index.add(onePut({ batch, lsn: 1 }, ids, null));
}

const commands = fc.array(fc.oneof({ weight: 6, arbitrary: additions }, { weight: 2, arbitrary: removals }), {
  maxLength: 60,
});

test('shows what the model shows, and forgets a batch exactly when its last row lets go of it', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const batches = new Batches();
      const index = new MemoryIndex(batches);
      const model = new Model(batches);
      for (const command of sequence) {
        const { ids } = command;
        if (command.kind === 'add') {
          const batch = batches.add(command.fields, ids.length);
          index.add(onePut({ batch, lsn: 1 }, ids, knownIn(model, ids)));
          model.add(ids, batch);
        } else {
          index.remove(Float64Array.from(ids.filter((id) => model.rows.delete(id))));
        }
        for (const id of ids) expect(index.putsOf(id)).toBe(model.rows.get(id)?.length ?? 0);
        expectReferences(batches, model);
      }
      expect(await putsOf(index, allIds)).toEqual(allIds.map((id) => model.rows.get(id) ?? []));
      for (const batch of batches.fields.keys()) {
        const { ids, ordinals } = await index.rowsOf(batch);
        const places = Array.from(ids, (id, i) => ({ id, ordinal: ordinals[i], batch }));
        expect(places.sort((a, b) => a.id - b.id)).toEqual(model.placesOf(batch));
      }
    }),
    { seed: 2, numRuns: 200 },
  );
});

describe('one row', () => {
  test('keeps as many puts as it has fields, and no more', async () => {
    const batches = new Batches();
    const index = new MemoryIndex(batches);
    const newest: number[] = [];
    for (let round = 0; round < 3; round++) {
      newest.length = 0;
      for (let field = 0; field < FIELDS; field++) {
        const batch = batches.add([field], 1);
        newest.unshift(batch);
        addNew(index, [7], batch);
      }
    }
    const [puts] = await putsOf(index, [7]);
    expect(puts.map((put) => put.batch)).toEqual(newest);
    expect(index.putsOf(7)).toBe(FIELDS);
    const whole = batches.add([...Array(FIELDS).keys()], 1);
    addNew(index, [7], whole);
    expect(await putsOf(index, [7])).toEqual([[{ batch: whole, ordinal: 0 }]]);
    expect([...batches.rowsLive.values()].filter((rows) => rows > 0)).toEqual([1]);
  });

  test('ids at the ends of the range are ids like others', async () => {
    const index = new MemoryIndex(new Batches());
    const ends = [0, Number.MAX_SAFE_INTEGER, 2 ** 32, 2 ** 32 - 1];
    const batches = new Batches();
    const held = new MemoryIndex(batches);
    addNew(held, ends, batches.add([0], ends.length));
    expect((await putsOf(held, ends)).map((puts) => puts[0].ordinal)).toEqual([0, 1, 2, 3]);
    expect(await putsOf(index, ends)).toEqual([[], [], [], []]);
  });

  test('is ready at any time', async () => {
    const index = new MemoryIndex(new Batches());
    expect(index.ready()).toBe(true);
    await index.load();
    expect([index.putsOf(7), index.replace()]).toEqual([0, 0]);
  });
});

describe('ranges', () => {
  test('give the smallest ids of [start, end), rising, at most rowsMax', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(130), { maxLength: 130 }), ranges, async (ids, range) => {
        const batches = new Batches();
        const model = new Model(batches);
        const index = new MemoryIndex(batches);
        const batch = batches.add([0], ids.length);
        addNew(index, ids, batch);
        model.add(ids, batch);
        expect([...(await index.scan(range))]).toEqual(model.idsIn(range));
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  test('pages of a large partition join without a gap or an overlap', async () => {
    const batches = new Batches();
    const index = new MemoryIndex(batches);
    const ids = Array.from({ length: 20_000 }, (_, i) => ((i * 7_919) % 20_011) * 3);
    addNew(index, ids, batches.add([0], ids.length));
    const seen: number[] = [];
    for (let start = 0; ;) {
      const page = await index.scan({ start, end: Infinity, rowsMax: 1_001 });
      seen.push(...page.subarray(0, 1_000));
      if (page.length < 1_001) break;
      start = page[1_000];
    }
    expect(seen).toEqual(ids.sort((a, b) => a - b));
  });
});
