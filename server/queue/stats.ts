/** What people may see of a queue: counts of rows per field and per task, and its leases. */
import { countRows } from './decide.ts';
import type { PartitionQueue, Task } from './state.ts';

export interface TaskStats {
  readonly task: string;
  /** Rows ready for the fields of the task's latest claim. */
  readonly ready: number;
  readonly leased: number;
  readonly consumed: number;
  readonly incomplete: number;
  /** Leased claims, and the one granted first. */
  readonly claims: number;
  readonly oldest: { readonly claim: number; readonly rows: number; readonly deadlineMs: number } | undefined;
}

export interface QueueStats {
  readonly rows: number;
  readonly sealed: boolean;
  /** Rows that have each field, by field id. */
  readonly fieldRows: ReadonlyMap<number, number>;
  readonly tasks: readonly TaskStats[];
  readonly nextDeadlineMs: number;
}

/** Costs one pass over the open pages per task. */
export function stats(queue: PartitionQueue): QueueStats {
  return {
    rows: queue.slots.rows,
    sealed: queue.sealed,
    fieldRows: queue.slots.fieldRows,
    tasks: Array.from(queue.tasks.values(), (task) => taskStats(queue, task)),
    nextDeadlineMs: queue.leases.length === 0 ? Infinity : queue.leases[0].deadlineMs,
  };
}

function taskStats(queue: PartitionQueue, task: Task): TaskStats {
  const { ready, leased, incomplete } = countRows(queue, task, task.fields);
  const [oldest] = task.claims.values();
  return {
    task: task.name,
    ready,
    leased,
    consumed: task.consumed,
    incomplete,
    claims: task.claims.size,
    oldest: oldest && { claim: oldest.claim, rows: oldest.slots.length, deadlineMs: oldest.deadlineMs },
  };
}
