/** Partitions: declare, alter, drop, seal; delete rows; describe. */
import { sameLayout, describeLayout } from '@transfer-queue/core/layout';
import type { NamedLayout } from '@transfer-queue/core/arrow';
import { defaults, limits, type AckLevel } from '@transfer-queue/core/protocol';
import { StoreError } from '../errors.ts';
import type { DeclaredTask, PartitionSettings } from '../journal/events.ts';
import { machine } from '../queue/machine.ts';
import type { Field, Partition } from '../store/partition.ts';
import { describeBlobs } from './blobs.ts';
import type { DeclareCommand } from './commands.ts';
import type { Node } from './node.ts';
import { changeQueueSettings } from './queue_settings.ts';
import { checkTasks } from './tasks.ts';

/**
 * Creates the partition or adds fields to it; what is declared already must be the same. Describes it as it is in the
 * turn of the decision: until the answer is due, others may drop it.
 */
export async function declare(node: Node, command: DeclareCommand): Promise<Record<string, unknown>> {
  const { state } = node.parts;
  for (let room = node.journalRoom('os'); room !== null; room = node.journalRoom('os')) await room;
  const known = state.store.partition(command.name);
  const settings = known === undefined ? newSettings(node, command) : mergedSettings(known.settings, command);
  if (known !== undefined && settings === known.settings) {
    const description = describe(node, known);
    await node.parts.journal.settled(levelOf(settings));
    return { ...description, created: false };
  }
  if (known !== undefined) {
    checkNumbers(node, known, settings);
    checkTasks(node, known, settings);
  }
  node.checkRoom();
  const { commit } = commitDeclaration(node, known?.id ?? state.store.partitionNext, settings);
  const description = describe(node, node.partition(command.name));
  await commit;
  return { ...description, created: known === undefined };
}

/** What rows have of a number that is declared later must be numbers. */
function checkNumbers(node: Node, partition: Partition, { numbers = [] }: PartitionSettings): void {
  const { name, numbers: known = [] } = partition.settings;
  const added = numbers.slice(known.length);
  const found = added.length === 0 ? undefined : machine.findNoNumber(node.parts.state.queue(partition), added);
  if (found === undefined) return;
  const why = { id: found.id, reason: 'a row has a tag of this name that is no number' };
  throw new StoreError('partition_conflict', { partition: name, setting: `number ${found.name}`, ...why });
}

/** The declaration outlives the rows of a `memory` partition, so it is journaled at `os` at least. */
function levelOf({ ack }: PartitionSettings): AckLevel {
  return ack === 'memory' ? 'os' : ack;
}

export function commitDeclaration(
  node: Node,
  partition: number,
  settings: PartitionSettings,
): ReturnType<Node['commit']> {
  return node.commit({ type: 'declare', partition, settings }, levelOf(settings));
}

function newSettings(node: Node, command: DeclareCommand): PartitionSettings {
  const { store } = node.parts.state;
  if (store.partitionCount >= limits.partitionsMax)
    throw new StoreError('too_many_partitions', { limit: limits.partitionsMax });
  const fields = [...(command.fields ?? [])].map(([name, layout]) => ({ name, layout }));
  if (fields.length > limits.columnsMax) throw new StoreError('too_many_columns', { limit: limits.columnsMax });
  const settings = {
    name: command.name,
    fields,
    open: command.open ?? command.fields === null,
    groupSize: command.groupSize ?? defaults.groupSize,
    ack: command.ack ?? defaults.ack,
  };
  return changeQueueSettings(settings, command.queue);
}

/** The settings with what the command adds; the very same object when it adds nothing. */
function mergedSettings(known: PartitionSettings, command: DeclareCommand): PartitionSettings {
  const conflict = (setting: string, declared: unknown, asked: unknown): StoreError =>
    new StoreError('partition_conflict', { partition: known.name, setting, declared, asked });
  const { groupSize, ack, open } = command;
  if (groupSize !== null && groupSize !== known.groupSize) throw conflict('group_size', known.groupSize, groupSize);
  if (ack !== null && ack !== known.ack) throw conflict('ack', known.ack, ack);
  const added: { name: string; layout: Field['layout'] }[] = [];
  for (const [name, layout] of command.fields ?? []) {
    const declared = known.fields.find((field) => field.name === name);
    if (declared === undefined) added.push({ name, layout });
    else if (!sameLayout(declared.layout, layout)) {
      throw conflict(`field ${name}`, describeLayout(declared.layout), describeLayout(layout));
    }
  }
  const opened = open ?? known.open;
  const changed = changeQueueSettings(known, command.queue);
  if (added.length === 0 && opened === known.open) return changed;
  const fields = [...known.fields, ...added];
  if (fields.length > limits.columnsMax) throw new StoreError('too_many_columns', { limit: limits.columnsMax });
  return { ...changed, fields, open: opened };
}

/** What a put's columns mean to its partition. */
export interface ColumnPlan {
  /** Field ids, in the order of the columns. */
  readonly fields: readonly number[];
  /** The settings of an open partition with the fields that the put declares; null when it declares none. */
  readonly settings: PartitionSettings | null;
}

export function planColumns(partition: Partition, columns: readonly NamedLayout[]): ColumnPlan {
  const { settings, fieldsByName } = partition;
  const added: NamedLayout[] = [];
  const fields = columns.map(({ name, layout }) => {
    const field = fieldsByName.get(name);
    if (field === undefined) {
      if (!settings.open) throw new StoreError('field_unknown', { partition: settings.name, field: name });
      return settings.fields.length + added.push({ name, layout }) - 1;
    }
    if (sameLayout(field.layout, layout)) return field.id;
    const declared = describeLayout(field.layout);
    throw new StoreError('field_mismatch', { field: name, declared, put: describeLayout(layout) });
  });
  if (added.length === 0) return { fields, settings: null };
  const all = [...settings.fields, ...added];
  if (all.length > limits.columnsMax) throw new StoreError('too_many_columns', { limit: limits.columnsMax });
  return { fields, settings: { ...settings, fields: all } };
}

export async function drop(node: Node, name: string): Promise<number> {
  const { id, settings } = node.partition(name);
  const { lsn, commit } = node.commit({ type: 'drop', partition: id }, levelOf(settings));
  await commit;
  return lsn;
}

export async function seal(node: Node, name: string): Promise<number> {
  const partition = node.partition(name);
  if (node.parts.state.queue(partition).sealed) return node.settledBy(partition.settings.ack);
  const { lsn, commit } = node.commit({ type: 'seal', partition: partition.id }, partition.settings.ack);
  await commit;
  return lsn;
}

/** Publishes the current version of the policy; the same again changes nothing. */
export async function advance(node: Node, name: string, version: number): Promise<number> {
  const partition = node.partition(name);
  const current = node.parts.state.queue(partition).version;
  if (version < current) throw new StoreError('version_behind', { partition: name, current, asked: version });
  if (version === current) return node.settledBy(partition.settings.ack);
  const { lsn, commit } = node.commit({ type: 'advance', partition: partition.id, version }, partition.settings.ack);
  await commit;
  return lsn;
}

export async function deleteRows(
  node: Node,
  name: string,
  rows: { ids: Float64Array; requestId: string },
): Promise<{ lsn: number; deleted: number }> {
  const { state } = node.parts;
  const partition = node.partition(name);
  const obstacle = (): Promise<void> | null => {
    const ids = state.unready(partition, [rows]);
    return ids === null ? node.journalRoom(partition.settings.ack) : partition.index.load(ids);
  };
  for (let wait = obstacle(); wait !== null; wait = obstacle()) await wait;
  if (partition.dropped) throw new StoreError('partition_unknown', { partition: name, dropped: true });
  const earlier = state.requests.get(rows.requestId);
  if (earlier !== undefined) {
    if (earlier.kind !== 'delete' || earlier.partition !== partition.id) throw new StoreError('request_id_reused');
    await earlier.commit;
    return { lsn: earlier.lsn, deleted: earlier.rows };
  }
  const event = { type: 'delete', partition: partition.id, ...rows } as const;
  const done = node.commit(event, partition.settings.ack);
  await done.commit;
  return { lsn: done.lsn, deleted: done.rows };
}

/** What people may see of a partition, as JSON. */
export function describe(node: Node, partition: Partition): Record<string, unknown> {
  const { settings, fields, bytes, lsn } = partition;
  const stats = machine.stats(node.parts.state.queue(partition));
  const tasks = stats.tasks.map(({ task, ready, leased, consumed, incomplete, dead, skipped, claims }) => [
    task,
    { ready, leased, consumed, incomplete, dead, skipped, claims },
  ]);
  return {
    name: settings.name,
    fields: Object.fromEntries(fields.map(({ name, layout }) => [name, layout])),
    group_size: settings.groupSize,
    ack: settings.ack,
    open: settings.open,
    ...describeQueueSettings(settings),
    sealed: stats.sealed,
    rows: stats.rows,
    rows_admitted: stats.rowsAdmitted,
    evicted: stats.evicted,
    version: stats.version,
    waiters: node.waits.countOf(partition),
    waiting_puts: node.budgets.countOf(partition),
    bytes,
    blobs: describeBlobs(node, partition),
    lsn,
    field_rows: Object.fromEntries(fields.map(({ name, id }) => [name, stats.fieldRows.get(id) ?? 0])),
    tasks: Object.fromEntries(tasks) as unknown,
  };
}

/** What is declared of the queue, in the words of the declaration. */
function describeQueueSettings({
  tasks,
  release,
  numbers,
  rowsMax,
  bytesMax,
  pace,
  retention,
}: PartitionSettings): object {
  const attempts = ({ maxAttempts }: DeclaredTask): object =>
    maxAttempts === undefined ? {} : { max_attempts: maxAttempts };
  return {
    declared_tasks: Object.fromEntries((tasks ?? []).map((task) => [task.name, attempts(task)])),
    release: release ?? defaults.release,
    numbers: numbers ?? [],
    rows_max: rowsMax ?? null,
    bytes_max: bytesMax ?? null,
    pace: pace === undefined ? null : { rows_per_version: pace.rowsPerVersion, max_ahead: pace.maxAhead },
    retention: retention === undefined ? null : { rows_max: retention.rowsMax, age_ms_max: retention.ageMsMax },
  };
}
