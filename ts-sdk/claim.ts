/** Claims: rows that a task takes under a lease, and what may come of asking for them. */
import { headers as headerNames, outcomes, type Sampler } from '@transfer-queue/core/protocol';
import { Batch, readRows } from './batch.ts';
import { clientError } from './errors.ts';
import { Lease, type Grant } from './lease.ts';
import type { CallOptions, WaitOptions } from './options.ts';
import { TURN_MS, type Node } from './shards.ts';
import type { Answer } from './transport.ts';
import { answerJson, type Wire } from './wire.ts';

/** What to claim. */
export interface ClaimOptions extends WaitOptions {
  /** The consumer group. Each task gets every row once, independent of other tasks. */
  readonly task: string;
  /** The fields that a row must have to be ready, which come with it. */
  readonly fields: readonly string[];
  /** The most rows to take. */
  readonly batchSize: number;
  /** Wait until so many rows are ready. Default: batchSize; a sealed partition gives its last rows anyway. */
  readonly rowsMin?: number;
  /** `fifo` (default): oldest rows first. `group`: whole groups only, all siblings or none. */
  readonly sampler?: Sampler;
  /** How long the rows are held without a renewal, in milliseconds. Default 30,000. */
  readonly leaseMs?: number;
  /** For how long the lease renews itself, in milliseconds. Default 600,000. */
  readonly holdMaxMs?: number;
  /** Consume the rows when they are granted: at most once, even when this process dies. Default false. */
  readonly autoAck?: boolean;
}

export const holdMaxMsDefault = 600_000;

/** The three ends of a claim. */
export type ClaimResult =
  | { readonly outcome: 'rows'; readonly batch: ClaimedBatch }
  /** Not enough rows in time: rows that are ready, that others hold, and that still lack fields. */
  | { readonly outcome: 'timed_out'; readonly ready: number; readonly leased: number; readonly incomplete: number }
  /** The partition is sealed and the task has consumed all of it. */
  | { readonly outcome: 'drained' };

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
  readonly #lease: Lease;

  constructor(grant: Grant, answer: Answer) {
    const { rows, attempts } = readRows(answer.bytes);
    super(rows, { lsn: lsnOf(answer), bytes: answer.bytes });
    this.attempts = attempts;
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

/** Claims at the nodes of the shard map until one has rows, the wait ends, or all are drained. */
export function claim(wire: Wire, partition: string, options: ClaimOptions): Promise<ClaimResult> {
  const endMs = wire.runtime.nowMs() + (options.waitMs ?? 0);
  return wire.onNodes(options.signal, (nodes) => claimInTurn(wire, nodes, { partition, options, endMs }));
}

async function claimInTurn(
  wire: Wire,
  nodes: readonly Node[],
  { partition, options, endMs }: { partition: string; options: ClaimOptions; endMs: number },
): Promise<ClaimResult> {
  const turnMs = nodes.length === 1 ? (await wire.limits(options.signal)).waitMsMax : TURN_MS;
  const counts = new Map<string, ClaimCounts>();
  let turns = [...nodes];
  while (turns.length > 0) {
    const [node, ...others] = turns;
    const leftMs = Math.max(0, endMs - wire.runtime.nowMs());
    const waitMs = Math.ceil(Math.min(leftMs, turnMs));
    const result = await claimAt(wire, { url: node.url, partition, options, waitMs });
    if (result.outcome === 'rows') return result;
    turns = result.outcome === 'drained' ? others : [...others, node];
    if (result.outcome === 'timed_out') counts.set(node.id, result);
    const isRoundDone = turns.length > 0 && turns.every(({ id }) => counts.has(id));
    if (isRoundDone && leftMs <= turnMs) return timedOut(turns.map(({ id }) => counts.get(id)!));
  }
  return { outcome: 'drained' };
}

interface ClaimCounts {
  readonly ready: number;
  readonly leased: number;
  readonly incomplete: number;
}

function timedOut(counts: readonly ClaimCounts[]): ClaimResult {
  const sum = (key: keyof ClaimCounts): number => counts.reduce((total, count) => total + count[key], 0);
  return { outcome: 'timed_out', ready: sum('ready'), leased: sum('leased'), incomplete: sum('incomplete') };
}

interface Turn {
  readonly url: string;
  readonly partition: string;
  readonly options: ClaimOptions;
  readonly waitMs: number;
}

async function claimAt(wire: Wire, { url, partition, options, waitMs }: Turn): Promise<ClaimResult> {
  const { task, fields, batchSize, rowsMin, sampler, leaseMs, autoAck, signal } = options;
  const json = {
    task,
    fields,
    rows_max: batchSize,
    rows_min: rowsMin,
    sampler,
    wait_ms: waitMs,
    lease_ms: leaseMs,
    auto_ack: autoAck,
  };
  const answer = await wire.send({ url, route: 'claim', names: { partition }, json, waitMs, signal });
  const outcome = answer.headers[headerNames.outcome];
  if (outcome === outcomes.drained) return { outcome };
  if (outcome === outcomes.timedOut) {
    const { ready = 0, leased = 0, incomplete = 0 } = answerJson(answer) as Partial<ClaimCounts>;
    return { outcome, ready, leased, incomplete };
  }
  const token = answer.headers[headerNames.claim];
  if (token === undefined) throw clientError('answer_invalid', 'The answer to a claim has no token.');
  const grant = {
    wire,
    url,
    token,
    leaseMs: Number(answer.headers[headerNames.leaseMs]),
    holdMaxMs: options.holdMaxMs ?? holdMaxMsDefault,
    autoAck: autoAck ?? false,
  };
  return { outcome: 'rows', batch: new ClaimedBatch(grant, answer) };
}

/** The LSN of an answer with rows. */
export function lsnOf(answer: Answer): number {
  return Number(answer.headers[headerNames.lsn] ?? 0);
}
