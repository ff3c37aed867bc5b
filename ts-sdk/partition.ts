/** Partitions: rows, rows claimed, and what can be done with all of them. */
import { claim, type ClaimResult } from './claim.ts';
import type { ClaimOptions } from './claim_request.ts';
import { consume, type ConsumeOptions, type Consumer } from './consume.ts';
import type { CallOptions } from './options.ts';
import { PartitionRows } from './partition_rows.ts';
import { highestLsn } from './target.ts';
import {
  advance,
  deadLetters,
  leases,
  requeue,
  resetConsumption,
  whyHeld,
  type DeadLettersOptions,
  type HeldRow,
  type LeaseStatus,
  type RequeueOptions,
} from './tasks.ts';
import { watch, type Changes, type WatchOptions } from './watch.ts';

/**
 * A named set of rows. A handle costs nothing and holds no connection; make it with `client.partition(name)`.
 *
 * @example
 * ```ts
 * const train = await tq.partition('train', { fields: { prompt: text(), reward: scalar('float32') }, groupSize: 8 });
 * await train.put({ prompt: ['1 + 1 =', '2 + 2 ='] }, { ids: [0, 1] });
 * await train.put({ reward: Float32Array.of(1, 0) }, { ids: [0, 1] });
 * const batch = await train.get([1, 0], { fields: ['prompt', 'reward'] });
 * batch.column('prompt').row(0); // '2 + 2 ='
 * ```
 */
export class Partition extends PartitionRows {
  /**
   * Takes rows that have all the fields, and that the task has not consumed, under a lease, with their data. The result
   * says which of three ends it came to.
   *
   * Throws FixRequestError (`filter_invalid`, `number_unknown`, `row_over_budget`: a row has more tokens than a batch
   * may have), GiveUpError (`batch_unknown`: the shared batch was drawn too long ago).
   *
   * @example
   * ```ts
   * const words = { task: 'actor', fields: ['response'], batchSize: 4, leaseMs: 10_000 };
   * const claim = await train.claim({ ...words, partial: true, lingerMs: 500, waitMs: 1_000 });
   * if (claim.outcome === 'rows') await claim.batch.ack();
   * ```
   */
  claim(options: ClaimOptions): Promise<ClaimResult> {
    return claim(this.target, options);
  }

  /**
   * Claims batch after batch until the partition is sealed and the task has consumed all of it. The lease of the
   * batch at hand renews itself, for up to `holdMaxMs`. A batch that is not acked when the next one is asked for, or
   * when the loop is left, is released. Throws the reason of `signal`, WaitForOthersError (`timed_out`) when `waitMs`
   * ends. With `batch` the numbers count on from its own; those that stay empty are passed over, as by all who share
   * them.
   *
   * @example
   * ```ts
   * for await (const batch of train.consume({ task: 'look', fields: ['prompt', 'reward'], batchSize: 2 })) {
   *   console.log(batch.ids, batch.column('reward').values);
   *   await batch.ack();
   * }
   * ```
   */
  consume(options: ConsumeOptions): Consumer {
    return consume(this.target, options);
  }

  /**
   * The changes of the partition, as they are committed, until the loop is left, `waitMs` passes without one, or the
   * signal aborts. The watch begins with the first step, or before it with `begin()`.
   *
   * @example
   * ```ts
   * const changes = train.watch({ waitMs: 5_000 });
   * await changes.begin();
   * await train.tag([7], { status: 'finished' });
   * for await (const { change, ids } of changes) {
   *   [change, ...ids]; // ['tag', 7]
   *   break;
   * }
   * ```
   */
  watch(options: WatchOptions = {}): Changes {
    return watch(this.target, options);
  }

  /**
   * Publishes the version of the policy that is trained now, which windows and the pace count from; it only rises.
   * Resolves to the LSN. Throws FixRequestError (`version_behind`).
   *
   * @example
   * ```ts
   * await train.advance(3);
   * (await train.stats()).version; // 3
   * ```
   */
  advance(version: number, { signal }: CallOptions = {}): Promise<number> {
    return advance(this.target, version, signal);
  }

  /** The claims under a lease, the oldest first, and 1,024 at most of each node. */
  leases({ signal }: CallOptions = {}): Promise<LeaseStatus[]> {
    return leases(this.target, signal);
  }

  /**
   * The dead letters of a task: rows that came back from the last of `maxAttempts` attempts. Row id -> attempts.
   *
   * Throws FixRequestError (`task_unknown`).
   *
   * @example
   * ```ts
   * await tq.partition('train', { tasks: { judge: { maxAttempts: 1 } } });
   * const claim = await train.claim({ task: 'judge', fields: ['reward'], batchSize: 1 });
   * if (claim.outcome === 'rows') await claim.batch.release();
   * [...(await train.deadLetters('judge'))]; // [[0, 1]]
   * await train.requeue('judge'); // 1
   * ```
   */
  deadLetters(task: string, options: DeadLettersOptions = {}): Promise<Map<number, number>> {
    return deadLetters(this.target, task, options);
  }

  /**
   * Makes dead letters claimable again, from their first attempt on. Resolves to how many rows were dead. Throws
   * FixRequestError (`task_unknown`).
   */
  requeue(task: string, options: RequeueOptions = {}): Promise<number> {
    return requeue(this.target, task, options);
  }

  /**
   * Makes all rows claimable by the task as if it had never claimed any, for another epoch. Claims of it that are held
   * end stale. Resolves to how many rows it had consumed or held. Throws FixRequestError (`task_unknown`).
   *
   * @example
   * ```ts
   * await train.claim({ task: 'epoch', fields: ['reward'], batchSize: 8, autoAck: true });
   * await train.resetConsumption('epoch'); // 8
   * ```
   */
  resetConsumption(task: string, { signal }: CallOptions = {}): Promise<number> {
    return resetConsumption(this.target, task, signal);
  }

  /**
   * Why the bytes of a row are still there: tasks that have not consumed it, claims, snapshots, neighbours; `because`
   * says it in a sentence. Throws WaitForOthersError (`rows_missing`).
   */
  whyHeld(id: number, { signal }: CallOptions = {}): Promise<HeldRow> {
    return whyHeld(this.target, id, signal);
  }

  /** Says that no more rows come; rows that are there may still get fields. Consumers then end. Returns the LSN. */
  async seal({ signal }: CallOptions = {}): Promise<number> {
    return highestLsn(await this.target.wire.sendToAll({ route: 'seal', names: { partition: this.name }, signal }));
  }

  /** Drops the partition with all its rows and claims. Returns the LSN. */
  async drop({ signal }: CallOptions = {}): Promise<number> {
    this.learn(undefined);
    return highestLsn(await this.target.wire.sendToAll({ route: 'drop', names: { partition: this.name }, signal }));
  }
}
