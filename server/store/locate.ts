/**
 * Finds the newest cell of each row and field asked for, and keeps the bytes of what it found until `close`.
 *
 *   ids x fields  ->  per field: batches[i], ordinals[i]      the place of row i's cell
 */
import { invariant } from '../errors.ts';
import type { RowPuts } from '../index/row_index.ts';
import type { Field, Partition, StoredBatch } from './partition.ts';
import type { Store } from './store.ts';

export interface LocatedColumn {
  readonly field: Field;
  /** By row: index into `Located.batches`. */
  readonly batches: Int32Array;
  readonly ordinals: Uint32Array;
}

export interface Located {
  readonly ids: Float64Array;
  readonly columns: readonly LocatedColumn[];
  readonly batches: readonly StoredBatch[];
  /** The highest LSN among the cells. */
  readonly lsn: number;
  /** Rows that lack a cell, as places in `ids`; when there are some, nothing is kept and no cell may be read. */
  readonly missing: readonly number[];
  /** The same cells, kept until a `close` of their own. Null after `close`. */
  share(): Located | null;
  /** Lets go of the bytes; called once. */
  close(): void;
}

export interface WantedCells {
  readonly ids: Float64Array;
  readonly fields: readonly Field[];
  /** The state of this LSN, which a snapshot holds. */
  readonly lsn?: number;
}

/** The state that is read is that of `wanted.lsn`, else that of the turn in which this is called. */
export function locate(store: Store, partition: Partition, wanted: WantedCells): Promise<Located> {
  const { ids, lsn } = wanted;
  return store.reading(async () => finish(store, find(store, wanted, await partition.index.lookup(ids, lsn))));
}

/** Rows mostly have all their cells in one put: as long as each has, the columns share one list of places. */
function find(store: Store, { ids, fields }: WantedCells, puts: RowPuts): Found {
  const { starts, ordinals } = puts;
  const used = new UsedBatches(store, fields);
  const missing: number[] = [];
  const all = { batches: new Int32Array(ids.length), ordinals: new Uint32Array(ids.length) };
  let columns: LocatedColumn[] | null = null;
  for (let row = 0; row < ids.length; row++) {
    const first = starts[row];
    const end = starts[row + 1];
    if (first === end) missing.push(row);
    else if (columns === null && used.hasAll(puts.batches[first])) {
      all.batches[row] = used.numberOf(puts.batches[first]);
      all.ordinals[row] = ordinals[first];
    } else {
      columns ??= fields.map((field) => ({ field, batches: all.batches.slice(), ordinals: all.ordinals.slice() }));
      let found = 0;
      for (const { field, batches, ordinals: places } of columns) {
        let entry = first;
        while (entry < end && !used.has(puts.batches[entry], field)) entry++;
        if (entry === end) continue;
        batches[row] = used.numberOf(puts.batches[entry]);
        places[row] = ordinals[entry];
        found++;
      }
      if (found < columns.length) missing.push(row);
    }
  }
  return { ids, columns: columns ?? fields.map((field) => ({ field, ...all })), batches: used.batches, missing };
}

/** The batches that cells lie in, each with its place in a list. Asked for in runs, they are looked up once a run. */
class UsedBatches {
  readonly batches: StoredBatch[] = [];
  readonly #store: Store;
  readonly #fields: readonly Field[];
  readonly #numbers = new Map<number, number>();
  #handle = -1;
  #batch: StoredBatch | null = null;
  #number = -1;
  #hasAll = false;

  constructor(store: Store, fields: readonly Field[]) {
    this.#store = store;
    this.#fields = fields;
  }

  has(handle: number, field: Field): boolean {
    return this.#turnTo(handle).regions[field.id] !== undefined;
  }

  hasAll(handle: number): boolean {
    this.#turnTo(handle);
    return this.#hasAll;
  }

  numberOf(handle: number): number {
    const batch = this.#turnTo(handle);
    if (this.#number >= 0) return this.#number;
    this.#number = this.#numbers.get(handle) ?? this.batches.length;
    if (this.#number === this.batches.length) {
      this.#numbers.set(handle, this.#number);
      this.batches.push(batch);
    }
    return this.#number;
  }

  #turnTo(handle: number): StoredBatch {
    if (handle === this.#handle) return this.#batch!;
    const batch = this.#store.batch(handle);
    this.#handle = handle;
    this.#batch = batch;
    this.#number = -1;
    this.#hasAll = this.#fields.length > 0 && this.#fields.every((field) => batch.regions[field.id] !== undefined);
    return batch;
  }
}

/** What a saved claim granted, as a start finds it. */
export function relocated(store: Store, found: Omit<Found, 'missing'>): Located {
  return finish(store, { ...found, missing: [] });
}

type Found = Pick<Located, 'ids' | 'columns' | 'batches' | 'missing'>;

function finish(store: Store, found: Found): Located {
  const held = found.missing.length === 0 ? found.batches : [];
  for (const batch of held) store.pin(batch);
  let lsn = 0;
  for (const batch of held) lsn = Math.max(lsn, batch.lsn);
  let open = true;
  return {
    ...found,
    lsn,
    share: () => (open ? finish(store, found) : null),
    close: () => {
      invariant(open, 'what was located is let go of once');
      open = false;
      for (const batch of held) store.unpin(batch);
    },
  };
}
