/**
 * Compaction in the background: one job after the other, as long as one is due.
 *
 *   pick -> (drop, move: an edit)  or  (merge: new files, then an edit) -> pick ...
 *
 * Invariants: one job at a time, and nobody else removes files or moves them; a job that fails leaves the tree as it
 * was. A level with a damaged block is compacted no more until the next start: what can be read of it stays readable.
 */
import { LsmMemoryFull } from '@transfer-queue/core/lsm';
import { invariant, StoreError } from '../errors.ts';
import { merged, moved, removed } from './edits.ts';
import { compareEnds, compareKeys, subtractRanges, successor, type KeyRange } from './keys.ts';
import { filesOfLevel, overlapping, overlaps, type Levels } from './levels.ts';
import type { SstRecord } from './manifest.ts';
import { Throttle } from './throttle.ts';
import { fillOfLevels, isBottom, pickCompaction, type LevelSizes, type Merging, type Picked } from './picking.ts';
import { rewrite } from './rewrite.ts';
import { RunReader } from './run_reader.ts';
import type { TreeFiles } from './tree_files.ts';
import type { Version } from './version.ts';

const RETRY_MS = 1_000;
/** A new file ends when it overlaps more files of the next level: the job that moves it on stays small. */
const OVERLAPPED_FILES_MAX = 12;

export interface CompactorOptions {
  readonly files: TreeFiles;
  readonly sizes: LevelSizes;
  /** LSNs that snapshots hold, ascending. */
  readonly snapshots: () => readonly number[];
  readonly compressed: boolean;
  /** Bytes a second. */
  readonly rate: number;
}

/** The tree is being closed. */
class Cancelled extends Error {}

export class Compactor {
  readonly #options: CompactorOptions;
  /** Levels that a damaged block holds up. */
  readonly #blocked = new Set<number>();
  #running: Promise<void> | null = null;
  #isClosing = false;
  /** Resolves waits for room in level 0. */
  #waiters: (() => void)[] = [];
  isFailing = false;
  writtenSize = 0;
  readSize = 0;
  jobCount = 0;

  constructor(options: CompactorOptions) {
    this.#options = options;
  }

  /** Looks whether a job is due. */
  kick(): void {
    if (this.#running !== null || this.#isClosing) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      this.#wake();
    });
  }

  /** Resolves when no job is under way or due. */
  async idle(): Promise<void> {
    this.kick();
    while (this.#running !== null) await this.#running;
  }

  /** Whether level 0 holds back flushes, and compaction can do something about it. */
  get isBehind(): boolean {
    return !this.isFailing && !this.#blocked.has(0) && this.#level0Fill > STALL_FILL;
  }

  /** Resolves after the next job. */
  progress(): Promise<void> {
    this.kick();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#wake();
    await this.#running;
  }

  get #level0Fill(): number {
    const { files, sizes } = this.#options;
    return fillOfLevels({ ...files.manifest, levels: files.version.levels }, sizes)[0];
  }

  async #run(): Promise<void> {
    for (;;) {
      const picked = this.#pick();
      if (picked === null || this.#isClosing) return;
      try {
        await this.#do(picked);
        this.isFailing = false;
        this.jobCount++;
      } catch (error) {
        if (error instanceof Cancelled) return;
        await this.#failed(picked, error);
      }
      this.#wake();
    }
  }

  #pick(): Picked | null {
    const { files, sizes } = this.#options;
    const { levels } = files.version;
    return pickCompaction({ ...files.manifest, levels, blocked: this.#blocked }, sizes);
  }

  async #failed(picked: Picked, error: unknown): Promise<void> {
    const { env } = this.#options.files;
    if (error instanceof StoreError && picked.kind === 'merge') {
      const level = Math.min(...picked.inputs.map((input) => input.level));
      env.log.error(
        { err: error, details: error.details, level },
        'a damaged block holds up the compaction of a level',
      );
      this.#blocked.add(level);
      return;
    }
    const reason = error instanceof LsmMemoryFull ? 'the memory of the tree is full' : 'the disk refused';
    env.log.warn({ err: error, reason }, 'a compaction failed and will be tried again');
    this.isFailing = true;
    this.#wake();
    await new Promise<void>((resolve) => {
      env.clock.after(RETRY_MS, resolve);
      this.#waiters.push(resolve);
    });
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  async #do(picked: Picked): Promise<void> {
    const { files } = this.#options;
    await files.env.fail('tree.compaction.begin');
    switch (picked.kind) {
      case 'drop':
        return files.install((manifest) => removed(manifest, picked.files));
      case 'move':
        return files.install((manifest) => moved(manifest, picked));
      case 'merge':
        return this.#merge(picked);
    }
  }

  async #merge(merging: Merging): Promise<void> {
    const { files } = this.#options;
    const { manifest, version } = files;
    version.hold();
    try {
      const { level, run } = merging;
      const { files: made, readSize } = await this.#rewrite(merging, version);
      const place = { level, run, trimmed: false, cleanEdit: manifest.edit };
      const outputs: SstRecord[] = made.map((facts) => ({ ...facts, ...place }));
      await files.env.fail('tree.compaction.install');
      await files.install((current) => merged(current, merging, outputs));
      for (const { size } of outputs) this.writtenSize += size;
      this.readSize += readSize;
    } finally {
      version.release();
    }
  }

  #rewrite(merging: Merging, version: Version) {
    const { files, sizes, snapshots, compressed } = this.#options;
    const { env, memory, directory, manifest } = files;
    const { inputs, range } = merging;
    const isCut = inputs.some(({ trimmed, first }) => trimmed && compareKeys(first, range.start) > 0);
    invariant(!isCut, 'a merge begins where its trimmed inputs begin');
    const isPiece = inputs.some(({ last }) => compareEnds(last, range.end) >= 0);
    const whole = { start: range.start, end: isPiece ? range.end : null };
    return rewrite({
      ...{ env, memory, directory, compressed, fileSize: sizes.fileSize },
      keep: { snapshots: snapshots(), bottom: isBottom(version.levels, merging) },
      ranges: subtractRanges(whole, manifest.dropped),
      memtables: [],
      openRuns: (part) => openRuns(files, version, inputs, part),
      fileNumber: () => files.takeNumber(),
      isWide: isWide(version.levels, merging.level + 1),
      throttle: this.#throttle(),
    });
  }

  #throttle(): Throttle {
    const { files, rate } = this.#options;
    return new Throttle({
      env: files.env,
      point: 'tree.compaction.step',
      rate,
      isUrgent: () => this.#level0Fill > URGENT_FILL,
      isReadWaiting: () => files.cache.loads > 0,
      check: () => {
        if (this.#isClosing) throw new Cancelled();
      },
    });
  }
}

/** |L0| / C0 from which compaction hurries, and from which flushes wait for it. */
const URGENT_FILL = 2;
const STALL_FILL = 4;

function isWide(levels: Levels, level: number): (first: Uint8Array, last: Uint8Array) => boolean {
  const below = filesOfLevel(levels, level);
  if (below.length <= OVERLAPPED_FILES_MAX) return () => false;
  return (first, last) => overlapping(below, { start: first, end: successor(last) }).length > OVERLAPPED_FILES_MAX;
}

/** A reader for each run that inputs belong to, from the start of the range on. */
async function openRuns(
  files: TreeFiles,
  { strata }: Version,
  inputs: readonly SstRecord[],
  range: KeyRange,
): Promise<RunReader[]> {
  const wanted = new Set(inputs);
  const readers: RunReader[] = [];
  for (const { records, tables } of strata) {
    const chosen = tables.filter((_, i) => wanted.has(records[i]) && overlaps(records[i], range));
    if (chosen.length === 0) continue;
    const reader = new RunReader(files.memory, chosen);
    readers.push(reader);
    const first = records[tables.indexOf(chosen[0])];
    if (first.trimmed || compareKeys(first.first, range.start) < 0) await reader.seek(files.cache, range.start);
  }
  return readers;
}
