/**
 * What a reader sees: the files of one moment, by age. A reader that must wait holds its version, and with it the
 * files, while edits go on.
 *
 *   version 7 -> run 3, run 2, level 1, level 2          version 8 -> run 4, run 3, run 2, level 1, level 2
 *   each stratum (a run or a level) -> its tables        strata that an edit did not change are shared
 *
 * Invariants: strata stand from new to old; files of a stratum are in order of their keys and do not overlap; a table
 * that no stratum holds any more, and that the manifest does not name, is closed and its file unlinked.
 */
import type { LsmMemory } from '@transfer-queue/core/lsm';
import { KeyIndex } from './key_index.ts';
import { cutsOf, type Levels, type Run } from './levels.ts';
import type { SstRecord } from './manifest.ts';
import type { SstTable } from './sst_table.ts';

/** Counts its holders; the last one frees it. */
class Shared {
  #holders = 1;
  readonly #free: () => void;

  constructor(free: () => void) {
    this.#free = free;
  }

  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders === 0) this.#free();
  }
}

export class Stratum {
  readonly records: readonly SstRecord[];
  readonly tables: readonly SstTable[];
  readonly index: KeyIndex;
  readonly shared: Shared;

  constructor(memory: LsmMemory, records: readonly SstRecord[], registry: TableRegistry) {
    this.records = records;
    this.tables = records.map(({ number }) => registry.hold(number));
    this.index = new KeyIndex(
      memory,
      records.map(({ first }) => first),
    );
    this.shared = new Shared(() => {
      this.index.free();
      for (const { number } of records) registry.release(number);
    });
  }

  isOf({ files }: Run): boolean {
    return files.length === this.records.length && files.every((file, i) => file === this.records[i]);
  }
}

export class Version {
  readonly levels: Levels;
  readonly strata: readonly Stratum[];
  /** Lowest keys of trimmed files, ascending: what lies below them in these files counts no longer. */
  readonly cuts: readonly Uint8Array[];
  readonly #shared: Shared;

  constructor(options: { memory: LsmMemory; levels: Levels; registry: TableRegistry; before: Version | null }) {
    const { memory, levels, registry, before } = options;
    this.levels = levels;
    this.strata = [...levels.runs, ...levels.deeper]
      .filter(({ files }) => files.length > 0)
      .map((run) => {
        const same = before?.strata.find((stratum) => stratum.isOf(run));
        same?.shared.hold();
        return same ?? new Stratum(memory, run.files, registry);
      });
    this.cuts = cutsOf(this.strata.flatMap(({ records }) => records));
    this.#shared = new Shared(() => {
      for (const { shared } of this.strata) shared.release();
    });
  }

  hold(): void {
    this.#shared.hold();
  }

  release(): void {
    this.#shared.release();
  }
}

/** All tables that somebody holds, by file number. */
export class TableRegistry {
  readonly #tables = new Map<number, { readonly table: SstTable; holders: number }>();
  readonly #dropped: (table: SstTable) => void;

  /** `dropped` is called when the last holder of a table lets go. */
  constructor(dropped: (table: SstTable) => void) {
    this.#dropped = dropped;
  }

  /** Held by the caller until `release`. */
  add(table: SstTable): void {
    this.#tables.set(table.number, { table, holders: 1 });
  }

  hold(number: number): SstTable {
    const entry = this.#tables.get(number)!;
    entry.holders++;
    return entry.table;
  }

  release(number: number): void {
    const entry = this.#tables.get(number)!;
    if (--entry.holders > 0) return;
    this.#tables.delete(number);
    this.#dropped(entry.table);
  }

  get(number: number): SstTable {
    return this.#tables.get(number)!.table;
  }

  get count(): number {
    return this.#tables.size;
  }
}
