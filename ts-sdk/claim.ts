/**
 * Claims: rows that a task takes under a lease, and what may come of asking for them.
 *
 *   ids given      the node that holds all of them
 *   shared batch   the node of its number, the same for all who share it; one request, whose end is the batch's
 *   else           the nodes in turn, until one has rows, the wait is over at each of them, or all are drained
 */
import { headers as headerNames, outcomes } from '@transfer-queue/core/protocol';
import { claimJson, holdMaxMsDefault, type ClaimOptions, type Turn } from './claim_request.ts';
import { ClaimedBatch } from './claimed_batch.ts';
import { toIds } from './encode.ts';
import { clientError } from './errors.ts';
import { TURN_MS, type Node } from './shards.ts';
import { sumCounts } from './stats.ts';
import type { Target } from './target.ts';
import { answerJson } from './wire.ts';

/** Where the rows stand that a claim did not get. */
export interface ClaimCounts {
  /** Rows that the task could have had, fewer than it asked for. */
  readonly ready: number;
  /** Rows of the task that other consumers hold. */
  readonly leased: number;
  /** Rows that still lack some of the fields, or siblings of their group. */
  readonly incomplete: number;
  /** Dead letters of the task. */
  readonly dead: number;
  /** Rows that are too old for the window. */
  readonly stale: number;
  /** Rows that the filter leaves out. */
  readonly filtered: number;
}

/** The three ends of a claim. */
export type ClaimResult =
  | { readonly outcome: 'rows'; readonly batch: ClaimedBatch }
  /** Not enough rows in time. */
  | ({ readonly outcome: 'timed_out' } & ClaimCounts)
  /** The partition is sealed and the task has consumed all of it. */
  | { readonly outcome: 'drained' };

interface Claiming {
  readonly target: Target;
  readonly options: ClaimOptions;
  /** On the clock of the runtime. */
  readonly startMs: number;
}

/** Claims until there are rows, the wait ends, or the partition is drained. */
export function claim(target: Target, options: ClaimOptions): Promise<ClaimResult> {
  const { wire } = target;
  const claiming = { target, options, startMs: wire.runtime.nowMs() };
  return wire.onNodes(options.signal, async (nodes) => {
    const { waitMsMax } = await wire.limits(options.signal);
    const single = await onlyNode(claiming, nodes);
    if (options.batch === undefined) return claimInTurn(claiming, single === undefined ? nodes : [single], waitMsMax);
    return claimAt(claiming, single!, { ...turnOf(claiming, waitMsMax), isLast: true });
  });
}

/** The one node to ask, if there is one. */
async function onlyNode({ target, options }: Claiming, nodes: readonly Node[]): Promise<Node | undefined> {
  const { ids, batch, signal } = options;
  // The numbers go round, so that each node has its turn.
  if (batch !== undefined) return nodes[(batch.number ?? 0) % nodes.length];
  if (ids === undefined || nodes.length === 1) return undefined;
  const map = await target.wire.shards(signal);
  const [share, ...others] = map.split(toIds(ids), await target.groupSize(signal));
  if (others.length === 0) return share.node;
  throw clientError('input_invalid', 'The ids of one claim are on several nodes; claim those of each node.');
}

async function claimInTurn(claiming: Claiming, nodes: readonly Node[], waitMsMax: number): Promise<ClaimResult> {
  const turnMs = nodes.length === 1 ? waitMsMax : TURN_MS;
  const counts = new Map<string, ClaimCounts>();
  let turns = [...nodes];
  while (turns.length > 0) {
    const [node, ...others] = turns;
    const turn = turnOf(claiming, turnMs);
    const result = await claimAt(claiming, node, turn);
    if (result.outcome === 'rows') return result;
    turns = result.outcome === 'drained' ? others : [...others, node];
    if (result.outcome === 'timed_out' && turn.isLast) counts.set(node.id, result);
    const isOver = turns.length > 0 && turns.every(({ id }) => counts.has(id));
    if (isOver) return { ...sumOf(turns.map(({ id }) => counts.get(id)!)), outcome: 'timed_out' };
  }
  return { outcome: 'drained' };
}

/** The next request, which takes what is left of the wait, or this much of it. */
function turnOf({ target, options, startMs }: Claiming, turnMs: number): Turn {
  const waitedMs = target.wire.runtime.nowMs() - startMs;
  const leftMs = Math.max(0, (options.waitMs ?? 0) - waitedMs);
  return { waitMs: Math.ceil(Math.min(leftMs, turnMs)), waitedMs, isLast: leftMs <= turnMs };
}

async function claimAt({ target, options }: Claiming, { url }: Node, turn: Turn): Promise<ClaimResult> {
  const { wire, partition } = target;
  const { signal, holdMaxMs = holdMaxMsDefault, autoAck = false, batch } = options;
  const json = claimJson(options, turn);
  const answer = await wire.send({ url, route: 'claim', names: { partition }, json, waitMs: turn.waitMs, signal });
  const outcome = answer.headers[headerNames.outcome];
  if (outcome === outcomes.drained) return { outcome };
  if (outcome === outcomes.timedOut) return { outcome, ...countsOf(answerJson(answer)) };
  const token = answer.headers[headerNames.claim];
  if (token === undefined) throw clientError('answer_invalid', 'The answer to a claim has no token.');
  const leaseMs = Number(answer.headers[headerNames.leaseMs]);
  const batchNumber = batch === undefined ? undefined : (batch.number ?? 0);
  return {
    outcome: 'rows',
    batch: new ClaimedBatch({ wire, url, token, leaseMs, holdMaxMs, autoAck }, answer, { partition, batchNumber }),
  };
}

function countsOf(counts: Partial<ClaimCounts>): ClaimCounts {
  const { ready = 0, leased = 0, incomplete = 0, dead = 0, stale = 0, filtered = 0 } = counts;
  return { ready, leased, incomplete, dead, stale, filtered };
}

function sumOf(counts: readonly ClaimCounts[]): ClaimCounts {
  return sumCounts(counts.map(countsOf));
}
