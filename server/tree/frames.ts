/**
 * Frames of the block cache: slots of 16 KiB, each with the block that it holds, in a pool for each kind of block.
 *
 *   free <--> taken (pinned, without content) --> holds a block, in a queue of the policy --> evicted: taken again
 *
 * Invariants: a pool makes no more frames than its budget allows, except extra ones that live while they are pinned.
 */
import { SLOT_SIZE, type LsmMemory } from '@transfer-queue/core/lsm';
import { S3Fifo, type Queued } from './s3_fifo.ts';

export type BlockKind = 'data' | 'index' | 'filter';

const FRAMES_MIN = 4;

/** A file whose blocks are in frames. */
export interface FrameOwner {
  /** The frame of each block that is in the cache. */
  readonly frames: (Frame | null)[];
}

export interface Frame extends Queued {
  readonly pool: FramePool;
  readonly address: number;
  size: number;
  owner: FrameOwner | null;
  block: number;
  /** Lives for as long as it is pinned. */
  readonly extra: boolean;
}

export interface KindStats {
  hits: number;
  misses: number;
  size: number;
}

/** Frames of one kind. */
export class FramePool {
  readonly kind: BlockKind;
  readonly policy: S3Fifo<Frame>;
  readonly stats: KindStats = { hits: 0, misses: 0, size: 0 };
  readonly #memory: LsmMemory;
  readonly #framesMax: number;
  readonly #free: Frame[] = [];
  #made = 0;

  constructor(memory: LsmMemory, kind: BlockKind, size: number) {
    this.kind = kind;
    this.#memory = memory;
    this.#framesMax = Math.max(FRAMES_MIN, Math.floor(size / SLOT_SIZE));
    this.policy = new S3Fifo(this.#framesMax);
  }

  /** A pinned frame without content. */
  take(): Frame {
    const frame = this.#free.pop() ?? (this.#made < this.#framesMax ? this.#make(false) : this.#evict());
    frame.pins = 1;
    return frame;
  }

  #evict(): Frame {
    const frame = this.policy.evict();
    if (frame === null) return this.#make(true);
    forget(frame);
    return frame;
  }

  #make(extra: boolean): Frame {
    const address = this.#memory.slotAlloc();
    if (!extra) this.#made++;
    this.stats.size += SLOT_SIZE;
    const queued: Queued = { id: 0, pins: 0, uses: 0, queue: null, newer: null, older: null };
    return { ...queued, pool: this, address, size: 0, owner: null, block: 0, extra };
  }

  /** Gives a frame back that nobody has pinned. */
  free(frame: Frame): void {
    this.policy.remove(frame);
    forget(frame);
    if (!frame.extra) {
      this.#free.push(frame);
      return;
    }
    this.#memory.slotFree(frame.address);
    this.stats.size -= SLOT_SIZE;
  }
}

/** The frame holds nothing any more. */
export function forget(frame: Frame): void {
  if (frame.owner !== null) frame.owner.frames[frame.block] = null;
  frame.owner = null;
}
