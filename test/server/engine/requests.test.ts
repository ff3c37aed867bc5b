/** Request ids: what is remembered of them, for how long, and what of it a restart finds. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { RequestTable, type RequestOutcome } from '../../../server/engine/requests.ts';
import { Records } from '../../../server/index/records.ts';
import { PlainTree } from '../../support/plain_tree.ts';

function outcome(lsn: number): RequestOutcome {
  return { kind: 'put', partition: 1, lsn, rows: 1, commit: Promise.resolve() };
}

describe('in memory', () => {
  test('the newest are kept, the oldest go, and none is kept for requests without an id', () => {
    const table = new RequestTable();
    const count = limits.requestIdsKept + 1_000;
    for (let i = 0; i < count; i++) {
      table.set(`request-${i}`, outcome(i), false);
      table.set('', outcome(i), false);
    }
    expect(table.get('')).toBeUndefined();
    expect(table.get('request-999')).toBeUndefined();
    expect(table.get('request-1000')).toMatchObject({ lsn: 1_000 });
    expect(table.get(`request-${count - 1}`)).toMatchObject({ lsn: count - 1 });
  });

  test('an id that comes again takes no more room', () => {
    const table = new RequestTable();
    for (let i = 0; i < limits.requestIdsKept; i++) table.set(`request-${i}`, outcome(i), false);
    for (let i = 0; i < 10; i++) table.set('request-5', outcome(-i), false);
    expect(table.get('request-0')).toMatchObject({ lsn: 0 });
    expect(table.get('request-5')).toMatchObject({ lsn: -9 });
    expect(table.dirtyCount).toBe(limits.requestIdsKept);
  });
});

/** A table, the tree that it is saved in, and what a restart makes of that. */
class World {
  readonly tree = new PlainTree();
  records = new Records(this.tree);
  table = new RequestTable();
  #lsn = 0;

  save(unitsMax = Infinity): number {
    return this.table.saveDirty(this.records, { unitsMax, lsn: ++this.#lsn });
  }

  async restart(): Promise<number> {
    this.tree.rotate();
    await this.tree.flush({});
    this.tree.discard();
    this.records = new Records(this.tree);
    this.table = new RequestTable();
    let count = 0;
    for await (const record of this.records.all()) {
      this.table.load(record);
      count++;
    }
    return count;
  }
}

/** What a table says of an id, without the promise. */
function known(table: RequestTable, id: string): object | undefined {
  const found = table.get(id);
  if (found === undefined) return undefined;
  const { commit: _, ...rest } = found;
  return rest;
}

const anyOutcome = fc.oneof(
  fc.record({
    kind: fc.constantFrom('put' as const, 'delete' as const),
    partition: fc.nat(2 ** 32 - 1),
    lsn: fc.maxSafeNat(),
    rows: fc.nat(),
  }),
  fc.record({ kind: fc.constant('claim' as const), partition: fc.nat(9), claim: fc.maxSafeNat() }),
);
const commands = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('set' as const),
        id: fc.constantFrom('a', 'b', 'c', 'd', 'grüße', ''),
        outcome: anyOutcome,
        volatile: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('save' as const), unitsMax: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
  ),
  { maxLength: 40, size: 'max' },
);

describe('saved', () => {
  test('a restart finds what is not volatile, one record each, whatever was saved between which changes', async () => {
    await fc.assert(
      fc.asyncProperty(commands, async (sequence) => {
        const world = new World();
        const model = new Map<string, { outcome: object; volatile: boolean }>();
        const restart = async (): Promise<void> => {
          while (world.table.dirtyCount > 0) world.save(3);
          for (const [id, { volatile }] of model) if (volatile) model.delete(id);
          expect(await world.restart()).toBe(model.size);
        };
        for (const command of [...sequence, { kind: 'restart' } as const]) {
          if (command.kind === 'set') {
            const { id, volatile } = command;
            world.table.set(id, { ...command.outcome, commit: Promise.resolve() }, volatile);
            if (id !== '') model.set(id, { outcome: command.outcome, volatile });
          } else if (command.kind === 'save') {
            expect(world.save(command.unitsMax)).toBeLessThanOrEqual(command.unitsMax);
          } else {
            await restart();
          }
          for (const [id, { outcome: expected }] of model) expect(known(world.table, id)).toEqual(expected);
        }
      }),
      { seed: 6, numRuns: 150 },
    );
  });

  test('the oldest go in the order of the requests, over any number of restarts', async () => {
    const world = new World();
    const half = limits.requestIdsKept / 2;
    for (let i = 0; i < limits.requestIdsKept; i++) {
      if (i === half) {
        world.save();
        await world.restart();
      }
      world.table.set(`request-${i}`, outcome(i), false);
    }
    world.save();
    expect(await world.restart()).toBe(limits.requestIdsKept);
    for (let i = 0; i < 3; i++) world.table.set(`late-${i}`, outcome(i), i === 1);
    expect(['request-2', 'request-3'].map((id) => known(world.table, id)?.constructor)).toEqual([undefined, Object]);
    world.save();
    expect(await world.restart()).toBe(limits.requestIdsKept - 1);
    expect(known(world.table, 'late-0')).toEqual({ kind: 'put', partition: 1, lsn: 0, rows: 1 });
  });

  test('a record of an unknown kind of request is refused', async () => {
    const world = new World();
    world.table.set('a', outcome(1), false);
    world.save();
    for await (const record of world.records.all()) {
      const value = Uint8Array.from(record.value);
      value[5] = 9;
      expect(() => world.table.load({ ...record, value })).toThrow('unknown kind');
    }
  });
});
