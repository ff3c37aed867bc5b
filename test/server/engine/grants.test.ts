/** What claims granted: kept as it was then, over changes, checkpoints and restarts, until they end; and no longer. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Grants } from '../../../server/engine/grants.ts';
import { numberKey } from '../../../server/index/keys.ts';
import { dirtyCount, saveDirty } from '../../../server/store/saved.ts';
import { locate, type Located } from '../../../server/store/locate.ts';
import { settingsOf, StoreWorld } from '../store/world.ts';

const FIELDS = 3;
const [MEMORY, OS] = [1, 2];

interface Granted {
  readonly volatile: boolean;
  readonly cells: object;
}

/** Grants over a store with a partition of level memory and one of level os. */
class World {
  readonly world = new StoreWorld();
  grants = new Grants();
  readonly model = new Map<number, Granted>();
  #claim = 2 ** 32;

  constructor() {
    this.world.declare(MEMORY, settingsOf('memory', 'memory', FIELDS));
    this.world.declare(OS, settingsOf('os', 'os', FIELDS));
  }

  insert(partition: number, ids: readonly number[], fields: readonly number[]): Promise<void> {
    return this.world.insert(partition, [{ ids, fields }], partition === MEMORY ? 'memory' : 'os');
  }

  /** Grants those of the rows that have the fields. */
  async grant(
    partitionId: number,
    ids: readonly number[],
    fields: readonly number[],
    volatile = false,
  ): Promise<number> {
    const { store } = this.world;
    const partition = store.partitionById(partitionId)!;
    const wanted = fields.map((field) => partition.fields[field]);
    const looked = await locate(store, partition, { ids: Float64Array.from(ids), fields: wanted });
    looked.close();
    const whole = Float64Array.from(ids.filter((_, place) => !looked.missing.includes(place)));
    const claim = this.#claim++;
    const located = locate(store, partition, { ids: whole, fields: wanted });
    const attempts = Uint16Array.from(whole, (id) => id + 1);
    this.grants.add({ claim, partition, attempts, leaseMs: 1_000 + (claim % 9), located, volatile });
    this.model.set(claim, { volatile: volatile || partitionId === MEMORY, cells: plain(await located) });
    return claim;
  }

  async end(claim: number): Promise<void> {
    this.grants.end(this.grants.get(claim)?.partition.id ?? OS, claim);
    this.model.delete(claim);
    await Promise.resolve();
  }

  /** As a checkpoint does it; `between` runs while cells of claims are still being looked up. */
  async checkpoint(between: () => unknown = () => undefined): Promise<void> {
    const { store, records, tree } = this.world;
    const lsn = this.world.lsn + 1;
    saveDirty(store, records, { unitsMax: Infinity, lsn });
    expect(dirtyCount(store)).toBe(0);
    const taken = this.grants.takeDirty(records, lsn);
    expect(this.grants.dirtyCount).toBe(0);
    tree.rotate();
    await between();
    for (const grant of taken) {
      const unsaved = await grant();
      if (unsaved === null) continue;
      const { partition, claim, value } = unsaved;
      records.writeFrozen({ partition: partition.id, kind: 'grant', key: numberKey(claim), value }, lsn);
    }
    await tree.flush({});
  }

  async restart(): Promise<void> {
    await this.checkpoint();
    this.grants = new Grants();
    await this.world.restart((record) => this.grants.load(this.world.store, record));
    for (const [claim, { volatile }] of this.model) if (volatile) this.model.delete(claim);
    expect(this.grants.dirtyCount).toBe(0);
  }

  async check(): Promise<void> {
    expect([...this.grants.all()].map(({ claim }) => claim).sort()).toEqual([...this.model.keys()].sort());
    for (const [claim, { cells }] of this.model) {
      const { located, attempts, leaseMs, partition } = this.grants.get(claim)!;
      const found = await located;
      expect(plain(found)).toEqual(cells);
      expect([...attempts]).toEqual(Array.from(found.ids, (id) => id + 1));
      expect([leaseMs, partition.dropped]).toEqual([1_000 + (claim % 9), false]);
      for (const batch of found.batches) expect(this.world.store.batch(batch.number)).toBe(batch);
    }
  }
}

function plain({ ids, columns, batches, lsn }: Located): object {
  const cells = columns.map((column) => ({
    field: column.field.name,
    puts: Array.from(column.batches, (batch, row) => [batches[batch].number, column.ordinals[row]]),
  }));
  return { ids: [...ids], cells, lsn };
}

const partition = fc.constantFrom(MEMORY, OS, OS, OS);
const ids = fc.uniqueArray(fc.nat(6), { maxLength: 4 });
const fields = fc.uniqueArray(fc.nat(FIELDS - 1), { minLength: 1, maxLength: FIELDS });
const choice = fc.nat(20);
const commands = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ act: fc.constant('insert' as const), partition, ids, fields }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('delete' as const), partition, ids }) },
    {
      weight: 4,
      arbitrary: fc.record({ act: fc.constant('grant' as const), partition, ids, fields, volatile: fc.boolean() }),
    },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('end' as const), choice }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('checkpoint' as const), choice }) },
    { weight: 1, arbitrary: fc.constant({ act: 'restart' as const }) },
  ),
  { maxLength: 50, size: 'max' },
);

test('what was granted stays as it was, also after a restart, and what ended leaves nothing behind', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const world = new World();
      const endOne = (at: number): Promise<void> | undefined => {
        const claims = [...world.model.keys()];
        return claims.length === 0 ? undefined : world.end(claims[at % claims.length]);
      };
      for (const command of sequence) {
        if (command.act === 'insert') await world.insert(command.partition, command.ids, command.fields);
        else if (command.act === 'delete') await world.world.delete(command.partition, command.ids);
        else if (command.act === 'grant') {
          await world.grant(command.partition, command.ids, command.fields, command.volatile);
        } else if (command.act === 'end') await endOne(command.choice);
        else if (command.act === 'checkpoint') await world.checkpoint(() => endOne(command.choice));
        else await world.restart();
        await world.check();
      }
      await world.restart();
      await world.check();
      for (const claim of [...world.model.keys()]) await world.end(claim);
      for (const id of [MEMORY, OS]) await world.world.delete(id, [...world.world.rows.get(id)!]);
      await world.restart();
      expect([...world.world.store.extents()]).toEqual([]);
      expect(await world.world.recordCount()).toBe(3);
    }),
    { seed: 12, numRuns: 100 },
  );
});

describe('a claim', () => {
  test('whose cells could not be found is not saved, and ends like others', async () => {
    const world = new World();
    const partition = world.world.store.partitionById(OS)!;
    const located = Promise.reject(new Error('damaged'));
    world.grants.add({ claim: 1, partition, attempts: new Uint16Array(1), leaseMs: 1, located, volatile: false });
    await world.checkpoint();
    world.grants.end(OS, 1);
    await world.checkpoint();
    expect(await world.world.recordCount()).toBe(3);
  });

  test('of a partition that was dropped leaves no record', async () => {
    const world = new World();
    await world.insert(OS, [1], [0]);
    const claim = await world.grant(OS, [1], [0]);
    await world.checkpoint();
    await world.end(claim);
    world.world.drop(OS);
    await world.restart();
    expect(await world.world.recordCount()).toBe(2);
    expect([...world.world.store.extents()]).toEqual([]);
  });
});
