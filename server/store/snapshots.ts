/**
 * Snapshots: each holds the state of one LSN for readers, until it is closed or expires.
 *
 * The tree keeps the versions of rows that a snapshot sees; here the batches that only those versions name are kept
 * alive. A batch that a row stops showing is pinned by the newest snapshot that still sees it, and handed down to the
 * next older one that does when that is closed.
 *
 * Invariants: snapshots do not outlive the process; a batch is pinned at most once by a snapshot.
 */
import type { Tree } from '../tree/api.ts';
import { lsnOfBatch } from './partition.ts';

export interface Snapshot {
  readonly lsn: number;
  /** How many asked for the state of this LSN, or read it now. */
  holders: number;
  readonly batches: Set<number>;
  readonly versions: { release(): void };
}

export interface BatchPins {
  pin(batch: number): void;
  unpin(batch: number): void;
}

export class Snapshots {
  readonly #tree: Tree;
  readonly #pins: BatchPins;
  /** Rising by LSN. */
  readonly #snapshots: Snapshot[] = [];

  constructor(options: { tree: Tree; pins: BatchPins }) {
    this.#tree = options.tree;
    this.#pins = options.pins;
  }

  get count(): number {
    return this.#snapshots.length;
  }

  has(lsn: number): boolean {
    return this.#snapshots.some((snapshot) => snapshot.lsn === lsn);
  }

  /** Holds the state of now, which is that of `lsn`. */
  open(lsn: number): void {
    const last = this.#snapshots.at(-1);
    if (last?.lsn === lsn) {
      last.holders++;
      return;
    }
    this.#snapshots.push({ lsn, holders: 1, batches: new Set(), versions: this.#tree.snapshot(lsn) });
  }

  /** Reads a state that a snapshot may hold: as long as that takes, it goes on holding it. */
  async reading<Result>(lsn: number, read: () => Promise<Result>): Promise<Result> {
    const snapshot = this.#snapshots.find((one) => one.lsn === lsn);
    if (snapshot === undefined) return read();
    snapshot.holders++;
    try {
      return await read();
    } finally {
      this.close(lsn);
    }
  }

  close(lsn: number): void {
    const at = this.#snapshots.findIndex((snapshot) => snapshot.lsn === lsn);
    const snapshot = this.#snapshots[at];
    snapshot.holders--;
    if (snapshot.holders > 0) return;
    this.#snapshots.splice(at, 1);
    const older = this.#snapshots[at - 1];
    for (const batch of snapshot.batches) {
      if (older !== undefined && older.lsn >= lsnOfBatch(batch)) this.#keep(older, batch);
      this.#pins.unpin(batch);
    }
    snapshot.versions.release();
  }

  /** A row stops showing cells of a batch. */
  forgets(batch: number): void {
    const newest = this.#snapshots.at(-1);
    if (newest !== undefined && newest.lsn >= lsnOfBatch(batch)) this.#keep(newest, batch);
  }

  #keep(snapshot: Snapshot, batch: number): void {
    if (snapshot.batches.has(batch)) return;
    snapshot.batches.add(batch);
    this.#pins.pin(batch);
  }
}
