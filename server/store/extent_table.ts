/**
 * The extents that live, by the LSN of their insert: made, or in runs of a replay that are made when someone asks for
 * one of them.
 */
import { ExtentRun } from './extent_run.ts';
import { LsnTable } from './lsn_table.ts';
import { isSaved, UnsavedExtents, type LiveExtent } from './partition.ts';

export class ExtentTable {
  /** Those that changed since they were saved last. */
  readonly unsaved = new UnsavedExtents();
  readonly #extents = new LsnTable<LiveExtent | ExtentRun>();

  has(key: number): boolean {
    return this.#extents.has(key);
  }

  get(key: number): LiveExtent | undefined {
    const extent = this.#extents.get(key);
    if (!(extent instanceof ExtentRun)) return extent;
    extent.make();
    return this.#extents.get(key) as LiveExtent;
  }

  add(extent: LiveExtent): void {
    const { partition, place } = extent;
    partition.extents.add(extent);
    this.#extents.add(extent.key, extent);
    place.segment.extents.add(extent);
    partition.bytes += extent.length;
  }

  /** As many that are new, and that no record has. */
  addRun(run: ExtentRun): void {
    const { partition, segment } = run;
    for (const key of run.keys) this.#extents.add(key, run);
    segment.extents.addUnmade(run);
    partition.extents.addUnmade(run);
    partition.bytes += run.bytes;
    if (isSaved(partition)) this.unsaved.addUnmade(run);
  }

  /** Puts the extents of a run where it stands for them. */
  make(run: ExtentRun): void {
    const { segment, partition } = run;
    const isUnsaved = this.unsaved.deleteUnmade(run);
    segment.extents.deleteUnmade(run);
    partition.extents.deleteUnmade(run);
    for (const extent of run.extents()) {
      this.#extents.replace(extent.key, extent);
      segment.extents.add(extent);
      partition.extents.add(extent);
      if (isUnsaved) this.unsaved.add(extent);
    }
  }

  /** It has died; its segment hears of it elsewhere. */
  delete(extent: LiveExtent): void {
    const { key, partition, length, saved } = extent;
    partition.extents.delete(extent);
    this.#extents.delete(key);
    partition.bytes -= length;
    if (saved) this.unsaved.add(extent);
    else this.unsaved.delete(extent);
  }

  /** Those that were put after an LSN. They may come and go meanwhile. */
  *after(lsn: number): Generator<LiveExtent, void> {
    for (const key of this.#extents.lsnsAfter(lsn)) yield this.get(key)!;
  }
}
