/**
 * A merge of memtables and runs of blocks: into blocks of an SST (`write`), or into entries for a reader (`read`).
 *
 *     memtable ---------\
 *     run 0  block block -- smallest (key, LSN descending) first --> write: versions that are needed --> BlockWriter
 *     run 1  block ...  /                                      \--> read: the version of one LSN --> entries
 *
 * The host feeds the blocks of a run in order (from the last to the first when reading in reverse) when the merge asks
 * for them, and calls again until it is done: each call does a bounded piece of work.
 *
 * Invariants: a block that was fed stays as it is until its run asks for the next one, finishes, or the merge is freed;
 * memtables may change between calls and are read as they are then (a reader's LSN must be held by a snapshot, or be
 * newer than all puts meanwhile that it shall not see); a run is in order over its blocks.
 */
import { LsmMemoryFull, type LsmMemory } from './lsm_memory.ts';
import type { BlockWriter } from './lsm_block.ts';
import type { Memtable } from './lsm_memtable.ts';
import { ENTRY_HEAD_SIZE } from './lsm_pack.ts';

/** Runs and memtables together. */
export const MERGE_RUNS_MAX = 256;

export type MergeStep =
  /** The budget is spent, or entries were read: call again. */
  | { readonly kind: 'more' }
  /** `feed` the next block of this run, or `finish` it. */
  | { readonly kind: 'needs'; readonly run: number }
  /** The block (or the filter) of the writer is full: finish it, then call again. */
  | { readonly kind: 'full' }
  | { readonly kind: 'done' }
  /** The block that the run was fed is no block. */
  | { readonly kind: 'damaged'; readonly run: number };

export interface MergeOptions {
  /** Sources without blocks; they take the run numbers from 0 on. */
  readonly tables: readonly Memtable[];
  /** Runs of blocks: they follow, from tables.length on. */
  readonly runCount: number;
  /** Keys [start, end); all without. */
  readonly start?: Uint8Array;
  readonly end?: Uint8Array;
  /** From the last key to the first; only for `read`. */
  readonly reverse?: boolean;
}

/** Which versions `write` keeps. */
export interface Keep {
  /** LSNs that snapshots hold, ascending. */
  readonly snapshots: readonly number[];
  /** Nothing older lies deeper for this range: deletions go as soon as no older version of the key is kept. */
  readonly bottom: boolean;
}

export interface MergedEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** An entry as it was copied out: most readers want its key or its value once, so each is an array only then. */
class PackedEntry implements MergedEntry {
  readonly #bytes: Uint8Array;
  readonly #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get key(): Uint8Array {
    const bytes = this.#bytes;
    return new Uint8Array(bytes.buffer, this.#at + ENTRY_HEAD_SIZE, bytes[this.#at]);
  }

  get value(): Uint8Array {
    const bytes = this.#bytes;
    const at = this.#at;
    return new Uint8Array(bytes.buffer, at + ENTRY_HEAD_SIZE + bytes[at], bytes[at + 2] + bytes[at + 3] * 256);
  }
}

const RUN_AT = 20;
const WRITTEN_AT = 24;
const READ_SIZE_AT = 28;
const CUTS_KEY_AT = 32;

const STEP_MORE = 0;
const STEP_NEEDS = 1;
const STEP_FULL = 2;
const STEP_DONE = 3;
const STEP_DAMAGED = -1;

export class Merge {
  readonly #memory: LsmMemory;
  #merge: number;

  /** Throws LsmMemoryFull. Ends with `free`. */
  constructor(memory: LsmMemory, { tables, runCount, start, end, reverse = false }: MergeOptions) {
    const count = tables.length + runCount;
    if (count > MERGE_RUNS_MAX) throw new RangeError(`a merge takes at most ${MERGE_RUNS_MAX} runs, not ${count}`);
    const { raw, window } = memory;
    this.#memory = memory;
    this.#merge = memory.checked(raw.merge_create(count, reverse ? 1 : 0));
    if (start) memory.write(window, start);
    if (end) memory.write(window + 256, end);
    raw.merge_range(this.#merge, window, start ? start.length : 0, window + 256, end ? end.length : -1);
    tables.forEach((table, run) => raw.merge_table(this.#merge, run, table.address));
  }

  /** The next block of a run that asked for it (all runs do at first); false when it is no block. */
  feed(run: number, address: number, size: number): boolean {
    const status = this.#memory.raw.merge_feed(this.#merge, run, address, size);
    if (status < STEP_DAMAGED) throw new LsmMemoryFull();
    return status === 0;
  }

  /** The run has no more blocks. */
  finish(run: number): void {
    this.#memory.raw.merge_finish(this.#merge, run);
  }

  /** What `write` keeps; without it only the newest versions, deletions among them. Before the first `write`. */
  keep({ snapshots, bottom }: Keep): void {
    const { raw, window } = this.#memory;
    this.#memory.writeNumbers(window, snapshots, 0, snapshots.length);
    if (raw.merge_keep(this.#merge, window, snapshots.length, bottom ? 1 : 0) < 0) throw new LsmMemoryFull();
  }

  /** Takes up to `budget` entries from the runs into the writer. */
  write(writer: BlockWriter, budget: number): MergeStep {
    return this.#step(this.#memory.raw.merge_write(this.#merge, writer.address, budget));
  }

  /** After `full`: whether the key that comes next is the last one of the block, so that a file should not end here. */
  get cutsKey(): boolean {
    return this.#word(CUTS_KEY_AT) === 1;
  }

  /** Entries that `write` has put into blocks so far. */
  get writtenCount(): number {
    return this.#word(WRITTEN_AT);
  }

  /** Takes up to `budget` versions from the runs and adds the entries that `lsn` sees to `out`. */
  read(out: MergedEntry[], { lsn, budget }: { lsn: number; budget: number }): MergeStep {
    const { raw, window, windowSize } = this.#memory;
    const step = this.#step(raw.merge_read(this.#merge, lsn, window, windowSize, budget));
    const size = this.#word(READ_SIZE_AT);
    const copy = this.#memory.read(window, size);
    for (let at = 0; at < size;) {
      out.push(new PackedEntry(copy, at));
      at += ENTRY_HEAD_SIZE + copy[at] + copy[at + 2] + copy[at + 3] * 256;
    }
    return step;
  }

  free(): void {
    this.#memory.raw.arena_free(this.#merge);
    this.#merge = 0;
  }

  #step(status: number): MergeStep {
    switch (status) {
      case STEP_MORE:
        return { kind: 'more' };
      case STEP_NEEDS:
        return { kind: 'needs', run: this.#word(RUN_AT) };
      case STEP_FULL:
        return { kind: 'full' };
      case STEP_DONE:
        return { kind: 'done' };
      case STEP_DAMAGED:
        return { kind: 'damaged', run: this.#word(RUN_AT) };
      default:
        throw new LsmMemoryFull();
    }
  }

  #word(at: number): number {
    return this.#memory.words[(this.#merge + at) / 4];
  }
}
