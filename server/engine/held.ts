/**
 * Why the bytes of a row are still there: who needs the row, and what else lies in the same extents.
 *
 *   row there?  -- yes: tasks that have not consumed it, else what the partition declares about rows that all consumed
 *               `- no:  claims that were granted it, and snapshots that see it
 *
 * Bytes go by whole extents: those of a row that is gone stay while another row of the same put lives (`rows_live`),
 * until the extent is written anew.
 */
import { defaults } from '@transfer-queue/core/protocol';
import { StoreError } from '../errors.ts';
import { isLeased } from '../queue/claim_table.ts';
import { findOverdue, isOverdue } from '../queue/eviction.ts';
import { machine, type PartitionQueue, type RowStatus } from '../queue/machine.ts';
import { locate } from '../store/locate.ts';
import { isSaved, type Partition, type StoredBatch } from '../store/partition.ts';
import { explain, type HeldClaim, type HeldRule, type HeldSnapshot, type HeldTask } from './held_because.ts';
import type { Node } from './node.ts';
import { lsnToRead } from './snapshots.ts';

/** Where the cell of a field lies, and with what. */
export interface HeldField {
  readonly lsn: number;
  readonly segment: number;
  readonly offset: number;
  /** Of the whole extent. */
  readonly bytes: number;
  /** Rows that came with the extent, and those that still show a cell of it. */
  readonly rows: number;
  readonly rows_live: number;
}

export interface Held extends HeldRule {
  readonly id: number;
  /** Whether the row is there; bytes of one that was deleted may be held too. */
  readonly there: boolean;
  readonly fields: Readonly<Record<string, HeldField>>;
  readonly tasks: readonly HeldTask[];
  readonly claims: readonly HeldClaim[];
  readonly snapshots: readonly HeldSnapshot[];
  readonly because: string;
}

/** Rejects with `rows_missing` when the row is not there and nobody holds its bytes. */
export async function held(node: Node, place: { partition: string; id: number }): Promise<Held> {
  const { id } = place;
  const partition = node.partition(place.partition);
  const queue = node.parts.state.queue(partition);
  const status = machine.rowStatus(queue, id);
  const there = status !== undefined;
  const overdue = there && isOverdue(queue, id, findOverdue(queue, node.parts.env.clock.wallMs()));
  const rule = ruleOf(partition);
  const tasks = there ? tasksOf(partition, status) : [];
  const holders = there ? holdersOf(node, queue, status) : [];
  const fields = there ? await fieldsOf(node, partition, { id, status }) : {};
  const claims = [...holders, ...(await grantsOf(node, partition, { id, holders }))];
  const snapshots = await snapshotsOf(node, partition, id);
  if (!there && claims.length + snapshots.length === 0) {
    throw new StoreError('rows_missing', { partition: place.partition, missing: [id], missing_count: 1 });
  }
  const declared = (partition.settings.tasks ?? []).map(({ name }) => name);
  const because = explain({ there, tasks, claims, snapshots, declared, ...rule, overdue });
  return { id, there, fields, tasks, claims, snapshots, ...rule, because };
}

function ruleOf({ settings: { release, retention } }: Partition): HeldRule {
  return {
    release: release ?? defaults.release,
    retention: retention === undefined ? null : { rows_max: retention.rowsMax, age_ms_max: retention.ageMsMax },
  };
}

function tasksOf({ settings }: Partition, status: RowStatus): HeldTask[] {
  const declared = new Set(settings.tasks?.map(({ name }) => name));
  return status.tasks.flatMap(({ task, state, returns }) =>
    state === 'consumed' ? [] : [{ task, declared: declared.has(task), state, returns }],
  );
}

/** The claims that may consume the row. */
function holdersOf(node: Node, queue: PartitionQueue, status: RowStatus): HeldClaim[] {
  const { state, env } = node.parts;
  return status.tasks.flatMap(({ task, claim: number }) => {
    const claim = number === undefined ? undefined : queue.claims.get(number);
    if (claim === undefined) return [];
    const left = isLeased(claim) ? Math.max(0, Math.ceil(claim.deadlineMs - env.clock.nowMs())) : null;
    const granted = state.grants.get(claim.claim) !== undefined;
    return [{ claim: claim.claim, task, state: left === null ? 'expired' : 'leased', left_ms: left, granted }];
  });
}

/** Other claims that were granted the row: of a row that was deleted, or consumed as it was granted. */
async function grantsOf(
  node: Node,
  partition: Partition,
  { id, holders }: { id: number; holders: readonly HeldClaim[] },
): Promise<HeldClaim[]> {
  const known = new Set(holders.map(({ claim }) => claim));
  const queue = node.parts.state.queue(partition);
  const found: HeldClaim[] = [];
  for (const { claim, partition: of, located } of [...node.parts.state.grants.all()]) {
    if (of !== partition || known.has(claim)) continue;
    const cells = await located.catch(() => null);
    if (cells === null || !cells.ids.includes(id)) continue;
    const one = queue.claims.get(claim);
    const left = one !== undefined && isLeased(one) ? Math.ceil(one.deadlineMs - node.parts.env.clock.nowMs()) : null;
    const task = one?.task.name ?? queue.ended.get(claim)?.task.name ?? null;
    found.push({ claim, task, state: left === null ? 'ended' : 'leased', left_ms: left, granted: true });
  }
  return found;
}

async function fieldsOf(
  node: Node,
  partition: Partition,
  { id, status }: { id: number; status: RowStatus },
): Promise<Record<string, HeldField>> {
  const fields = status.fields.map((field) => partition.fields[field]);
  const cells = await locate(node.parts.state.store, partition, { ids: Float64Array.of(id), fields });
  if (cells.missing.length > 0) return {};
  try {
    const entries = cells.columns.map(({ field, batches }) => [field.name, heldField(cells.batches[batches[0]])]);
    return Object.fromEntries(entries) as Record<string, HeldField>;
  } finally {
    cells.close();
  }
}

function heldField({ lsn, extent }: StoredBatch): HeldField {
  const { length: bytes, place } = extent;
  const field = { lsn, segment: place.segment.id, offset: place.offset, bytes, rows: 0, rows_live: 0 };
  for (const batch of extent.batches) {
    field.rows += batch?.rows ?? 0;
    field.rows_live += batch?.rowsLive ?? 0;
  }
  return field;
}

/** The open snapshots that see the row; those of level `memory` see only what is there now. */
async function snapshotsOf(node: Node, partition: Partition, id: number): Promise<HeldSnapshot[]> {
  const found: HeldSnapshot[] = [];
  if (!isSaved(partition)) return found;
  for (const { snapshot, lsn } of node.snapshots.list()) {
    if (partition.dropped || !node.parts.state.store.snapshots.has(lsn)) continue;
    const at = lsnToRead(node.parts, partition, lsn);
    const { starts } = await partition.index.lookup(Float64Array.of(id), at);
    if (starts[1] > starts[0]) found.push({ snapshot, lsn });
  }
  return found;
}
