/** The id table against a Map, with sizes that make it grow and shrink under way. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { add, createIdTable, eachValue, lookUp, remove, type IdTable } from '../../../server/index/id_table.ts';

const ID_MAX = Number.MAX_SAFE_INTEGER;

/** Dense, with a shard in the high bits, alike in their low halves, and at the end of the range. */
const ids = fc.oneof(
  fc.nat(300),
  fc.nat(300).map((low) => 5 * 2 ** 40 + low),
  fc.nat(300).map((high) => high * 2 ** 32),
  fc.nat(300).map((below) => ID_MAX - below),
);

/** The owner of the keys: the key of a value is what it was added with last. */
class Keyed {
  readonly #keys: number[] = [];
  readonly table = createIdTable((value) => this.#keys[value]);

  add(key: number, value: number): void {
    this.#keys[value] = key;
    add(this.table, key, value);
  }

  /** Rising. */
  keys(): number[] {
    const keys: number[] = [];
    eachValue(this.table, (value) => keys.push(this.#keys[value]));
    return keys.sort((a, b) => a - b);
  }
}

function check(table: IdTable, model: ReadonlyMap<number, number>, asked: Iterable<number>): void {
  expect(table.size).toBe(model.size);
  for (const id of asked) expect(lookUp(table, id)).toBe(model.get(id) ?? -1);
}

test('behaves as a Map, whatever is added and removed', () => {
  const steps = fc.array(fc.record({ id: ids, keep: fc.boolean() }), { maxLength: 600 });
  fc.assert(
    fc.property(steps, (sequence) => {
      const keyed = new Keyed();
      const { table } = keyed;
      const model = new Map<number, number>();
      for (const [slot, { id, keep }] of sequence.entries()) {
        if (model.has(id)) {
          remove(table, id);
          model.delete(id);
        } else if (keep || model.size < 40) {
          keyed.add(id, slot);
          model.set(id, slot);
        }
        check(table, model, [id]);
      }
      check(
        table,
        model,
        sequence.map((step) => step.id),
      );
      expect(keyed.keys()).toEqual([...model.keys()].sort((a, b) => a - b));
    }),
    { seed: 1, numRuns: 150 },
  );
});

test('every key is found at every size, while it grows to 5,000 and shrinks to nothing', () => {
  const keyed = new Keyed();
  const { table } = keyed;
  const spread = (i: number): number => (i % 3 === 0 ? i : i * 2 ** 33 + 7);
  for (let i = 0; i < 5_000; i++) {
    keyed.add(spread(i), i);
    expect(table.size).toBe(i + 1);
    expect(lookUp(table, spread(i))).toBe(i);
    expect(lookUp(table, spread(i >> 1))).toBe(i >> 1);
    expect(lookUp(table, spread(i + 1))).toBe(-1);
  }
  for (let i = 0; i < 5_000; i++) expect(lookUp(table, spread(i))).toBe(i);
  const capacity = table.cells.mask + 1;
  for (let i = 0; i < 5_000; i++) {
    remove(table, spread(i));
    expect(lookUp(table, spread(i))).toBe(-1);
    const last = Math.max(i + 1, 4_999 - (i >> 3));
    expect(lookUp(table, spread(last))).toBe(last === 5_000 ? -1 : last);
  }
  expect(table.size).toBe(0);
  expect(keyed.keys()).toEqual([]);
  expect(table.cells.mask + 1).toBeLessThan(capacity / 8);
});

test('keys are added and removed while a resize is under way, in both of its halves', () => {
  const keyed = new Keyed();
  const { table } = keyed;
  const model = new Map<number, number>();
  const put = (id: number): void => {
    keyed.add(id, id + 1);
    model.set(id, id + 1);
  };
  for (let id = 0; table.old === undefined; id++) put(id);
  const there = [...model.keys()];
  for (const id of there.filter((one) => one % 2 === 0)) {
    remove(table, id);
    model.delete(id);
    check(table, model, there);
  }
  for (let id = 1_000; id < 1_200; id++) put(id);
  check(table, model, [...model.keys(), ...there]);
});
