/** The rows of a claim, and what may be done with them: ack, release, or both by a put. */
import { headers as headerNames } from '@transfer-queue/core/protocol';
import { Batch, readRows } from './batch.ts';
import { blobSource } from './blobs.ts';
import { Lease, type Grant } from './lease.ts';
import type { CallOptions } from './options.ts';
import type { Answer } from './transport.ts';
import { lsnOf } from './wire.ts';

/**
 * A batch that this consumer alone holds. Its lease renews itself until it is acked, released or `holdMaxMs` old.
 *
 * @example
 * ```ts
 * const claim = await train.claim({ task: 'reward', fields: ['response'], batchSize: 64, waitMs: 1_000 });
 * if (claim.outcome === 'rows') {
 *   const reward = Float32Array.from(claim.batch.column('response'), (response) => score(response));
 *   await train.put({ reward }, { ids: claim.batch.ids, claim: claim.batch }); // results in and acked, as one
 * }
 * ```
 */
export class ClaimedBatch extends Batch {
  /** How often each row has been granted to this task, this time included; 1 is the first. */
  readonly attempts: Int32Array;
  /** Whether there are fewer rows than were asked for, as `partial` or `lingerMs` allowed. */
  readonly partial: boolean;
  /** The number of the shared batch that the rows are of; undefined for other rows. */
  readonly batchNumber: number | undefined;
  readonly #lease: Lease;

  constructor(grant: Grant, answer: Answer, { partition, batchNumber }: { partition: string; batchNumber?: number }) {
    const { rows, attempts, tags } = readRows(answer.bytes);
    const blobs = blobSource(grant.wire, partition, grant.url);
    super(rows, { lsn: lsnOf(answer), bytes: answer.bytes, tags, blobs });
    this.attempts = attempts;
    this.partial = answer.headers[headerNames.partial] !== undefined;
    this.batchNumber = batchNumber;
    this.#lease = new Lease(grant, this);
  }

  /** The name of the claim, for calls by hand: `POST /v1/claims/{token}:ack`. */
  get token(): string {
    return this.#lease.grant.token;
  }

  /** The node that holds the claim. */
  get url(): string {
    return this.#lease.grant.url;
  }

  /** The lease, in milliseconds. */
  get leaseMs(): number {
    return this.#lease.grant.leaseMs;
  }

  /** True until the claim is acked, released or known to be lost. */
  get isHeld(): boolean {
    return this.#lease.isHeld;
  }

  /** Aborted when the lease is known to be lost, with the reason: work on the batch is then in vain. */
  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  /**
   * Ends the claim: its rows are consumed for the task. A second call does nothing.
   * Throws GiveUpError (`claim_stale`) when the rows went to another consumer: drop the results then.
   */
  ack({ signal }: CallOptions = {}): Promise<void> {
    return this.#lease.ack(signal);
  }

  /** Gives the rows back, so that others may take them at once. A claim that has ended is left as it is. */
  release({ signal }: CallOptions = {}): Promise<void> {
    return this.#lease.release(signal);
  }

  /** @internal The claim was acked by a put. */
  markAcked(): void {
    this.#lease.markAcked();
  }

  /** Releases the claim unless it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
