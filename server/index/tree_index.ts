/**
 * The index of a partition's rows in the tree: as many as the disk holds.
 *
 * A row's value is the whole list of its puts, so that the newest version of its key says all. A put of a row that is
 * there already therefore reads the list, drops the puts that it hides, and writes it anew.
 */
import { Peeked } from '@transfer-queue/core/lsm';
import { limits } from '@transfer-queue/core/protocol';
import { invariant } from '../errors.ts';
import type { Tree } from '../tree/api.ts';
import { idOfRowKey, rangeOfRows, rowKey, rowPrefix, setRowId } from './keys.ts';
import type { BatchOrder, RowIndex, RowPuts, RowsPut, RowsRange, RowsReplaced } from './row_index.ts';
import { PutList, writePuts } from './row_value.ts';

const keep = new Uint8Array(limits.putsPerRowMax + 1);
const puts = new PutList(limits.putsPerRowMax + 1);
const kept = new PutList(limits.putsPerRowMax + 1);

export class TreeIndex implements RowIndex {
  readonly #tree: Tree;
  readonly #order: BatchOrder;
  readonly #partition: number;
  readonly #prefix: Uint8Array;
  /** One key for all calls that do not keep it: a key made for each row of each put is a part of what puts cost. */
  readonly #key: Buffer;
  /** The batch that rows stop showing, and how many of them the order has not heard of. */
  #forgotten = 0;
  #forgottenRows = 0;

  constructor(options: { tree: Tree; order: BatchOrder; partition: number }) {
    this.#tree = options.tree;
    this.#order = options.order;
    this.#partition = options.partition;
    this.#prefix = rowPrefix(options.partition);
    this.#key = rowKey(options.partition, 0);
  }

  ready(ids: Float64Array): boolean {
    return this.#tree.rowsInMemory({ prefix: this.#prefix, ids });
  }

  load(ids: Float64Array): Promise<void> {
    return this.#tree.load(Array.from(ids, (id) => rowKey(this.#partition, id)));
  }

  putsOf(id: number): number {
    puts.clear();
    const value = this.#tree.peek(this.#keyOf(id));
    if (value !== null && value !== undefined) puts.addAll(value);
    return puts.count;
  }

  add({ puts: batches, ids, known }: RowsPut): void {
    const prefix = this.#prefix;
    if (known === null) return this.#tree.putRows({ prefix, ids, puts: batches });
    const [{ batch, lsn }] = batches;
    for (let from = 0; from < ids.length;) {
      const before = this.#tree.peekRows({ prefix, ids: ids.subarray(from) });
      const end = from + before.sizes.length;
      // Most rows show nothing but the new put from now on; the others are written once more.
      const part = { batch, lsn, ordinal: from, rows: end - from };
      this.#tree.putRows({ prefix, ids: ids.subarray(from, end), puts: [part] });
      for (let ordinal = from, at = 0; ordinal < end; ordinal++) {
        const size = before.sizes[ordinal - from];
        if (known[ordinal] === 0) continue;
        invariant(size < Peeked.deleted, 'a row that is known is in the index, and ready');
        puts.clear();
        puts.add(batch, ordinal);
        puts.addAll(before.bytes, at, (at += size));
        const shown = this.#prune();
        if (shown.count > 1) this.#tree.put(this.#keyOf(ids[ordinal]), writePuts(shown), lsn);
      }
      from = end;
    }
    this.#endForgetting();
  }

  remove(ids: Float64Array, lsn: number): void {
    for (const id of ids) {
      const key = this.#keyOf(id);
      puts.clear();
      puts.addAll(this.#known(key));
      for (let i = 0; i < puts.count; i++) this.#forget(puts.batches[i]);
      this.#tree.delete(key, lsn);
    }
    this.#endForgetting();
  }

  /** The age of a put is its place in the list, which the new batch takes over. */
  replace({ ids, ordinals, batch, by, lsn }: RowsReplaced): number {
    let count = 0;
    for (let place = 0; place < ids.length; place++) {
      const key = this.#keyOf(ids[place]);
      const value = this.#tree.peek(key);
      if (value === null || value === undefined) continue;
      puts.clear();
      puts.addAll(value);
      const at = puts.find(batch, ordinals[place]);
      if (at < 0) continue;
      puts.batches[at] = by;
      puts.ordinals[at] = place;
      this.#tree.put(key, writePuts(puts), lsn);
      count++;
    }
    if (count > 0) this.#order.forget(batch, count);
    return count;
  }

  async rowsOf(batch: number): Promise<{ ids: Float64Array; ordinals: Float64Array }> {
    const ids: number[] = [];
    const ordinals: number[] = [];
    const list = new PutList(limits.putsPerRowMax);
    for await (const entries of this.#tree.scan(rangeOfRows(this.#partition))) {
      for (const { key, value } of entries) {
        list.clear();
        list.addAll(value);
        const at = list.batches.subarray(0, list.count).indexOf(batch);
        if (at < 0) continue;
        ids.push(idOfRowKey(key));
        ordinals.push(list.ordinals[at]);
      }
    }
    return { ids: Float64Array.from(ids), ordinals: Float64Array.from(ordinals) };
  }

  async lookup(ids: Float64Array, lsn?: number): Promise<RowPuts> {
    const found = this.#tree.getRows({ prefix: this.#prefix, ids }, lsn);
    const values = found instanceof Promise ? await found : found;
    const list = new PutList(ids.length);
    const starts = new Uint32Array(ids.length + 1);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (value !== null) list.addAll(value);
      starts[i + 1] = list.count;
    }
    return { starts, batches: list.batches, ordinals: list.ordinals };
  }

  async scan({ start, end, rowsMax, lsn }: RowsRange): Promise<Float64Array> {
    const ids = new Float64Array(rowsMax);
    let count = 0;
    const range = { start: rowKey(this.#partition, start), end: rowKey(this.#partition, end), lsn };
    for await (const entries of this.#tree.scan(range)) {
      for (const { key } of entries) if (count < rowsMax) ids[count++] = idOfRowKey(key);
      if (count === rowsMax) break;
    }
    return ids.slice(0, count);
  }

  /** Valid until the next call. */
  #keyOf(id: number): Uint8Array {
    setRowId(this.#key, id);
    return this.#key;
  }

  #known(key: Uint8Array): Uint8Array {
    const value = this.#tree.peek(key);
    invariant(value !== null && value !== undefined, 'a row that is known is in the index, and ready');
    return value;
  }

  /** Leaves out of `puts` those that no longer show a cell. */
  #prune(): PutList {
    this.#order.judge(puts.batches, puts.count, keep);
    kept.clear();
    for (let i = 0; i < puts.count; i++) {
      if (keep[i] === 1) kept.add(puts.batches[i], puts.ordinals[i]);
      else this.#forget(puts.batches[i]);
    }
    return kept;
  }

  /** Rows that follow each other mostly stop showing the same batch. */
  #forget(batch: number): void {
    if (batch !== this.#forgotten) this.#endForgetting();
    this.#forgotten = batch;
    this.#forgottenRows++;
  }

  #endForgetting(): void {
    if (this.#forgottenRows > 0) this.#order.forget(this.#forgotten, this.#forgottenRows);
    this.#forgottenRows = 0;
  }
}
