/**
 * Bytes of extents in memory: from the arena while their segment is resident, else from disk through the block cache.
 *
 * Whatever is given out stays where it is until its `Holds` are released: arena runs are pinned, and so are cache
 * slots.
 */
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Segments } from '../segment/segments.ts';
import type { Arena, Run } from '../tier/arena.ts';
import type { BlockCache, Slot } from '../tier/block_cache.ts';
import type { LiveExtent } from './partition.ts';

/** What keeps views valid. One object serves any number of them. */
export class Holds {
  readonly runs: Run[] = [];
  readonly slots: Slot[] = [];
}

export class ExtentReader {
  readonly #segments: Segments;
  readonly #arena: Arena;
  readonly #blocks: BlockCache;

  constructor(options: { segments: Segments; arena: Arena; blocks: BlockCache }) {
    this.#segments = options.segments;
    this.#arena = options.arena;
    this.#blocks = options.blocks;
  }

  release(holds: Holds): void {
    for (const run of holds.runs) this.#arena.unpin(run);
    for (const slot of holds.slots) this.#blocks.unpin(slot);
    holds.runs.length = 0;
    holds.slots.length = 0;
  }

  /** A view of a range of an extent, or null when its segment is not resident. */
  resident(extent: LiveExtent, offset: number, length: number, holds: Holds): Buffer | null {
    const { run } = extent.place.segment;
    if (run === null) return null;
    if (holds.runs.at(-1) !== run) {
      this.#arena.pin(run);
      holds.runs.push(run);
    }
    return run.bytes.subarray(extent.place.offset + offset, extent.place.offset + offset + length);
  }

  /**
   * A view of the first bytes of a cold range, up to the end of their block. Null when `mayWait` is false and every
   * slot of the cache is pinned. Rejects with `data_corrupt`.
   */
  async cold(
    extent: LiveExtent,
    range: { offset: number; length: number },
    holds: Holds,
    mayWait: boolean,
  ): Promise<Buffer | null> {
    const block = Math.floor(range.offset / CHECKSUM_BLOCK_SIZE);
    const source = {
      key: extent.key,
      offset: extent.place.offset,
      length: extent.length,
      blocks: extent.blocks,
      segmentId: extent.place.segment.id,
      read: (into: Uint8Array, position: number) => this.#segments.read(extent.place.segment, into, position),
    };
    let slot = this.#blocks.take(source, block);
    while (slot === null) {
      if (!mayWait) return null;
      await this.#blocks.room();
      slot = this.#blocks.take(source, block);
    }
    holds.slots.push(slot);
    await slot.loaded;
    const from = range.offset - block * CHECKSUM_BLOCK_SIZE;
    return slot.memory.subarray(from, Math.min(from + range.length, CHECKSUM_BLOCK_SIZE));
  }

  /** A range of an extent in one buffer: a view while it is resident, else a copy. */
  async whole(extent: LiveExtent, offset: number, length: number, holds: Holds): Promise<Buffer> {
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
}
