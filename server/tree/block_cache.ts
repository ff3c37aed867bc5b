/**
 * The block cache: blocks of SSTs in slots of 16 KiB of the tree's memory, with a budget for each kind of block, so
 * that a scan over data never pushes out the indexes and filters that every lookup needs.
 *
 *   table.frames[block] -> frame -> slot          found without a search; null when the block is not here
 *
 * Invariants: a frame shows only bytes whose checksum was compared when they came from the disk; a pinned frame keeps
 * its content; readers that miss together share one read; when all frames of a kind are pinned, a slot beyond the
 * budget lives for as long as it is pinned.
 */
import { zstdDecompressSync } from 'node:zlib';
import { checkBlock, checkFilter, checkIndex, SLOT_SIZE, type LsmMemory } from '@transfer-queue/core/lsm';
import { checksumAt, sameChecksum, xxh64Of } from './checksum.ts';
import { forget, FramePool, type BlockKind, type Frame, type KindStats } from './frames.ts';
import { ReadBuffers } from './read_buffers.ts';
import type { SstTable } from './sst_table.ts';

/** Shares of the cache: at 16 KiB a block, an index takes 1/1000 of its data, filters 10 bits for each key. */
const kindShares: Readonly<Record<BlockKind, number>> = { data: 11 / 16, index: 1 / 16, filter: 4 / 16 };
/** File numbers are multiplied by more than a file has blocks. */
const BLOCKS_MAX = 2 ** 16;

/** Blocks [from, to) of a table. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export class BlockCache {
  readonly #memory: LsmMemory;
  readonly #pools: Readonly<Record<BlockKind, FramePool>>;
  readonly #buffers = new ReadBuffers();
  readonly #loading = new Map<number, Promise<Frame>>();
  /** Reads under way: background work gives way to them. */
  loads = 0;

  constructor(memory: LsmMemory, size: number) {
    const pool = (kind: BlockKind) => new FramePool(memory, kind, size * kindShares[kind]);
    this.#memory = memory;
    this.#pools = { data: pool('data'), index: pool('index'), filter: pool('filter') };
  }

  get stats(): Readonly<Record<BlockKind, KindStats>> {
    const { data, index, filter } = this.#pools;
    return { data: data.stats, index: index.stats, filter: filter.stats };
  }

  /** The frame of a block for use in this turn, null when it must be loaded. */
  find(table: SstTable, block: number): Frame | null {
    const frame = table.frames[block];
    if (frame === null) return null;
    frame.pool.stats.hits++;
    frame.pool.policy.use(frame);
    return frame;
  }

  /**
   * The pinned frame of a block; those of its neighbours in [from, to) that are not here are read along. Rejects with
   * `data_corrupt`. Call `unpin`.
   */
  async load(table: SstTable, block: number, along: Span = { from: block, to: block + 1 }): Promise<Frame> {
    for (;;) {
      const cached = this.find(table, block);
      if (cached !== null) {
        cached.pins++;
        return cached;
      }
      const loading = this.#loading.get(idOf(table, block));
      if (loading === undefined) return this.#startLoad(table, block, along);
      // The frame is pinned by whoever loads it, and by nobody else in between: look again.
      await loading;
    }
  }

  unpin(frame: Frame): void {
    frame.pins--;
    if (frame.pins === 0 && (frame.extra || frame.owner === null)) frame.pool.free(frame);
  }

  /** The table is gone: its blocks make room. */
  drop(table: SstTable): void {
    for (const frame of table.frames) {
      if (frame === null) continue;
      if (frame.pins === 0) frame.pool.free(frame);
      else forget(frame);
    }
  }

  #startLoad(table: SstTable, block: number, along: Span): Promise<Frame> {
    const id = idOf(table, block);
    const loading = this.#load(table, block, along).finally(() => this.#loading.delete(id));
    this.#loading.set(id, loading);
    return loading;
  }

  async #load(table: SstTable, block: number, along: Span): Promise<Frame> {
    const isAway = (other: number) => table.frames[other] === null && !this.#loading.has(idOf(table, other));
    let from = block;
    while (from > along.from && isAway(from - 1)) from--;
    let to = block + 1;
    while (to < along.to && isAway(to)) to++;
    const bytes = this.#buffers.take(table.sizeOf(from, to));
    this.loads++;
    try {
      await table.read(from, bytes);
      const frame = this.#place(table, block, { bytes, from });
      if (frame === null) throw table.corrupt(block, 'its checksum is wrong');
      for (let other = from; other < to; other++) {
        const neighbour = table.frames[other] === null ? this.#place(table, other, { bytes, from }) : null;
        if (neighbour !== null) this.unpin(neighbour);
      }
      return frame;
    } finally {
      this.loads--;
      this.#buffers.give(bytes);
    }
  }

  /** Puts a block of what was read, from block `from` on, into a pinned frame; null when it is damaged. */
  #place(table: SstTable, block: number, { bytes, from }: { bytes: Buffer; from: number }): Frame | null {
    const at = table.offsets[block] - table.offsets[from];
    const stored = bytes.subarray(at, at + table.storedSize(block));
    const pool = this.#pools[kindOf(table, block)];
    const frame = pool.take();
    pool.stats.misses++;
    frame.size = placeBlock(
      this.#memory,
      { stored, checksum: bytes.subarray(at + stored.length) },
      table,
      frame.address,
    );
    if (frame.size === 0 || !isSound(this.#memory, pool.kind, frame)) {
      pool.free(frame);
      return null;
    }
    frame.id = idOf(table, block);
    frame.owner = table;
    frame.block = block;
    table.frames[block] = frame;
    pool.policy.admit(frame);
    return frame;
  }
}

/** Copies a stored block to a slot, as it is read; returns its size, 0 when its checksum is wrong. */
export function placeBlock(
  memory: LsmMemory,
  { stored, checksum }: { stored: Uint8Array; checksum: Uint8Array },
  { compressed }: { compressed: boolean },
  address: number,
): number {
  if (compressed) {
    if (!sameChecksum(xxh64Of(memory, stored), checksum, 0)) return 0;
    const raw = zstdDecompressSync(stored, { maxOutputLength: SLOT_SIZE });
    memory.write(address, raw);
    return raw.length;
  }
  if (stored.length > SLOT_SIZE) return 0;
  memory.write(address, stored);
  return sameChecksum(checksumAt(memory, address, stored.length), checksum, 0) ? stored.length : 0;
}

function kindOf(table: SstTable, block: number): BlockKind {
  if (block < table.dataCount) return 'data';
  return block < table.indexBlock ? 'filter' : 'index';
}

/** The checksum says that the bytes are those that were written; this says that they make sense. */
function isSound(memory: LsmMemory, kind: BlockKind, { address, size }: { address: number; size: number }): boolean {
  if (kind === 'data') return checkBlock(memory, address, size);
  return kind === 'index' ? checkIndex(memory, address, size) : checkFilter(memory, address, size);
}

function idOf(table: SstTable, block: number): number {
  return table.number * BLOCKS_MAX + block;
}
