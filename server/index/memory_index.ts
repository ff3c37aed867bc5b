/**
 * The index in memory, rebuilt from the journal at start.
 *
 *   table   id -> row number (recycled)          about 23 to 46 bytes a row, see id_table.ts
 *   heads   row number -> entry                  4 bytes a row
 *   entries { batch, ordinal, next }             12 bytes a put of a row; a list from the newest put to the oldest
 *
 * Invariants: entry 0 ends a list; free rows and free entries are lists through `heads` and `next`; an entry whose put
 * no longer shows a cell of its row is removed in the turn that hid it.
 */
import { add, createIdTable, forEachKey, lookUp, remove } from './id_table.ts';
import type { BatchOrder, RowIndex, RowPuts } from './row_index.ts';

const SIZE_START = 256;
/** The puts of one row that are judged together; more fields than this cannot be spread over more puts. */
const PUTS_MAX = 4_096;
/** For one row at a time; shared by all indexes, of which there may be thousands. */
const judged = new Uint32Array(PUTS_MAX);
const keep = new Uint8Array(PUTS_MAX);

export class MemoryIndex implements RowIndex {
  readonly #order: BatchOrder;
  #table = createIdTable();
  #heads = new Uint32Array(SIZE_START);
  #batches = new Uint32Array(SIZE_START);
  #ordinals = new Uint32Array(SIZE_START);
  #next = new Uint32Array(SIZE_START);
  #rowEnd = 0;
  #rowFree = -1;
  #entryEnd = 1;
  #entryFree = 0;

  constructor(order: BatchOrder) {
    this.#order = order;
  }

  get rows(): number {
    return this.#table.size;
  }

  add(ids: Float64Array, batch: number): void {
    for (let ordinal = 0; ordinal < ids.length; ordinal++) {
      const id = ids[ordinal];
      let row = lookUp(this.#table, id);
      const known = row !== -1;
      if (!known) {
        row = this.#newRow();
        add(this.#table, id, row);
      }
      const entry = this.#newEntry(batch, ordinal);
      this.#next[entry] = known ? this.#heads[row] : 0;
      this.#heads[row] = entry;
      if (known) this.#prune(row);
    }
  }

  remove(ids: Float64Array): Float64Array {
    const there: number[] = [];
    for (const id of ids) {
      const row = lookUp(this.#table, id);
      if (row === -1) continue;
      there.push(id);
      remove(this.#table, id);
      this.#freeRow(row);
    }
    return Float64Array.from(there);
  }

  lookup(ids: Float64Array): Promise<RowPuts> {
    const starts = new Uint32Array(ids.length + 1);
    let batches = new Uint32Array(ids.length * 4);
    let ordinals = new Uint32Array(ids.length * 4);
    let count = 0;
    for (let i = 0; i < ids.length; i++) {
      const row = lookUp(this.#table, ids[i]);
      let entry = row === -1 ? 0 : this.#heads[row];
      while (entry !== 0) {
        if (count === batches.length) {
          batches = grown(batches);
          ordinals = grown(ordinals);
        }
        batches[count] = this.#batches[entry]!;
        ordinals[count++] = this.#ordinals[entry]!;
        entry = this.#next[entry]!;
      }
      starts[i + 1] = count;
    }
    return Promise.resolve({ starts, batches, ordinals });
  }

  /** Passes over all rows, but keeps and sorts few: those beyond the `rowsMax` smallest so far are left out at once. */
  scan({ start, end, rowsMax }: { start: number; end: number; rowsMax: number }): Promise<Float64Array> {
    const found = new Float64Array(2 * rowsMax);
    let count = 0;
    let below = end;
    forEachKey(this.#table, (id) => {
      if (id < start || id >= below) return;
      found[count++] = id;
      if (count < found.length) return;
      found.sort();
      count = rowsMax;
      below = found[rowsMax - 1];
    });
    return Promise.resolve(found.subarray(0, count).sort().slice(0, rowsMax));
  }

  clear(): void {
    forEachKey(this.#table, (id) => this.#freeRow(lookUp(this.#table, id)));
    this.#table = createIdTable();
  }

  /** Drops the entries of a row that no longer show a cell. */
  #prune(row: number): void {
    let count = 0;
    for (let entry = this.#heads[row]; entry !== 0 && count < PUTS_MAX; entry = this.#next[entry]!) {
      judged[count++] = this.#batches[entry]!;
    }
    this.#order.judge(judged, count, keep);
    let before = 0;
    let entry = this.#heads[row];
    for (let i = 0; i < count; i++) {
      const next = this.#next[entry];
      if (keep[i] === 1) {
        before = entry;
      } else {
        this.#next[before] = next;
        this.#freeEntry(entry);
      }
      entry = next;
    }
  }

  #newRow(): number {
    if (this.#rowFree !== -1) {
      const row = this.#rowFree;
      this.#rowFree = this.#heads[row] - 1;
      return row;
    }
    if (this.#rowEnd === this.#heads.length) this.#heads = grown(this.#heads);
    return this.#rowEnd++;
  }

  #freeRow(row: number): void {
    for (let entry = this.#heads[row]; entry !== 0;) {
      const next = this.#next[entry];
      this.#freeEntry(entry);
      entry = next;
    }
    this.#heads[row] = this.#rowFree + 1;
    this.#rowFree = row;
  }

  #newEntry(batch: number, ordinal: number): number {
    let entry = this.#entryFree;
    if (entry !== 0) {
      this.#entryFree = this.#next[entry]!;
    } else {
      if (this.#entryEnd === this.#next.length) {
        this.#batches = grown(this.#batches);
        this.#ordinals = grown(this.#ordinals);
        this.#next = grown(this.#next);
      }
      entry = this.#entryEnd++;
    }
    this.#batches[entry] = batch;
    this.#ordinals[entry] = ordinal;
    return entry;
  }

  #freeEntry(entry: number): void {
    this.#order.forget(this.#batches[entry]);
    this.#next[entry] = this.#entryFree;
    this.#entryFree = entry;
  }
}

function grown(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(Math.max(SIZE_START, values.length * 2));
  larger.set(values);
  return larger;
}
