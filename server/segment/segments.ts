/**
 * Segments: the files that hold the bytes of puts, and their images in the arena.
 *
 *   segments/0000000012.seg     | extent | pad to 64 | extent | pad to 64 | ...
 *
 *   reserve -> fill (from the socket) -> write (pwrite of what was filled) -> the journal names it -> live
 *
 * An extent is the body of one put, verbatim. A segment takes extents at its end only. One that takes puts is held in
 * the arena at the same offsets while it is active, so that a reservation is a range of memory and of the file alike;
 * one that takes copies of extents has only its file. A segment is sealed when it is full, and recycled when all its
 * extents are dead, no call uses its file, and the events that killed them are durable: before that, a power cut could
 * bring a dead extent back to life over other bytes.
 *
 * A segment that is not being filled may be evicted from the arena, which seals it when it was active.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import { invariant } from '../errors.ts';
import type { Env, File } from '../env/env.ts';
import type { Arena } from '../tier/arena.ts';
import { SegmentFiles } from './files.ts';
import { Lanes } from './lanes.ts';
import { OpenFiles } from './open_files.ts';
import {
  aligned,
  diskUseOf,
  newSegment,
  type DiskUse,
  type Place,
  type Reservation,
  type Room,
  type Segment,
  type SegmentExtent,
  type Space,
} from './segment.ts';
import { Tails } from './tails.ts';

export { EXTENT_ALIGNMENT, type Reservation, type Room } from './segment.ts';

export interface SegmentsOptions {
  readonly env: Env;
  readonly arena: Arena;
  readonly directory: string;
  readonly memoryWaitMsMax: number;
  readonly openFilesMax?: number;
}

export class Segments {
  readonly #env: Env;
  readonly #arena: Arena;
  readonly #files: SegmentFiles;
  readonly #open: OpenFiles;
  readonly #memoryWaitMsMax: number;
  readonly #segments = new Map<number, Segment>();
  readonly #lanes: Lanes;
  readonly #opening = new Map<string, Promise<Segment>>();
  /** Rooms that are written, and wait for something else before they are committed. */
  readonly #parked = new Set<Room>();
  /** Segments without live extents; each is recycled once its `killedLsn` is durable. */
  readonly #dead = new Set<Segment>();
  readonly #tails: Tails;

  constructor(options: SegmentsOptions) {
    this.#env = options.env;
    this.#arena = options.arena;
    this.#lanes = new Lanes(options.arena);
    this.#memoryWaitMsMax = options.memoryWaitMsMax;
    const { env, directory, arena } = options;
    this.#files = new SegmentFiles({ env, directory, recycledSizeMax: arena.size });
    this.#open = new OpenFiles({ open: (id) => this.#files.open(id), max: options.openFilesMax });
    const owns = (segment: Segment): boolean => this.#segments.get(segment.id) === segment;
    this.#tails = new Tails({ files: this.#open, owns, log: options.env.log });
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
      return this.#reservation(this.#seal(own), length);
    }
    const lane = this.#lanes.choose({ level, partition, length }, this.#opening);
    for (;;) {
      const active = this.#lanes.active.get(lane);
      if (active !== undefined && active.capacity - active.end >= length) return this.#reservation(active, length);
      await this.#openLane(lane, level);
    }
  }

  /** Hands the bytes `[from, to)` of a reservation to the system. */
  write(reservation: Reservation, from: number, to: number): Promise<void> {
    return this.writeAt(reservation, reservation.bytes.subarray(from, to), from);
  }

  /** Writes to the file of a room that is not committed yet, `from` bytes behind its beginning. */
  async writeAt({ segment, offset }: Place, bytes: Uint8Array, from: number): Promise<void> {
    if (segment.file === null) return;
    segment.fileSize = Math.max(segment.fileSize, offset + from + bytes.length);
    await this.#env.fail('segment.write');
    await segment.file.pwrite(bytes, offset + from);
    segment.dirty = true;
  }

  /** A segment for copies of extents: a file without an image in the arena. It is active until `seal`. */
  async openForCopies(level: AckLevel, size: number): Promise<Segment> {
    const capacity = Math.max(aligned(size), this.#arena.frameSize);
    const { id, file, fileSize } = await this.#files.create(capacity);
    const segment = newSegment({ id, level, capacity, sealed: false });
    Object.assign(segment, { file, fileSize });
    this.#open.add(segment);
    this.#segments.set(id, segment);
    return segment;
  }

  /** Room in an active segment, or null when it is full. */
  carve(segment: Segment, length: number): Room | null {
    if (segment.sealed || segment.capacity - segment.end < length) return null;
    return this.#carve(segment, length);
  }

  /** Nothing is reserved in the segment any more. */
  seal(segment: Segment): void {
    this.#buryIfDead(this.#seal(segment));
  }

  /**
   * The first `length` bytes of the room are filled, written and live: the event that names them, by which the extent
   * is added to those of the segment, must follow in the same turn.
   */
  commit(room: Room, length: number): void {
    const { segment, offset } = room;
    if (segment.end === offset + aligned(room.length)) segment.end = offset + aligned(length);
    segment.live++;
    segment.liveSize += aligned(length);
    this.#filled(room);
  }

  /**
   * The room is filled and written, but its commit may be far away: until then it needs no memory, unless its bytes are
   * nowhere else.
   */
  park(room: Room): void {
    const { segment } = room;
    if (segment.level === 'memory' || this.#parked.has(room)) return;
    this.#parked.add(room);
    segment.parked++;
    this.#cacheIfIdle(segment);
  }

  /** The room came to nothing; it is given back when nothing was reserved after it. */
  cancel(room: Room): void {
    const { segment, offset, length } = room;
    if (segment.end === offset + aligned(length)) segment.end = offset;
    this.#filled(room);
    this.#buryIfDead(segment);
  }

  /** The event `lsn` says that an extent lies at `to`, whose segment counts it since `commit` or `adopt`. */
  move(extent: SegmentExtent, to: Place, lsn: number): void {
    this.#leave(extent.place.segment, extent, lsn);
    extent.place = to;
    to.segment.extents.add(extent);
  }

  /** Recovery found extents that are live: by their inserts, or at the places to which events moved them. */
  adopt({ segment: id, count, size, end }: Space, level: AckLevel): Segment {
    let segment = this.#segments.get(id);
    if (segment === undefined || this.#dead.delete(segment)) {
      segment = newSegment({ id, level, capacity: 0, sealed: true });
      this.#segments.set(id, segment);
      if (level !== 'memory') this.#tails.add(segment);
    }
    segment.end = Math.max(segment.end, end);
    segment.fileSize = segment.end;
    segment.live += count;
    segment.liveSize += size;
    return segment;
  }

  /** An extent died by the event `lsn`. */
  drop(extent: SegmentExtent, lsn: number): void {
    this.#leave(extent.place.segment, extent, lsn);
  }

  /** Recycles the dead segments that no power cut can bring back, and cuts off what files hold behind sealed ones. */
  async reclaim(durableLsn: number): Promise<void> {
    for (const segment of [...this.#dead]) {
      const isKilled = segment.level === 'memory' || segment.killedLsn <= durableLsn;
      if (!isKilled || this.#open.isUsed(segment)) continue;
      // Another call may have taken it meanwhile.
      if (this.#dead.delete(segment)) await this.#free(segment);
    }
    await this.#tails.cut();
  }

  /** Closes the lanes that nothing was reserved in for a while, and that hold more dead bytes than live ones. */
  sealMostlyDead(idleMs: number): void {
    const deadlineMs = this.#env.clock.nowMs() - idleMs;
    for (const [lane, segment] of [...this.#lanes.active]) {
      const isIdle = segment.filling === 0 && segment.reservedMs <= deadlineMs;
      if (isIdle && segment.level !== 'memory' && 2 * segment.liveSize < segment.end) this.#closeLane(lane, segment);
    }
  }

  diskUse(): DiskUse {
    return diskUseOf(this.#segments.values(), this.#dead, this.#files.recycledSize);
  }

  /**
   * Reads from the file of a segment; resolves to the number of bytes read. The file belongs to the segment from this
   * turn on until the read is done, whatever becomes of its extents.
   */
  read(segment: Segment, into: Uint8Array, position: number): Promise<number> {
    return this.#open.use(segment, (file) => file.pread(into, position));
  }

  /** Puts good bytes back over damaged ones of a live extent, durably. */
  async repair(place: Place, bytes: Uint8Array, from: number): Promise<void> {
    await this.overwrite(place, bytes, from);
    await this.sync(place.segment);
  }

  /** Puts bytes over those of a live extent; the next sync of the segment takes them along. */
  async overwrite({ segment, offset }: Place, bytes: Uint8Array, from: number): Promise<void> {
    await this.#open.use(segment, async (file) => {
      await file.pwrite(bytes, offset + from);
      segment.dirty = true;
    });
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
    segment.syncing = this.#datasync(segment.file).finally(() => {
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

  async #datasync(file: File): Promise<void> {
    await this.#env.fail('segment.sync');
    await file.datasync();
  }

  async close(): Promise<void> {
    for (const segment of this.#segments.values()) await segment.file?.close();
    await this.#files.close();
  }

  /** A dropped partition needs its lane no more: the segment can be recycled with what it holds. */
  forgetPartition(partition: number): void {
    for (const lane of this.#lanes.forget(partition)) this.#closeLane(lane, this.#lanes.active.get(lane)!);
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
    const full = this.#lanes.active.get(lane);
    if (full !== undefined) this.#closeLane(lane, full);
    const segment = await this.#openSegment(level, this.#arena.frameSize);
    this.#lanes.active.set(lane, segment);
    return segment;
  }

  #closeLane(lane: string, segment: Segment): void {
    this.#lanes.active.delete(lane);
    this.#cacheIfIdle(this.#seal(segment));
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
    if (segment.file !== null) this.#tails.add(segment);
    return segment;
  }

  #reservation(segment: Segment, length: number): Reservation {
    const room = this.#carve(segment, length);
    this.#arena.hold(segment.run!);
    return { ...room, bytes: segment.run!.bytes.subarray(room.offset, room.offset + length) };
  }

  #carve(segment: Segment, length: number): Room {
    const offset = segment.end;
    segment.end = offset + aligned(length);
    segment.filling++;
    segment.reservedMs = this.#env.clock.nowMs();
    return { segment, offset, length };
  }

  #leave(segment: Segment, extent: SegmentExtent, lsn: number): void {
    invariant(segment.extents.delete(extent), `segment ${segment.id} has the extent ${extent.key}`);
    segment.live--;
    segment.liveSize -= aligned(extent.length);
    segment.killedLsn = Math.max(segment.killedLsn, lsn);
    this.#cacheIfIdle(segment);
    this.#buryIfDead(segment);
  }

  #filled(room: Room): void {
    const { segment } = room;
    segment.filling--;
    if (this.#parked.delete(room)) segment.parked--;
    this.#cacheIfIdle(segment);
  }

  /**
   * An idle segment gives its memory to whoever needs it more; an active one is sealed by that, so that few lanes
   * cannot keep all the memory. Bytes of level `memory` are nowhere else: their image is held until the last extent
   * dies.
   */
  #cacheIfIdle(segment: Segment): void {
    if (segment.filling > segment.parked || segment.run === null || (segment.level === 'memory' && segment.live > 0))
      return;
    if (segment.run.onEvict !== null) return;
    this.#arena.cache(segment.run, () => {
      segment.run = null;
      const lane = this.#lanes.of(segment);
      if (lane !== undefined) this.#closeLane(lane, segment);
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
    this.#tails.forget(segment);
    await this.#env.fail('segment.recycle');
    while (segment.syncing !== null) await segment.syncing;
    const { file } = segment;
    segment.file = null;
    if (segment.level !== 'memory') await this.#files.recycle(segment.id, file, segment.fileSize);
  }
}
