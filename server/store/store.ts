/**
 * The store: partitions, their batches and extents, and what each event does to them. It decides nothing: events come
 * from the engine, live or out of the journal, and are applied in the order of their LSNs.
 *
 *   row shows a cell of it, or a reader, claim or snapshot pins it -> batch lives -> extent lives -> segment lives
 *
 * Invariants: `apply*` never fails for an event that the journal took; an extent is dropped exactly once, when its last
 * batch is gone, with an LSN by which it was so; while a lookup is under way (`reading`), batches that die can still be
 * looked at. What changed since it was saved last is in `dirty`.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Steps } from '../env/slice.ts';
import { invariant } from '../errors.ts';
import { rangesOf } from '../index/keys.ts';
import { MemoryIndex } from '../index/memory_index.ts';
import type { BatchOfPut, BatchOrder } from '../index/row_index.ts';
import { TreeIndex } from '../index/tree_index.ts';
import type { DeclareEvent, DropEvent, InsertEvent, MoveEvent, RewriteEvent } from '../journal/events.ts';
import type { InsertRun } from '../journal/insert_run.ts';
import type { Segment } from '../segment/segment.ts';
import type { Segments } from '../segment/segments.ts';
import type { Tree } from '../tree/api.ts';
import type { StoredBatch, UnsavedExtents } from './partition.ts';
import { ExtentRun } from './extent_run.ts';
import { ExtentTable } from './extent_table.ts';
import {
  batchNumber,
  ExtentsOfPartition,
  fieldsOf,
  isSaved,
  lsnOfBatch,
  LiveExtent,
  placeOfBatch,
  type ExtentContent,
  type Partition,
} from './partition.ts';
import { SharedCellPlaces } from './cell_places.ts';
import { Judge } from './judge.ts';
import { Snapshots } from './snapshots.ts';

/** Extents of a dropped partition: less than a millisecond of work. */
const BURIED_AT_ONCE = 256;

/** What changed since it was saved last. */
export interface StoreDirty {
  readonly partitions: Set<Partition>;
  readonly extents: UnsavedExtents;
  /** Batches whose `rowsLive` changed. */
  readonly batches: Set<StoredBatch>;
}

export class Store {
  readonly segments: Segments;
  readonly snapshots: Snapshots;
  /** Told when a partition has fewer bytes. */
  onFree: (partition: Partition) => void = () => undefined;
  readonly cellPlaces = new SharedCellPlaces();
  readonly dirty: StoreDirty;
  readonly #tree: Tree;
  readonly #byName = new Map<string, Partition>();
  readonly #byId = new Map<number, Partition>();
  readonly #extents = new ExtentTable();
  readonly #order: BatchOrder;
  /** Gone, but for their extents, which may be a million and follow in steps. */
  readonly #dropped: Partition[] = [];
  #partitionNext = 1;
  #readings = 0;
  /** Batches that died while a lookup was under way. */
  #limbo: number[] = [];
  /** LSN of the event that is being applied, or was last. */
  #lsn = 0;

  constructor(options: { segments: Segments; tree: Tree }) {
    this.segments = options.segments;
    this.dirty = { partitions: new Set(), extents: this.#extents.unsaved, batches: new Set() };
    this.#tree = options.tree;
    const judge = new Judge((batch) => this.batch(batch).cells.fieldBits);
    this.#order = {
      judge: (batches, count, keep) => judge.judge(batches, count, keep),
      forget: (batch, rows) => this.#forget(batch, rows),
    };
    this.snapshots = new Snapshots({
      tree: options.tree,
      pins: { pin: (batch) => this.pin(this.batch(batch)), unpin: (batch) => this.unpin(this.batch(batch)) },
    });
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

  /** Undefined for a batch that is dead. */
  knownBatch(number: number): StoredBatch | undefined {
    return this.#extents.get(lsnOfBatch(number))?.batch(placeOfBatch(number));
  }

  batch(number: number): StoredBatch {
    const batch = this.knownBatch(number);
    invariant(batch !== undefined, `batch ${number} is there`);
    return batch;
  }

  /** Creates the partition, or gives it its new settings. */
  applyDeclare(event: DeclareEvent, lsn: number): Partition {
    const known = this.#byId.get(event.partition);
    if (known !== undefined) {
      const { settings } = event;
      Object.assign(known, { settings, lsn, ...fieldsOf(settings, { lsn, before: known.fields }) });
      this.dirty.partitions.add(known);
      return known;
    }
    const partition = this.addPartition(event, lsn);
    this.dirty.partitions.add(partition);
    return partition;
  }

  /** No other partition has the name. */
  applyRename(id: number, name: string, lsn: number): void {
    const partition = this.#byId.get(id);
    invariant(partition !== undefined && !this.#byName.has(name), `partition ${id} can be called ${name}`);
    this.#byName.delete(partition.settings.name);
    partition.settings = { ...partition.settings, name };
    this.#byName.set(name, partition);
    this.#changed(partition, lsn);
  }

  addPartition({ partition: id, settings }: Omit<DeclareEvent, 'type'>, lsn: number): Partition {
    const order = this.#order;
    const isMemory = settings.ack === 'memory';
    const partition: Partition = {
      id,
      settings,
      ...fieldsOf(settings, { lsn, before: [] }),
      index: isMemory ? new MemoryIndex(order) : new TreeIndex({ tree: this.#tree, order, partition: id }),
      extents: new ExtentsOfPartition(),
      lsn,
      bytes: 0,
      dropped: false,
    };
    this.raisePartitionNext(id + 1);
    this.#byId.set(id, partition);
    this.#byName.set(settings.name, partition);
    return partition;
  }

  /** Numbers below this were given to partitions. */
  raisePartitionNext(next: number): void {
    this.#partitionNext = Math.max(this.#partitionNext, next);
  }

  applyDrop(event: DropEvent): void {
    const partition = this.#byId.get(event.partition);
    if (partition === undefined) return;
    partition.dropped = true;
    this.#byId.delete(partition.id);
    this.#byName.delete(partition.settings.name);
    this.segments.forgetPartition(partition.id);
    for (const range of rangesOf(partition.id)) this.#tree.dropRange(range);
    this.#dropped.push(partition);
  }

  /** Takes what dropped partitions have out of the segments, but for batches that are pinned: some in each step. */
  *buryDropped(): Steps<void> {
    for (let partition = this.#dropped.pop(); partition !== undefined; partition = this.#dropped.pop()) {
      let count = 0;
      for (let extent = partition.extents.take(); extent !== undefined; extent = partition.extents.take()) {
        for (const batch of extent.batches) {
          if (batch === undefined) continue;
          batch.rowsLive = 0;
          this.#buryIfDead(batch);
        }
        if (++count % BURIED_AT_ONCE === 0) yield;
      }
    }
  }

  /** The segment of the extent counts it as live already. `known` says which rows are there, by place. */
  applyInsert(
    { partition: id, extent: { segment, offset, length, blocks }, batches }: InsertEvent,
    { lsn, level }: { readonly lsn: number; readonly level: AckLevel },
    known: (partition: Partition, ids: Float64Array) => Uint8Array | null,
  ): void {
    const partition = this.#byId.get(id);
    invariant(partition !== undefined, 'the partition of an insert is there');
    const place = { segment: this.#segmentOf(segment, lsn), offset };
    const batchCount = batches.length;
    const extent = this.addExtent(partition, { key: lsn, place, length, blocks, level, batchCount });
    this.#noteExtent(extent);
    for (let at = 0; at < batchCount; at++) {
      const { rows, columns } = batches[at];
      if (rows > 0) extent.addBatch(at, { lsn, rows, rowsLive: rows, cells: this.cellPlaces.of(columns) });
    }
    if (extent.refs === 0) this.#dropExtent(extent);
    this.#changed(partition, lsn);
    for (let at = 0; at < batchCount; at++) {
      const { rows, ids } = batches[at];
      if (rows === 0) continue;
      partition.index.add({ puts: [{ batch: batchNumber(lsn, at), lsn, rows }], ids, known: known(partition, ids) });
    }
  }

  /** The same for puts of a replay, whose rows are all new, each another. */
  applyInsertRun(run: InsertRun): void {
    const partition = this.#byId.get(run.partition);
    invariant(partition !== undefined, 'the partition of an insert is there');
    const segment = this.#segmentOf(run.segment, run.lsnLast);
    const cells = this.cellPlaces.of(run.columns);
    const make = (made: ExtentRun): void => this.#extents.make(made);
    this.#extents.addRun(new ExtentRun(run, { partition, segment, cells, make }));
    this.#changed(partition, run.lsnLast);
    const puts = new Array<BatchOfPut>(run.count);
    for (let at = 0; at < run.count; at++) {
      const lsn = run.lsns[at];
      puts[at] = { batch: batchNumber(lsn, 0), lsn, rows: run.rows[at] };
    }
    partition.index.add({ puts, ids: run.ids, known: null });
  }

  #segmentOf(id: number, lsn: number): Segment {
    const segment = this.segments.get(id);
    invariant(segment !== undefined, `the segment of insert ${lsn} is there`);
    return segment;
  }

  addExtent(partition: Partition, content: ExtentContent): LiveExtent {
    const extent = new LiveExtent(partition, content);
    this.#extents.add(extent);
    return extent;
  }

  /** The rows are there and ready. */
  applyDelete(partition: Partition, ids: Float64Array, lsn: number): void {
    this.#changed(partition, lsn);
    partition.index.remove(ids, lsn);
  }

  /** The new place counts the extent as live already; false when the extent has died or moved since. */
  applyMove(event: MoveEvent): boolean {
    const extent = this.extentOf(event);
    if (extent === undefined) return false;
    const segment = this.segments.get(event.segment);
    invariant(segment !== undefined, 'the segment that an extent moves to is there');
    this.segments.move(extent, { segment, offset: event.offset }, this.#lsn);
    this.#noteExtent(extent);
    return true;
  }

  /** The segment counts the new extent as live already; false when the old one has died since. */
  applyRewrite(event: RewriteEvent, lsn: number): boolean {
    const old = this.#extents.get(event.fromExtent);
    const segment = this.segments.get(event.extent.segment);
    if (old === undefined) return false;
    invariant(segment !== undefined, 'the segment of a rewritten extent is there');
    const { offset, length, blocks } = event.extent;
    const { partition, level } = old;
    const batchCount = event.batches.length;
    const extent = this.addExtent(partition, {
      ...{ key: lsn, place: { segment, offset }, length, blocks, level, batchCount },
    });
    this.#noteExtent(extent);
    for (const [place, { batch: number, ids, ordinals, columns }] of event.batches.entries()) {
      const before = this.knownBatch(number);
      if (before === undefined) continue;
      const cells = this.cellPlaces.of(columns);
      extent.addBatch(place, { lsn: before.lsn, rows: ids.length, rowsLive: 0, cells });
      const batch = extent.batch(place)!;
      batch.rowsLive = partition.index.replace({ ids, ordinals, batch: number, by: batch.number, lsn });
      if (batch.rowsLive < batch.rows) this.#noteRowsLive(batch);
      this.#buryIfDead(batch);
    }
    if (extent.refs === 0 && this.#extents.has(lsn)) this.#dropExtent(extent);
    return true;
  }

  /** Rows that show a cell of a batch, with their places in it. Costs a pass over the partition's index. */
  rowsOfBatch(batch: StoredBatch): Promise<{ ids: Float64Array; ordinals: Float64Array }> {
    return batch.extent.partition.index.rowsOf(batch.number);
  }

  extent(key: number): LiveExtent | undefined {
    return this.#extents.get(key);
  }

  /** The extent that a move is about, while it lives at the old place. */
  extentOf({ partition, extent: key, fromSegment, fromOffset }: MoveEvent): LiveExtent | undefined {
    const extent = this.#extents.get(key);
    if (extent === undefined || extent.partition.id !== partition) return undefined;
    const { segment, offset } = extent.place;
    return segment.id === fromSegment && offset === fromOffset ? extent : undefined;
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
        for (const number of dead) {
          const batch = this.knownBatch(number);
          if (batch !== undefined) this.#buryIfDead(batch);
        }
      }
    }
  }

  /** Keeps the bytes of a batch until `unpin`, whatever becomes of its rows. */
  pin(batch: StoredBatch): void {
    batch.pins++;
  }

  unpin(batch: StoredBatch): void {
    batch.pins--;
    this.#buryIfDead(batch);
  }

  /** They may come and go meanwhile. */
  extents(): IterableIterator<LiveExtent> {
    return this.#extents.after(0);
  }

  /** The live extents that were put after an LSN; recovery checks or syncs their bytes. */
  extentsAfter(lsn: number): LiveExtent[] {
    return [...this.#extents.after(lsn)];
  }

  /** After a load: what no row shows and nobody pins is dead. */
  buryUnneeded(): void {
    for (const { batches } of [...this.extents()]) {
      for (const batch of batches) if (batch !== undefined) this.#buryIfDead(batch);
    }
  }

  /** Rows of level `memory` end with the process: nothing of them is saved, and nothing may pile up for it. */
  #noteExtent(extent: LiveExtent): void {
    if (isSaved(extent.partition)) this.dirty.extents.add(extent);
  }

  #noteRowsLive(batch: StoredBatch): void {
    if (isSaved(batch.extent.partition)) this.dirty.batches.add(batch);
  }

  #changed(partition: Partition, lsn: number): void {
    partition.lsn = lsn;
    this.dirty.partitions.add(partition);
  }

  #forget(number: number, rows: number): void {
    const batch = this.batch(number);
    this.snapshots.forgets(number);
    batch.rowsLive -= rows;
    this.#noteRowsLive(batch);
    this.#buryIfDead(batch);
  }

  #buryIfDead(batch: StoredBatch): void {
    if (batch.rowsLive > 0 || batch.pins > 0) return;
    if (this.#readings > 0) {
      this.#limbo.push(batch.number);
      return;
    }
    const { extent, place } = batch;
    if (extent.batch(place) === undefined) return;
    extent.removeBatch(place);
    // The record of an extent that is yet to be saved leaves it out.
    if (extent.saved) this.#noteRowsLive(batch);
    else this.dirty.batches.delete(batch);
    if (extent.refs === 0) this.#dropExtent(extent);
  }

  #dropExtent(extent: LiveExtent): void {
    this.#extents.delete(extent);
    this.onFree(extent.partition);
    this.segments.drop(extent, this.#lsn);
  }
}
