/**
 * The memtables of a tree: the active one that takes writes, and the frozen one that is being flushed.
 *
 *   active --rotate--> frozen --flushed--> gone, when its last reader has left
 *
 * Invariants: for each key the active memtable has the newer version; dropped ranges belong to the memtable during
 * which they were dropped, and go to the manifest with its flush.
 */
import { Memtable, type LsmMemory, type PeekedRows, type WriteAt } from '@transfer-queue/core/lsm';
import { invariant } from '../errors.ts';
import type { Rows } from './api.ts';
import type { KeyRange } from './keys.ts';

/** A memtable with its readers. */
class Shared {
  readonly memtable: Memtable;
  readonly dropped: KeyRange[] = [];
  #holders = 1;

  constructor(memory: LsmMemory) {
    this.memtable = new Memtable(memory);
  }

  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders === 0) this.memtable.free();
  }
}

export interface HeldMemtables {
  /** Newest first. */
  readonly tables: readonly Memtable[];
  release(): void;
}

export class Memtables {
  readonly #memory: LsmMemory;
  #active: Shared;
  #frozen: Shared | null = null;

  constructor(memory: LsmMemory) {
    this.#memory = memory;
    this.#active = new Shared(memory);
  }

  get active(): Memtable {
    return this.#active.memtable;
  }

  get frozen(): Memtable | null {
    return this.#frozen?.memtable ?? null;
  }

  /** Newest first. */
  get tables(): readonly Memtable[] {
    return this.#frozen === null ? [this.active] : [this.active, this.#frozen.memtable];
  }

  has(key: Uint8Array): boolean {
    return this.active.has(key) || (this.frozen?.has(key) ?? false);
  }

  /** The newest version: null when it deletes, undefined when there is none. */
  peek(key: Uint8Array): Uint8Array | null | undefined {
    const value = this.active.get(key);
    return value === undefined ? this.frozen?.get(key) : value;
  }

  hasRows(rows: Rows): boolean {
    return this.active.hasRows(rows, this.frozen);
  }

  peekRows(rows: Rows): PeekedRows {
    return this.active.peekRows(rows, this.frozen);
  }

  putFrozen(key: Uint8Array, value: Uint8Array, at: WriteAt): void {
    invariant(this.frozen !== null, 'a memtable is frozen');
    this.frozen.put(key, value, at);
    // A version that was loaded since may be older, and would hide this one.
    if (this.active.has(key)) this.active.put(key, value, at);
  }

  drop(range: KeyRange): void {
    this.#active.dropped.push(range);
  }

  /** All ranges that were dropped and not flushed yet. */
  get dropped(): readonly KeyRange[] {
    return [...this.frozenDropped, ...this.#active.dropped];
  }

  get frozenDropped(): readonly KeyRange[] {
    return this.#frozen?.dropped ?? [];
  }

  rotate(): void {
    invariant(this.#frozen === null, 'one memtable is frozen at a time');
    this.#frozen = this.#active;
    this.#active = new Shared(this.#memory);
  }

  /** The frozen memtable is in files now. */
  flushed(): void {
    this.#frozen?.release();
    this.#frozen = null;
  }

  discard(): void {
    this.flushed();
    this.#active.release();
    this.#active = new Shared(this.#memory);
  }

  /** Both as they are now, for a reader that must wait in between. */
  hold(): HeldMemtables {
    const held = this.#frozen === null ? [this.#active] : [this.#active, this.#frozen];
    for (const one of held) one.hold();
    return {
      tables: held.map(({ memtable }) => memtable),
      release: () => {
        for (const one of held) one.release();
      },
    };
  }

  free(): void {
    this.flushed();
    this.#active.release();
  }
}
