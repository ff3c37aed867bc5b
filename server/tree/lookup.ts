/**
 * Finds a batch of keys in the files of a version: one crossing into core.wasm for each file and filter that keys may
 * stand in, and one for all blocks together that are in the cache, never one for each key.
 *
 *   stratum -> files -> index -> filters -> data blocks        from new to old, until no key is pending
 *
 * As long as all blocks are in the cache it is done within the turn. From the first stratum with a missing block on it
 * goes on behind a promise, with the missing blocks of a stratum read together.
 *
 * Invariants: a key is taken from the newest stratum that has it; a damaged block fails the batches that need it, and
 * no other.
 */
import type { BlockItem, Group, KeyBatch } from '@transfer-queue/core/lsm';
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

interface Ready extends BlockItem {
  readonly table: SstTable;
  readonly block: number;
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
  /** Data blocks of the cache that are searched together, before anything waits. */
  #ready: Ready[] = [];

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
      this.#searchReady();
    } finally {
      // After a damaged block the lookup fails; what it left ready may not be in the cache any more.
      this.#ready = [];
      this.#cache.unpin(frame);
    }
  }

  #searchStratum({ tables, index }: Stratum, missing: Missing[]): void {
    index.search(this.#batch, (file, from, to) => this.#searchFile(tables[file], { from, to }, missing));
    this.#searchReady();
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
    for (let first = 0, next = 0; first < groups.length; first = next) {
      const { b: filter } = groups[first];
      for (; next < groups.length && groups[next].b === filter; next++) {
        if (groups[next].a < table.dataCount && filter < table.filterCount) continue;
        throw table.corrupt(table.indexBlock, 'it names blocks that are not there');
      }
      this.#searchFilter(table, groups.slice(first, next), missing);
    }
  }

  /** Groups of neighbouring blocks have the same filter. */
  #searchFilter(table: SstTable, groups: readonly Group[], missing: Missing[]): void {
    const block = table.filterBlock(groups[0].b);
    const frame = this.#cache.find(table, block);
    if (frame !== null) return this.#probe(table, groups, frame, missing);
    missing.push({ table, block, search: (loaded, more) => this.#probe(table, groups, loaded, more) });
  }

  #probe(table: SstTable, groups: readonly Group[], { address, size }: Frame, missing: Missing[]): void {
    const [first, last] = [groups[0], groups[groups.length - 1]];
    const left = this.#batch.filterProbe(first.from, last.to, address, size);
    if (left === null) throw table.corrupt(table.filterBlock(first.b), 'it is no filter');
    if (left === 0) return;
    for (const group of groups) {
      if (this.#batch.areMaybe(group.from, group.to)) this.#searchBlock(table, group, missing);
    }
  }

  #searchBlock(table: SstTable, group: Group, missing: Missing[]): void {
    const block = group.a;
    const frame = this.#cache.find(table, block);
    if (frame !== null) return this.#searchLater(table, group, frame);
    missing.push({ table, block, search: (loaded) => this.#searchLater(table, group, loaded) });
  }

  #searchLater(table: SstTable, { from, to, a }: Group, { address, size }: Frame): void {
    this.#ready.push({ table, block: a, from, to, address, size });
  }

  #searchReady(): void {
    const ready = this.#ready;
    if (ready.length === 0) return;
    this.#ready = [];
    if (this.#batch.blocksSearch(ready) !== null) return;
    for (const { table, block, from, to, address, size } of ready) {
      const found = this.#batch.blockSearch(from, to, address, size);
      if (found === null) throw table.corrupt(block, 'its entries are out of order');
    }
  }
}
