/**
 * The index of a partition of ack level `memory`, whose rows vanish with the process.
 *
 *   table   id -> row number (recycled)          11 to 22 bytes a row, see id_table.ts
 *   ids     row number -> id                     8 bytes a row
 *   heads   row number -> entry                  4 bytes a row
 *   entries { batch, ordinal, next }             16 bytes a put of a row; a list from the newest put to the oldest
 *
 * Invariants: entry 0 ends a list; free rows and free entries are lists through `heads` and `next`; an entry whose put
 * no longer shows a cell of its row is removed in the turn that hid it.
 */
import { limits } from '@transfer-queue/core/protocol';
import { add, createIdTable, eachValue, lookUp, remove } from './id_table.ts';
import type { BatchOrder, RowIndex, RowPuts, RowsPut, RowsRange } from './row_index.ts';

const SIZE_START = 256;
/** For one row at a time; shared by all indexes, of which there may be thousands. */
const judged = new Float64Array(limits.putsPerRowMax);
const keep = new Uint8Array(limits.putsPerRowMax);

export class MemoryIndex implements RowIndex {
  readonly #order: BatchOrder;
  readonly #table = createIdTable((row) => this.#ids[row]);
  #ids = new Float64Array(SIZE_START);
  #heads = new Uint32Array(SIZE_START);
  #batches = new Float64Array(SIZE_START);
  #ordinals = new Uint32Array(SIZE_START);
  #next = new Uint32Array(SIZE_START);
  #rowEnd = 0;
  #rowFree = -1;
  #entryEnd = 1;
  #entryFree = 0;

  constructor(order: BatchOrder) {
    this.#order = order;
  }

  ready(): boolean {
    return true;
  }

  load(): Promise<void> {
    return Promise.resolve();
  }

  putsOf(id: number): number {
    const row = lookUp(this.#table, id);
    let count = 0;
    for (let entry = row === -1 ? 0 : this.#heads[row]; entry !== 0; entry = this.#next[entry]!) count++;
    return count;
  }

  add({ puts, ids }: RowsPut): void {
    let place = 0;
    for (const { batch, rows } of puts) {
      for (let ordinal = 0; ordinal < rows; ordinal++) this.#add(ids[place++], batch, ordinal);
    }
  }

  #add(id: number, batch: number, ordinal: number): void {
    let row = lookUp(this.#table, id);
    const known = row !== -1;
    if (!known) {
      row = this.#newRow(id);
      add(this.#table, id, row);
    }
    const entry = this.#newEntry(batch, ordinal);
    this.#next[entry] = known ? this.#heads[row] : 0;
    this.#heads[row] = entry;
    if (known) this.#prune(row);
  }

  remove(ids: Float64Array): void {
    for (const id of ids) {
      const row = lookUp(this.#table, id);
      remove(this.#table, id);
      this.#freeRow(row);
    }
  }

  /** Bytes of level `memory` are never written anew. */
  replace(): number {
    return 0;
  }

  rowsOf(batch: number): Promise<{ ids: Float64Array; ordinals: Float64Array }> {
    const ids: number[] = [];
    const ordinals: number[] = [];
    eachValue(this.#table, (row) => {
      for (let entry = this.#heads[row]; entry !== 0; entry = this.#next[entry]!) {
        if (this.#batches[entry] !== batch) continue;
        ids.push(this.#ids[row]);
        ordinals.push(this.#ordinals[entry]);
      }
    });
    return Promise.resolve({ ids: Float64Array.from(ids), ordinals: Float64Array.from(ordinals) });
  }

  lookup(ids: Float64Array): Promise<RowPuts> {
    const starts = new Uint32Array(ids.length + 1);
    let batches = new Float64Array(ids.length * 4);
    let ordinals = new Uint32Array(ids.length * 4);
    let count = 0;
    for (let i = 0; i < ids.length; i++) {
      const row = lookUp(this.#table, ids[i]);
      let entry = row === -1 ? 0 : this.#heads[row];
      while (entry !== 0) {
        if (count === batches.length) {
          batches = grown(batches, new Float64Array(count * 2));
          ordinals = grown(ordinals, new Uint32Array(count * 2));
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
  scan({ start, end, rowsMax }: RowsRange): Promise<Float64Array> {
    const found = new Float64Array(2 * rowsMax);
    let count = 0;
    let below = end;
    eachValue(this.#table, (row) => {
      const id = this.#ids[row];
      if (id < start || id >= below) return;
      found[count++] = id;
      if (count < found.length) return;
      found.sort();
      count = rowsMax;
      below = found[rowsMax - 1];
    });
    return Promise.resolve(found.subarray(0, count).sort().slice(0, rowsMax));
  }

  /** Drops the entries of a row that no longer show a cell. */
  #prune(row: number): void {
    let count = 0;
    for (let entry = this.#heads[row]; entry !== 0 && count < limits.putsPerRowMax; entry = this.#next[entry]!) {
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

  #newRow(id: number): number {
    let row = this.#rowFree;
    if (row !== -1) {
      this.#rowFree = this.#heads[row] - 1;
    } else {
      if (this.#rowEnd === this.#heads.length) {
        this.#ids = grown(this.#ids, new Float64Array(this.#rowEnd * 2));
        this.#heads = grown(this.#heads, new Uint32Array(this.#rowEnd * 2));
      }
      row = this.#rowEnd++;
    }
    this.#ids[row] = id;
    return row;
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
        const size = this.#entryEnd * 2;
        this.#batches = grown(this.#batches, new Float64Array(size));
        this.#ordinals = grown(this.#ordinals, new Uint32Array(size));
        this.#next = grown(this.#next, new Uint32Array(size));
      }
      entry = this.#entryEnd++;
    }
    this.#batches[entry] = batch;
    this.#ordinals[entry] = ordinal;
    return entry;
  }

  #freeEntry(entry: number): void {
    this.#order.forget(this.#batches[entry], 1);
    this.#next[entry] = this.#entryFree;
    this.#entryFree = entry;
  }
}

function grown<Column extends Float64Array | Uint32Array>(values: Column, larger: Column): Column {
  larger.set(values);
  return larger;
}
