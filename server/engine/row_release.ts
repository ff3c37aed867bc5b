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
import { nextTurn, type Timer } from '../env/env.ts';
import { consumedIds } from '../queue/consumed.ts';
import type { Page } from '../queue/page.ts';
import type { PartitionQueue } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';
import { removeRows, type RemovingNode } from './removal.ts';
import { RemovalPasses } from './removal_passes.ts';

const DELAY_MS = 50;
const RETRY_MS = 10_000;

export class RowRelease {
  readonly #node: RemovingNode;
  readonly #passes: RemovalPasses;
  /** Partitions with pages to look at. */
  readonly #due = new Set<number>();
  #timer: Timer | null = null;

  /** After a start, all pages are to be looked at. */
  constructor(node: RemovingNode) {
    this.#node = node;
    const name = 'the release of consumed rows';
    this.#passes = new RemovalPasses({ env: node.parts.env, name, run: () => this.#run() });
    for (const { partition } of node.parts.state.queues()) this.notice(partition);
  }

  /** Something changed in the partition. */
  notice(partition: number): void {
    const queue = this.#node.parts.state.queueById(partition);
    if (queue === undefined || queue.releasable.size === 0) return;
    this.#due.add(partition);
    this.#arm(DELAY_MS);
  }

  stop(): Promise<void> {
    this.#timer?.cancel();
    return this.#passes.stop();
  }

  #arm(delayMs: number): void {
    if (this.#passes.stopping) return;
    this.#timer ??= this.#node.parts.env.clock.after(delayMs, () => {
      this.#timer = null;
      this.#passes.tick();
    });
  }

  async #run(): Promise<void> {
    const { state } = this.#node.parts;
    try {
      for (const id of [...this.#due]) {
        this.#due.delete(id);
        const partition = state.store.partitionById(id);
        if (partition !== undefined) await this.#releaseAll(partition);
      }
      // Of what was noticed meanwhile the timer may be over.
      if (this.#due.size > 0) this.#arm(DELAY_MS);
    } catch (error) {
      for (const queue of state.queues()) if (queue.releasable.size > 0) this.#due.add(queue.partition);
      this.#timer?.cancel();
      this.#timer = null;
      this.#arm(RETRY_MS);
      throw error;
    }
  }

  /** The pages that are noticed meanwhile are for the next pass. */
  async #releaseAll(partition: Partition): Promise<void> {
    const { state, env } = this.#node.parts;
    for (const page of [...state.queue(partition).releasable]) {
      for (let rows = 1; rows > 0 && !this.#passes.stopping && !partition.dropped;) {
        rows = await removeRows(this.#node, partition, {
          reason: 'released',
          choose: (rowsMax) => this.#choose(state.queue(partition), page, rowsMax),
        });
        await nextTurn(env.clock);
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
