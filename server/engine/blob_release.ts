/**
 * Release of blobs: those that no cell names are deleted a while after their last use.
 *
 *   use   an upload, a question whether it is there, the loss of the last cell that named it, a start of the process
 *
 *   tick -> blobs whose while is over, the longest unused first -> still unnamed? -> delete events of reason `released`
 *
 * The while is the time that a client has between an upload and the put of the rows, and a reader between the answer
 * that named a blob and its own question for the bytes.
 *
 * Invariants: one pass at a time; a blob that a cell names is never released, nor is any while a snapshot is open,
 * since its rows may name what newer ones do not, nor one of a load that is under way; a full disk ends a pass, and a
 * later one tries again.
 */
import { nextTurn } from '../env/env.ts';
import type { BlobRefs } from '../queue/blob_refs.ts';
import { keysOf } from '../queue/keys.ts';
import type { Partition } from '../store/partition.ts';
import { blobId, hasBlob, isBlobs, ownerOf } from './blob_partitions.ts';
import { removeRows, type RemovingNode } from './removal.ts';
import { RemovalPasses } from './removal_passes.ts';
import { isStaging } from './staging.ts';

/** How long a blob stays that no cell names. */
export const BLOB_GRACE_MS = 600_000;

interface Unnamed {
  /** Whose cells count: another object after the queue of the owner was replaced. */
  readonly refs: BlobRefs;
  /** When each was used last, in that order. Some may have been named since. */
  readonly usedMs: Map<string, number>;
}

type Releasing = RemovingNode & { readonly snapshots: { readonly count: number } };

export class BlobRelease {
  readonly #node: Releasing;
  /** By the partition of the blobs. */
  readonly #unnamed = new Map<number, Unnamed>();
  readonly #passes: RemovalPasses;

  constructor(node: Releasing) {
    this.#node = node;
    this.#passes = new RemovalPasses({ env: node.parts.env, name: 'the release of blobs', run: () => this.#run() });
  }

  /** The blob was used. */
  touch(blobs: Partition, digest: string): void {
    if (!blobs.dropped) use(this.#of(blobs), digest, this.#now());
  }

  /** Begins a pass, if none is under way. */
  tick(): void {
    this.#passes.tick();
  }

  stop(): Promise<void> {
    return this.#passes.stop();
  }

  async #run(): Promise<void> {
    const { store } = this.#node.parts.state;
    for (const id of this.#unnamed.keys()) if (store.partitionById(id) === undefined) this.#unnamed.delete(id);
    for (const blobs of [...store.partitions()].filter(isBlobs)) {
      // A load uploads all blobs of a partition before its rows, however long that takes.
      if (blobs.dropped || isStaging(store.partitionById(ownerOf(blobs))!)) continue;
      const unnamed = this.#of(blobs);
      for (const digest of unnamed.refs.takeFreed()) use(unnamed, digest, this.#now());
      if (this.#node.snapshots.count === 0) await this.#release(blobs);
    }
  }

  async #release(blobs: Partition): Promise<void> {
    const { env } = this.#node.parts;
    for (let rows = 1; rows > 0 && !this.#passes.stopping;) {
      rows = await removeRows(this.#node, blobs, {
        reason: 'released',
        choose: (rowsMax) => this.#choose(blobs, rowsMax),
      });
      if (rows > 0) await nextTurn(env.clock);
    }
  }

  /** What is chosen is deleted in this turn, or chosen anew. */
  #choose(blobs: Partition, rowsMax: number): Float64Array {
    const { refs, usedMs } = this.#of(blobs);
    const queue = this.#node.parts.state.queue(blobs);
    const ids: number[] = [];
    for (const [digest, ms] of usedMs) {
      if (ms + BLOB_GRACE_MS > this.#now() || ids.length === rowsMax) break;
      if (refs.has(digest) || !hasBlob(queue, digest)) usedMs.delete(digest);
      else ids.push(blobId(digest));
    }
    return Float64Array.from(ids);
  }

  /** At first, and after a start or a load, all blobs without a cell are as if they were used now. */
  #of(blobs: Partition): Unnamed {
    const { state } = this.#node.parts;
    const refs = state.queueById(ownerOf(blobs))!.slots.blobRefs;
    const known = this.#unnamed.get(blobs.id);
    if (known?.refs === refs) return known;
    const unnamed = { refs, usedMs: new Map<string, number>() };
    for (const digest of keysOf(state.queue(blobs))) if (!refs.has(digest)) unnamed.usedMs.set(digest, this.#now());
    this.#unnamed.set(blobs.id, unnamed);
    return unnamed;
  }

  #now(): number {
    return this.#node.parts.env.clock.nowMs();
  }
}

function use({ usedMs }: Unnamed, digest: string, nowMs: number): void {
  usedMs.delete(digest);
  usedMs.set(digest, nowMs);
}
