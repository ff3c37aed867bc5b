/** One segment: where its bytes are, who still needs them, and what is under way. */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { File } from '../env/env.ts';
import type { Run } from '../tier/arena.ts';
import { Bag } from './bag.ts';

export const EXTENT_ALIGNMENT = 64;

/** Where an extent begins; an extent that moves gets another place. */
export interface Place {
  readonly segment: Segment;
  readonly offset: number;
}

/** Room for an extent that is to come. */
export interface Room extends Place {
  readonly length: number;
}

export interface Reservation extends Room {
  /** Where the body goes. */
  readonly bytes: Buffer;
}

/** An extent as its segment sees it. */
export interface SegmentExtent {
  /** LSN of its insert; never used again for other bytes. */
  readonly key: number;
  place: Place;
  readonly length: number;
  /** xxh64 of each 1 MiB block, 8 bytes each. */
  readonly blocks: Uint8Array;
  readonly level: AckLevel;
  readonly partition: { readonly id: number; readonly bytes: number };
  /** Place in the extents of its segment. */
  inSegment: number;
}

export class ExtentsOfSegment extends Bag<SegmentExtent> {
  protected placeOf(extent: SegmentExtent): number {
    return extent.inSegment;
  }

  protected setPlace(extent: SegmentExtent, place: number): void {
    extent.inSegment = place;
  }
}

export interface Segment {
  readonly id: number;
  /** Of the puts that it was made for; after a start, of the first extent that was found in it. */
  readonly level: AckLevel;
  readonly capacity: number;
  file: File | null;
  run: Run | null;
  end: number;
  sealed: boolean;
  /** Reservations that are still being filled or written. */
  filling: number;
  /** Those of them that are written, and wait for something else. */
  parked: number;
  /** Extents that the store still needs, and those of them that an event has named already. */
  live: number;
  readonly extents: ExtentsOfSegment;
  /** Bytes that live extents take in the file. */
  liveSize: number;
  /** LSN of the event that killed an extent last. */
  killedLsn: number;
  /** Bytes that the file takes; it may have been a larger segment's before. */
  fileSize: number;
  /** Monotonic time of the last reservation. */
  reservedMs: number;
  /** Written since the last sync. */
  dirty: boolean;
  syncing: Promise<void> | null;
}

/** Where the bytes of the disk are. */
export interface DiskUse {
  /** Files of segments that are not dead. */
  readonly size: number;
  /** What live extents take of them. */
  readonly liveSize: number;
  /** Files of dead segments, not given back yet. */
  readonly deadSize: number;
  readonly recycledSize: number;
}

export function diskUseOf(segments: Iterable<Segment>, dead: ReadonlySet<Segment>, recycledSize: number): DiskUse {
  const use = { size: 0, liveSize: 0, deadSize: 0, recycledSize };
  for (const segment of segments) {
    if (segment.level === 'memory') continue;
    if (dead.has(segment)) use.deadSize += segment.fileSize;
    else use.size += segment.fileSize;
    use.liveSize += segment.liveSize;
  }
  return use;
}

/** Bytes that an extent takes in a file. */
export function aligned(length: number): number {
  return Math.ceil(length / EXTENT_ALIGNMENT) * EXTENT_ALIGNMENT;
}

/** What extents take of their segment: so many bytes in all, the last of them before `end`. */
export interface Space {
  readonly segment: number;
  readonly count: number;
  readonly size: number;
  readonly end: number;
}

export function spaceOf({ segment, offset, length }: { segment: number; offset: number; length: number }): Space {
  const size = aligned(length);
  return { segment, count: 1, size, end: offset + size };
}

/** Whether an extent lives and has not moved away. */
export function isAt(extent: SegmentExtent, place: Place): boolean {
  const { segment, offset } = extent.place;
  return segment === place.segment && offset === place.offset && segment.extents.has(extent);
}

export function newSegment(given: { id: number; level: AckLevel; capacity: number; sealed: boolean }): Segment {
  const { id, level, capacity, sealed } = given;
  return {
    id,
    level,
    capacity,
    sealed,
    file: null,
    run: null,
    end: 0,
    filling: 0,
    parked: 0,
    live: 0,
    extents: new ExtentsOfSegment(),
    liveSize: 0,
    killedLsn: 0,
    fileSize: 0,
    reservedMs: 0,
    dirty: false,
    syncing: null,
  };
}
