/**
 * Segments: the files that hold the bytes of puts, and their images in the arena.
 *
 *   segments/0000000012.seg     | extent | pad to 64 | extent | pad to 64 | ...
 *
 *   reserve -> fill (from the socket) -> write (pwrite of what was filled) -> the journal names it -> live
 *
 * An extent is the body of one put, verbatim. A segment takes extents at its end only; an active segment is held in the
 * arena at the same offsets, so that a reservation is a range of memory and of the file alike. A segment is sealed when
 * it is full, and recycled when the last of its extents is dead and the events that killed them are durable: before
 * that, a power cut could bring the dead extent back to life over other bytes.
 *
 * A segment that is not being filled may be evicted from the arena, which seals it when it was active.
 *
 * Lanes keep apart what must not share a segment: ack levels, since one `disk` put must not pay for its neighbours'
 * dirty bytes, and large partitions, so that dropping one frees whole files.
 */
import { ackLevels, type AckLevel } from '@transfer-queue/core/protocol';
import { invariant } from '../errors.ts';
import type { Env } from '../env/env.ts';
import type { Arena } from '../tier/arena.ts';
import { SegmentFiles } from './files.ts';
import { OpenFiles } from './open_files.ts';
import { newSegment, type Segment } from './segment.ts';

export const EXTENT_ALIGNMENT = 64;

/**
 * One frame in four may be the active segment of a large partition; further such partitions share the lanes of their
 * ack levels. With more, lanes that take turns would evict each other, and each put would begin a file.
 */
const FRAMES_PER_OWN_LANE = 4;

export interface Reservation {
  readonly segment: Segment;
  readonly offset: number;
  readonly length: number;
  /** Where the body goes. */
  readonly bytes: Buffer;
}

export interface SegmentsOptions {
  readonly env: Env;
  readonly arena: Arena;
  readonly directory: string;
  readonly memoryWaitMsMax: number;
  readonly openFilesMax?: number;
}

export class Segments {
  readonly #arena: Arena;
  readonly #files: SegmentFiles;
  readonly #open: OpenFiles;
  readonly #memoryWaitMsMax: number;
  readonly #segments = new Map<number, Segment>();
  /** Active segments by lane. */
  readonly #lanes = new Map<string, Segment>();
  readonly #opening = new Map<string, Promise<Segment>>();
  readonly #reservedOfPartition = new Map<number, number>();
  /** Segments without live extents; each is recycled once its `killedLsn` is durable. */
  readonly #dead = new Set<Segment>();

  constructor(options: SegmentsOptions) {
    this.#arena = options.arena;
    this.#memoryWaitMsMax = options.memoryWaitMsMax;
    const { env, directory, arena } = options;
    this.#files = new SegmentFiles({ env, directory, recycledSizeMax: arena.size });
    this.#open = new OpenFiles({ open: (id) => this.#files.open(id), max: options.openFilesMax });
  }

  get files(): SegmentFiles {
    return this.#files;
  }

  get(id: number): Segment | undefined {
    return this.#segments.get(id);
  }

  all(): IterableIterator<Segment> {
    return this.#segments.values();
  }

  /** Reserves room for an extent. Rejects with `memory_full` or, when a file cannot be made, with an `FsError`. */
  async reserve(place: { level: AckLevel; partition: number; length: number }): Promise<Reservation> {
    const { level, partition, length } = place;
    if (length > this.#arena.frameSize / 4) {
      const own = await this.#openSegment(level, length);
      return this.#carve(this.#seal(own), length);
    }
    const lane = this.#laneOf(level, partition, length);
    for (;;) {
      const active = this.#lanes.get(lane);
      if (active !== undefined && active.capacity - active.end >= length) return this.#carve(active, length);
      await this.#openLane(lane, level);
    }
  }

  /** Hands the bytes `[from, to)` of a reservation to the system. */
  async write(reservation: Reservation, from: number, to: number): Promise<void> {
    const { segment, offset, bytes } = reservation;
    if (segment.file === null) return;
    segment.fileSize = Math.max(segment.fileSize, offset + to);
    await segment.file.pwrite(bytes.subarray(from, to), offset + from);
    segment.dirty = true;
  }

  /** The first `length` bytes of the reservation are filled, written and live: a `drop` must follow one day. */
  commit(reservation: Reservation, length: number): void {
    reservation.segment.live++;
    reservation.segment.liveSize += length;
    this.#filled(reservation.segment);
  }

  /** The reservation came to nothing; the room is given back when nothing was reserved after it. */
  cancel(reservation: Reservation): void {
    const { segment, offset, length } = reservation;
    if (segment.end === offset + aligned(length)) segment.end = offset;
    this.#filled(segment);
    this.#buryIfDead(segment);
  }

  /** Recovery found an extent that is live. */
  adopt(extent: { segment: number; offset: number; length: number }, level: AckLevel): Segment {
    let segment = this.#segments.get(extent.segment);
    if (segment === undefined || this.#dead.delete(segment)) {
      segment = newSegment({ id: extent.segment, level, capacity: 0, sealed: true });
      this.#segments.set(segment.id, segment);
    }
    segment.end = Math.max(segment.end, extent.offset + aligned(extent.length));
    segment.fileSize = segment.end;
    segment.live++;
    segment.liveSize += extent.length;
    return segment;
  }

  /** An extent died by the event `lsn`. */
  drop(extent: { segment: number; length: number }, lsn: number): void {
    const segment = this.#segments.get(extent.segment);
    invariant(segment !== undefined && segment.live > 0, `segment ${extent.segment} has a live extent to drop`);
    segment.live--;
    segment.liveSize -= extent.length;
    segment.killedLsn = Math.max(segment.killedLsn, lsn);
    this.#cacheIfIdle(segment);
    this.#buryIfDead(segment);
  }

  /** Recycles the dead segments that no power cut can bring back. */
  async reclaim(durableLsn: number): Promise<void> {
    for (const segment of [...this.#dead]) {
      if (segment.level !== 'memory' && segment.killedLsn > durableLsn) continue;
      // Another call may have taken it meanwhile.
      if (!this.#dead.delete(segment)) continue;
      await this.#free(segment);
    }
  }

  /** Reads from the file of a segment; resolves to the number of bytes read. */
  read(segment: Segment, into: Uint8Array, position: number): Promise<number> {
    return this.#open.read(segment, into, position);
  }

  /** The run before may have ended without a sync of this segment. */
  async doubt(segment: Segment): Promise<void> {
    await this.#open.open(segment);
    segment.dirty = true;
  }

  /** Syncs what was written before this call, less what is dead: nobody will read it, and its end is synced next. */
  async syncLiving(): Promise<void> {
    const living = [...this.#segments.values()].filter((segment) => !this.#dead.has(segment));
    for (const segment of living) await this.sync(segment);
    await this.#open.trim();
  }

  /** Syncs what was written to a segment before this call. Callers share a sync that has not begun. */
  async sync(segment: Segment): Promise<void> {
    while (segment.syncing !== null) await segment.syncing;
    if (!segment.dirty || segment.file === null) return;
    segment.dirty = false;
    segment.syncing = segment.file.datasync().finally(() => {
      segment.syncing = null;
    });
    await segment.syncing;
  }

  /** Removes the files that hold no live extent; called once, after recovery, when all that it read is durable. */
  async removeStrays(): Promise<void> {
    for (const segment of this.#dead) this.#segments.delete(segment.id);
    this.#dead.clear();
    for (const id of await this.#files.list()) {
      if (!this.#segments.has(id)) await this.#files.remove(id);
    }
  }

  async close(): Promise<void> {
    for (const segment of this.#segments.values()) await segment.file?.close();
    await this.#files.close();
  }

  #laneOf(level: AckLevel, partition: number, length: number): string {
    const reserved = (this.#reservedOfPartition.get(partition) ?? 0) + length;
    this.#reservedOfPartition.set(partition, reserved);
    const own = `${level}:${partition}`;
    const hasOwn = this.#lanes.has(own) || this.#opening.has(own);
    const lanesMax = ackLevels.length + Math.floor(this.#arena.frameCount / FRAMES_PER_OWN_LANE);
    const isRoom = this.#lanes.size + this.#opening.size < lanesMax;
    return reserved > this.#arena.frameSize && (hasOwn || isRoom) ? own : level;
  }

  /** A dropped partition needs its lane no more: the segment can be recycled with what it holds. */
  forgetPartition(partition: number): void {
    this.#reservedOfPartition.delete(partition);
    for (const [lane, segment] of [...this.#lanes]) {
      if (lane.endsWith(`:${partition}`)) this.#closeLane(lane, segment);
    }
  }

  /** Callers that need the same lane share one opening. */
  #openLane(lane: string, level: AckLevel): Promise<Segment> {
    let opening = this.#opening.get(lane);
    if (opening === undefined) {
      opening = this.#replaceLane(lane, level).finally(() => this.#opening.delete(lane));
      this.#opening.set(lane, opening);
    }
    return opening;
  }

  async #replaceLane(lane: string, level: AckLevel): Promise<Segment> {
    const full = this.#lanes.get(lane);
    if (full !== undefined) this.#closeLane(lane, full);
    const segment = await this.#openSegment(level, this.#arena.frameSize);
    this.#lanes.set(lane, segment);
    return segment;
  }

  #closeLane(lane: string, segment: Segment): void {
    this.#lanes.delete(lane);
    this.#seal(segment);
    this.#cacheIfIdle(segment);
    this.#buryIfDead(segment);
  }

  async #openSegment(level: AckLevel, size: number): Promise<Segment> {
    const run = await this.#arena.taken(size, this.#memoryWaitMsMax);
    try {
      const { id, file, fileSize } = level === 'memory' ? this.#files.reserveNumber() : await this.#files.create(size);
      const segment = newSegment({ id, level, capacity: run.bytes.length, sealed: false });
      Object.assign(segment, { file, fileSize, run });
      if (file !== null) this.#open.add(segment);
      this.#segments.set(id, segment);
      return segment;
    } catch (error) {
      this.#arena.release(run);
      throw error;
    }
  }

  #seal(segment: Segment): Segment {
    segment.sealed = true;
    return segment;
  }

  #carve(segment: Segment, length: number): Reservation {
    const offset = segment.end;
    segment.end = offset + aligned(length);
    segment.filling++;
    this.#arena.hold(segment.run!);
    return { segment, offset, length, bytes: segment.run!.bytes.subarray(offset, offset + length) };
  }

  #filled(segment: Segment): void {
    segment.filling--;
    this.#cacheIfIdle(segment);
  }

  /**
   * An idle segment gives its memory to whoever needs it more; an active one is sealed by that, so that few lanes
   * cannot keep all the memory. Bytes of level `memory` are nowhere else: their image is held until the last extent
   * dies.
   */
  #cacheIfIdle(segment: Segment): void {
    if (segment.filling > 0 || segment.run === null || (segment.level === 'memory' && segment.live > 0)) return;
    if (segment.run.onEvict !== null) return;
    this.#arena.cache(segment.run, () => {
      segment.run = null;
      for (const [lane, active] of this.#lanes) if (active === segment) this.#closeLane(lane, segment);
    });
  }

  /** The memory of a dead segment is free at once; its file is not. */
  #buryIfDead(segment: Segment): void {
    if (!segment.sealed || segment.live > 0 || segment.filling > 0) return;
    this.#dead.add(segment);
    if (segment.run !== null) this.#arena.release(segment.run);
    segment.run = null;
  }

  async #free(segment: Segment): Promise<void> {
    this.#segments.delete(segment.id);
    this.#open.forget(segment);
    while (segment.syncing !== null) await segment.syncing;
    const { file } = segment;
    segment.file = null;
    if (segment.level !== 'memory') await this.#files.recycle(segment.id, file, segment.fileSize);
  }
}

function aligned(length: number): number {
  return Math.ceil(length / EXTENT_ALIGNMENT) * EXTENT_ALIGNMENT;
}
