/**
 * Lanes: which active segment takes a put.
 *
 *   `level`              partitions with few bytes share the segment of their ack level
 *   `level:partition`    a partition that has put more than a frame gets a segment of its own
 *
 * They keep apart what must not share a segment: ack levels, since one `disk` put must not pay for its neighbours'
 * dirty bytes, and large partitions, so that dropping one frees whole files.
 */
import { ackLevels, type AckLevel } from '@transfer-queue/core/protocol';
import type { Segment } from './segment.ts';

/**
 * One frame in four may be the active segment of a large partition; further such partitions share the lanes of their
 * ack levels. With more, lanes that take turns would evict each other, and each put would begin a file.
 */
const FRAMES_PER_OWN_LANE = 4;

/** A put, as far as the choice of its lane goes. */
export interface LanePut {
  readonly level: AckLevel;
  readonly partition: number;
  readonly length: number;
}

export class Lanes {
  /** Active segments by lane. */
  readonly active = new Map<string, Segment>();
  readonly #frameSize: number;
  readonly #countMax: number;
  readonly #reservedOfPartition = new Map<number, number>();

  constructor({ frameSize, frameCount }: { frameSize: number; frameCount: number }) {
    this.#frameSize = frameSize;
    this.#countMax = ackLevels.length + Math.floor(frameCount / FRAMES_PER_OWN_LANE);
  }

  /** The lane of a put; `opening` are those that get a segment now. */
  choose({ level, partition, length }: LanePut, opening: ReadonlyMap<string, unknown>): string {
    const reserved = (this.#reservedOfPartition.get(partition) ?? 0) + length;
    this.#reservedOfPartition.set(partition, reserved);
    const own = `${level}:${partition}`;
    const hasOwn = this.active.has(own) || opening.has(own);
    const isRoom = this.active.size + opening.size < this.#countMax;
    return reserved > this.#frameSize && (hasOwn || isRoom) ? own : level;
  }

  /** The lane that a segment is the active one of. */
  of(segment: Segment): string | undefined {
    for (const [lane, active] of this.active) if (active === segment) return lane;
    return undefined;
  }

  /** Forgets a partition; the lanes that only it had. */
  forget(partition: number): string[] {
    this.#reservedOfPartition.delete(partition);
    return [...this.active.keys()].filter((lane) => lane.endsWith(`:${partition}`));
  }
}
