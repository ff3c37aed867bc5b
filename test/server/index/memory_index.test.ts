/** The index in memory against lists of puts: what a row shows, what is forgotten and when, and ranges. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryIndex } from '../../../server/index/memory_index.ts';
import type { BatchOrder } from '../../../server/index/row_index.ts';
import { addBits, bitsOf } from '../../../server/store/partition.ts';

const FIELDS = 40;

interface Put {
  readonly batch: number;
  readonly ordinal: number;
}

/** Keeps the fields of each batch, and counts the rows that refer to it, as the store does. */
class Batches implements BatchOrder {
  readonly fields: (readonly number[])[] = [];
  readonly rowsLive: number[] = [];

  add(fields: readonly number[], rows: number): number {
    this.rowsLive.push(rows);
    return this.fields.push(fields) - 1;
  }

  judge(batches: Uint32Array, count: number, keep: Uint8Array): void {
    const union = new Uint32Array(FIELDS / 8);
    for (let i = 0; i < count; i++) keep[i] = addBits(union, bitsOf(this.fields[batches[i]])) ? 1 : 0;
  }

  forget(batch: number): void {
    this.rowsLive[batch]--;
    expect(this.rowsLive[batch]).toBeGreaterThanOrEqual(0);
  }
}

/** Rows as lists of puts, newest first; a put stays while it has a field that no newer one has. */
class Model {
  readonly rows = new Map<number, Put[]>();
  readonly #batches: Batches;

  constructor(batches: Batches) {
    this.#batches = batches;
  }

  add(ids: readonly number[], batch: number): void {
    for (const [ordinal, id] of ids.entries()) {
      const seen = new Set<number>();
      const puts = [{ batch, ordinal }, ...(this.rows.get(id) ?? [])];
      const showing = puts.filter((put) => {
        const fields = this.#batches.fields[put.batch].filter((field) => !seen.has(field));
        for (const field of fields) seen.add(field);
        return fields.length > 0;
      });
      this.rows.set(id, showing);
    }
  }

  references(batch: number): number {
    return [...this.rows.values()].flat().filter((put) => put.batch === batch).length;
  }
}

async function putsOf(index: MemoryIndex, ids: readonly number[]): Promise<Put[][]> {
  const { starts, batches, ordinals } = await index.lookup(Float64Array.from(ids));
  return ids.map((_, i) =>
    Array.from({ length: starts[i + 1] - starts[i] }, (__, k) => ({
      batch: batches[starts[i] + k],
      ordinal: ordinals[starts[i] + k],
    })),
  );
}

const idSet = fc.uniqueArray(fc.nat(24), { maxLength: 12 });
const fieldSet = fc.oneof(
  fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 4 }),
  fc.uniqueArray(fc.integer({ min: 28, max: FIELDS - 1 }), { minLength: 1, maxLength: 3 }),
);
const commands = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), ids: idSet, fields: fieldSet }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), ids: idSet }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
  ),
  { maxLength: 60 },
);

test('shows what the model shows, and forgets a batch exactly when its last row lets go of it', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const batches = new Batches();
      const index = new MemoryIndex(batches);
      const model = new Model(batches);
      for (const command of sequence) {
        if (command.kind === 'add') {
          const batch = batches.add(command.fields, command.ids.length);
          index.add(Float64Array.from(command.ids), batch);
          model.add(command.ids, batch);
        } else if (command.kind === 'remove') {
          const removed = index.remove(Float64Array.from(command.ids));
          expect([...removed]).toEqual(command.ids.filter((id) => model.rows.delete(id)));
        } else {
          index.clear();
          model.rows.clear();
        }
        expect(index.rows).toBe(model.rows.size);
        for (const batch of batches.fields.keys()) expect(batches.rowsLive[batch]).toBe(model.references(batch));
      }
      const asked = Array.from({ length: 26 }, (_, id) => 25 - id);
      expect(await putsOf(index, asked)).toEqual(asked.map((id) => model.rows.get(id) ?? []));
    }),
    { seed: 2, numRuns: 200 },
  );
});

describe('one row', () => {
  test('keeps as many puts as it has fields, and no more', async () => {
    const batches = new Batches();
    const index = new MemoryIndex(batches);
    for (let round = 0; round < 3; round++) {
      for (let field = 0; field < FIELDS; field++) index.add(Float64Array.of(7), batches.add([field], 1));
    }
    const [puts] = await putsOf(index, [7]);
    expect(puts.map((put) => put.batch)).toEqual(Array.from({ length: FIELDS }, (_, i) => 3 * FIELDS - 1 - i));
    index.add(Float64Array.of(7), batches.add([...Array(FIELDS).keys()], 1));
    expect(await putsOf(index, [7])).toEqual([[{ batch: 3 * FIELDS, ordinal: 0 }]]);
    expect(batches.rowsLive.filter((rows) => rows > 0)).toEqual([1]);
  });

  test('ids at the ends of the range are ids like others', async () => {
    const index = new MemoryIndex(new Batches());
    const ends = [0, Number.MAX_SAFE_INTEGER, 2 ** 32, 2 ** 32 - 1];
    const batches = new Batches();
    const held = new MemoryIndex(batches);
    held.add(Float64Array.from(ends), batches.add([0], ends.length));
    expect((await putsOf(held, ends)).map((puts) => puts[0].ordinal)).toEqual([0, 1, 2, 3]);
    expect(await putsOf(index, ends)).toEqual([[], [], [], []]);
  });
});

describe('ranges', () => {
  const range = fc.record({ start: fc.nat(120), end: fc.nat(140), rowsMax: fc.integer({ min: 1, max: 40 }) });

  test('give the smallest ids of [start, end), rising, at most rowsMax', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(130), { maxLength: 130 }), range, async (ids, { start, end, rowsMax }) => {
        const batches = new Batches();
        const index = new MemoryIndex(batches);
        index.add(Float64Array.from(ids), batches.add([0], ids.length));
        const expected = ids.filter((id) => id >= start && id < end).sort((a, b) => a - b);
        expect([...(await index.scan({ start, end, rowsMax }))]).toEqual(expected.slice(0, rowsMax));
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  test('pages of a large partition join without a gap or an overlap', async () => {
    const batches = new Batches();
    const index = new MemoryIndex(batches);
    const ids = Float64Array.from({ length: 20_000 }, (_, i) => ((i * 7_919) % 20_011) * 3);
    index.add(ids, batches.add([0], ids.length));
    const seen: number[] = [];
    for (let start = 0; ;) {
      const page = await index.scan({ start, end: Infinity, rowsMax: 1_001 });
      seen.push(...page.subarray(0, 1_000));
      if (page.length < 1_001) break;
      start = page[1_000];
    }
    expect(seen).toEqual([...ids].sort((a, b) => a - b));
  });
});
