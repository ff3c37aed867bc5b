/**
 * The words of a claim, and its JSON body.
 *
 *   which rows                      fields, where, window, ids
 *   in what order, and how many     sampler with by and seed; group; batchSize, rowsMin, tokens, partial, lingerMs
 *   for whom                        task, batch
 *   for how long                    waitMs, leaseMs, holdMaxMs, autoAck
 */
import type { Sampler } from '@transfer-queue/core/protocol';
import { toIds, type Ids } from './encode.ts';
import { clientError } from './errors.ts';
import { snakeKeys } from './names.ts';
import type { WaitOptions } from './options.ts';
import type { Group, SharedBatch, Tokens, Window } from './policies.ts';

/** What to claim. */
export interface ClaimOptions extends WaitOptions {
  /** The consumer group. Each task gets every row once, independent of other tasks. */
  readonly task: string;
  /** The fields that a row must have to be ready, which come with it. `tq_tags` among them brings its tags. */
  readonly fields: readonly string[];
  /** The most rows to take. Needed without `ids`. */
  readonly batchSize?: number;
  /** Wait until so many rows are ready. Default: batchSize; a sealed partition gives its last rows anyway. */
  readonly rowsMin?: number;
  /**
   * Exactly those of these rows that are ready, one at least; in place of `batchSize` and `sampler`. So samplers of
   * your own are written: list, choose, claim. With several nodes, all on one of them.
   */
  readonly ids?: Ids;
  /**
   * `fifo` (default): oldest rows first. `group`: whole groups only, all siblings or none. `priority`: highest number
   * first. `weighted`: by chance, in proportion to a number. Or the name of a module of the server.
   */
  readonly sampler?: Sampler | (string & {});
  /** The declared number of `priority` (default `priority`) or `weighted` (default `weight`). */
  readonly by?: string;
  /** The seed of `weighted`. Default 0. */
  readonly seed?: number;
  /** Only rows of a filter over tags and numbers: `status == "finished" and reward > 0.5`. */
  readonly where?: string;
  /** As many rows as have so many tokens. */
  readonly tokens?: Tokens;
  /** Only rows of versions that are fresh enough. */
  readonly window?: Window;
  /** Other groups than those of `groupSize`, or groups with failed rows; of the sampler `group`. */
  readonly group?: Group;
  /**
   * Draws together with other processes. A wait for it takes one minute at most, and its time-out is what became of
   * this number for all.
   */
  readonly batch?: SharedBatch;
  /** When the wait is over, take what is ready, if anything is; see `ClaimedBatch.partial`. Default false. */
  readonly partial?: boolean;
  /** After waiting for so long, one row is enough; in milliseconds. Default: never. */
  readonly lingerMs?: number;
  /** How long the rows are held without a renewal, in milliseconds. Default 30,000. */
  readonly leaseMs?: number;
  /** For how long the lease renews itself, in milliseconds. Default 600,000. */
  readonly holdMaxMs?: number;
  /** Consume the rows when they are granted: at most once, even when this process dies. Default false. */
  readonly autoAck?: boolean;
}

export const holdMaxMsDefault = 600_000;

/** One request of a wait that may take several. */
export interface Turn {
  readonly waitMs: number;
  /** How long the claim has waited before. */
  readonly waitedMs: number;
  /** The wait ends with this request. */
  readonly isLast: boolean;
}

/** The body of one request. What is undefined is left out. */
export function claimJson(options: ClaimOptions, { waitMs, waitedMs, isLast }: Turn): object {
  const { ids, tokens, window, group, batch, lingerMs } = options;
  const { task, fields, rowsMin, sampler, by, seed, where, leaseMs, autoAck } = options;
  if ((options.batchSize === undefined) === (ids === undefined))
    throw clientError('input_invalid', 'A claim takes batchSize rows, or those of ids.');
  return {
    task,
    fields,
    rows_max: options.batchSize,
    rows_min: rowsMin,
    ids: ids && toIds(ids),
    sampler,
    by,
    seed,
    where,
    tokens: tokens && snakeKeys(tokens),
    window: window && snakeKeys(window),
    group: group && snakeKeys(group),
    batch: batch && { number: 0, ...snakeKeys(batch) },
    // The end of one request is the end of the wait only when no other one follows.
    partial: options.partial === true && isLast ? true : undefined,
    linger_ms: lingerMs === undefined ? undefined : Math.max(0, Math.round(lingerMs - waitedMs)),
    wait_ms: waitMs,
    lease_ms: leaseMs,
    auto_ack: autoAck,
  };
}
