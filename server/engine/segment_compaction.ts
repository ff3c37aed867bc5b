/**
 * Segment compaction: copies the live extents out of segments that are mostly dead, so that their files come back.
 *
 *   choose the emptiest -> copy (verify each block) -> datasync -> [one turn: lives, and still there? -> event `move`]
 *   -> the old segment is dead -> recycled once the event is durable and its last reader is gone (see segments.ts)
 *
 * Invariants: an event names a copy only after the copy was synced; an extent moves only from the place that it was
 * copied from; damaged bytes are not copied: their extent stays, and its segment is left out until the extent is dead.
 * Nothing is copied while the journal could need the space.
 */
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { FsError, nextTurn, type Env } from '../env/env.ts';
import type { MoveEvent } from '../journal/events.ts';
import { CopyLanes, HEADROOM_SIZE } from '../segment/copy_lanes.ts';
import { isAt, type Place, type Segment, type SegmentExtent } from '../segment/segment.ts';
import type { Room, Segments } from '../segment/segments.ts';
import { emptiest, isOverUse } from '../segment/victims.ts';
import type { Damage } from '../store/damage.ts';
import { blockCount, blockSize, isIntact } from '../tier/blocks.ts';
import { Pace } from '../tier/pace.ts';

export const COPY_BYTES_PER_SECOND = 128 << 20;
const LANE_IDLE_MS = 5_000;
/** Copies that are synced and moved together. */
const GROUP_SIZE_MAX = 16 << 20;
const GROUP_COUNT_MAX = 256;
/** After a failed write, the next try waits for this long. */
const PAUSE_MS = 10_000;

export interface SegmentCompactionOptions {
  readonly env: Env;
  readonly core: Core;
  readonly segments: Segments;
  readonly damage: Damage;
  /** A partition of this size gets segments of its own. */
  readonly largeSize: number;
  /** Makes the event happen in this turn; resolves when it is written. */
  readonly commit: (event: MoveEvent) => Promise<unknown>;
  readonly bytesPerSecond?: number;
  /** A lane that was not used for this long may be sealed, so that what is dead in it can go. */
  readonly laneIdleMs?: number;
}

interface Copy {
  readonly extent: SegmentExtent;
  readonly from: Place;
  readonly to: Room;
}

export class SegmentCompaction {
  readonly #env: Env;
  readonly #core: Core;
  readonly #segments: Segments;
  readonly #damage: Damage;
  readonly #commit: SegmentCompactionOptions['commit'];
  readonly #lanes: CopyLanes;
  readonly #pace: Pace;
  /** Made when the first block is copied. */
  #block: Buffer | null = null;
  /** Segments with an extent that cannot be moved. */
  readonly #leftOut = new Map<Segment, SegmentExtent>();
  readonly #laneIdleMs: number;
  #running: Promise<void> | null = null;
  #pausedUntilMs = 0;
  #stopped = false;
  /** Extents and bytes that were moved since the start. */
  movedCount = 0;
  movedSize = 0;

  constructor(options: SegmentCompactionOptions) {
    const { env, segments, largeSize } = options;
    this.#env = env;
    this.#core = options.core;
    this.#segments = segments;
    this.#damage = options.damage;
    this.#commit = options.commit;
    this.#laneIdleMs = options.laneIdleMs ?? LANE_IDLE_MS;
    this.#lanes = new CopyLanes(segments, largeSize);
    this.#pace = new Pace({ clock: env.clock, bytesPerSecond: options.bytesPerSecond ?? COPY_BYTES_PER_SECOND });
  }

  /** Begins to work in the background when there is a reason to and it is not at work already. */
  tick(): void {
    if (this.#running !== null || this.#stopped || this.#env.clock.nowMs() < this.#pausedUntilMs) return;
    if (!isOverUse(this.#segments.diskUse())) return;
    this.#segments.sealMostlyDead(this.#laneIdleMs);
    this.#running = this.#run()
      .catch((error: unknown) => this.#env.crash('the compaction of segments failed', error))
      .finally(() => (this.#running = null));
  }

  /** Resolves when no work is under way; for tests. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Resolves when nothing is copied any more; what was copied and not moved is forgotten. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pace.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Each once, so that a run ends whatever became of what it emptied.
    const emptied = new Set<Segment>();
    const isLeftOut = (segment: Segment): boolean => emptied.has(segment) || this.#isLeftOut(segment);
    try {
      while (!this.#stopped && isOverUse(this.#segments.diskUse())) {
        const victim = emptiest(this.#segments.all(), isLeftOut);
        if (victim === null || !(await this.#hasRoomFor(victim))) break;
        emptied.add(victim);
        await this.#empty(victim);
      }
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#pausedUntilMs = this.#env.clock.nowMs() + PAUSE_MS;
      this.#env.log.warn({ err: error }, 'segments are not compacted for a while: a copy could not be written');
    } finally {
      this.#lanes.close();
    }
  }

  #isLeftOut(segment: Segment): boolean {
    const stuck = this.#leftOut.get(segment);
    if (stuck === undefined) return false;
    if (segment.extents.has(stuck)) return true;
    this.#leftOut.delete(segment);
    return false;
  }

  /** Recycled files are used first; beside them a copy may not take what the journal needs. */
  async #hasRoomFor(victim: Segment): Promise<boolean> {
    const { files } = this.#segments;
    const free = await files.freeBytes();
    return free + files.recycledSize - victim.liveSize >= HEADROOM_SIZE;
  }

  /** Moves what lives in a segment, in groups. */
  async #empty(victim: Segment): Promise<void> {
    while (victim.extents.makeSome()) await nextTurn(this.#env.clock);
    const extents = [...victim.extents].sort((a, b) => a.place.offset - b.place.offset);
    for (let first = 0; first < extents.length && !this.#stopped;) {
      const group: SegmentExtent[] = [];
      for (let size = 0; size < GROUP_SIZE_MAX && group.length < GROUP_COUNT_MAX && first < extents.length; first++) {
        group.push(extents[first]);
        size += extents[first].length;
      }
      await this.#moveGroup(group, victim);
    }
  }

  async #moveGroup(extents: readonly SegmentExtent[], victim: Segment): Promise<void> {
    const copies: Copy[] = [];
    try {
      for (const extent of extents) {
        const copy = victim.extents.has(extent) ? await this.#copy(extent) : null;
        if (copy !== null) copies.push(copy);
      }
      await this.#env.fail('segment.copy');
      for (const segment of new Set(copies.map(({ to }) => to.segment))) await this.#sync(segment);
      await this.#env.fail('segment.move');
    } catch (error) {
      for (const { to } of copies.reverse()) this.#segments.cancel(to);
      throw error;
    }
    await Promise.all(this.#moveNow(copies));
  }

  /** Decides and commits in one turn. */
  #moveNow(copies: readonly Copy[]): Promise<unknown>[] {
    const commits: Promise<unknown>[] = [];
    for (const { extent, from, to } of copies) {
      if (this.#stopped || !isAt(extent, from)) {
        this.#segments.cancel(to);
        continue;
      }
      this.#segments.commit(to, extent.length);
      const event: MoveEvent = {
        type: 'move',
        partition: extent.partition.id,
        extent: extent.key,
        segment: to.segment.id,
        offset: to.offset,
        fromSegment: from.segment.id,
        fromOffset: from.offset,
      };
      commits.push(this.#commit(event));
      this.movedCount++;
      this.movedSize += extent.length;
    }
    return commits;
  }

  /** Copies one extent; null when it died meanwhile, when it is damaged, or when the work is to end. */
  async #copy(extent: SegmentExtent): Promise<Copy | null> {
    const from = extent.place;
    const { level, partition, length } = extent;
    const to = await this.#lanes.reserve({ level, partition, length });
    let isWhole = false;
    try {
      isWhole = await this.#copyBlocks(extent, from, to);
    } finally {
      if (!isWhole) this.#segments.cancel(to);
    }
    return isWhole ? { extent, from, to } : null;
  }

  async #copyBlocks(extent: SegmentExtent, from: Place, to: Room): Promise<boolean> {
    for (let block = 0; block < blockCount(extent); block++) {
      this.#block ??= Buffer.allocUnsafeSlow(CHECKSUM_BLOCK_SIZE);
      const bytes = this.#block.subarray(0, blockSize(extent, block));
      if (!(await this.#pace.take(bytes.length)) || !isAt(extent, from)) return false;
      if (!(await this.#readBlock(extent, block, bytes))) {
        this.#leftOut.set(from.segment, extent);
        return false;
      }
      await this.#segments.writeAt(to, bytes, block * CHECKSUM_BLOCK_SIZE);
    }
    return true;
  }

  /** Fills `bytes` with the block. False when it is damaged for good. */
  async #readBlock(extent: SegmentExtent, block: number, bytes: Buffer): Promise<boolean> {
    const { segment, offset } = extent.place;
    if (segment.run !== null) {
      const position = offset + block * CHECKSUM_BLOCK_SIZE;
      bytes.set(segment.run.bytes.subarray(position, position + bytes.length));
      if (isIntact(this.#core, extent, block, bytes)) return true;
    }
    const kind = await this.#damage.read(extent, block, bytes);
    if (kind === null) return true;
    if ((await this.#damage.report(extent, block, kind, 'move')) === 'bad') return false;
    return (await this.#damage.read(extent, block, bytes)) === null;
  }

  async #sync(segment: Segment): Promise<void> {
    await this.#segments
      .sync(segment)
      .catch((error: unknown) => this.#env.crash('a sync of copied extents failed', error));
  }
}
