/** A store on a tree without files, changed by events as a node changes it, and started anew from its records. */
import { expect } from 'vitest';
import { ackLevels, type AckLevel } from '@transfer-queue/core/protocol';
import { atOnce } from '../../../server/env/slice.ts';
import { Records, type SavedRecord } from '../../../server/index/records.ts';
import type { InsertEvent, PartitionSettings } from '../../../server/journal/events.ts';
import { spaceOf } from '../../../server/segment/segment.ts';
import { Segments } from '../../../server/segment/segments.ts';
import { isSaved } from '../../../server/store/partition.ts';
import { dirtyCount, loadRecord, saveDirty } from '../../../server/store/saved.ts';
import { Store } from '../../../server/store/store.ts';
import { Arena } from '../../../server/tier/arena.ts';
import { PlainTree } from '../../support/plain_tree.ts';
import { simEnv } from '../../support/sim_env.ts';

function newStore(tree: PlainTree): Store {
  const env = simEnv();
  const arena = new Arena({ clock: env.clock, memorySize: 1 << 20, frameSize: 1 << 16 });
  return new Store({ segments: new Segments({ env, arena, directory: '/segments', memoryWaitMsMax: 0 }), tree });
}

export function settingsOf(name: string, ack: AckLevel, fieldCount: number): PartitionSettings {
  const fields = Array.from({ length: fieldCount }, (_, i) => ({
    name: `f${i}`,
    layout: { layout: 'bytes' } as const,
  }));
  return { name, fields, open: true, groupSize: 1, ack };
}

/** Levels never share a segment. */
function segmentOf(level: AckLevel, number: number): number {
  return 10 * (1 + ackLevels.indexOf(level)) + number;
}

export interface NewBatch {
  readonly ids: readonly number[];
  readonly fields: readonly number[];
}

/** A store and its tree; which rows are there is known here, as the queue knows it in a node. */
export class StoreWorld {
  readonly tree = new PlainTree();
  store = newStore(this.tree);
  records = new Records(this.tree);
  rows = new Map<number, Set<number>>();
  lsn = 0;
  #offset = 0;

  declare(partition: number, settings: PartitionSettings): void {
    const at = this.#next();
    const known = this.store.partitionById(partition);
    this.store.applyDeclare(
      { type: 'declare', partition, settings: known === undefined ? settings : known.settings },
      at,
    );
    if (known === undefined) this.rows.set(partition, new Set());
  }

  async insert(partition: number, given: readonly NewBatch[], level: AckLevel): Promise<void> {
    const known = this.rows.get(partition)!;
    // A put names a row once.
    const seen = new Set<number>();
    const batches = given.map(({ ids, fields }) => {
      const own = ids.filter((id) => !seen.has(id));
      for (const id of own) seen.add(id);
      const columns = fields.map((field) => ({ field, regions: [64 * field, own.length, 7, 9] }));
      return { rows: own.length, ids: Float64Array.from(own), columns };
    });
    await this.#load(partition, [...seen]);
    const extent = {
      segment: segmentOf(level, this.lsn % 3),
      offset: this.#place(),
      length: 100 + this.lsn,
      blocks: Uint8Array.of(1, 2),
    };
    const event: InsertEvent = { type: 'insert', partition, requestId: '', extent, batches, ackClaim: 0 };
    this.store.segments.adopt(spaceOf(extent), level);
    const at = this.#next();
    const knownRows = (_: unknown, ids: Float64Array): Uint8Array =>
      Uint8Array.from(ids, (id) => (known.has(id) ? 1 : 0));
    this.store.applyInsert(event, { lsn: at, level }, knownRows);
    for (const id of seen) known.add(id);
  }

  async delete(partition: number, ids: readonly number[]): Promise<void> {
    const known = this.rows.get(partition)!;
    const there = ids.filter((id) => known.has(id));
    await this.#load(partition, there);
    this.store.applyDelete(this.store.partitionById(partition)!, Float64Array.from(there), this.#next());
    for (const id of there) known.delete(id);
  }

  move(choice: number): void {
    const extents = [...this.store.extents()];
    if (extents.length === 0) return;
    const { key, partition, place, length, level } = extents[choice % extents.length];
    const to = { segment: segmentOf(level, 9), offset: this.#place() };
    this.store.segments.adopt(spaceOf({ ...to, length }), level);
    this.#next();
    const from = { fromSegment: place.segment.id, fromOffset: place.offset };
    this.store.applyMove({ type: 'move', partition: partition.id, extent: key, ...to, ...from });
  }

  /** Writes the rows of an extent anew that still show a cell of it. */
  async rewrite(choice: number): Promise<void> {
    const extents = [...this.store.extents()].filter(({ partition }) => isSaved(partition));
    if (extents.length === 0) return;
    const { key: fromExtent, partition, level, batches } = extents[choice % extents.length];
    const rewritten = [];
    for (const batch of batches) {
      if (batch === undefined) continue;
      const { ids, ordinals } = await this.store.rowsOfBatch(batch);
      await this.#load(partition.id, [...ids]);
      const columns = batch.regions.flatMap((regions, field) => (regions === undefined ? [] : [{ field, regions }]));
      rewritten.push({ batch: batch.number, ids, ordinals, columns });
    }
    const place = { segment: segmentOf(level, 8), offset: this.#place(), length: 50 };
    this.store.segments.adopt(spaceOf(place), level);
    const extent = { ...place, blocks: Uint8Array.of(3) };
    const event = { type: 'rewrite', partition: partition.id, fromExtent, extent, batches: rewritten } as const;
    expect(this.store.applyRewrite(event, this.#next())).toBe(true);
  }

  drop(partition: number): void {
    this.#next();
    this.store.applyDrop({ type: 'drop', partition });
    atOnce(this.store.buryDropped());
    this.rows.delete(partition);
  }

  save(unitsMax = Infinity): number {
    return saveDirty(this.store, this.records, { unitsMax, lsn: this.lsn + 1 });
  }

  async flush(): Promise<void> {
    this.tree.rotate();
    await this.tree.flush({});
  }

  /** Saves the rest, and goes on with what a start makes of it. */
  async restart(loadOther?: (record: SavedRecord) => void): Promise<void> {
    while (dirtyCount(this.store) > 0) this.save(3);
    await this.flush();
    this.tree.discard();
    this.store = newStore(this.tree);
    this.records = new Records(this.tree);
    for await (const record of this.records.all()) {
      if (record.kind === 'grant') loadOther!(record);
      else loadRecord(this.store, record);
    }
    this.store.buryUnneeded();
    for (const partition of this.store.partitions()) {
      if (!isSaved(partition)) this.rows.set(partition.id, new Set());
    }
  }

  async recordCount(): Promise<number> {
    let count = 0;
    for await (const _ of this.records.all()) count++;
    return count;
  }

  async #load(partition: number, ids: readonly number[]): Promise<void> {
    const known = Float64Array.from(ids.filter((id) => this.rows.get(partition)!.has(id)));
    await this.store.partitionById(partition)!.index.load(known);
  }

  #next(): number {
    this.store.reach(++this.lsn);
    return this.lsn;
  }

  #place(): number {
    return (this.#offset += 4_096);
  }
}
