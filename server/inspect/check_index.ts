/**
 * Checks what the index says of each row against what it points to, and against the queue:
 *
 *   row -> (batch, ordinal)      the batch lives, is the partition's, and has so many rows; each once
 *   batch -> rows                as many rows show it as it counts; the parts of its columns lie inside its extent
 *   row -> fields                the queue has the row, ready with the fields that its puts have, and has no other row
 *
 * On the way it notes which rows show a batch whose bytes are damaged.
 */
import type { PartitionQueue } from '../queue/machine.ts';
import { machine } from '../queue/machine.ts';
import { addBits } from '../store/cell_places.ts';
import type { Partition, StoredBatch } from '../store/partition.ts';

/** What is wrong; `row` is the id of the row that shows it. */
export interface IndexProblem {
  readonly what: string;
  readonly partition: Partition;
  readonly row?: number;
  readonly batch?: number;
}

export interface RowPut {
  readonly id: number;
  readonly ordinal: number;
}

export interface IndexCheck {
  readonly rows: number;
  readonly puts: number;
  readonly problems: readonly IndexProblem[];
  /** Rows that show a batch of interest, by the batch. */
  readonly shown: ReadonlyMap<StoredBatch, readonly RowPut[]>;
}

const ROWS_PER_STEP = 4_096;
const ID_END = 2 ** 53;

export interface IndexContext {
  readonly queue: PartitionQueue;
  /** The batch of a number, when it lives. */
  readonly batch: (number: number) => StoredBatch | undefined;
  /** Batches whose rows are to be named. */
  readonly wanted: ReadonlySet<StoredBatch>;
  /** Hears how many rows were looked at. */
  readonly looked: (rows: number) => void;
}

/** Rejects with `data_corrupt` when the index itself cannot be read. */
export async function checkIndex(partition: Partition, context: IndexContext): Promise<IndexCheck> {
  const check = new PartitionCheck(partition, context);
  for (let start = 0; ;) {
    const ids = await partition.index.scan({ start, end: ID_END, rowsMax: ROWS_PER_STEP });
    if (ids.length === 0) break;
    const { starts, batches, ordinals } = await partition.index.lookup(ids);
    for (const [i, id] of ids.entries()) {
      check.row(id, batches.subarray(starts[i], starts[i + 1]), ordinals.subarray(starts[i], starts[i + 1]));
    }
    context.looked(ids.length);
    start = ids[ids.length - 1] + 1;
  }
  check.end();
  return check;
}

class PartitionCheck implements IndexCheck {
  readonly problems: IndexProblem[] = [];
  readonly shown = new Map<StoredBatch, RowPut[]>();
  rows = 0;
  puts = 0;
  readonly #partition: Partition;
  readonly #context: IndexContext;
  readonly #rowsOfBatch = new Map<StoredBatch, number>();
  readonly #bits: Uint32Array;

  constructor(partition: Partition, context: IndexContext) {
    this.#partition = partition;
    this.#context = context;
    this.#bits = new Uint32Array(Math.ceil((partition.fields.length + 1) / 32));
  }

  row(id: number, batches: Float64Array, ordinals: Uint32Array): void {
    this.rows++;
    this.puts += batches.length;
    this.#bits.fill(0);
    if (batches.length === 0) this.#wrong('a row has no put', id);
    for (const [i, number] of batches.entries()) {
      if (batches.indexOf(number) < i) this.#wrong('a row shows a batch twice', id, number);
      else this.#put(id, number, ordinals[i]);
    }
    this.#readiness(id);
  }

  end(): void {
    for (const [batch, rows] of this.#rowsOfBatch) {
      if (rows === batch.rowsLive) continue;
      this.#wrong(`a batch counts ${batch.rowsLive} rows that show it, and ${rows} do`, undefined, batch.number);
    }
    for (const { batches } of this.#partition.extents) {
      for (const batch of batches) {
        if (batch === undefined) continue;
        if (!this.#rowsOfBatch.has(batch) && batch.rowsLive > 0) {
          this.#wrong(`a batch counts ${batch.rowsLive} rows that show it, and none does`, undefined, batch.number);
        }
        this.#regions(batch);
      }
    }
    const { rows } = machine.stats(this.#context.queue);
    if (rows !== this.rows) this.#wrong(`the queue has ${rows} rows, the index ${this.rows}`);
  }

  #put(id: number, number: number, ordinal: number): void {
    const batch = this.#context.batch(number);
    if (batch === undefined) return this.#wrong('a row shows a batch that is not there', id, number);
    if (batch.extent.partition !== this.#partition) {
      return this.#wrong('a row shows a batch of another partition', id, number);
    }
    if (ordinal >= batch.rows) return this.#wrong(`row ${ordinal} of a batch of ${batch.rows} is shown`, id, number);
    this.#rowsOfBatch.set(batch, (this.#rowsOfBatch.get(batch) ?? 0) + 1);
    addBits(this.#bits, batch.cells.fieldBits);
    if (!this.#context.wanted.has(batch)) return;
    const shown = this.shown.get(batch);
    if (shown === undefined) this.shown.set(batch, [{ id, ordinal }]);
    else shown.push({ id, ordinal });
  }

  /** What the queue thinks that the row has. */
  #readiness(id: number): void {
    const status = machine.rowStatus(this.#context.queue, id);
    if (status === undefined) return this.#wrong('a row is in the index and not in the queue', id);
    const fields = new Set(status.fields);
    for (const field of this.#partition.fields) {
      const hasCell = (this.#bits[field.id >>> 5] & (1 << (field.id & 31))) !== 0;
      if (hasCell === fields.has(field.id)) continue;
      this.#wrong(`field ${field.name} of a row is ${hasCell ? 'there and not ready' : 'ready and not there'}`, id);
    }
  }

  #regions(batch: StoredBatch): void {
    const { length } = batch.extent;
    for (const regions of batch.regions) {
      for (let i = 0; i < (regions?.length ?? 0); i += 2) {
        if (regions![i] + regions![i + 1] > length) {
          return this.#wrong('a part of a column lies outside of its extent', undefined, batch.number);
        }
      }
    }
  }

  #wrong(what: string, row?: number, batch?: number): void {
    this.problems.push({ what, partition: this.#partition, row, batch });
  }
}
