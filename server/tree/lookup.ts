/**
 * Finds a batch of keys in the files of a version: one crossing into core.wasm for each file, filter and block that
 * keys may stand in, never one for each key.
 *
 *   stratum -> files -> index -> filter -> data block        from new to old, until no key is pending
 *
 * As long as all blocks are in the cache it is done within the turn. From the first stratum with a missing block on it
 * goes on behind a promise, with the missing blocks of a stratum read together.
 *
 * Invariants: a key is taken from the newest stratum that has it; a damaged block fails the batches that need it, and
 * no other.
 */
import type { Group, KeyBatch } from '@transfer-queue/core/lsm';
import type { BlockCache } from './block_cache.ts';
import type { Frame } from './frames.ts';
import type { SstTable } from './sst_table.ts';
import type { Stratum, Version } from './version.ts';

/** Blocks that one lookup reads at a time. */
const READS_MAX = 32;

/** Of pending keys, `to` exclusive. */
interface Positions {
  readonly from: number;
  readonly to: number;
}

/** A block that keys of the batch wait for. */
interface Missing {
  readonly table: SstTable;
  readonly block: number;
  /** What to do with the block when it is there; may miss others. */
  readonly search: (frame: Frame, missing: Missing[]) => void;
}

export class Lookup {
  readonly #cache: BlockCache;
  readonly #batch: KeyBatch;

  constructor(cache: BlockCache, batch: KeyBatch) {
    this.#cache = cache;
    this.#batch = batch;
  }

  /** Null when it is done; else a promise, until whose end the version must be held. */
  run({ strata }: Version, from = 0): Promise<void> | null {
    for (let i = from; i < strata.length && this.#batch.pendingCount > 0; i++) {
      const missing: Missing[] = [];
      this.#searchStratum(strata[i], missing);
      if (missing.length > 0) return this.#runOn(strata, i, missing);
      this.#batch.settle();
    }
    return null;
  }

  async #runOn(strata: readonly Stratum[], at: number, missing: Missing[]): Promise<void> {
    await this.#read(missing);
    for (let i = at + 1; this.#batch.settle() > 0 && i < strata.length; i++) {
      const more: Missing[] = [];
      this.#searchStratum(strata[i], more);
      await this.#read(more);
    }
  }

  /** Reads missing blocks, and those that they lead to. Waits for all, since a read that is over needs the batch. */
  async #read(missing: Missing[]): Promise<void> {
    while (missing.length > 0) {
      const some = missing.splice(0, READS_MAX);
      const outcomes = await Promise.allSettled(some.map((one) => this.#readOne(one, missing)));
      const failed = outcomes.find(({ status }) => status === 'rejected');
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    }
  }

  async #readOne({ table, block, search }: Missing, missing: Missing[]): Promise<void> {
    const frame = await this.#cache.load(table, block);
    try {
      search(frame, missing);
    } finally {
      this.#cache.unpin(frame);
    }
  }

  #searchStratum({ tables, index }: Stratum, missing: Missing[]): void {
    index.search(this.#batch, (file, from, to) => this.#searchFile(tables[file], { from, to }, missing));
  }

  #searchFile(table: SstTable, positions: Positions, missing: Missing[]): void {
    const block = table.indexBlock;
    const frame = this.#cache.find(table, block);
    if (frame !== null) return this.#searchIndex(table, positions, frame, missing);
    missing.push({ table, block, search: (loaded, more) => this.#searchIndex(table, positions, loaded, more) });
  }

  #searchIndex(table: SstTable, { from, to }: Positions, { address, size }: Frame, missing: Missing[]): void {
    const groups = this.#batch.indexSearch(from, to, address, size);
    if (groups === null) throw table.corrupt(table.indexBlock, 'its entries are out of order');
    for (const group of groups) {
      if (group.a >= table.dataCount || group.b >= table.filterCount) {
        throw table.corrupt(table.indexBlock, 'it names blocks that are not there');
      }
      this.#searchGroup(table, group, missing);
    }
  }

  #searchGroup(table: SstTable, group: Group, missing: Missing[]): void {
    const block = table.filterBlock(group.b);
    const frame = this.#cache.find(table, block);
    if (frame !== null) return this.#probe(table, group, frame, missing);
    missing.push({ table, block, search: (loaded, more) => this.#probe(table, group, loaded, more) });
  }

  #probe(table: SstTable, group: Group, { address, size }: Frame, missing: Missing[]): void {
    const left = this.#batch.filterProbe(group.from, group.to, address, size);
    if (left === null) throw table.corrupt(table.filterBlock(group.b), 'it is no filter');
    if (left === 0) return;
    const block = group.a;
    const frame = this.#cache.find(table, block);
    if (frame !== null) return this.#searchData(table, group, frame);
    missing.push({ table, block, search: (loaded) => this.#searchData(table, group, loaded) });
  }

  #searchData(table: SstTable, { from, to, a }: Group, { address, size }: Frame): void {
    const found = this.#batch.blockSearch(from, to, address, size);
    if (found === null) throw table.corrupt(a, 'its entries are out of order');
  }
}
