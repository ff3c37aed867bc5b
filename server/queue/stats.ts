/** What people may see of a queue: counts of rows per field and per task, and its leases. */
import { idsOfClaim } from './claim_ids.ts';
import { countRows } from './draw/counts.ts';
import type { Claim, PartitionQueue, Task } from './state.ts';

export interface TaskStats {
  readonly task: string;
  /** Rows ready for the fields of the task's latest claim. */
  readonly ready: number;
  readonly leased: number;
  readonly consumed: number;
  readonly incomplete: number;
  readonly dead: number;
  /** Rows that it passed for good without a claim; they count as consumed, too. */
  readonly skipped: number;
  /** Leased claims, and the one granted first. */
  readonly claims: number;
  readonly oldest: { readonly claim: number; readonly rows: number; readonly deadlineMs: number } | undefined;
}

export interface QueueStats {
  readonly rows: number;
  /** Rows that ever came. */
  readonly rowsAdmitted: number;
  /** Rows that the retention removed. */
  readonly evicted: number;
  readonly version: number;
  readonly sealed: boolean;
  /** Rows that have each field, by field id. */
  readonly fieldRows: ReadonlyMap<number, number>;
  readonly tasks: readonly TaskStats[];
  readonly nextDeadlineMs: number;
}

/** A claim whose lease runs. */
export interface LeaseStatus {
  readonly claim: number;
  readonly task: Task;
  /** How many were granted, and the first of those that are still there. */
  readonly rows: number;
  readonly ids: readonly number[];
  readonly leaseMs: number;
  readonly deadlineMs: number;
}

/** Ids that a lease names. */
const IDS_NAMED_MAX = 16;

/** Costs a pass over the leases, and one over the open pages per task. */
export function stats(queue: PartitionQueue): QueueStats {
  const leased = leasedClaims(queue);
  return {
    rows: queue.slots.rows,
    rowsAdmitted: queue.rowsAdmitted,
    evicted: queue.evicted,
    version: queue.version,
    sealed: queue.sealed,
    fieldRows: queue.slots.fieldRows,
    tasks: Array.from(queue.tasks.values(), (task) => taskStats(queue, task, leased.get(task))),
    nextDeadlineMs: queue.leases.length === 0 ? Infinity : queue.leases[0].deadlineMs,
  };
}

/** Leases in the order of their grants, at most `max`. */
export function leaseList(queue: PartitionQueue, max: number): LeaseStatus[] {
  const claims = queue.leases.toSorted((a, b) => a.claim - b.claim).slice(0, max);
  return claims.map((claim) => {
    const { task, leaseMs, deadlineMs, slots } = claim;
    return {
      claim: claim.claim,
      task,
      rows: slots.length,
      ids: idsOfClaim(queue, claim, IDS_NAMED_MAX),
      leaseMs,
      deadlineMs,
    };
  });
}

interface LeasedClaims {
  count: number;
  /** Granted first. */
  oldest: Claim;
}

function leasedClaims(queue: PartitionQueue): ReadonlyMap<Task, LeasedClaims> {
  const byTask = new Map<Task, LeasedClaims>();
  for (const claim of queue.leases) {
    const known = byTask.get(claim.task);
    if (known === undefined) {
      byTask.set(claim.task, { count: 1, oldest: claim });
      continue;
    }
    known.count += 1;
    if (claim.claim < known.oldest.claim) known.oldest = claim;
  }
  return byTask;
}

function taskStats(queue: PartitionQueue, task: Task, claims: LeasedClaims | undefined): TaskStats {
  const { ready, leased, incomplete } = countRows(queue, task, task.fields);
  const oldest = claims?.oldest;
  return {
    task: task.name,
    ready,
    leased,
    consumed: task.consumed,
    incomplete,
    dead: task.dead,
    skipped: task.skipped,
    claims: claims?.count ?? 0,
    oldest: oldest && { claim: oldest.claim, rows: oldest.slots.length, deadlineMs: oldest.deadlineMs },
  };
}
