/**
 * Bytes of extents in memory: from the arena while their segment is resident, else from disk through the block cache.
 *
 * Whatever is given out stays where it is until its `Holds` are released: arena runs are pinned, and so are cache
 * slots. An extent may move while it is read: its place is looked up in the turn in which a read begins, and a read
 * that has begun keeps the file (see `Segments.read`).
 */
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Segments } from '../segment/segments.ts';
import type { SegmentExtent } from '../segment/segment.ts';
import type { Arena, Run } from '../tier/arena.ts';
import type { BlockCache, Slot } from '../tier/block_cache.ts';
import { damageKind, type Damage } from './damage.ts';

/** What keeps views valid. One object serves any number of them. */
export class Holds {
  readonly runs: Run[] = [];
  readonly slots: Slot[] = [];
}

export class ExtentReader {
  readonly #segments: Segments;
  readonly #arena: Arena;
  readonly #blocks: BlockCache;
  readonly #damage: Damage;

  constructor(options: { segments: Segments; arena: Arena; blocks: BlockCache; damage: Damage }) {
    this.#segments = options.segments;
    this.#arena = options.arena;
    this.#blocks = options.blocks;
    this.#damage = options.damage;
  }

  release(holds: Holds): void {
    for (const run of holds.runs) this.#arena.unpin(run);
    for (const slot of holds.slots) this.#blocks.unpin(slot);
    holds.runs.length = 0;
    holds.slots.length = 0;
  }

  /** A view of a range of an extent, or null when its segment is not resident. */
  resident(extent: SegmentExtent, offset: number, length: number, holds: Holds): Buffer | null {
    const { segment, offset: start } = extent.place;
    const { run } = segment;
    if (run === null) return null;
    if (holds.runs.at(-1) !== run) {
      this.#arena.pin(run);
      holds.runs.push(run);
    }
    return run.bytes.subarray(start + offset, start + offset + length);
  }

  /**
   * A view of the first bytes of a cold range, up to the end of their block. Null when `mayWait` is false and every
   * slot of the cache is pinned. Rejects with `data_corrupt`.
   */
  async cold(
    extent: SegmentExtent,
    range: { offset: number; length: number },
    holds: Holds,
    mayWait: boolean,
  ): Promise<Buffer | null> {
    const block = Math.floor(range.offset / CHECKSUM_BLOCK_SIZE);
    for (;;) {
      const taken = await this.#take(extent, block, mayWait);
      if (taken === null) return null;
      const { slot, isOwn } = taken;
      try {
        await slot.loaded;
      } catch (error) {
        this.#blocks.unpin(slot);
        // Who shared the load of another tries its own: a disk that failed once fails one reader.
        if (isOwn) await this.#judge(extent, block, error);
        continue;
      }
      if (isOwn) this.#damage.forget(extent, block);
      holds.slots.push(slot);
      const from = range.offset - block * CHECKSUM_BLOCK_SIZE;
      return slot.memory.subarray(from, Math.min(from + range.length, CHECKSUM_BLOCK_SIZE));
    }
  }

  /** A range of an extent in one buffer: a view while it is resident, else a copy. */
  async whole(extent: SegmentExtent, offset: number, length: number, holds: Holds): Promise<Buffer> {
    const view = this.resident(extent, offset, length, holds);
    if (view !== null) return view;
    const copy = Buffer.allocUnsafeSlow(length);
    const passing = new Holds();
    for (let at = 0; at < length;) {
      try {
        const piece = await this.cold(extent, { offset: offset + at, length: length - at }, passing, true);
        copy.set(piece!, at);
        at += piece!.length;
      } finally {
        this.release(passing);
      }
    }
    return copy;
  }

  /** The slot of a block, and whether its load began here. */
  async #take(extent: SegmentExtent, block: number, mayWait: boolean): Promise<{ slot: Slot; isOwn: boolean } | null> {
    for (;;) {
      const { segment, offset } = extent.place;
      const { misses } = this.#blocks;
      const slot = this.#blocks.take(
        {
          key: extent.key,
          offset,
          length: extent.length,
          blocks: extent.blocks,
          segmentId: segment.id,
          read: (into, position) => this.#segments.read(segment, into, position),
        },
        block,
      );
      if (slot !== null) return { slot, isOwn: this.#blocks.misses > misses };
      if (!mayWait) return null;
      await this.#blocks.room();
    }
  }

  /** Returns when the block was restored and may be read again. */
  async #judge(extent: SegmentExtent, block: number, error: unknown): Promise<void> {
    const kind = damageKind(error);
    if (kind === null) throw error;
    if ((await this.#damage.report(extent, block, kind, 'read')) === 'bad') throw this.#damage.refusal(extent, block);
  }
}
