/**
 * Consuming: claim after claim, as an async iterator.
 *
 * Invariants: a batch is acked by its user, or released when the next one is asked for or the iterator ends, however it
 * ends; `return()` ends a wait that is under way; the iterator is done when the partition is sealed and drained.
 */
import type { ClaimOptions, ClaimResult, ClaimedBatch } from './claim.ts';
import { clientError } from './errors.ts';

/** What to consume: as for a claim, but `waitMs` bounds the wait for each batch, and is Infinity by default. */
export type ConsumeOptions = ClaimOptions;

/** Claimed batches, one after the other. */
export type Consumer = AsyncGenerator<ClaimedBatch, void, undefined>;

type Claimer = (options: ClaimOptions) => Promise<ClaimResult>;

export function consume(claimer: Claimer, options: ConsumeOptions): Consumer {
  const ended = new AbortController();
  const signal = options.signal === undefined ? ended.signal : AbortSignal.any([options.signal, ended.signal]);
  const batches = claimBatches(claimer, { waitMs: Infinity, ...options, signal }, ended.signal);
  return {
    next: () => batches.next(),
    return: () => {
      ended.abort(); // A generator that is within a wait would not hear of its return before that ends.
      return batches.return();
    },
    throw: (error: unknown) => {
      ended.abort();
      return batches.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    async [Symbol.asyncDispose]() {
      await this.return();
    },
  };
}

async function* claimBatches(claimer: Claimer, options: ClaimOptions, ended: AbortSignal): Consumer {
  for (;;) {
    const result = await nextClaim(claimer, options, ended);
    if (result.outcome === 'drained') return;
    if (result.outcome === 'timed_out') {
      const { ready, leased, incomplete } = result;
      throw clientError('timed_out', undefined, { details: { ready, leased, incomplete } });
    }
    try {
      yield result.batch;
    } finally {
      // Where this fails the lease ends by itself, and an error on its way out must not be replaced.
      await result.batch.release().catch(() => undefined);
    }
  }
}

/** The end of a wait that `return` asked for is no error. */
async function nextClaim(claimer: Claimer, options: ClaimOptions, ended: AbortSignal): Promise<ClaimResult> {
  try {
    return await claimer(options);
  } catch (error) {
    if (ended.aborted) return { outcome: 'drained' };
    throw error;
  }
}
