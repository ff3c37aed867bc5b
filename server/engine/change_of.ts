/**
 * What an event changes in a partition, as those who watch it hear it.
 *
 *   insert   put, then tag of the rows that it tags, then ack of the claim that it acks
 *   claim    claim, then ack when it is acked at once
 *   others   one change of the same name; none of what only moves bytes
 *
 * Invariant: it is asked before the event is applied, while the claims that the event ends are still known.
 */
import type { ClaimEvent, InsertEvent, JournalEvent } from '../journal/events.ts';
import { machine, type PartitionQueue } from '../queue/machine.ts';
import { presentRows } from '../queue/presence.ts';
import type { Partition } from '../store/partition.ts';

/** Of more rows only the number is told. */
const IDS_TOLD_MAX = 256;

/** Nothing of them is for those who watch. */
type SilentEvent = 'descriptor' | 'checkpoint' | 'move' | 'rewrite' | 'drop' | 'restore' | 'adopt';

export interface Change {
  readonly change: 'put' | Exclude<JournalEvent['type'], SilentEvent | 'insert'>;
  readonly rows: number;
  readonly ids?: readonly number[];
  readonly fields?: readonly string[];
  readonly task?: string;
  /** Number of the claim. */
  readonly claim?: number;
  /** Of a delete, a release or an empty batch. */
  readonly reason?: string;
  readonly version?: number;
}

export interface ChangeContext {
  readonly partition: Partition;
  readonly queue: PartitionQueue;
}

export function changesOf(event: JournalEvent, { partition, queue }: ChangeContext): readonly Change[] {
  switch (event.type) {
    case 'insert':
      return insertChanges(event, { partition, queue });
    case 'claim':
      return claimChanges(event, partition);
    case 'ack':
      return [{ change: 'ack', ...claimRows(queue, event.claim) }];
    case 'release':
      return [{ change: 'release', ...claimRows(queue, event.claim), reason: event.reason }];
    case 'delete':
      return [{ change: 'delete', ...rowsOf(presentRows(queue, event.ids)), reason: event.reason ?? 'asked' }];
    case 'tag':
      return [{ change: 'tag', ...rowsOf(event.ids) }];
    case 'skip':
      return [{ change: 'skip', ...rowsOf(event.ids), fields: namesOf(partition, event.fields), task: event.task }];
    case 'requeue':
      return [{ change: 'requeue', ...rowsOf(event.ids), task: event.task }];
    case 'reset':
      return [{ change: 'reset', rows: queue.slots.rows, task: event.task }];
    case 'batch':
      return [{ change: 'batch', rows: 0, task: event.task, reason: event.outcome }];
    case 'declare':
      return [{ change: 'declare', rows: 0, fields: event.settings.fields.map(({ name }) => name) }];
    case 'advance':
      return [{ change: 'advance', rows: 0, version: event.version }];
    case 'seal':
      return [{ change: 'seal', rows: 0 }];
    case 'descriptor':
    case 'checkpoint':
    case 'move':
    case 'rewrite':
    case 'drop':
    case 'restore':
    case 'adopt':
      return [];
  }
}

function insertChanges({ batches, tags, ackClaim }: InsertEvent, { partition, queue }: ChangeContext): Change[] {
  const fields = new Set(batches.flatMap(({ columns }) => columns.map(({ field }) => field)));
  const ids = batches.length === 1 ? batches[0].ids : Float64Array.from(batches.flatMap((batch) => [...batch.ids]));
  const changes: Change[] = [{ change: 'put', ...rowsOf(ids), fields: namesOf(partition, [...fields]) }];
  const tagged = tags === undefined ? ids.subarray(0, 0) : ids.filter((_, row) => tags[row] !== '');
  if (tagged.length > 0) changes.push({ change: 'tag', ...rowsOf(tagged) });
  if (ackClaim !== 0) changes.push({ change: 'ack', ...claimRows(queue, ackClaim) });
  return changes;
}

function claimChanges({ ids, fields, task, claim, autoAck }: ClaimEvent, partition: Partition): Change[] {
  const rows = rowsOf(ids);
  const claimed: Change = { change: 'claim', ...rows, fields: namesOf(partition, fields), task, claim };
  return autoAck ? [claimed, { change: 'ack', ...rows, task, claim }] : [claimed];
}

function claimRows(queue: PartitionQueue, claim: number): Pick<Change, 'rows' | 'ids' | 'task' | 'claim'> {
  const known = queue.claims.get(claim);
  if (known === undefined) return { rows: 0, claim };
  const rows = known.slots.length;
  const told = rows > IDS_TOLD_MAX ? {} : { ids: machine.idsOfClaim(queue, known, IDS_TOLD_MAX) };
  return { rows, ...told, task: known.task.name, claim };
}

function rowsOf(ids: Float64Array): Pick<Change, 'rows' | 'ids'> {
  return ids.length > IDS_TOLD_MAX ? { rows: ids.length } : { rows: ids.length, ids: [...ids] };
}

function namesOf(partition: Partition, fields: readonly number[]): string[] {
  return fields.map((field) => partition.fields[field].name);
}
