/**
 * The LSM tree (api.ts): memtables in front of files, reads over both, flushes and compaction.
 *
 * Invariants: a version of a key is in a memtable or a file at any turn, since a flush takes the memtable away in the
 * turn in which its files are seen; reads that wait hold what they began with; nothing waits between a look at the
 * memtables and the choice of the version.
 */
import {
  createLsmMemory,
  EntryKind,
  KeyBatch,
  type LsmMemory,
  type PeekedRows,
  type PutRows,
} from '@transfer-queue/core/lsm';
import type { Env } from '../env/env.ts';
import { invariant, StoreError } from '../errors.ts';
import type { Checkpoint, Entry, Range, Rows, Tree, TreeStats, Values } from './api.ts';
import { Compactor } from './compactor.ts';
import { flushed } from './edits.ts';
import { joinRanges, NO_KEY, subtractRanges, type KeyRange } from './keys.ts';
import { sizeOf } from './levels.ts';
import { Lookup } from './lookup.ts';
import { Memtables } from './memtables.ts';
import { Throttle } from './throttle.ts';
import type { LevelSizes } from './picking.ts';
import { rewrite } from './rewrite.ts';
import { scan, type View } from './scan.ts';
import { Slice } from '../env/slice.ts';
import { scrubFiles } from './scrub.ts';
import { Snapshots } from './snapshots.ts';
import type { SstFacts } from './sst_writer.ts';
import { TreeFiles } from './tree_files.ts';

export interface TreeOptions {
  readonly env: Env;
  readonly directory: string;
  /** Of a tree that is gone, with all its regions free; that of an instance of its own without it. */
  readonly memory?: LsmMemory;
  /** Bytes of cached blocks. */
  readonly cacheSize?: number;
  /** |L0| from which level 0 is compacted; each deeper level holds ten times as much. */
  readonly level0Size?: number;
  readonly level0RunsMax?: number;
  readonly fileSize?: number;
  /** Files of level 1 that one job of level 0 takes. */
  readonly pieceFilesMax?: number;
  /** Bytes a second that compaction writes, as long as level 0 is not too full. */
  readonly compactionRate?: number;
  /**
   * zstd for blocks of new files. Off by default: rows take 10 to 17 bytes as they are, of which it saves 25 to 60 %,
   * and it costs the event loop 0.1 ms for each block that is written and 0.05 ms for each that is read from disk.
   */
  readonly compressed?: boolean;
}

const defaults = {
  cacheSize: 64 << 20,
  level0Size: 32 << 20,
  level0RunsMax: 8,
  fileSize: 8 << 20,
  pieceFilesMax: 8,
  compactionRate: 64 << 20,
  compressed: false,
};

/** Keys that are looked up in one turn: a few milliseconds of work. */
const PART_KEYS = 2_048;

const allKeys: KeyRange = { start: NO_KEY, end: null };

/** Of a key that was loaded and is nowhere: older than all versions. */
const NOWHERE_LSN = 1;

/** Throws a `RecoveryError` when the directory holds less than its manifest promises. */
export async function openTree(options: TreeOptions): Promise<Tree> {
  const { env, directory, memory = createLsmMemory(), ...sizes } = options;
  const settings = { ...defaults, ...sizes };
  const files = await TreeFiles.open({ env, memory, directory, cacheSize: settings.cacheSize });
  const tree = new LsmTree(files, settings);
  tree.start();
  return tree;
}

class LsmTree implements Tree {
  readonly #memory: LsmMemory;
  readonly #files: TreeFiles;
  readonly #memtables: Memtables;
  readonly #snapshots = new Snapshots();
  readonly #compactor: Compactor;
  readonly #sizes: LevelSizes;
  readonly #compressed: boolean;
  #flushing: Promise<void> | null = null;
  #flushCount = 0;
  #flushedSize = 0;
  #isStalled = false;
  /** The highest LSN that was written. */
  #lsn: number;

  constructor(files: TreeFiles, settings: LevelSizes & { compressed: boolean; compactionRate: number }) {
    const { compressed, compactionRate: rate } = settings;
    this.#memory = files.memory;
    this.#files = files;
    this.#memtables = new Memtables(files.memory);
    this.#sizes = settings;
    this.#compressed = compressed;
    this.#lsn = files.manifest.files.reduce((lsn, { lsnMax }) => Math.max(lsn, lsnMax), 0);
    const snapshots = () => this.#snapshots.lsns;
    this.#compactor = new Compactor({ files, sizes: settings, snapshots, compressed, rate });
  }

  start(): void {
    this.#compactor.kick();
  }

  put(key: Uint8Array, value: Uint8Array, lsn: number): void {
    this.#memtables.active.put(key, value, this.#writeAt(lsn));
  }

  putMany(keys: readonly Uint8Array[], values: Values, lsn: number): void {
    this.#memtables.active.putMany(keys, values, this.#writeAt(lsn));
  }

  putRows(rows: PutRows): void {
    const { lsn } = rows.puts[rows.puts.length - 1];
    this.#memtables.active.putRows(rows, this.#writeAt(lsn).keepLsn);
  }

  delete(key: Uint8Array, lsn: number): void {
    this.#memtables.active.delete(key, this.#writeAt(lsn));
  }

  dropRange({ start, end }: { readonly start: Uint8Array; readonly end: Uint8Array }): void {
    this.#memtables.drop({ start, end });
  }

  #writeAt(lsn: number) {
    if (lsn > this.#lsn) this.#lsn = lsn;
    return { lsn, keepLsn: this.#snapshots.newest };
  }

  inMemory(key: Uint8Array): boolean {
    return this.#memtables.has(key);
  }

  peek(key: Uint8Array): Uint8Array | null | undefined {
    return this.#memtables.peek(key);
  }

  rowsInMemory(rows: Rows): boolean {
    return this.#memtables.hasRows(rows);
  }

  peekRows(rows: Rows): PeekedRows {
    return this.#memtables.peekRows(rows);
  }

  async load(keys: readonly Uint8Array[]): Promise<void> {
    const slice = new Slice(this.#files.env.clock);
    for (let from = 0; from < keys.length; from += PART_KEYS) {
      await this.#load(keys.slice(from, from + PART_KEYS));
      if (slice.look()) await slice.next();
    }
  }

  /** What was found is placed in the turn that finds it; a flush meanwhile may have taken newer versions away. */
  async #load(keys: readonly Uint8Array[]): Promise<void> {
    for (;;) {
      const missing = keys.filter((key) => !this.inMemory(key));
      if (missing.length === 0) return;
      const flushes = this.#flushCount;
      const batch = KeyBatch.of(this.#memory, missing);
      try {
        const wait = this.#resolve(batch);
        if (wait !== null) await wait;
        if (flushes === this.#flushCount) return this.#place(missing, batch);
      } finally {
        batch.free();
      }
    }
  }

  #place(keys: readonly Uint8Array[], batch: KeyBatch): void {
    const { active } = this.#memtables;
    for (const [i, key] of keys.entries()) {
      if (this.inMemory(key)) continue;
      const lsn = batch.kindOf(i) === EntryKind.absent ? NOWHERE_LSN : batch.lsnOf(i);
      const value = batch.valueOf(i);
      const at = { lsn, keepLsn: this.#snapshots.newest };
      if (value === null) active.delete(key, at);
      else active.put(key, value, at);
    }
  }

  get(keys: readonly Uint8Array[], lsn?: number): Values | Promise<Values> {
    if (keys.length <= PART_KEYS) return this.#get(KeyBatch.of(this.#memory, keys, lsn));
    return this.#inParts(keys.length, lsn, (from, to, at) => this.get(keys.slice(from, to), at));
  }

  getRows({ prefix, ids }: Rows, lsn?: number): Values | Promise<Values> {
    if (ids.length <= PART_KEYS) return this.#get(KeyBatch.ofRows(this.#memory, { prefix, ids }, lsn));
    return this.#inParts(ids.length, lsn, (from, to, at) => this.getRows({ prefix, ids: ids.slice(from, to) }, at));
  }

  /** Many keys, in slices; a snapshot makes all parts see the same. */
  async #inParts(
    count: number,
    lsn: number | undefined,
    get: (from: number, to: number, lsn: number) => Values | Promise<Values>,
  ): Promise<Values> {
    const snapshot = this.#snapshots.take(lsn ?? this.#lsn);
    const slice = new Slice(this.#files.env.clock);
    const values: (Uint8Array | null)[] = [];
    try {
      for (let from = 0; from < count; from += PART_KEYS) {
        for (const value of await get(from, from + PART_KEYS, snapshot.lsn)) values.push(value);
        if (slice.look()) await slice.next();
      }
    } finally {
      snapshot.release();
    }
    return values;
  }

  #get(batch: KeyBatch): Values | Promise<Values> {
    const wait = this.#resolve(batch);
    if (wait !== null) return wait.then(() => batch.values()).finally(() => batch.free());
    const values = batch.values();
    batch.free();
    return values;
  }

  /** Looks for the keys of a batch everywhere. Null when it is done, which it is when all blocks are in the cache. */
  #resolve(batch: KeyBatch): Promise<void> | null {
    for (const table of this.#memtables.tables) if (batch.pendingCount > 0) table.find(batch);
    const { version, cache } = this.#files;
    version.hold();
    try {
      const wait = new Lookup(cache, batch).run(version);
      if (wait !== null) return wait.finally(() => version.release());
    } catch (error) {
      version.release();
      if (!(error instanceof StoreError)) throw error;
      return Promise.reject(error);
    }
    version.release();
    return null;
  }

  scan({ start, end, reverse = false, lsn = this.#lsn }: Range): AsyncIterable<readonly Entry[]> {
    return this.#scan({ start, end, reverse }, this.#snapshots.take(lsn));
  }

  async *#scan(
    range: KeyRange & { readonly reverse: boolean },
    snapshot: { readonly lsn: number; release(): void },
  ): AsyncGenerator<readonly Entry[]> {
    const { env, cache } = this.#files;
    try {
      yield* scan({ env, memory: this.#memory, cache, view: () => this.#view() }, range, snapshot.lsn);
    } finally {
      snapshot.release();
    }
  }

  #view(): View {
    const memtables = this.#memtables.hold();
    const { version, manifest } = this.#files;
    version.hold();
    return {
      memtables: memtables.tables,
      version,
      dropped: joinRanges([...manifest.dropped, ...this.#memtables.dropped]),
      release: () => {
        memtables.release();
        version.release();
      },
    };
  }

  snapshot(lsn: number): { readonly lsn: number; release(): void } {
    return this.#snapshots.take(lsn);
  }

  rotate(): void {
    this.#memtables.rotate();
  }

  putFrozen(key: Uint8Array, value: Uint8Array, lsn: number): void {
    invariant(this.#flushing === null, 'the frozen memtable is not being flushed');
    this.#memtables.putFrozen(key, value, this.#writeAt(lsn));
  }

  flush(checkpoint: Checkpoint): Promise<void> {
    invariant(this.#memtables.frozen !== null && this.#flushing === null, 'one frozen memtable is flushed at a time');
    this.#flushing = this.#flush(checkpoint).finally(() => (this.#flushing = null));
    return this.#flushing;
  }

  async #flush(checkpoint: Checkpoint): Promise<void> {
    const dropped = this.#memtables.frozenDropped;
    await this.#files.env.fail('tree.flush.begin');
    await this.#roomInLevel0();
    const made = await this.#writeFrozen();
    await this.#files.install(
      (manifest) => flushed(manifest, { made, checkpoint, dropped }),
      () => {
        this.#memtables.flushed();
        this.#flushCount++;
      },
    );
    for (const { size } of made) this.#flushedSize += size;
    this.#compactor.kick();
  }

  /** Runs must not pile up without bound; the journal holds what waits. */
  async #roomInLevel0(): Promise<void> {
    this.#isStalled = true;
    while (this.#compactor.isBehind) await this.#compactor.progress();
    this.#isStalled = false;
  }

  async #writeFrozen(): Promise<readonly SstFacts[]> {
    const { env, directory, version, cache } = this.#files;
    const { frozen, frozenDropped } = this.#memtables;
    const { files } = await rewrite({
      ...{ env, memory: this.#memory, directory, compressed: this.#compressed, fileSize: this.#sizes.fileSize },
      keep: { snapshots: this.#snapshots.lsns, bottom: version.strata.length === 0 },
      ranges: subtractRanges(allKeys, joinRanges(frozenDropped)),
      memtables: [frozen!],
      openRuns: () => Promise.resolve([]),
      fileNumber: () => this.#files.takeNumber(),
      isWide: () => false,
      throttle: new Throttle({ env, point: 'tree.flush.step', rate: Infinity, isReadWaiting: () => cache.loads > 0 }),
    });
    return files;
  }

  get checkpoint(): Checkpoint | null {
    return this.#files.manifest.checkpoint;
  }

  get activeSize(): number {
    return this.#memtables.active.size;
  }

  get frozenSize(): number {
    return this.#memtables.frozen?.size ?? 0;
  }

  discard(): void {
    invariant(this.#flushing === null, 'nothing is being flushed');
    this.#memtables.discard();
  }

  scrub(take: (size: number) => Promise<boolean>, damaged: (file: string) => void): Promise<void> {
    return scrubFiles(this.#files, take, damaged);
  }

  compacted(): Promise<void> {
    return this.#compactor.idle();
  }

  get stats(): TreeStats {
    const { runs, deeper } = this.#files.version.levels;
    const levels = [runs.flatMap(({ files }) => files), ...deeper.map(({ files }) => files)];
    return {
      levels: levels.map((files) => ({ files: files.length, size: sizeOf(files) })),
      runs: runs.length,
      flushedSize: this.#flushedSize,
      compactedSize: this.#compactor.writtenSize,
      memorySize: this.#memory.size,
      stalled: this.#isStalled,
      cache: this.#files.cache.stats,
    };
  }

  /** Reads must be over. */
  async close(): Promise<void> {
    await this.#compactor.close();
    await this.#flushing?.catch(() => undefined);
    await this.#files.close();
    this.#memtables.free();
  }
}
