/**
 * Decisions: what a command would do to the queue. Reads only; the caller journals the outcome, then applies it.
 * Claims, the largest of them, are decided in draw/.
 */
import { isLeased } from './claim_table.ts';
import type { AckEvent, EndDecision, Insert, Refusal, ReleaseEvent, RenewDecision } from './events.ts';
import { makeRoom } from './filters.ts';
import { dueLeases } from './leases.ts';
import { slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** Whether the put may be applied: it adds no row to a sealed partition, and there is memory for its bitmaps. */
export function decideInsert(queue: PartitionQueue, insert: Insert): Refusal | undefined {
  const { slots } = queue;
  const isNew = (id: number): boolean => slotOf(slots, id) < 0;
  if (queue.sealed && insert.ids.some(isNew)) return { kind: 'refuse', code: 'partition_sealed' };
  // As if all rows were new, and all pages lacked all fields: the answer is only needed near the end of the memory.
  const pagesMost = slots.pages.length + Math.ceil(insert.ids.length / slots.runsPerPage);
  const tail = slots.pages[slots.pages.length - 1];
  const bitmapsGrown = tail === undefined ? 0 : 1 + tail.fields.size + tail.tasks.length + tail.filters.size;
  const bitmapsMost = bitmapsGrown + pagesMost * (1 + insert.fields.length);
  return makeRoom(queue, bitmapsMost) ? undefined : { kind: 'refuse', code: 'memory_full' };
}

/** An expired claim may be acked late, as long as none of its rows was granted again. */
export function decideAck(
  queue: PartitionQueue,
  command: { readonly claim: number; readonly requestId: string },
): EndDecision<AckEvent> {
  const claim = queue.claims.get(command.claim);
  if (claim === undefined) return decideEnded(queue, command.claim, 'acked');
  if (claim.stale) return { kind: 'refuse', code: 'claim_stale' };
  const { partition } = queue;
  return { kind: 'event', event: { type: 'ack', partition, claim: command.claim, requestId: command.requestId } };
}

/** A consumer gives its rows back, or never got them; after the expiry it gives up the late ack. */
export function decideRelease(
  queue: PartitionQueue,
  command: { readonly claim: number; readonly requestId: string; readonly reason?: 'released' | 'undelivered' },
): EndDecision<ReleaseEvent> {
  const { claim, requestId, reason = 'released' } = command;
  if (!queue.claims.has(claim)) return decideEnded(queue, claim, 'released');
  const { partition } = queue;
  return { kind: 'event', event: { type: 'release', partition, claim, requestId, reason } };
}

/**
 * Whether the lease may be moved, and by how much. Never by more than the claim was granted with: renewals are not
 * journaled, so after a restart a longer one would end while its consumer still counts on it.
 */
export function decideRenew(
  queue: PartitionQueue,
  command: { readonly claim: number; readonly leaseMs: number },
): RenewDecision {
  const claim = queue.claims.get(command.claim);
  if (claim !== undefined && isLeased(claim) && !claim.stale) {
    return { kind: 'renewed', leaseMs: Math.min(command.leaseMs, claim.leaseMs) };
  }
  const known = claim !== undefined || queue.ended.has(command.claim);
  return { kind: 'refuse', code: known ? 'claim_stale' : 'claim_unknown' };
}

/** The expiries that are due, the earliest deadline first. */
export function decideExpire(queue: PartitionQueue, now: number): ReleaseEvent[] {
  const { partition } = queue;
  return dueLeases(queue.leases, now).map(({ claim }) => {
    return { type: 'release', partition, claim, requestId: '', reason: 'expired' };
  });
}

function decideEnded(
  queue: PartitionQueue,
  claim: number,
  wanted: 'acked' | 'released',
): { kind: 'already' } | Refusal {
  const end = queue.ended.get(claim)?.how;
  if (end === wanted) return { kind: 'already' };
  return { kind: 'refuse', code: end === undefined ? 'claim_unknown' : 'claim_stale' };
}
