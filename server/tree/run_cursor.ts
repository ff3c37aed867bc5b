/**
 * The blocks of a stratum one after the other, from the one in which a range begins: what a merge is fed with.
 *
 *   forward   file i: block b, b + 1 ... | file i + 1: block 0, 1 ...      reverse: the same from the other end
 *
 * Blocks that are missing are read with their neighbours: twice as many as came in a row so far, up to a bound.
 *
 * Invariants: the frame of the current block is pinned, all others are not.
 */
import { indexSeek, SLOT_SIZE, type LsmMemory } from '@transfer-queue/core/lsm';
import type { BlockCache, Span } from './block_cache.ts';
import type { Frame } from './frames.ts';
import type { KeyRange } from './keys.ts';
import { overlapping } from './levels.ts';
import type { SstTable } from './sst_table.ts';
import type { Stratum } from './version.ts';

const READ_AHEAD_SIZE_MAX = 256 << 10;
const READ_AHEAD_BLOCKS_MAX = READ_AHEAD_SIZE_MAX / SLOT_SIZE;

/** How far each file was read in a row, kept by a scan from one batch to the next. */
export class ReadAhead {
  readonly #runs = new Map<number, { last: number; length: number }>();

  /** Takes note of a block that is read now; returns how many come in a row with it, itself too. */
  note(table: SstTable, block: number, step: 1 | -1): number {
    const run = this.#runs.get(table.number);
    if (run === undefined) {
      this.#runs.set(table.number, { last: block, length: 1 });
      return 1;
    }
    if (run.last + step === block) run.length++;
    else if (run.last !== block) run.length = 1;
    run.last = block;
    return run.length;
  }
}

/** What to read when a block is missing that is one of so many in a row. */
function spanOf(table: SstTable, block: number, { step, length }: { step: 1 | -1; length: number }): Span {
  const count = Math.min(2 * length, READ_AHEAD_BLOCKS_MAX);
  if (step === 1) return { from: block, to: Math.min(block + count, table.dataCount) };
  return { from: Math.max(0, block - count + 1), to: block + 1 };
}

export class RunCursor {
  readonly #cache: BlockCache;
  readonly #tables: readonly SstTable[];
  readonly #step: 1 | -1;
  /** Files [from, to) overlap the range. */
  readonly #filesFrom: number;
  readonly #filesTo: number;
  readonly #readAhead: ReadAhead;
  #file: number;
  #block = -1;
  #frame: Frame | null = null;

  /** Stands before the first block that may hold keys of the range. */
  constructor(
    cache: BlockCache,
    { tables, records }: Stratum,
    { start, end, reverse }: KeyRange & { readonly reverse: boolean },
    readAhead: ReadAhead,
  ) {
    this.#cache = cache;
    this.#tables = tables;
    this.#step = reverse ? -1 : 1;
    this.#readAhead = readAhead;
    const files = overlapping(records, { start, end });
    this.#filesFrom = files.length === 0 ? 0 : records.indexOf(files[0]);
    this.#filesTo = this.#filesFrom + files.length;
    this.#file = reverse ? this.#filesTo - 1 : this.#filesFrom;
  }

  /** The table whose blocks come next, and whose index `seek` needs; null when there is none. */
  get table(): SstTable | null {
    return this.#file >= this.#filesFrom && this.#file < this.#filesTo ? this.#tables[this.#file] : null;
  }

  /** Finds the first block with the help of the index of its file; null stands for the end of all keys. */
  seek(memory: LsmMemory, index: Frame, key: Uint8Array | null): void {
    const table = this.#tables[this.#file];
    const last = table.dataCount - 1;
    const found = key === null ? last : indexSeek(memory, index, key);
    if (found === null) throw table.corrupt(table.indexBlock, 'its entries are out of order');
    this.#block = Math.min(Math.max(found, 0), last) - this.#step;
  }

  /** The next block, pinned until the one after it is asked for: a frame at once, a promise, or null at the end. */
  next(): Frame | Promise<Frame> | null {
    this.release();
    this.#block += this.#step;
    const { table } = this;
    if (table === null) return null;
    if (this.#block < 0 || this.#block >= table.dataCount) return this.#nextFile();
    const length = this.#readAhead.note(table, this.#block, this.#step);
    const frame = this.#cache.find(table, this.#block);
    if (frame === null) return this.#load(table, spanOf(table, this.#block, { step: this.#step, length }));
    frame.pins++;
    return (this.#frame = frame);
  }

  release(): void {
    if (this.#frame !== null) this.#cache.unpin(this.#frame);
    this.#frame = null;
  }

  #nextFile(): Frame | Promise<Frame> | null {
    this.#file += this.#step;
    const table = this.table;
    if (table === null) return null;
    this.#block = this.#step === 1 ? -1 : table.dataCount;
    return this.next();
  }

  async #load(table: SstTable, along: Span): Promise<Frame> {
    return (this.#frame = await this.#cache.load(table, this.#block, along));
  }
}
