/**
 * The tree and LevelDB behind one interface, each in its best mode as measured: the tree with batched puts and gets,
 * LevelDB with chained batches, `getSync` and `nextv`. Both have the same memtable, cache and filter sizes, no
 * compression, and write each batch to a log without syncing it.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { realEnv } from '../../../server/env/real.ts';
import type { Tree } from '../../../server/tree/api.ts';
import { openTree, type TreeOptions } from '../../../server/tree/tree.ts';
import { quietLog } from '../../support/sim_env.ts';
import type { Batch } from './entries.ts';

export interface Sizes {
  readonly memtableSize: number;
  readonly cacheSize: number;
  /** Of the tree alone; LevelDB's levels are fixed. */
  readonly level0Size?: number;
}

export interface Store {
  put(batch: Batch): Promise<void> | void;
  get(keys: readonly Buffer[]): Promise<Values> | Values;
  /** Calls `visit` with all entries in order; returns their number. */
  scan(visit: (key: Uint8Array, value: Uint8Array) => void): Promise<number>;
  close(): Promise<void>;
}

export type Values = readonly (Uint8Array | null | undefined)[];

const SCAN_ENTRIES = 1_000;
/** Puts leave the event loop to flushes each so often. */
const TURN_PUTS = 8;
const LAST_KEY = Buffer.alloc(64, 255);

export class TreeStore implements Store {
  readonly tree: Tree;
  readonly #memtableSize: number;
  readonly #log: number;
  #buffer = Buffer.alloc(0);
  #lsn = 0;
  #puts = 0;
  #flushing: Promise<void> | null = null;

  private constructor(tree: Tree, memtableSize: number, log: number) {
    this.tree = tree;
    this.#memtableSize = memtableSize;
    this.#log = log;
  }

  static async open(directory: string, { memtableSize, ...sizes }: Sizes, more: Partial<TreeOptions> = {}) {
    const files = join(directory, 'tree');
    await mkdir(files, { recursive: true });
    const tree = await openTree({ env: realEnv(quietLog), directory: files, ...sizes, ...more });
    return new TreeStore(tree, memtableSize, openSync(join(directory, 'log'), 'w'));
  }

  async put(batch: Batch): Promise<void> {
    this.#append(batch);
    this.tree.putMany(batch.keys, batch.values, ++this.#lsn);
    if (this.tree.activeSize >= this.#memtableSize) {
      await this.#flushing;
      this.#flushing = this.flush();
    }
    if (++this.#puts % TURN_PUTS === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  /** What the journal does for the server: the bytes of the batch, handed to the system. */
  #append({ keys, values }: Batch): void {
    const size = keys.length * (keys[0].length + values[0].length);
    if (this.#buffer.length < size) this.#buffer = Buffer.allocUnsafe(size);
    let at = 0;
    for (let i = 0; i < keys.length; i++) {
      at += keys[i].copy(this.#buffer, at);
      at += values[i].copy(this.#buffer, at);
    }
    writeSync(this.#log, this.#buffer, 0, size);
  }

  flush(): Promise<void> {
    this.tree.rotate();
    return this.tree.flush({ lsn: this.#lsn });
  }

  /** Everything is in files and no compaction is due. */
  async settle(): Promise<void> {
    await this.#flushing;
    await this.flush();
    await this.tree.compacted();
  }

  get(keys: readonly Buffer[]): Promise<Values> | Values {
    return this.tree.get(keys);
  }

  async scan(visit: (key: Uint8Array, value: Uint8Array) => void): Promise<number> {
    let count = 0;
    for await (const entries of this.tree.scan({ start: Buffer.alloc(0), end: LAST_KEY })) {
      for (const { key, value } of entries) visit(key, value);
      count += entries.length;
    }
    return count;
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.tree.close();
    closeSync(this.#log);
  }
}

export class LevelStore implements Store {
  readonly level: ClassicLevel<Buffer, Buffer>;

  private constructor(level: ClassicLevel<Buffer, Buffer>) {
    this.level = level;
  }

  static async open(directory: string, { memtableSize, cacheSize }: Sizes): Promise<LevelStore> {
    const encodings = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;
    const level = new ClassicLevel<Buffer, Buffer>(join(directory, 'level'), encodings);
    await level.open({ compression: false, writeBufferSize: memtableSize, cacheSize });
    return new LevelStore(level);
  }

  async put({ keys, values }: Batch): Promise<void> {
    const chain = this.level.batch();
    for (let i = 0; i < keys.length; i++) chain.put(keys[i], values[i]);
    await chain.write();
  }

  async settle(): Promise<void> {
    await this.level.compactRange(Buffer.alloc(0), LAST_KEY);
  }

  get(keys: readonly Buffer[]): Values {
    return keys.map((key) => this.level.getSync(key));
  }

  async scan(visit: (key: Uint8Array, value: Uint8Array) => void): Promise<number> {
    const iterator = this.level.iterator();
    let count = 0;
    for (;;) {
      const entries = await iterator.nextv(SCAN_ENTRIES);
      if (entries.length === 0) break;
      for (const [key, value] of entries) visit(key, value);
      count += entries.length;
    }
    await iterator.close();
    return count;
  }

  close(): Promise<void> {
    return this.level.close();
  }
}
