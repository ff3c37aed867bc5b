/** Rows as plain lists of puts, for tests of the indexes, and the batches that both refer to. */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { BatchOrder, RowIndex, RowsPut } from '../../../server/index/row_index.ts';
import { addBits, bitsOf } from '../../../server/store/cell_places.ts';

export const FIELDS = 40;
/** Numbers of batches are beyond 32 bits, as they are in a node that has run for a while. */
const BATCH_FIRST = 2 ** 40 + 1;
const BATCH_STEP = 1_024;

export interface Put {
  readonly batch: number;
  readonly ordinal: number;
}

/** Keeps the fields of each batch, and counts the rows that refer to it, as the store does. */
/** What an index is told of a batch. */
export function onePut(put: { batch: number; lsn: number }, ids: ArrayLike<number>, known: Uint8Array | null): RowsPut {
  return { puts: [{ ...put, rows: ids.length }], ids: Float64Array.from(ids), known };
}

export class Batches implements BatchOrder {
  readonly fields = new Map<number, readonly number[]>();
  readonly rowsLive = new Map<number, number>();

  add(fields: readonly number[], rows: number): number {
    const number = BATCH_FIRST + this.fields.size * BATCH_STEP;
    this.rowsLive.set(number, rows);
    this.fields.set(number, fields);
    return number;
  }

  judge(batches: Float64Array, count: number, keep: Uint8Array): void {
    const union = new Uint32Array(FIELDS / 8);
    for (let i = 0; i < count; i++) keep[i] = addBits(union, bitsOf(this.fields.get(batches[i])!)) ? 1 : 0;
  }

  forget(batch: number, rows: number): void {
    const left = this.rowsLive.get(batch)! - rows;
    this.rowsLive.set(batch, left);
    expect(left).toBeGreaterThanOrEqual(0);
  }
}

/** Rows as lists of puts, newest first; a put stays while it has a field that no newer one has. */
export class Model {
  readonly rows: Map<number, readonly Put[]>;
  readonly #batches: Batches;

  constructor(batches: Batches, rows: ReadonlyMap<number, readonly Put[]> = new Map()) {
    this.#batches = batches;
    this.rows = new Map(rows);
  }

  /** As it is now, whatever comes. */
  copy(): Model {
    return new Model(this.#batches, this.rows);
  }

  add(ids: readonly number[], batch: number): void {
    for (const [ordinal, id] of ids.entries()) {
      const seen = new Set<number>();
      const puts = [{ batch, ordinal }, ...(this.rows.get(id) ?? [])];
      const showing = puts.filter((put) => {
        const fields = this.#batches.fields.get(put.batch)!.filter((field) => !seen.has(field));
        for (const field of fields) seen.add(field);
        return fields.length > 0;
      });
      this.rows.set(id, showing);
    }
  }

  /** Rows that show a batch, rising, and where in it they are. */
  placesOf(batch: number): { readonly id: number; readonly ordinal: number }[] {
    const puts = [...this.rows].flatMap(([id, list]) => list.map((put) => ({ id, ...put })));
    return puts.filter((put) => put.batch === batch).sort((a, b) => a.id - b.id);
  }

  /** The rows of a batch are those of another from now on, one after another. */
  replace(batch: number, by: number): void {
    for (const [ordinal, { id }] of this.placesOf(batch).entries()) {
      const list = this.rows.get(id)!;
      this.rows.set(
        id,
        list.map((put) => (put.batch === batch ? { batch: by, ordinal } : put)),
      );
    }
  }

  references(batch: number): number {
    return [...this.rows.values()].flat().filter((put) => put.batch === batch).length;
  }

  idsIn({ start, end, rowsMax }: { start: number; end: number; rowsMax: number }): number[] {
    const ids = [...this.rows.keys()].filter((id) => id >= start && id < end);
    return ids.sort((a, b) => a - b).slice(0, rowsMax);
  }
}

export async function putsOf(index: RowIndex, ids: readonly number[], lsn?: number): Promise<Put[][]> {
  const { starts, batches, ordinals } = await index.lookup(Float64Array.from(ids), lsn);
  return ids.map((_, i) =>
    Array.from({ length: starts[i + 1] - starts[i] }, (__, k) => ({
      batch: batches[starts[i] + k],
      ordinal: ordinals[starts[i] + k],
    })),
  );
}

/** Which of the rows the model has, by place, as the queue tells an index. */
export function knownIn({ rows }: Model, ids: readonly number[]): Uint8Array | null {
  return ids.some((id) => rows.has(id)) ? Uint8Array.from(ids, (id) => (rows.has(id) ? 1 : 0)) : null;
}

export function expectReferences(batches: Batches, model: Model): void {
  for (const [batch, rows] of batches.rowsLive) expect(rows).toBe(model.references(batch));
}

export const ID_MAX = 24;
export const allIds = Array.from({ length: ID_MAX + 2 }, (_, id) => ID_MAX + 1 - id);
const idSet = fc.uniqueArray(fc.nat(ID_MAX), { maxLength: 12 });
const fieldSet = fc.oneof(
  fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 4 }),
  fc.uniqueArray(fc.integer({ min: 28, max: FIELDS - 1 }), { minLength: 1, maxLength: 3 }),
);
export const additions = fc.record({ kind: fc.constant('add' as const), ids: idSet, fields: fieldSet });
export const removals = fc.record({ kind: fc.constant('remove' as const), ids: idSet });
export const ranges = fc.record({ start: fc.nat(120), end: fc.nat(140), rowsMax: fc.integer({ min: 1, max: 40 }) });
