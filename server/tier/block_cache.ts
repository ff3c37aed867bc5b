/**
 * The read cache of cold bytes: blocks of extents that came from disk, verified once when they came.
 *
 *   extent   | block 0 (1 MiB) | block 1 | ... | block k (the rest) |        slot = memory for one block
 *
 * Invariants: no byte of a slot is shown before its xxh64 was compared with the one that its writer sent; a pinned slot
 * is not reused; whoever waits for a slot holds none, so that readers cannot block each other for ever.
 */
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { invariant, StoreError } from '../errors.ts';
import type { Arena } from './arena.ts';
import { blockSize, isIntact } from './blocks.ts';

/** An extent as the cache sees it: `key` is never used again for other bytes. */
export interface BlockSource {
  readonly key: number;
  readonly offset: number;
  readonly length: number;
  readonly blocks: Uint8Array;
  readonly segmentId: number;
  /** Reads at a position of the segment; resolves to the number of bytes read. */
  read(into: Uint8Array, position: number): Promise<number>;
}

export interface Slot {
  readonly memory: Buffer;
  key: string;
  pins: number;
  /** Settles when the block is there and verified. */
  loaded: Promise<void>;
}

export class BlockCache {
  readonly #core: Core;
  readonly #free: Slot[] = [];
  /** Least recently used first. */
  readonly #slots = new Map<string, Slot>();
  #waiters: (() => void)[] = [];
  hits = 0;
  misses = 0;

  constructor(options: { arena: Arena; core: Core; size: number }) {
    this.#core = options.core;
    const run = options.arena.take(options.size);
    invariant(run !== null, 'the arena has room for the block cache');
    for (let at = 0; at + CHECKSUM_BLOCK_SIZE <= run.bytes.length; at += CHECKSUM_BLOCK_SIZE) {
      const memory = run.bytes.subarray(at, at + CHECKSUM_BLOCK_SIZE);
      this.#free.push({ memory, key: '', pins: 0, loaded: Promise.resolve() });
    }
  }

  /** The pinned slot of a block, or null when all slots are pinned; `slot.loaded` says when its bytes may be read. */
  take(source: BlockSource, block: number): Slot | null {
    const key = `${source.key}:${block}`;
    const known = this.#slots.get(key);
    if (known !== undefined) {
      this.hits++;
      known.pins++;
      this.#slots.delete(key);
      this.#slots.set(key, known);
      return known;
    }
    const slot = this.#free.pop() ?? this.#evict();
    if (slot === null) return null;
    this.misses++;
    slot.key = key;
    // One for the caller, one for the load: the slot is not reused while bytes still come.
    slot.pins = 2;
    this.#slots.set(key, slot);
    slot.loaded = this.#load(slot, source, block);
    void slot.loaded.catch(() => this.#slots.delete(key)).then(() => this.unpin(slot));
    return slot;
  }

  /** Resolves when a slot may be free. */
  room(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  unpin(slot: Slot): void {
    slot.pins--;
    if (slot.pins > 0) return;
    if (this.#slots.get(slot.key) !== slot) this.#free.push(slot);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  #evict(): Slot | null {
    for (const [key, slot] of this.#slots) {
      if (slot.pins > 0) continue;
      this.#slots.delete(key);
      return slot;
    }
    return null;
  }

  async #load(slot: Slot, source: BlockSource, block: number): Promise<void> {
    const from = block * CHECKSUM_BLOCK_SIZE;
    const bytes = slot.memory.subarray(0, blockSize(source, block));
    const count = await source.read(bytes, source.offset + from);
    if (isIntact(this.#core, source, block, bytes.subarray(0, count))) return;
    const where = { segment: source.segmentId, offset: source.offset + from, length: bytes.length };
    throw new StoreError('data_corrupt', where);
  }
}
