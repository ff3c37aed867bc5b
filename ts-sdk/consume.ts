/**
 * Consuming: claim after claim, as an async iterator.
 *
 * Invariants: a batch is acked by its user, or released when the next one is asked for or the iterator ends, however it
 * ends; `return()` ends a wait that is under way; the iterator is done when the partition is sealed and drained. The
 * numbers of shared batches count on; one that stays empty is so for all who share it, and is passed over.
 */
import { claim, type ClaimResult } from './claim.ts';
import type { ClaimOptions } from './claim_request.ts';
import type { ClaimedBatch } from './claimed_batch.ts';
import { endable, unlessEnded, type Endable } from './endable.ts';
import { clientError } from './errors.ts';
import type { Target } from './target.ts';

/** What to consume: as for a claim, but `waitMs` bounds the wait for each batch, and is Infinity by default. */
export type ConsumeOptions = Omit<ClaimOptions, 'ids' | 'batchSize'> & Required<Pick<ClaimOptions, 'batchSize'>>;

/** Claimed batches, one after the other. */
export type Consumer = Endable<ClaimedBatch>;

export function consume(target: Target, options: ConsumeOptions): Consumer {
  return endable(options.signal, (signal, ended) =>
    claimBatches(new Claims(target, { waitMs: Infinity, ...options, signal }), ended),
  );
}

async function* claimBatches(claims: Claims, ended: AbortSignal): Consumer {
  for (;;) {
    const batch = await unlessEnded(ended, claims.next());
    if (batch === undefined) return;
    try {
      yield batch;
    } finally {
      // Where this fails the lease ends by itself, and an error on its way out must not be replaced.
      await batch.release().catch(() => undefined);
    }
  }
}

/** One claim after the other, of the same words. */
class Claims {
  readonly #target: Target;
  #options: ClaimOptions;

  constructor(target: Target, options: ClaimOptions) {
    this.#target = target;
    this.#options = options;
  }

  /** The next batch; undefined when the partition is drained. Throws `timed_out`. */
  async next(): Promise<ClaimedBatch | undefined> {
    const { runtime } = this.#target.wire;
    const { waitMs = 0, signal } = this.#options;
    const endMs = runtime.nowMs() + waitMs;
    for (let drained = 0; ;) {
      const result = await this.#claim(Math.max(0, endMs - runtime.nowMs()));
      if (result.outcome === 'rows') return result.batch;
      const isShared = this.#options.batch !== undefined;
      if (result.outcome === 'drained') {
        // Each number of a shared batch asks one node, the next number the next one: all of them, one after the other.
        drained++;
        if (!isShared || drained === (await this.#target.wire.shards(signal)).nodes.length) return undefined;
        continue;
      }
      drained = 0;
      if (isShared && runtime.nowMs() < endMs) continue;
      const { outcome, ...details } = result;
      throw clientError(outcome, undefined, { details });
    }
  }

  async #claim(waitMs: number): Promise<ClaimResult> {
    const options = this.#options;
    const result = await claim(this.#target, { ...options, waitMs });
    const { batch } = options;
    if (batch !== undefined) this.#options = { ...options, batch: { ...batch, number: (batch.number ?? 0) + 1 } };
    return result;
  }
}
