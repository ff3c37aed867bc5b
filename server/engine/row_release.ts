/**
 * Release: deletes rows that all declared tasks have consumed, where the partition declares so (queue/consumed.ts),
 * soon after the ack that made it so.
 *
 *   event -> pages with consumed rows? -> a short delay, so that many acks are one pass -> delete events of reason
 *   `released`, batch by batch, with a turn of the event loop between them
 *
 * Invariants: one pass at a time; a page is forgotten in the turn in which it has no such row any more, so that no ack
 * is missed; a full disk ends a pass, and the next one begins after a while.
 */
import { StoreError } from '../errors.ts';
import type { Timer } from '../env/env.ts';
import { consumedIds } from '../queue/consumed.ts';
import type { Page } from '../queue/page.ts';
import type { PartitionQueue } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';
import { removeRows, type RemovingNode } from './removal.ts';

const DELAY_MS = 50;
const RETRY_MS = 10_000;

export class RowRelease {
  readonly #node: RemovingNode;
  /** Partitions with pages to look at. */
  readonly #due = new Set<number>();
  #timer: Timer | null = null;
  #pass: Promise<void> | null = null;
  #stopped = false;

  /** After a start, all pages are to be looked at. */
  constructor(node: RemovingNode) {
    this.#node = node;
    for (const { partition } of node.parts.state.queues()) this.notice(partition);
  }

  /** Something changed in the partition. */
  notice(partition: number): void {
    const queue = this.#node.parts.state.queueById(partition);
    if (queue === undefined || queue.releasable.size === 0) return;
    this.#due.add(partition);
    this.#arm(DELAY_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#pass;
  }

  #arm(delayMs: number): void {
    if (this.#timer !== null || this.#pass !== null || this.#stopped) return;
    this.#timer = this.#node.parts.env.clock.after(delayMs, () => {
      this.#timer = null;
      this.#pass = this.#run().then((pauseMs) => {
        this.#pass = null;
        if (this.#due.size > 0) this.#arm(pauseMs);
      });
    });
  }

  /** Says how long to wait before the next pass. */
  async #run(): Promise<number> {
    const { state, env } = this.#node.parts;
    try {
      for (const id of [...this.#due]) {
        this.#due.delete(id);
        const partition = state.store.partitionById(id);
        if (partition !== undefined) await this.#releaseAll(partition);
      }
      return DELAY_MS;
    } catch (error) {
      if (!(error instanceof StoreError)) env.crash('the release of consumed rows failed', error);
      if (!this.#stopped) env.log.warn({ err: error }, 'the release of consumed rows waits');
      for (const queue of state.queues()) if (queue.releasable.size > 0) this.#due.add(queue.partition);
      return RETRY_MS;
    }
  }

  /** The pages that are noticed meanwhile are for the next pass. */
  async #releaseAll(partition: Partition): Promise<void> {
    const { state, env } = this.#node.parts;
    for (const page of [...state.queue(partition).releasable]) {
      for (let rows = 1; rows > 0 && !this.#stopped && !partition.dropped;) {
        rows = await removeRows(this.#node, partition, {
          reason: 'released',
          choose: (rowsMax) => this.#choose(state.queue(partition), page, rowsMax),
        });
        await new Promise<void>((resolve) => env.clock.soon(resolve));
      }
    }
  }

  #choose(queue: PartitionQueue, page: Page, rowsMax: number): Float64Array {
    // Meanwhile the page may have been freed, or another declaration may keep its rows.
    const isDue = page.live !== 0 && queue.releasable.has(page);
    const ids = isDue ? consumedIds(queue, page, rowsMax) : NONE;
    if (ids.length === 0) queue.releasable.delete(page);
    return ids;
  }
}

const NONE = new Float64Array(0);
