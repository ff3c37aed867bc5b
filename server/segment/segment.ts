/** One segment: where its bytes are, who still needs them, and what is under way. */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { File } from '../env/env.ts';
import type { Run } from '../tier/arena.ts';

export interface Segment {
  readonly id: number;
  readonly level: AckLevel;
  readonly capacity: number;
  file: File | null;
  run: Run | null;
  end: number;
  sealed: boolean;
  /** Reservations that are still being filled or written. */
  filling: number;
  /** Extents that the store still needs. */
  live: number;
  liveSize: number;
  /** LSN of the event that killed an extent last. */
  killedLsn: number;
  /** Bytes that the file takes; it may have been a larger segment's before. */
  fileSize: number;
  /** Written since the last sync. */
  dirty: boolean;
  syncing: Promise<void> | null;
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
    live: 0,
    liveSize: 0,
    killedLsn: 0,
    fileSize: 0,
    dirty: false,
    syncing: null,
  };
}
