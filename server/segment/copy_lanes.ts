/**
 * Room for copies of extents: segments that take nothing else, one per ack level, and one per large partition, so that
 * dropping a partition goes on to free whole files.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Segment } from './segment.ts';
import type { Room, Segments } from './segments.ts';

/** What copying leaves of the disk to others: to the journal above all. */
export const HEADROOM_SIZE = 4 << 20;
/** Further partitions share the lanes of their ack levels. */
const OWN_LANES_MAX = 8;

/** What is to be copied. */
export interface Wanted {
  readonly level: AckLevel;
  readonly partition: { readonly id: number; readonly bytes: number };
  readonly length: number;
}

export class CopyLanes {
  readonly #segments: Segments;
  readonly #largeSize: number;
  readonly #active = new Map<string, Segment>();

  /** A partition of `largeSize` bytes gets a lane of its own. */
  constructor(segments: Segments, largeSize: number) {
    this.#segments = segments;
    this.#largeSize = largeSize;
  }

  /** Rejects with an `FsError` when a file cannot be made. */
  async reserve({ level, partition, length }: Wanted): Promise<Room> {
    const lane = this.#laneOf(partition, level);
    const active = this.#active.get(lane);
    if (active !== undefined) {
      const room = this.#segments.carve(active, length);
      if (room !== null) return room;
      this.#close(lane, active);
    }
    const segment = await this.#segments.openForCopies(level, length);
    this.#active.set(lane, segment);
    return this.#segments.carve(segment, length)!;
  }

  /** Seals all that was begun. */
  close(): void {
    for (const [lane, segment] of [...this.#active]) this.#close(lane, segment);
  }

  #laneOf(partition: Wanted['partition'], level: AckLevel): string {
    const own = `${level}:${partition.id}`;
    const isLarge = partition.bytes >= this.#largeSize;
    return this.#active.has(own) || (isLarge && this.#active.size < OWN_LANES_MAX) ? own : level;
  }

  #close(lane: string, segment: Segment): void {
    this.#active.delete(lane);
    this.#segments.seal(segment);
  }
}
