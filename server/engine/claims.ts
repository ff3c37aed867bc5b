/** Claims: take rows for a task, with their data; end a claim by ack or release; extend its lease. */
import { invariant, StoreError } from '../errors.ts';
import { machine } from '../queue/machine.ts';
import type { ClaimCommand, ClaimEvent } from '../queue/events.ts';
import type { Partition } from '../store/partition.ts';
import type { Caller, ClaimOutcome, ClaimTake } from './commands.ts';
import type { Node } from './node.ts';
import type { Grant } from './grants.ts';
import type { ClaimRef } from './tokens.ts';

/** Grants rows at once, or waits for them. A retry of a granted request gets the same rows and the same token. */
export function takeClaim(node: Node, take: ClaimTake, caller: Caller): Promise<ClaimOutcome> {
  const partition = node.partition(take.partition);
  const fields = take.fields.map((name) => fieldOf(partition, name).id);
  const { task, rowsMax, rowsMin, sampler, leaseMs, autoAck, requestId } = take;
  const command: ClaimCommand = { task, fields, rowsMax, rowsMin, sampler, leaseMs, autoAck, requestId };
  const behind = take.waitMs > 0 && node.waits.hasLine(partition, command);
  const first = behind ? null : attempt(node, partition, command);
  if (first !== null && (first.kind !== 'wait' || take.waitMs === 0)) return finish(node, partition, first);
  return new Promise((resolve, reject) => {
    const parked = {
      command,
      attempt: () => {
        const result = attempt(node, partition, command);
        if (result.kind === 'wait') return false;
        finish(node, partition, result).then(resolve, reject);
        return true;
      },
      refuse: reject,
    };
    node.waits.parkClaim(partition, parked, {
      waitMs: take.waitMs,
      caller,
      onTimeout: () => resolve({ kind: 'timed_out', details: counts(node, partition, command) }),
    });
  });
}

type Attempt =
  | { readonly kind: 'granted'; readonly grant: Grant; readonly commit: Promise<unknown> }
  | { readonly kind: 'wait'; readonly details: Readonly<Record<string, number>> }
  | { readonly kind: 'drained' }
  | { readonly kind: 'refused'; readonly error: StoreError };

/** Decides and, when rows are granted, commits the grant in the same turn. */
function attempt(node: Node, partition: Partition, command: ClaimCommand): Attempt {
  const { state } = node.parts;
  const earlier = state.requests.get(command.requestId);
  if (earlier !== undefined) return repeat(node, partition, earlier);
  const decision = machine.decideClaim(state.queue(partition), command);
  if (decision.kind === 'wait') return { kind: 'wait', details: { ...decision.counts } };
  if (decision.kind === 'drained') return decision;
  if (decision.kind === 'refuse') return refused(decision.code, { task: command.task });
  const claim = node.nextClaimNumber();
  const { requestId, task, fields, leaseMs, autoAck } = command;
  const event: ClaimEvent = {
    type: 'claim',
    partition: partition.id,
    epoch: node.parts.epoch,
    ...{ requestId, task, claim, fields, leaseMs, autoAck },
    ids: decision.ids,
    attempts: decision.attempts,
  };
  const { commit } = node.commit(event, partition.settings.ack);
  if (autoAck) node.parts.env.clock.after(leaseMs, () => state.grants.end(claim));
  return { kind: 'granted', grant: state.grants.get(claim)!, commit };
}

function repeat(
  node: Node,
  partition: Partition,
  earlier: NonNullable<ReturnType<Node['parts']['state']['requests']['get']>>,
): Attempt {
  if (earlier.kind !== 'claim' || earlier.partition !== partition.id) return refused('request_id_reused', {});
  const grant = node.parts.state.grants.get(earlier.claim);
  if (grant === undefined) return refused('claim_stale', { reason: 'the claim of this request ended' });
  return { kind: 'granted', grant, commit: earlier.commit };
}

function refused(code: StoreError['code'], details: Readonly<Record<string, unknown>>): Attempt {
  return { kind: 'refused', error: new StoreError(code, details) };
}

/** The answer of an attempt, once the grant is as safe as its level says. */
async function finish(node: Node, partition: Partition, result: Attempt): Promise<ClaimOutcome> {
  if (result.kind === 'refused') throw result.error;
  if (result.kind === 'wait') return { kind: 'timed_out', details: result.details };
  if (result.kind === 'drained') return result;
  const { claim, attempts, leaseMs, located } = result.grant;
  const cells = (await located).share();
  invariant(cells === null || cells.missing.length === 0, 'rows that were granted have all their cells');
  if (cells === null) throw new StoreError('claim_stale', { reason: 'the claim of this request ended' });
  await result.commit;
  await node.parts.journal.settled();
  return {
    kind: 'claimed',
    located: cells,
    token: node.parts.tokens.make({ partition: partition.id, claim }),
    attempts,
    leaseMs,
  };
}

function counts(node: Node, partition: Partition, command: ClaimCommand): Readonly<Record<string, number>> {
  const queue = node.parts.state.queue(partition);
  return { ...machine.countRows(queue, queue.tasks.get(command.task), command.fields) };
}

function fieldOf(partition: Partition, name: string): { readonly id: number } {
  const field = partition.fieldsByName.get(name);
  if (field === undefined) throw new StoreError('field_unknown', { partition: partition.settings.name, field: name });
  return field;
}

/** The claim of a token, or `claim_unknown`. */
export function claimOf(node: Node, token: string): { ref: ClaimRef; partition: Partition } {
  const ref = node.parts.tokens.read(token);
  const partition = ref === null ? undefined : node.parts.state.store.partitionById(ref.partition);
  if (ref === null || partition === undefined) throw new StoreError('claim_unknown');
  return { ref, partition };
}

export async function endClaim(node: Node, token: string, how: 'ack' | 'release', requestId: string): Promise<number> {
  const { ref, partition } = claimOf(node, token);
  const queue = node.parts.state.queue(partition);
  const decide = how === 'ack' ? machine.decideAck : machine.decideRelease;
  const decision = decide(queue, { claim: ref.claim, requestId });
  if (decision.kind === 'refuse') throw new StoreError(decision.code, { partition: partition.settings.name });
  if (decision.kind === 'already') {
    const { lsn } = partition;
    await node.settledAt(partition.settings.ack, lsn);
    return lsn;
  }
  const { lsn, commit } = node.commit(decision.event, partition.settings.ack);
  await commit;
  return lsn;
}

/** Renewals are not journaled: after a restart every live lease gets its full length anyway. */
export function renewClaim(node: Node, token: string, leaseMs: number): number {
  const { ref, partition } = claimOf(node, token);
  const queue = node.parts.state.queue(partition);
  const decision = machine.decideRenew(queue, { claim: ref.claim, leaseMs });
  if (decision.kind === 'refuse') throw new StoreError(decision.code, { partition: partition.settings.name });
  machine.renewLease(queue, { claim: ref.claim, leaseMs: decision.leaseMs }, node.parts.env.clock.nowMs());
  return decision.leaseMs;
}
