/**
 * Merges memtables and runs into new files: what flush and compaction have in common.
 *
 *   sources -> Merge -> BlockWriter -> SstWriter -> file | file | file        one merge for each range that is kept
 *
 * Invariants: a file never ends between two versions of a key; files are synced when `rewrite` resolves, and none of
 * them is left when it rejects.
 */
import {
  BlockWriter,
  FILTER_KEYS_MAX,
  Merge,
  SLOT_SIZE,
  type Keep,
  type LsmMemory,
  type Memtable,
} from '@transfer-queue/core/lsm';
import { StoreError } from '../errors.ts';
import type { KeyRange } from './keys.ts';
import type { Throttle } from './throttle.ts';
import type { RunReader } from './run_reader.ts';
import { SstWriter, type SstFacts, type SstWriterOptions } from './sst_writer.ts';
import { sstName } from './sst_format.ts';

/** Entries between two looks at the clock. */
const STEP_ENTRIES = 1_024;
/** A filter is closed when the keys of one more block may not fit. */
const FILTER_KEYS_WANTED = FILTER_KEYS_MAX - SLOT_SIZE / 8;

export interface RewriteOptions extends Omit<SstWriterOptions, 'number'> {
  readonly keep: Keep;
  /** What is kept, in order. */
  readonly ranges: readonly KeyRange[];
  readonly memtables: readonly Memtable[];
  /** Runs of blocks, anew for each range. */
  readonly openRuns: (range: KeyRange) => Promise<RunReader[]>;
  readonly fileNumber: () => number;
  /** Whether a file that covers these keys should end. */
  readonly isWide: (first: Uint8Array, last: Uint8Array) => boolean;
  readonly throttle: Throttle;
}

export interface Rewritten {
  readonly files: readonly SstFacts[];
  readonly readSize: number;
}

export async function rewrite(options: RewriteOptions): Promise<Rewritten> {
  const rewriting = new Rewriting(options);
  try {
    return await rewriting.run();
  } catch (error) {
    await rewriting.abandon();
    throw error;
  } finally {
    rewriting.free();
  }
}

class Rewriting {
  readonly #options: RewriteOptions;
  readonly #memory: LsmMemory;
  readonly #blocks: BlockWriter;
  readonly #files: SstFacts[] = [];
  #file: SstWriter | null = null;
  #fileFirst: Uint8Array | null = null;
  #writtenSize = 0;
  #readSize = 0;

  constructor(options: RewriteOptions) {
    this.#options = options;
    this.#memory = options.memory;
    this.#blocks = new BlockWriter(options.memory);
  }

  async run(): Promise<Rewritten> {
    for (const range of this.#options.ranges) await this.#mergeRange(range);
    await this.#takeBlock();
    await this.#finishFile();
    return { files: this.#files, readSize: this.#readSize };
  }

  /** What cannot be removed now is removed by the next start. */
  async abandon(): Promise<void> {
    const { env, directory } = this.#options;
    try {
      await this.#file?.abandon();
      for (const { number } of this.#files) await env.fs.unlink(`${directory}/${sstName(number)}`);
    } catch (error) {
      env.log.warn({ err: error }, 'a file that is not needed could not be removed');
    }
  }

  free(): void {
    this.#blocks.free();
  }

  async #mergeRange(range: KeyRange): Promise<void> {
    const { memtables, openRuns, keep } = this.#options;
    const runs = await openRuns(range);
    const { start, end } = range;
    const merge = new Merge(this.#memory, { tables: memtables, runCount: runs.length, start, end: end ?? undefined });
    try {
      merge.keep(keep);
      await this.#merge(merge, runs);
    } finally {
      merge.free();
      for (const run of runs) {
        this.#readSize += run.readSize;
        run.free();
      }
    }
  }

  async #merge(merge: Merge, runs: readonly RunReader[]): Promise<void> {
    const { memtables, throttle } = this.#options;
    for (;;) {
      const step = merge.write(this.#blocks, STEP_ENTRIES);
      if (step.kind === 'done') return;
      if (step.kind === 'damaged') throw new StoreError('data_corrupt', { reason: 'a block is out of order' });
      if (step.kind === 'needs') {
        const block = await runs[step.run - memtables.length].next();
        if (block === null) merge.finish(step.run);
        else merge.feed(step.run, block.address, block.size);
      } else if (step.kind === 'full') {
        await this.#takeBlock();
        if (!merge.cutsKey && this.#isFileOver()) await this.#finishFile();
      }
      const wait = throttle.step(this.#writtenSize);
      if (wait !== null) await wait;
    }
  }

  /** Moves the block under way, if there is one, to the file, which is made when there is none. */
  async #takeBlock(): Promise<void> {
    const block = this.#blocks.finish();
    if (block !== null) {
      this.#file ??= await SstWriter.create({ ...this.#options, number: this.#options.fileNumber() });
      this.#fileFirst ??= block.firstKey;
      this.#file.add(block);
      this.#writtenSize += block.size;
    }
    if (this.#file === null) return;
    if (this.#blocks.filterKeyCount > FILTER_KEYS_WANTED) this.#takeFilter(this.#file);
    await this.#file.drain();
  }

  #takeFilter(file: SstWriter): void {
    const slot = this.#memory.slotAlloc();
    const size = this.#blocks.filterInto(slot);
    file.addFilter(this.#memory.read(slot, size));
    this.#memory.slotFree(slot);
  }

  #isFileOver(): boolean {
    const file = this.#file!;
    return file.isFull || this.#options.isWide(this.#fileFirst!, file.last);
  }

  async #finishFile(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    if (this.#blocks.filterKeyCount > 0) this.#takeFilter(file);
    this.#files.push(await file.finish());
    this.#file = this.#fileFirst = null;
    this.#blocks.reset();
  }
}
