/**
 * A tree without files, for tests of what stands on one: sorted maps from keys to versions by LSN.
 *
 *   put, delete, load -> active --rotate--> frozen --flush--> base          discard: back to base
 *
 * It is as strict as a tree may be: it keeps no version that no snapshot sees, answers reads at an LSN only while a
 * snapshot holds it, and refuses keys and values that are too large and LSNs that fall. Answers come at once and as a
 * promise by turns, since a caller has to take both.
 */
import { Peeked, type PeekedRows, type RowsOfPut } from '@transfer-queue/core/lsm';
import { invariant } from '../../server/errors.ts';
import { numberKey } from '../../server/index/keys.ts';
import { writePuts } from '../../server/index/row_value.ts';
import {
  KEY_SIZE_MAX,
  VALUE_SIZE_MAX,
  type Checkpoint,
  type Entry,
  type Range,
  type Rows,
  type Tree,
  type TreeStats,
  type Values,
} from '../../server/tree/api.ts';

interface Version {
  readonly lsn: number;
  /** Null when it is a deletion. */
  readonly value: Uint8Array | null;
}

/** Versions by key, newest first. Keys are bytes as characters, so that they compare as bytes do. */
type Table = Map<string, readonly Version[]>;

const ENTRY_SIZE = 32;
/** Entries that a scan yields at a time. */
const SCAN_STEP = 7;
const NO_SECTION = { hits: 0, misses: 0, size: 0 };

export class PlainTree implements Tree {
  #active: Table = new Map();
  #frozen: Table | null = null;
  readonly #base: Table = new Map();
  readonly #snapshots: number[] = [];
  #lsn = 0;
  #checkpoint: Checkpoint | null = null;
  #reads = 0;
  readonly stats: TreeStats = {
    ...{ levels: [], runs: 0, flushedSize: 0, compactedSize: 0, memorySize: 0, stalled: false },
    cache: { data: NO_SECTION, index: NO_SECTION, filter: NO_SECTION },
  };

  get checkpoint(): Checkpoint | null {
    return this.#checkpoint;
  }

  get activeSize(): number {
    return sizeOf(this.#active);
  }

  get frozenSize(): number {
    return this.#frozen === null ? 0 : sizeOf(this.#frozen);
  }

  put(key: Uint8Array, value: Uint8Array, lsn: number): void {
    this.#write(key, value.slice(), lsn);
  }

  delete(key: Uint8Array, lsn: number): void {
    this.#write(key, null, lsn);
  }

  putMany(keys: readonly Uint8Array[], values: Values, lsn: number): void {
    for (const [i, key] of keys.entries()) this.#write(key, values[i]?.slice() ?? null, lsn);
  }

  putRows(rows: Rows & { readonly puts: readonly RowsOfPut[] }): void {
    const keys = keysOf(rows);
    for (const { rows: count, batch, ordinal = 0, lsn } of rows.puts) {
      for (const [i, key] of keys.splice(0, count).entries()) {
        this.put(key, writePuts({ batches: [batch], ordinals: [ordinal + i], count: 1 }), lsn);
      }
    }
  }

  dropRange(range: { readonly start: Uint8Array; readonly end: Uint8Array }): void {
    const isWithin = within(range);
    for (const table of this.#tables()) {
      for (const name of table.keys()) if (isWithin(name)) table.delete(name);
    }
  }

  inMemory(key: Uint8Array): boolean {
    return this.peek(key) !== undefined;
  }

  rowsInMemory(rows: Rows): boolean {
    return keysOf(rows).every((key) => this.inMemory(key));
  }

  peek(key: Uint8Array): Uint8Array | null | undefined {
    const name = nameOf(key);
    return (this.#active.get(name) ?? this.#frozen?.get(name))?.[0].value;
  }

  /** Few at a time, so that whoever asks must go on. */
  peekRows({ prefix, ids }: Rows): PeekedRows {
    const values = keysOf({ prefix, ids: ids.subarray(0, 16) }).map((key) => this.peek(key));
    const sizes = values.map((value) => value?.length ?? (value === null ? Peeked.deleted : Peeked.unknown));
    return { sizes: Uint32Array.from(sizes), bytes: Buffer.concat(values.map((value) => value ?? new Uint8Array(0))) };
  }

  /** What is read may be outdated when it arrives: a key that a memtable knows by then is left alone. */
  async load(keys: readonly Uint8Array[]): Promise<void> {
    const found = keys.map((key) => this.#base.get(nameOf(key))?.[0] ?? { lsn: 0, value: null });
    await Promise.resolve();
    for (const [i, key] of keys.entries()) if (!this.inMemory(key)) this.#active.set(nameOf(key), [found[i]]);
  }

  get(keys: readonly Uint8Array[], lsn?: number): Values | Promise<Values> {
    this.#checkLsn(lsn);
    const values = keys.map((key) => this.#find(nameOf(key), lsn)?.value ?? null);
    return this.#reads++ % 2 === 0 ? values : Promise.resolve(values);
  }

  getRows(rows: Rows, lsn?: number): Values | Promise<Values> {
    return this.get(keysOf(rows), lsn);
  }

  scan(range: Range): AsyncIterable<readonly Entry[]> {
    this.#checkLsn(range.lsn);
    const names = this.#tables().flatMap((table) => [...table.keys()].filter(within(range)));
    const sorted = [...new Set(names)].sort();
    if (range.reverse === true) sorted.reverse();
    const entries = sorted.flatMap((name) => {
      const value = this.#find(name, range.lsn)?.value ?? null;
      return value === null ? [] : [{ key: Buffer.from(name, 'latin1'), value }];
    });
    return inSteps(entries);
  }

  snapshot(lsn: number): { readonly lsn: number; release(): void } {
    this.#snapshots.push(lsn);
    return {
      lsn,
      release: () => {
        const at = this.#snapshots.indexOf(lsn);
        invariant(at !== -1, 'a snapshot is released once');
        this.#snapshots.splice(at, 1);
        for (const table of this.#tables()) {
          for (const [name, versions] of table) table.set(name, this.#needed(versions));
        }
      },
    };
  }

  rotate(): void {
    invariant(this.#frozen === null, 'one memtable is frozen at a time');
    this.#frozen = this.#active;
    this.#active = new Map();
  }

  putFrozen(key: Uint8Array, value: Uint8Array, lsn: number): void {
    invariant(this.#frozen !== null, 'a memtable is frozen');
    this.#add(this.#frozen, key, { lsn, value: value.slice() });
  }

  async flush(checkpoint: Checkpoint): Promise<void> {
    const frozen = this.#frozen;
    invariant(frozen !== null, 'a memtable is frozen');
    await Promise.resolve();
    for (const [name, versions] of frozen) {
      const newer = new Set(versions.map(({ lsn }) => lsn));
      const older = (this.#base.get(name) ?? []).filter(({ lsn }) => !newer.has(lsn));
      this.#base.set(name, this.#needed([...versions, ...older]));
    }
    this.#frozen = null;
    this.#checkpoint = checkpoint;
  }

  discard(): void {
    this.#active = new Map();
    this.#frozen = null;
    this.#lsn = 0;
  }

  scrub(): Promise<void> {
    return Promise.resolve();
  }

  compacted(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** How many versions it keeps of all keys; deletions count. */
  get versionCount(): number {
    return this.#tables().reduce((sum, table) => [...table.values()].reduce((n, list) => n + list.length, sum), 0);
  }

  #tables(): Table[] {
    return this.#frozen === null ? [this.#active, this.#base] : [this.#active, this.#frozen, this.#base];
  }

  #write(key: Uint8Array, value: Uint8Array | null, lsn: number): void {
    invariant(lsn >= this.#lsn, `LSNs rise: ${lsn} comes after ${this.#lsn}`);
    this.#lsn = lsn;
    this.#add(this.#active, key, { lsn, value });
  }

  #add(table: Table, key: Uint8Array, version: Version): void {
    invariant(key.length <= KEY_SIZE_MAX, `a key of ${key.length} bytes`);
    invariant((version.value?.length ?? 0) <= VALUE_SIZE_MAX, `a value of ${version.value?.length} bytes`);
    const name = nameOf(key);
    const before = (table.get(name) ?? []).filter(({ lsn }) => lsn !== version.lsn);
    table.set(name, this.#needed([version, ...before]));
  }

  /** The newest version, and those that a snapshot sees. */
  #needed(versions: readonly Version[]): readonly Version[] {
    return versions.filter(
      ({ lsn }, i) => i === 0 || this.#snapshots.some((at) => at >= lsn && at < versions[i - 1].lsn),
    );
  }

  #find(name: string, lsn = Infinity): Version | undefined {
    for (const table of this.#tables()) {
      const found = table.get(name)?.find((version) => version.lsn <= lsn);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #checkLsn(lsn: number | undefined): void {
    invariant(lsn === undefined || this.#snapshots.includes(lsn), `a snapshot holds the state of ${lsn}`);
  }
}

function keysOf({ prefix, ids }: Rows): Uint8Array[] {
  return Array.from(ids, (id) => Buffer.concat([prefix, numberKey(id)]));
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

/** Whether a key lies in a range. */
function within(range: { readonly start: Uint8Array; readonly end: Uint8Array }): (name: string) => boolean {
  const [start, end] = [nameOf(range.start), nameOf(range.end)];
  return (name) => name >= start && name < end;
}

function sizeOf(table: Table): number {
  let size = 0;
  for (const [name, versions] of table) {
    for (const { value } of versions) size += name.length + (value?.length ?? 0) + ENTRY_SIZE;
  }
  return size;
}

async function* inSteps(entries: readonly Entry[]): AsyncGenerator<readonly Entry[]> {
  for (let from = 0; from < entries.length; from += SCAN_STEP) {
    await Promise.resolve();
    yield entries.slice(from, from + SCAN_STEP);
  }
}
