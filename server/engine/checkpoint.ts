/**
 * Checkpoints: the state as of one LSN goes into the tree and its files, so that a start replays only what came after.
 *
 *   gather   units that changed are written to the memtable, a few each turn, while work goes on and changes others
 *   freeze   in one turn: the few that are left; the memtable is frozen; the journal begins a new file. This is LSN X
 *   settle   cells of claims that were still being looked up; then all up to X is made durable
 *   flush    the frozen memtable becomes a file of the tree, and the manifest names it together with X
 *   trim     journal files from before X are removed
 *
 * Invariants: what a manifest names was synced before, journal and bytes of puts included; a crash at any point leaves
 * the state of the last manifest and the journal from there on. A full disk stops nothing: the frozen memtable stays,
 * and the flush is tried again.
 */
import { FORMAT_VERSION } from '../journal/format.ts';
import type { Journal } from '../journal/journal.ts';
import { FsError, nextTurn, type Env } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import { numberKey } from '../index/keys.ts';
import type { Records } from '../index/records.ts';
import type { Checkpoint, Tree } from '../tree/api.ts';
import type { UnsavedGrant } from './grants.ts';
import type { ScrubPosition } from './scrub.ts';
import { dirtyCount, saveDirty, takeGrants } from './saved.ts';
import type { NodeState } from './state.ts';

/** What the manifest says about the state that the tree holds. */
export interface CheckpointMark {
  readonly formatVersion: number;
  /** The state is that after this event. */
  readonly lsn: number;
  /** Later events begin in this file of the journal. */
  readonly journalFile: number;
  readonly timestamp: number;
  readonly epoch: number;
  readonly bootId: string;
  /** Hexadecimal. */
  readonly tokenKey: string;
  /** Where the scrub goes on; no part of the state, which is the same wherever the scrub is. */
  readonly scrub?: ScrubPosition;
}

export interface CheckpointLimits {
  /** A checkpoint is due when the memtable has this many bytes, */
  readonly memtableSize: number;
  /** or the journal has grown by this much, */
  readonly journalSize: number;
  /** or this long after the last one, if anything changed or the scrub went on. */
  readonly intervalMs: number;
}

export const checkpointLimits: CheckpointLimits = {
  memtableSize: 32 << 20,
  journalSize: 100 << 20,
  intervalMs: 600_000,
};

/** Work of one turn while units are gathered. */
const SLICE_MS = 2;
const UNITS_PER_STEP = 16;
/** So few units are left to the turn that freezes. */
const UNITS_LEFT_MAX = 32;
/** Units that change as fast as they are saved must not keep a checkpoint from its end. */
const SLICES_MAX = 10_000;
/** Puts wait when this many times the size of a memtable is not flushed yet. */
const MEMTABLES_MAX = 3;

export interface CheckpointParts {
  readonly env: Env;
  readonly state: NodeState;
  readonly tree: Tree;
  readonly records: Records;
  readonly journal: Journal;
  readonly epoch: number;
  readonly tokenKey: Uint8Array;
  readonly limits: CheckpointLimits;
  /** Makes all that was committed so far durable. */
  makeDurable(): Promise<void>;
  /** Journals that the state was frozen. */
  commit(lsn: number): void;
  scrubPosition(): ScrubPosition;
}

export class Checkpoints {
  readonly #parts: CheckpointParts;
  #running: Promise<void> | null = null;
  /** What is to be done in the turn of the next freeze. */
  readonly #atFreeze = new Set<() => void>();
  /** Frozen, and not flushed since the disk was full. */
  #unflushed: CheckpointMark | null = null;
  #lsn: number;
  #atMs: number;
  #journalSizeBefore: number;
  /** The same object until the scrub goes on. */
  #scrub: ScrubPosition;

  constructor(parts: CheckpointParts, lsn: number) {
    this.#parts = parts;
    this.#lsn = lsn;
    this.#atMs = parts.env.clock.nowMs();
    this.#journalSizeBefore = parts.journal.appendedSize;
    this.#scrub = parts.scrubPosition();
  }

  /** LSN of the last one. */
  get lsn(): number {
    return this.#lsn;
  }

  get isDue(): boolean {
    const { env, tree, journal, limits } = this.#parts;
    if (this.#unflushed !== null || tree.activeSize >= limits.memtableSize) return true;
    // One more than the last one saw is the event that it wrote itself.
    if (journal.lsn <= this.#lsn + 1 && this.#parts.scrubPosition() === this.#scrub) return false;
    if (journal.appendedSize - this.#journalSizeBefore >= limits.journalSize) return true;
    return env.clock.nowMs() - this.#atMs >= limits.intervalMs;
  }

  /** Makes a checkpoint; who asks while one is made waits for that one. */
  run(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /**
   * Does something in the turn in which the state is frozen: the tree then holds all of it, as of the LSN of now. Makes
   * a checkpoint for it. Rejects with `disk_full` while checkpoints wait for space.
   */
  async atFreeze<Result>(act: () => Result): Promise<Result> {
    let done: Promise<Result> | null = null;
    const atFreeze = (): void => {
      // What it throws is for who asked, not for the checkpoint.
      done = new Promise((resolve) => resolve(act()));
      done.catch(() => undefined);
    };
    this.#atFreeze.add(atFreeze);
    while (done === null) {
      await this.run();
      if (done !== null || this.#unflushed === null) continue;
      this.#atFreeze.delete(atFreeze);
      throw new StoreError('disk_full');
    }
    return done;
  }

  /** Resolves when none is being made. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Waits while the memtables are too full to take more. Rejects with `disk_full`. */
  async admit(): Promise<void> {
    const { tree, limits } = this.#parts;
    while (tree.activeSize + tree.frozenSize >= MEMTABLES_MAX * limits.memtableSize) {
      if (this.#unflushed !== null && this.#running === null) throw new StoreError('disk_full');
      await this.run();
    }
  }

  async #run(): Promise<void> {
    const { env, tree, journal } = this.#parts;
    try {
      const mark = this.#unflushed ?? (await this.#freeze());
      this.#unflushed = mark;
      await env.fail('checkpoint.flush');
      await tree.flush(mark as unknown as Checkpoint);
      this.#unflushed = null;
      this.#lsn = mark.lsn;
      await env.fail('checkpoint.trim');
      await journal.removeFilesBefore(mark.journalFile);
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') env.crash('a checkpoint failed', error);
      env.log.warn({ err: error }, 'the disk is full: a checkpoint waits for space');
    }
  }

  async #freeze(): Promise<CheckpointMark> {
    const { env, state, tree, records, journal, epoch, tokenKey } = this.#parts;
    await this.#gather();
    await env.fail('checkpoint.freeze');
    const { lsn, timestamp } = journal;
    const to = { unitsMax: Number.MAX_SAFE_INTEGER, lsn };
    while (saveDirty(state, records, to) > 0);
    for (const act of this.#atFreeze) act();
    this.#atFreeze.clear();
    const grants = takeGrants(state, records, lsn);
    tree.rotate();
    const begun = journal.beginFile();
    this.#parts.commit(lsn);
    this.#journalSizeBefore = journal.appendedSize;
    this.#atMs = env.clock.nowMs();
    for (const grant of grants) this.#writeGrant(await grant(), lsn);
    const journalFile = await begun;
    await this.#parts.makeDurable();
    const bootId = env.fs.bootId();
    const key = Buffer.from(tokenKey).toString('hex');
    const scrub = this.#parts.scrubPosition();
    this.#scrub = scrub;
    return { formatVersion: FORMAT_VERSION, lsn, journalFile, timestamp, epoch, bootId, tokenKey: key, scrub };
  }

  /** Saves what changed until little is left, in slices. */
  async #gather(): Promise<void> {
    const { env, state, records, journal } = this.#parts;
    for (let slice = 0; slice < SLICES_MAX && dirtyCount(state) > UNITS_LEFT_MAX; slice++) {
      await env.fail('checkpoint.gather');
      const endMs = env.clock.nowMs() + SLICE_MS;
      do saveDirty(state, records, { unitsMax: UNITS_PER_STEP, lsn: journal.lsn });
      while (env.clock.nowMs() < endMs && dirtyCount(state) > UNITS_LEFT_MAX);
      await nextTurn(env.clock);
    }
  }

  /** A claim's cells never change, so that they can be written after the turn that froze the rest. */
  #writeGrant(grant: UnsavedGrant | null, lsn: number): void {
    if (grant === null || grant.partition.dropped) return;
    const { partition, claim, value } = grant;
    this.#parts.records.writeFrozen({ partition: partition.id, kind: 'grant', key: numberKey(claim), value }, lsn);
  }
}
