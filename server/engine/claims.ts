/**
 * Claims: take rows for a task, with their data; end a claim by ack or release; extend its lease.
 *
 *   takeClaim -> known (a retry, or a batch that was drawn)? -> attempt -> granted, drained, refused
 *         \-> filters of pages evaluated, in slices -/             \-> wait: parked until an attempt ends it, or time
 */
import { samplers } from '@transfer-queue/core/protocol';
import { nextTurn } from '../env/env.ts';
import { inSlices } from '../env/slice.ts';
import { invariant, StoreError } from '../errors.ts';
import type { ClaimCommand } from '../queue/events.ts';
import { canonicalFilter } from '../queue/filters.ts';
import { machine } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';
import { attempt, batchEvent, type Attempt } from './claim_attempt.ts';
import type { Caller, ClaimOutcome, ClaimTake } from './commands.ts';
import type { Node } from './node.ts';
import type { ClaimRef } from './tokens.ts';

type Ended = Exclude<Attempt, { kind: 'wait' }>;

/** Grants rows at once, or waits for them. A retry of a granted request gets the same rows and the same token. */
export function takeClaim(node: Node, take: ClaimTake, caller: Caller): Promise<ClaimOutcome> {
  const partition = node.partition(take.partition);
  const command = commandOf(node, partition, take);
  const warming = isKnown(node, partition, command) ? null : warmFilters(node, partition, command);
  if (warming === null) return takeNow(node, partition, command, take, caller);
  return warming.then(() => takeNow(node, node.partition(take.partition), command, take, caller));
}

/** Null when nothing is left to evaluate, after one page at most. */
function warmFilters(node: Node, partition: Partition, command: ClaimCommand): Promise<void> | null {
  const { state, env } = node.parts;
  if (command.where === undefined && command.window === undefined) return null;
  const steps = machine.warmClaim(state.queue(partition), command);
  return steps.next().done === true ? null : nextTurn(env.clock).then(() => inSlices(steps, env.clock));
}

function takeNow(
  node: Node,
  partition: Partition,
  command: ClaimCommand,
  take: ClaimTake,
  caller: Caller,
): Promise<ClaimOutcome> {
  const { waitMs } = take;
  const behind = waitMs > 0 && !isKnown(node, partition, command) && node.waits.hasLine(partition, command);
  const lingerMs = take.lingerMs ?? Infinity;
  const first = behind ? null : attempt(node, partition, lingerMs === 0 ? eager(command) : command);
  if (first !== null && first.kind !== 'wait') return finish(node, partition, first);
  if (waitMs === 0) return finish(node, partition, timeOut(node, partition, take, command));
  const lingeredMs = node.parts.env.clock.nowMs() + lingerMs;
  return new Promise((resolve, reject) => {
    const settle = (result: Ended): void => void finish(node, partition, result).then(resolve, reject);
    const parked = {
      command,
      dueMs: Math.min(first?.dueMs ?? Infinity, lingeredMs),
      attempt: () => {
        const lingered = node.parts.env.clock.nowMs() >= lingeredMs;
        const result = attempt(node, partition, lingered ? eager(command) : command);
        if (result.kind === 'wait') parked.dueMs = lingered ? result.dueMs : Math.min(result.dueMs, lingeredMs);
        else settle(result);
        return result.kind !== 'wait';
      },
      refuse: reject,
    };
    const onTimeout = (): void => settle(timeOut(node, partition, take, command));
    node.waits.parkClaim(partition, parked, { waitMs, caller, onTimeout });
  });
}

function commandOf(node: Node, partition: Partition, take: ClaimTake): ClaimCommand {
  const { sampler } = take;
  const choose = node.parts.samplers.get(sampler);
  if (choose === undefined && !samplers.some((name) => name === sampler)) {
    const known = [...samplers, ...node.parts.samplers.keys()];
    throw new StoreError('sampler_unknown', { sampler, known });
  }
  // Claims of one filter wait in one line, however they spell it.
  const where = take.where === undefined ? undefined : canonicalFilter(take.where);
  return { ...take, fields: take.fields.map((name) => fieldOf(partition, name).id), where, choose };
}

/** Fewer rows than were asked for will do. */
function eager(command: ClaimCommand): ClaimCommand {
  return { ...command, eager: true };
}

/** A retry of what was granted, or a part of a batch that was drawn: others who wait need not be waited for. */
function isKnown(node: Node, partition: Partition, command: ClaimCommand): boolean {
  const { requests } = node.parts.state;
  return requests.get(command.requestId) !== undefined || machine.isDrawn(node.parts.state.queue(partition), command);
}

/** The time is over: what is there has to do, if the caller says so. A batch that nobody drew is empty for all. */
function timeOut(node: Node, partition: Partition, take: ClaimTake, command: ClaimCommand): Ended {
  const last = take.partial === true ? attempt(node, partition, eager(command)) : null;
  if (last !== null && last.kind !== 'wait') return last;
  const { state, env } = node.parts;
  const queue = state.queue(partition);
  const counts = machine.countClaim(queue, command, env.clock.nowMs());
  if (command.batch === undefined || machine.isDrawn(queue, command)) return timedOut({ ...counts });
  const { commit } = node.commit(batchEvent(partition, command, 'timed_out'), partition.settings.ack);
  return { ...timedOut({ ...counts, empty: true }), commit };
}

function timedOut(details: Readonly<Record<string, unknown>>): Extract<Attempt, { kind: 'ended' }> {
  return { kind: 'ended', end: { kind: 'timed_out', details }, commit: Promise.resolve() };
}

/** The answer of an attempt, once what it did is as safe as its level says. */
async function finish(node: Node, partition: Partition, result: Ended): Promise<ClaimOutcome> {
  if (result.kind === 'refused') throw result.error;
  if (result.kind === 'ended') {
    await result.commit;
    return result.end;
  }
  const { claim, attempts, leaseMs, located } = result.grant;
  const cells = (await located).share();
  invariant(cells === null || cells.missing.length === 0, 'rows that were granted have all their cells');
  if (cells === null) throw new StoreError('claim_stale', { reason: 'the claim of this request ended' });
  // All that the cells show came before the claim.
  await result.commit;
  return {
    kind: 'claimed',
    located: cells,
    token: node.parts.tokens.make({ partition: partition.id, claim }),
    attempts,
    leaseMs,
    isPartial: result.isPartial,
  };
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

/** `undelivered`: the server gives rows back that their consumer never got. */
export async function endClaim(
  node: Node,
  token: string,
  how: 'ack' | 'release' | 'undelivered',
  requestId: string,
): Promise<number> {
  const { ref, partition } = claimOf(node, token);
  const queue = node.parts.state.queue(partition);
  const command = { claim: ref.claim, requestId };
  const reason = how === 'undelivered' ? how : 'released';
  const decision =
    how === 'ack' ? machine.decideAck(queue, command) : machine.decideRelease(queue, { ...command, reason });
  if (decision.kind === 'refuse') throw new StoreError(decision.code, { partition: partition.settings.name });
  if (decision.kind === 'already') return node.settledBy(partition.settings.ack);
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
