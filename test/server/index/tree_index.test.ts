/** The index in a tree against lists of puts, now and at the LSNs of snapshots, while memtables come and go. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { rangesOf } from '../../../server/index/keys.ts';
import { TreeIndex } from '../../../server/index/tree_index.ts';
import { PlainTree } from '../../support/plain_tree.ts';
import {
  additions,
  allIds,
  Batches,
  expectReferences,
  ID_MAX,
  knownIn,
  Model,
  onePut,
  putsOf,
  ranges,
  removals,
} from './rows_model.ts';

/** An index, what it should hold, and what it should have held at the snapshots that are open. */
class World {
  readonly tree = new PlainTree();
  readonly batches = new Batches();
  readonly index = this.indexOf(7);
  readonly model = new Model(this.batches);
  readonly past: { readonly lsn: number; readonly model: Model; release(): void }[] = [];
  #lsn = 0;

  indexOf(partition: number): TreeIndex {
    return new TreeIndex({ tree: this.tree, order: this.batches, partition });
  }

  async add(ids: readonly number[], fields: readonly number[]): Promise<void> {
    await this.#load(ids);
    const batch = this.batches.add(fields, ids.length);
    this.index.add(onePut({ batch, lsn: ++this.#lsn }, ids, knownIn(this.model, ids)));
    this.model.add(ids, batch);
  }

  async remove(ids: readonly number[]): Promise<void> {
    const there = await this.#load(ids);
    this.index.remove(there, ++this.#lsn);
    for (const id of there) this.model.rows.delete(id);
  }

  /** Writes the rows of a batch anew. Rows that do not show it, and some that are not there, are named as well. */
  async rewrite(choice: number): Promise<void> {
    const living = [...this.batches.rowsLive].filter(([, rows]) => rows > 0).map(([batch]) => batch);
    if (living.length === 0) return;
    const batch = living[choice % living.length];
    const rows = await this.index.rowsOf(batch);
    const shown = this.model.placesOf(batch);
    expect([...rows.ids]).toEqual(shown.map(({ id }) => id));
    expect([...rows.ordinals]).toEqual(shown.map(({ ordinal }) => ordinal));
    const named = [...shown, { id: choice, ordinal: 99 }, { id: ID_MAX + 1, ordinal: 0 }];
    await this.#load(named.map(({ id }) => id));
    const by = this.batches.add(this.batches.fields.get(batch)!, shown.length);
    const ids = Float64Array.from(named, ({ id }) => id);
    const ordinals = Float64Array.from(named, ({ ordinal }) => ordinal);
    expect(this.index.replace({ ids, ordinals, batch, by, lsn: ++this.#lsn })).toBe(shown.length);
    this.model.replace(batch, by);
  }

  snapshot(): void {
    this.past.push({ ...this.tree.snapshot(this.#lsn), lsn: this.#lsn, model: this.model.copy() });
  }

  close(at: number): void {
    for (const { release } of this.past.splice(at % Math.max(1, this.past.length), 1)) release();
  }

  async checkpoint(): Promise<void> {
    this.tree.rotate();
    await this.tree.flush({});
  }

  async #load(ids: readonly number[]): Promise<Float64Array> {
    const there = Float64Array.from(ids.filter((id) => this.model.rows.has(id)));
    if (!this.index.ready(there)) await this.index.load(there);
    expect(this.index.ready(there)).toBe(true);
    return there;
  }
}

const commands = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: additions },
    { weight: 2, arbitrary: removals },
    { weight: 2, arbitrary: fc.constant({ kind: 'checkpoint' as const }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('rewrite' as const), choice: fc.nat(ID_MAX) }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'snapshot' as const }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), at: fc.nat(3) }) },
  ),
  { maxLength: 60, size: 'max' },
);

type Command = (typeof commands extends fc.Arbitrary<infer Value> ? Value : never)[number];

function act(world: World, command: Command): void | Promise<void> {
  switch (command.kind) {
    case 'add':
      return world.add(command.ids, command.fields);
    case 'remove':
      return world.remove(command.ids);
    case 'rewrite':
      return world.rewrite(command.choice);
    case 'checkpoint':
      return world.checkpoint();
    case 'snapshot':
      return world.snapshot();
    case 'close':
      return world.close(command.at);
  }
}

async function expectRows(world: World, model: Model, lsn?: number): Promise<void> {
  expect(await putsOf(world.index, allIds, lsn)).toEqual(allIds.map((id) => model.rows.get(id) ?? []));
  const range = { start: 3, end: ID_MAX - 3, rowsMax: 9 };
  expect([...(await world.index.scan({ ...range, lsn }))]).toEqual(model.idsIn(range));
}

test('shows what the model shows, now and at each snapshot, and forgets a batch when its last row does', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const world = new World();
      for (const command of sequence) {
        await act(world, command);
        expectReferences(world.batches, world.model);
      }
      await expectRows(world, world.model);
      for (const { lsn, model } of world.past) await expectRows(world, model, lsn);
    }),
    { seed: 4, numRuns: 200 },
  );
});

test('ranges give the smallest ids of [start, end), rising, at most rowsMax', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(130), { maxLength: 130 }), ranges, async (ids, range) => {
      const world = new World();
      await world.add(ids, [0]);
      expect([...(await world.index.scan(range))]).toEqual(world.model.idsIn(range));
    }),
    { seed: 3, numRuns: 100 },
  );
});

describe('rows', () => {
  test('that lie on disk are not ready until they were loaded, and are known by then as they were', async () => {
    const world = new World();
    await world.add([1, 2], [0]);
    await world.add([2], [1]);
    expect(world.index.ready(Float64Array.of(1, 2))).toBe(true);
    await world.checkpoint();
    expect(world.index.ready(Float64Array.of(2))).toBe(false);
    await world.index.load(Float64Array.of(2));
    expect(world.index.ready(Float64Array.of(2))).toBe(true);
    expect(world.index.ready(Float64Array.of(1, 2))).toBe(false);
    expect([world.index.putsOf(2), world.index.putsOf(99)]).toEqual([2, 0]);
  });

  test('that change while they are loaded are ready as they are then', async () => {
    const world = new World();
    await world.add([1], [0]);
    await world.checkpoint();
    const loading = world.index.load(Float64Array.of(1));
    world.index.add(onePut({ batch: world.batches.add([0, 1], 1), lsn: 9 }, [1], null));
    await loading;
    expect(world.index.putsOf(1)).toBe(1);
    const [[{ batch }]] = await putsOf(world.index, [1]);
    expect(world.batches.fields.get(batch)).toEqual([0, 1]);
  });

  test('that are new are not looked for, even when they were there once', async () => {
    const world = new World();
    await world.add([1], [0]);
    await world.remove([1]);
    await world.checkpoint();
    await world.add([1], [1]);
    expect(world.index.putsOf(1)).toBe(1);
  });

  test('of as many puts as a row may have fit into the tree', async () => {
    const world = new World();
    const batch = Number.MAX_SAFE_INTEGER;
    for (let put = 0; put < limits.putsPerRowMax; put++) world.batches.fields.set(batch - put, [put % 40]);
    world.batches.judge = (_, count, keep) => void keep.fill(1, 0, count);
    const ids = new Float64Array(70_000).fill(5);
    ids.forEach((_, i) => (ids[i] = i));
    world.index.add(onePut({ batch, lsn: 1 }, ids, null));
    const last = Float64Array.of(69_999);
    for (let put = 1; put < limits.putsPerRowMax; put++) {
      world.index.add(onePut({ batch: batch - put, lsn: put + 1 }, last, Uint8Array.of(1)));
    }
    expect(world.index.putsOf(69_999)).toBe(limits.putsPerRowMax);
    const [puts] = await putsOf(world.index, [69_999]);
    expect(puts.at(-1)).toEqual({ batch, ordinal: 69_999 });
  });
});

test('partitions do not see each other, and a range of keys takes all of one', async () => {
  const world = new World();
  await world.add([0, Number.MAX_SAFE_INTEGER], [0]);
  const neighbours = [6, 8].map((partition) => world.indexOf(partition));
  for (const index of neighbours) {
    index.add(onePut({ batch: world.batches.add([0], 1), lsn: 9 }, [0], null));
  }
  for (const range of rangesOf(7)) world.tree.dropRange(range);
  expect(await putsOf(world.index, [0, Number.MAX_SAFE_INTEGER])).toEqual([[], []]);
  for (const index of neighbours) expect([...(await index.scan({ start: 0, end: 2 ** 53, rowsMax: 9 }))]).toEqual([0]);
});
