/**
 * What operators ask of tasks: which claims are leased, which rows are dead letters, and to begin anew with these or
 * with all rows.
 */
import { limits } from '@transfer-queue/core/protocol';
import { StoreError } from '../errors.ts';
import type { PartitionSettings } from '../journal/events.ts';
import { machine, type DeadLetters, type LeaseStatus, type PartitionQueue, type Task } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';
import type { Grant } from './grants.ts';
import type { Node } from './node.ts';

/** Leases that one answer lists. */
const LEASES_MAX = 1_024;

interface TaskName {
  readonly partition: string;
  readonly task: string;
}

/** A leased claim as people see it. Its token is not told: whoever has it can end the claim. */
export interface LeaseView {
  readonly claim: number;
  readonly task: string;
  readonly rows: number;
  /** The first of the rows that are still there. */
  readonly ids: readonly number[];
  /** Of the row that was granted most often. */
  readonly attempts_max: number;
  readonly lease_ms: number;
  readonly left_ms: number;
  readonly fields: readonly string[];
}

/** Oldest first. */
export async function listLeases(node: Node, name: string): Promise<LeaseView[]> {
  const { state, env } = node.parts;
  const partition = node.partition(name);
  const now = env.clock.nowMs();
  const leases = machine.leaseList(state.queue(partition), LEASES_MAX).map((lease) => {
    const grant = state.grants.get(lease.claim)!;
    return { view: viewOf(lease, grant, now), fields: fieldsOf(partition, lease, grant) };
  });
  await node.parts.journal.settled(partition.settings.ack);
  return Promise.all(leases.map(async ({ view, fields }) => ({ ...view, fields: await fields })));
}

function viewOf(lease: LeaseStatus, { attempts }: Grant, now: number): Omit<LeaseView, 'fields'> {
  const { claim, task, rows, ids, leaseMs, deadlineMs } = lease;
  let attemptsMax = 1;
  for (const attempt of attempts) attemptsMax = Math.max(attemptsMax, attempt);
  const left = Math.max(0, Math.ceil(deadlineMs - now));
  return { claim, task: task.name, rows, ids, attempts_max: attemptsMax, lease_ms: leaseMs, left_ms: left };
}

/** What was granted; of cells that cannot be found any more, what the task asks for now. */
function fieldsOf(partition: Partition, { task }: LeaseStatus, { located }: Grant): Promise<string[]> {
  return located.then(
    ({ columns }) => columns.map(({ field }) => field.name),
    () => task.fields.map((field) => partition.fields[field].name),
  );
}

/** In the order of their arrival. */
export async function listDeadLetters(
  node: Node,
  name: TaskName,
  page: { readonly from: number; readonly rowsMax: number },
): Promise<DeadLetters> {
  const { partition, queue, task } = queueOf(node, name);
  const letters = machine.deadLetters(queue, task, page.from, page.rowsMax);
  await node.parts.journal.settled(partition.settings.ack);
  return letters;
}

/** Makes those of the rows that are dead letters claimable, or (null) all dead letters. */
export async function requeue(
  node: Node,
  name: TaskName,
  ids: Float64Array | null,
): Promise<{ lsn: number; rows: number }> {
  const { partition, queue, task } = queueOf(node, name);
  const level = partition.settings.ack;
  const answer = { lsn: 0, rows: 0 };
  for (let from: number | null = 0; from !== null;) {
    for (let room = node.journalRoom(level); room !== null; room = node.journalRoom(level)) await room;
    if (partition.dropped) throw new StoreError('partition_unknown', { partition: name.partition, dropped: true });
    const letters: Pick<DeadLetters, 'ids' | 'next'> =
      ids === null
        ? machine.deadLetters(queue, task, from, limits.listRowsMax)
        : { ids: [...ids].filter((id) => machine.isDeadLetter(queue, task, id)), next: null };
    from = letters.next;
    if (letters.ids.length === 0) continue;
    const event = { type: 'requeue', partition: partition.id, task: name.task } as const;
    const { lsn, rows, commit } = node.commit({ ...event, ids: Float64Array.from(letters.ids) }, level);
    answer.lsn = lsn;
    answer.rows += rows;
    await commit;
  }
  const lsn = await node.settledBy(level);
  return answer.rows > 0 ? answer : { lsn, rows: 0 };
}

/** Makes all rows claimable by the task, as if it had never claimed any. */
export async function resetTask(node: Node, name: TaskName, requestId = ''): Promise<{ lsn: number; rows: number }> {
  const { partition } = queueOf(node, name);
  const earlier = node.parts.state.requests.get(requestId);
  if (earlier !== undefined) {
    if (earlier.kind !== 'reset' || earlier.partition !== partition.id) throw new StoreError('request_id_reused');
    await earlier.commit;
    return { lsn: earlier.lsn, rows: earlier.rows };
  }
  const event = { type: 'reset', partition: partition.id, requestId, task: name.task } as const;
  const { lsn, rows, commit } = node.commit(event, partition.settings.ack);
  await commit;
  return { lsn, rows };
}

/** Tasks that are declared and others are as many as may be, together. */
export function checkTasks(node: Node, partition: Partition, { tasks = [] }: PartitionSettings): void {
  const known = node.parts.state.queue(partition).tasks;
  const count = known.size + tasks.filter(({ name }) => !known.has(name)).length;
  const limit = limits.tasksPerPartitionMax;
  if (count > limit)
    throw new StoreError('too_many_tasks', { partition: partition.settings.name, tasks: count, limit });
}

function queueOf(node: Node, name: TaskName): { partition: Partition; queue: PartitionQueue; task: Task } {
  const partition = node.partition(name.partition);
  const queue = node.parts.state.queue(partition);
  const task = queue.tasks.get(name.task);
  if (task === undefined) throw new StoreError('task_unknown', { ...name });
  return { partition, queue, task };
}
