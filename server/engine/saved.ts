/**
 * All state of a node as records: which parts there are, how their changes are saved and how a start loads them.
 *
 *   partition 0   next partition number, requests
 *   partition p   declaration, extents, rows live, queue units, grants, parts of a restore
 *                                                                               (rows: see index/row_value.ts)
 *
 * A part marks what changed as dirty in the turn in which it changes, and saves it whenever it is asked to, as it is
 * then. Invariants: what has no record, or none that can be made again from others, does not survive a restart.
 */
import type { Records, SavedRecord } from '../index/records.ts';
import { machine, type PartitionQueue } from '../queue/machine.ts';
import { isSaved, type Partition } from '../store/partition.ts';
import * as storeSaved from '../store/saved.ts';
import type { UnsavedGrant } from './grants.ts';
import type { NodeState } from './state.ts';

/** Units that changed since they were saved last. */
export function dirtyCount(state: NodeState): number {
  let count = storeSaved.dirtyCount(state.store) + state.requests.dirtyCount + state.grants.dirtyCount;
  count += state.staged.dirtyCount;
  for (const { queue } of savedQueues(state)) count += machine.dirtyCount(queue);
  return count;
}

/** Saves up to `unitsMax` units but grants; returns how many it saved. */
export function saveDirty(state: NodeState, records: Records, to: { unitsMax: number; lsn: number }): number {
  const { unitsMax, lsn } = to;
  let left = unitsMax - storeSaved.saveDirty(state.store, records, to);
  left -= state.requests.saveDirty(records, { unitsMax: left, lsn });
  left -= state.staged.saveDirty(records, { unitsMax: left, lsn });
  for (const { partition, queue } of savedQueues(state)) {
    if (left <= 0) break;
    left -= machine.saveDirty(queue, left, ({ key, value }) =>
      records.write({ partition: partition.id, kind: 'queue', key, value }, lsn),
    );
  }
  return unitsMax - left;
}

/** What claims granted since the last save; their cells may still be on their way. */
export function takeGrants(state: NodeState, records: Records, lsn: number): (() => Promise<UnsavedGrant | null>)[] {
  return state.grants.takeDirty(records, lsn);
}

/** Builds the state from its records. */
export async function loadState(state: NodeState, records: Records): Promise<void> {
  let units: SavedRecord[] = [];
  for await (const record of records.all()) {
    // The records of a queue stand together; whatever follows them ends them.
    if (units.length > 0 && (record.kind !== 'queue' || record.partition !== units[0].partition)) {
      state.loadQueue(units[0].partition, units);
      units = [];
    }
    if (record.kind === 'queue') units.push(record);
    else if (record.kind === 'request') state.requests.load(record);
    else if (record.kind === 'grant') state.grants.load(state.store, record);
    else if (record.kind === 'restore') state.staged.load(record);
    else storeSaved.loadRecord(state.store, record);
  }
  if (units.length > 0) state.loadQueue(units[0].partition, units);
  state.addMissingQueues();
  state.store.buryUnneeded();
}

function* savedQueues(state: NodeState): Generator<{ partition: Partition; queue: PartitionQueue }> {
  for (const queue of state.queues()) {
    const partition = state.store.partitionById(queue.partition)!;
    if (isSaved(partition)) yield { partition, queue };
  }
}
