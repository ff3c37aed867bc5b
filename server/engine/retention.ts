/**
 * Retention: removes what the partitions declare to keep no longer (queue/eviction.ts), page by page, a few rows a
 * turn, while work goes on.
 *
 *   tick -> each partition with a retention -> its pages, oldest first -> delete events of reason `evicted`
 *
 * Invariants: one pass at a time; a full disk ends a pass, and the next one tries again.
 */
import { nextTurn } from '../env/env.ts';
import { findOverdue, mayBeOverdue, overdueIds } from '../queue/eviction.ts';
import type { Page } from '../queue/page.ts';
import { pageIndexFrom } from '../queue/pages.ts';
import type { Partition } from '../store/partition.ts';
import { removeRows, type RemovingNode } from './removal.ts';
import { RemovalPasses } from './removal_passes.ts';

export class Retention {
  readonly #node: RemovingNode;
  readonly #passes: RemovalPasses;

  constructor(node: RemovingNode) {
    this.#node = node;
    this.#passes = new RemovalPasses({ env: node.parts.env, name: 'the retention', run: () => this.#run() });
  }

  /** Begins a pass, if none is under way. */
  tick(): void {
    this.#passes.tick();
  }

  stop(): Promise<void> {
    return this.#passes.stop();
  }

  async #run(): Promise<void> {
    for (const partition of [...this.#node.parts.state.store.partitions()]) {
      if (partition.settings.retention !== undefined) await this.#evict(partition);
    }
  }

  async #evict(partition: Partition): Promise<void> {
    const { state, env } = this.#node.parts;
    for (let pageNumber = 0; !this.#passes.stopping && !partition.dropped;) {
      const { slots } = state.queue(partition);
      const page: Page | undefined = slots.pages[pageIndexFrom(slots, pageNumber)];
      if (page === undefined || !mayBeOverdue(state.queue(partition), page, this.#overdue(partition))) return;
      const removed = await removeRows(this.#node, partition, {
        reason: 'evicted',
        choose: (rowsMax) => this.#choose(partition, page, rowsMax),
      });
      pageNumber = removed > 0 ? page.number : page.number + 1;
      await nextTurn(env.clock);
    }
  }

  /** A page that was freed meanwhile has no rows. */
  #choose(partition: Partition, page: Page, rowsMax: number): Float64Array {
    const queue = this.#node.parts.state.queue(partition);
    return page.live === 0 ? NONE : overdueIds(queue, page, this.#overdue(partition), rowsMax);
  }

  #overdue(partition: Partition): ReturnType<typeof findOverdue> {
    const { state, env } = this.#node.parts;
    return findOverdue(state.queue(partition), env.clock.wallMs());
  }
}

const NONE = new Float64Array(0);
