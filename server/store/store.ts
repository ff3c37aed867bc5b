/**
 * The store: partitions, their batches, and what each event does to them. It decides nothing: events come from the
 * engine, live or out of the journal, and are applied in the order of their LSNs.
 *
 * Invariants: `apply*` never fails for an event that the journal took; an extent is dropped exactly once, when its last
 * batch and its last reader are gone, with the LSN of the event that made it so; while a lookup is under way
 * (`reading`), no batch number is given to another batch.
 */
import { limits } from '@transfer-queue/core/protocol';
import { invariant } from '../errors.ts';
import type { DeclareEvent, DropEvent, InsertEvent } from '../journal/events.ts';
import { MemoryIndex } from '../index/memory_index.ts';
import type { BatchOrder } from '../index/row_index.ts';
import type { Segments } from '../segment/segments.ts';
import { addBits, bitsOf, fieldsOf, type LiveExtent, type Partition, type StoredBatch } from './partition.ts';

const FIELD_WORDS = limits.columnsMax / 32;

export class Store {
  readonly #segments: Segments;
  readonly #byName = new Map<string, Partition>();
  readonly #byId = new Map<number, Partition>();
  readonly #batches: (StoredBatch | undefined)[] = [];
  readonly #handlesFree: number[] = [];
  readonly #extents = new Set<LiveExtent>();
  readonly #union = new Uint32Array(FIELD_WORDS);
  readonly #order: BatchOrder;
  #partitionNext = 1;
  #readings = 0;
  /** Batches that died while a lookup was under way. */
  #limbo: StoredBatch[] = [];
  /** LSN of the event that is being applied, or was last. */
  #lsn = 0;

  constructor(segments: Segments) {
    this.#segments = segments;
    this.#order = {
      judge: (batches, count, keep) => this.#judge(batches, count, keep),
      forget: (batch) => this.#forget(batch),
    };
  }

  get partitionNext(): number {
    return this.#partitionNext;
  }

  /** An event is about to be applied: what dies from now on dies by it, here or in what others hold. */
  reach(lsn: number): void {
    this.#lsn = lsn;
  }

  partition(name: string): Partition | undefined {
    return this.#byName.get(name);
  }

  partitionById(id: number): Partition | undefined {
    return this.#byId.get(id);
  }

  partitions(): IterableIterator<Partition> {
    return this.#byName.values();
  }

  get partitionCount(): number {
    return this.#byName.size;
  }

  batch(handle: number): StoredBatch {
    const batch = this.#batches[handle];
    invariant(batch !== undefined, `batch ${handle} is there`);
    return batch;
  }

  /** Creates the partition, or gives it its new settings. */
  applyDeclare(event: DeclareEvent, lsn: number): Partition {
    const known = this.#byId.get(event.partition);
    if (known !== undefined) {
      Object.assign(known, { settings: event.settings, lsn, ...fieldsOf(event.settings) });
      return known;
    }
    const partition: Partition = {
      id: event.partition,
      settings: event.settings,
      ...fieldsOf(event.settings),
      index: new MemoryIndex(this.#order),
      lsn,
      bytes: 0,
      dropped: false,
    };
    this.#partitionNext = Math.max(this.#partitionNext, event.partition + 1);
    this.#byId.set(partition.id, partition);
    this.#byName.set(event.settings.name, partition);
    return partition;
  }

  applyDrop(event: DropEvent): void {
    const partition = this.#byId.get(event.partition);
    if (partition === undefined) return;
    partition.dropped = true;
    this.#byId.delete(partition.id);
    this.#byName.delete(partition.settings.name);
    this.#segments.forgetPartition(partition.id);
    partition.index.clear();
  }

  /** The segment of the extent counts it as live already. */
  applyInsert(event: InsertEvent, placed: { lsn: number; level: LiveExtent['level'] }): void {
    const { lsn, level } = placed;
    const partition = this.#byId.get(event.partition);
    const segment = this.#segments.get(event.extent.segment);
    invariant(partition !== undefined && segment !== undefined, `partition and segment of insert ${lsn} are there`);
    const { offset, length, blocks } = event.extent;
    const extent: LiveExtent = { segment, offset, length, blocks, lsn, level, refs: 1 };
    this.#extents.add(extent);
    partition.lsn = lsn;
    partition.bytes += length;
    for (const columns of event.batches) {
      if (columns.rows > 0) partition.index.add(columns.ids, this.#newBatch(partition, extent, columns).handle);
    }
    this.#unref(extent, partition);
  }

  applyDelete(partition: Partition, ids: Float64Array, lsn: number): Float64Array {
    partition.lsn = lsn;
    return partition.index.remove(ids);
  }

  /** Runs a lookup: until it is done, the batches that it may have seen stay. */
  async reading<T>(lookup: () => Promise<T>): Promise<T> {
    this.#readings++;
    try {
      return await lookup();
    } finally {
      this.#readings--;
      if (this.#readings === 0 && this.#limbo.length > 0) {
        const dead = this.#limbo;
        this.#limbo = [];
        for (const batch of dead) this.#bury(batch);
      }
    }
  }

  /** Keeps the bytes of a batch until `unpin`, whatever becomes of its rows. */
  pin(batch: StoredBatch): void {
    batch.extent.refs++;
  }

  unpin(batch: StoredBatch): void {
    this.#unref(batch.extent, batch.partition);
  }

  /** The live extents that were put after an LSN; recovery checks or syncs their bytes. */
  extentsAfter(lsn: number): LiveExtent[] {
    return [...this.#extents].filter((extent) => extent.lsn > lsn);
  }

  #newBatch(partition: Partition, extent: LiveExtent, columns: InsertEvent['batches'][number]): StoredBatch {
    const regions: (readonly number[] | undefined)[] = [];
    for (const column of columns.columns) regions[column.field] = column.regions;
    const batch: StoredBatch = {
      handle: this.#handlesFree.pop() ?? this.#batches.length,
      partition,
      extent,
      lsn: extent.lsn,
      rows: columns.rows,
      regions,
      fieldBits: bitsOf(columns.columns.map((column) => column.field)),
      rowsLive: columns.rows,
    };
    this.#batches[batch.handle] = batch;
    extent.refs++;
    return batch;
  }

  /** A put of a row matters while it has a field that no newer put of the row has. */
  #judge(batches: Uint32Array, count: number, keep: Uint8Array): void {
    this.#union.fill(0);
    for (let i = 0; i < count; i++) keep[i] = addBits(this.#union, this.batch(batches[i]).fieldBits) ? 1 : 0;
  }

  #forget(handle: number): void {
    const batch = this.batch(handle);
    batch.rowsLive--;
    if (batch.rowsLive > 0) return;
    if (this.#readings > 0) this.#limbo.push(batch);
    else this.#bury(batch);
  }

  #bury(batch: StoredBatch): void {
    this.#batches[batch.handle] = undefined;
    this.#handlesFree.push(batch.handle);
    this.#unref(batch.extent, batch.partition);
  }

  #unref(extent: LiveExtent, partition: Partition): void {
    extent.refs--;
    if (extent.refs > 0) return;
    this.#extents.delete(extent);
    partition.bytes -= extent.length;
    this.#segments.drop({ segment: extent.segment.id, length: extent.length }, this.#lsn);
  }
}
