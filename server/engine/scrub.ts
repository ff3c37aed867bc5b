/**
 * The scrub: reads all that lies in sealed segments at a bounded rate and verifies it, so that damage is found while
 * there may still be someone to repair it from, and not when a consumer asks.
 *
 *   pass    | segment 1: extent, extent ... | segment 4: ... | ... | other files |        block by block, from the disk
 *                                   ^ position
 *
 * What becomes sealed during a pass is the next one's; what moves meanwhile is verified by its copying. The page cache
 * of the system may stand before the disk: a flip below a cached page is found once the page is gone.
 *
 * A pass outlives restarts: each checkpoint keeps the position, and a start goes on from there with whatever is there
 * from then on. When its segment is gone that is the next one. Other files begin anew.
 *
 * Invariants: the position only ever rises within a pass, so that every block that stays is read once in each; each
 * position is an object of its own.
 */
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import { FsError, nextTurn, type Env } from '../env/env.ts';
import type { Segment, SegmentExtent } from '../segment/segment.ts';
import type { Segments } from '../segment/segments.ts';
import type { Damage } from '../store/damage.ts';
import { blockCount, blockSize } from '../tier/blocks.ts';
import { Pace } from '../tier/pace.ts';

export const SCRUB_BYTES_PER_SECOND = 20_000_000;
/** A pass begins this long after the one before began, or when that is done. */
const PERIOD_MS = 24 * 3_600_000;

/** How far a pass is: the segments below are done, and of this one what lies before the offset. */
export interface ScrubPosition {
  readonly segment: number;
  readonly offset: number;
}

/** Files beside the segments that a pass takes along; they report their damage themselves. */
export interface ScrubTarget {
  /** Asks `take` before it reads so many bytes, and ends when that resolves to false. */
  verify(take: (size: number) => Promise<boolean>): Promise<void>;
}

export interface ScrubOptions {
  readonly env: Env;
  readonly segments: Segments;
  readonly damage: Damage;
  readonly targets?: readonly ScrubTarget[];
  /** 0: nothing is scrubbed. */
  readonly bytesPerSecond?: number;
  /** Where the run before was. */
  readonly position?: ScrubPosition;
}

export class Scrub {
  readonly #env: Env;
  readonly #segments: Segments;
  readonly #damage: Damage;
  readonly #targets: readonly ScrubTarget[];
  readonly #pace: Pace;
  /** Made when the first block is read. */
  #block: Buffer | null = null;
  #stopped: boolean;
  #running: Promise<void> | null = null;
  #position: ScrubPosition;
  #isUnderWay = false;
  #nextPassMs = -Infinity;
  /** Passes that are done, and bytes and damaged blocks of all of them, since the start. */
  passCount = 0;
  verifiedSize = 0;
  damagedCount = 0;

  constructor(options: ScrubOptions) {
    const { env, bytesPerSecond = SCRUB_BYTES_PER_SECOND } = options;
    this.#env = env;
    this.#segments = options.segments;
    this.#damage = options.damage;
    this.#targets = options.targets ?? [];
    this.#pace = new Pace({ clock: env.clock, bytesPerSecond });
    this.#stopped = bytesPerSecond === 0;
    this.#position = options.position ?? { segment: 0, offset: 0 };
  }

  get position(): ScrubPosition {
    return this.#position;
  }

  /** Begins a pass in the background when one is due, or goes on with one that was cut short. */
  tick(): void {
    const nowMs = this.#env.clock.nowMs();
    if (this.#running !== null || this.#stopped || (!this.#isUnderWay && nowMs < this.#nextPassMs)) return;
    if (!this.#isUnderWay) this.#nextPassMs = nowMs + PERIOD_MS;
    this.#isUnderWay = true;
    this.#running = this.#pass()
      .catch((error: unknown) => {
        if (!(error instanceof FsError)) return this.#env.crash('the scrub failed', error);
        this.#env.log.warn({ err: error, ...this.#position }, 'the scrub could not read a file, and tries again');
      })
      .finally(() => (this.#running = null));
  }

  /** Resolves when nothing is read any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pace.stop();
    await this.#running;
  }

  async #pass(): Promise<void> {
    const rest = [...this.#segments.all()].filter(({ id }) => id >= this.#position.segment);
    for (const segment of rest.sort((a, b) => a.id - b.id)) {
      if (segment.level === 'memory' || !segment.sealed) continue;
      await this.#scrubSegment(segment);
      if (this.#stopped) return;
    }
    for (const target of this.#targets) await target.verify((size) => this.#pace.take(size));
    if (this.#stopped) return;
    this.#position = { segment: 0, offset: 0 };
    this.#isUnderWay = false;
    this.passCount++;
    this.#env.log.info({ passes: this.passCount, damaged: this.damagedCount }, 'all stored bytes were verified');
  }

  async #scrubSegment(segment: Segment): Promise<void> {
    const from = segment.id === this.#position.segment ? this.#position.offset : 0;
    while (segment.extents.makeSome()) await nextTurn(this.#env.clock);
    const rest = [...segment.extents].filter(({ place }) => place.offset >= from);
    for (const extent of rest.sort((a, b) => a.place.offset - b.place.offset)) {
      for (let block = 0; block < blockCount(extent); block++) {
        const size = blockSize(extent, block);
        if (!(await this.#pace.take(size))) return;
        if (!segment.extents.has(extent)) break;
        this.#block ??= Buffer.allocUnsafeSlow(CHECKSUM_BLOCK_SIZE);
        await this.#verify(extent, block, this.#block.subarray(0, size));
      }
      this.#position = { segment: segment.id, offset: extent.place.offset + 1 };
    }
    this.#position = { segment: segment.id + 1, offset: 0 };
  }

  async #verify(extent: SegmentExtent, block: number, into: Buffer): Promise<void> {
    const { segment } = extent.place;
    await this.#env.fail('scrub.block');
    const kind = await this.#damage.read(extent, block, into);
    this.verifiedSize += into.length;
    if (kind === null) this.#damage.forget(extent, block);
    else if (segment.extents.has(extent)) {
      this.damagedCount++;
      await this.#damage.report(extent, block, kind, 'scrub');
    }
  }
}
