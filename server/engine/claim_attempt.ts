/**
 * One attempt to grant a claim, in one turn of the event loop: decide, commit what was decided, hand on the grant.
 *
 *   skip      rows that the task passes for good are passed, and it is decided anew
 *   grant     one claim; of a shared batch one for each of its parts, and what says that the others are empty
 *   known     a request, or a part of a batch, that was granted before: the same grant
 *
 * Invariant: the parts of a batch are committed together, and none is answered before all are safe: what a crash cuts
 * off nobody was told of.
 */
import { StoreError } from '../errors.ts';
import type { BatchEvent, ClaimEvent, JournalEvent } from '../journal/events.ts';
import type { BatchDecision, ClaimCommand, GrantDecision, PartGrant } from '../queue/events.ts';
import { machine } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';
import type { WaitEnd } from './commands.ts';
import type { Grant } from './grants.ts';
import type { Node } from './node.ts';
import type { RequestOutcome } from './requests.ts';

const DONE = Promise.resolve();

export type Attempt =
  | {
      readonly kind: 'granted';
      readonly grant: Grant;
      readonly commit: Promise<unknown>;
      readonly isPartial: boolean;
    }
  /** `dueMs`: when another attempt may succeed although nothing happens. */
  | { readonly kind: 'wait'; readonly dueMs: number }
  | { readonly kind: 'ended'; readonly end: WaitEnd; readonly commit: Promise<unknown> }
  | { readonly kind: 'refused'; readonly error: StoreError };

export function attempt(node: Node, partition: Partition, command: ClaimCommand): Attempt {
  const { state, env } = node.parts;
  const earlier = state.requests.get(command.requestId);
  if (earlier !== undefined) return repeat(node, partition, earlier);
  const queue = state.queue(partition);
  const decide = command.batch === undefined ? machine.decideClaim : machine.decideBatch;
  let decision: GrantDecision | BatchDecision = decide(queue, command, env.clock.nowMs());
  while (decision.kind === 'skip') {
    const { task, fields } = command;
    const event = { type: 'skip', partition: partition.id, task, fields, ids: decision.ids } as const;
    node.commit(event, partition.settings.ack);
    decision = decide(queue, command, env.clock.nowMs());
  }
  switch (decision.kind) {
    case 'grant':
      return grant(node, partition, command, decision);
    case 'parts':
      return grantParts(node, partition, command, decision);
    case 'known':
      return regrant(state.grants.get(decision.claim), 'the claim of this part ended');
    case 'empty':
      return emptyPart(decision.outcome, settled(node, partition));
    case 'drained':
      return drained(node, partition, command);
    case 'wait':
      return decision;
    case 'refuse':
      return refused(decision.code, { task: command.task, ...decision.details });
  }
}

function grant(node: Node, partition: Partition, command: ClaimCommand, decision: GrantDecision): Attempt {
  const event = claimEvent(node, partition, command, decision);
  const { commit } = node.commit(event, partition.settings.ack);
  return granted(node, event, commit, decision.isPartial);
}

function grantParts(
  node: Node,
  partition: Partition,
  command: ClaimCommand,
  { parts, emptied, isPartial }: Extract<BatchDecision, { kind: 'parts' }>,
): Attempt {
  const { name, number, part: asked, parts: count } = command.batch!;
  const claims = parts.map((each) => {
    const batch = { name, number, part: each.part, parts: count };
    // The request is about its own part only: the others are asked for by others.
    const requestId = each.part === asked ? command.requestId : '';
    return { ...claimEvent(node, partition, command, each), batch, requestId };
  });
  const empty: JournalEvent[] = emptied ? [batchEvent(partition, command, 'timed_out')] : [];
  // Whoever is woken by these events is told of a part at once, and waits for the same commit.
  return node.commitTogether([...claims, ...empty], partition.settings.ack, ({ commit }) => {
    const answers = claims.map((event) => granted(node, event, commit, isPartial));
    return answers[claims.findIndex(({ batch }) => batch.part === asked)] ?? emptyPart('timed_out', commit);
  });
}

function claimEvent(
  node: Node,
  partition: Partition,
  { requestId, task, fields, leaseMs, autoAck }: ClaimCommand,
  { ids, attempts }: Pick<PartGrant, 'ids' | 'attempts'>,
): ClaimEvent {
  return {
    type: 'claim',
    partition: partition.id,
    epoch: node.parts.epoch,
    claim: node.nextClaimNumber(),
    ...{ requestId, task, fields, leaseMs, autoAck, ids, attempts },
  };
}

/** A claim that was just committed. What it granted stays for retries as long as its lease would, also without one. */
function granted(node: Node, event: ClaimEvent, commit: Promise<unknown>, isPartial: boolean): Attempt {
  const { grants } = node.parts.state;
  const grant = grants.get(event.claim)!;
  grant.made = { isPartial, commit };
  if (event.autoAck) node.parts.env.clock.after(event.leaseMs, () => grants.end(event.partition, event.claim));
  return { kind: 'granted', grant, commit, isPartial };
}

function repeat(node: Node, partition: Partition, earlier: RequestOutcome): Attempt {
  if (earlier.kind !== 'claim' || earlier.partition !== partition.id) return refused('request_id_reused', {});
  return regrant(node.parts.state.grants.get(earlier.claim), 'the claim of this request ended');
}

/** The grant of an earlier run is as safe as it gets: the start read it from the journal. */
function regrant(grant: Grant | undefined, reason: string): Attempt {
  if (grant === undefined) return refused('claim_stale', { reason });
  const { commit, isPartial } = grant.made ?? { commit: DONE, isPartial: false };
  return { kind: 'granted', grant, commit, isPartial };
}

/** All who ask for a part of a batch hear that the partition was drained, whatever comes back later. */
function drained(node: Node, partition: Partition, command: ClaimCommand): Attempt {
  const end = { kind: 'drained' } as const;
  if (command.batch === undefined || machine.isDrawn(node.parts.state.queue(partition), command)) {
    return { kind: 'ended', end, commit: settled(node, partition) };
  }
  const { commit } = node.commit(batchEvent(partition, command, 'drained'), partition.settings.ack);
  return { kind: 'ended', end, commit };
}

/** The batch is empty, or what is left of it. */
export function batchEvent(
  partition: Partition,
  { task, batch }: ClaimCommand,
  outcome: BatchEvent['outcome'],
): BatchEvent {
  const { name, number, parts } = batch!;
  return { type: 'batch', partition: partition.id, task, name, number, parts, outcome };
}

function emptyPart(outcome: BatchEvent['outcome'], commit: Promise<unknown>): Attempt {
  const end: WaitEnd = outcome === 'drained' ? { kind: outcome } : { kind: outcome, details: { empty: true } };
  return { kind: 'ended', end, commit };
}

/** What made it so may be an event of another's, on its way to the disk. */
function settled(node: Node, partition: Partition): Promise<unknown> {
  return node.parts.journal.settled(partition.settings.ack) ?? DONE;
}

function refused(code: StoreError['code'], details: Readonly<Record<string, unknown>>): Attempt {
  return { kind: 'refused', error: new StoreError(code, details) };
}
