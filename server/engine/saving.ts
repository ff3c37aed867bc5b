/**
 * What checkpoints of users save: the state of all queues as of one LSN, while work goes on.
 *
 *   checkpoint of the node --freeze--> snapshot of that LSN: the tree holds the records of each queue as they were
 *   snapshot --records--> a queue of its own, in memory of its own --> settings, ids by fields, records without claims
 *
 * The freeze is as short as that of any checkpoint, and nothing is copied before somebody asks for a partition's state;
 * a queue is made of its records then, and written again, in slices.
 * Invariants: one state is made at a time; ids, consumption, tags and the cells that a read at the snapshot's LSN gives
 * are of one moment.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import { inSlices, type Steps } from '../env/slice.ts';
import { StoreError } from '../errors.ts';
import { machine, type QueueRecord } from '../queue/machine.ts';
import { createBitmaps } from '../queue/wasm_bitmaps.ts';
import { isSaved } from '../store/partition.ts';
import { readDeclaration } from '../store/saved.ts';
import type { Node } from './node.ts';
import type { PartitionSettings } from '../journal/events.ts';
import { encodeState, type SavedRows } from './saved_state.ts';
import { visiblePartitions } from './staging.ts';

export interface StateSnapshot {
  readonly snapshot: string;
  readonly lsn: number;
  readonly lease_ms: number;
  readonly partitions: readonly string[];
  /** Of ack level `memory`: they end with the process, and nothing of them is held. */
  readonly left_out: readonly string[];
}

/** Holds the state of now, that of the queues included. Rejects with `disk_full` while checkpoints wait for space. */
export async function openStateSnapshot(node: Node, leaseMs: number): Promise<StateSnapshot> {
  const { held, ...found } = await node.checkpoints.atFreeze(() => {
    const partitions = visiblePartitions(node);
    const names = (saved: boolean): string[] =>
      partitions.filter((partition) => isSaved(partition) === saved).map(({ settings }) => settings.name);
    return { held: node.snapshots.holdState(), partitions: names(true), left_out: names(false) };
  });
  return { ...(await node.snapshots.answer(held, leaseMs)), ...found };
}

/** The state of one partition, as bytes that have room until `give`. */
export interface GivenState {
  readonly parts: readonly Buffer[];
  readonly give: () => void;
}

/** Rejects with `lsn_unknown` when the snapshot does not hold the state. */
export function stateOf(node: Node, snapshot: string, name: string): Promise<GivenState> {
  return node.states.alone(async () => {
    const parts = await makeState(node, { lsn: node.snapshots.stateLsn(snapshot), name, id: node.partition(name).id });
    return { parts, give: node.states.take(parts.reduce((sum, { length }) => sum + length, 0)) };
  });
}

async function makeState(
  node: Node,
  { lsn, name, id }: { readonly lsn: number; readonly name: string; readonly id: number },
): Promise<Buffer[]> {
  const { state, records, env } = node.parts;
  const found = await state.store.snapshots.reading(lsn, async () => ({
    declaration: await collect(records.of(id, 'partition', lsn)),
    queue: await collect(records.of(id, 'queue', lsn)),
  }));
  if (found.declaration.length === 0 || found.queue.length === 0)
    throw new StoreError('lsn_unknown', { partition: name, lsn, reason: 'it was declared after the snapshot' });
  const { settings } = readDeclaration(found.declaration[0].value);
  const saved = { partition: name, lsn, settings };
  return inSlices(stateOfRecords(node, id, saved, found.queue), env.clock);
}

function* stateOfRecords(
  { parts: { core } }: Node,
  id: number,
  saved: { readonly partition: string; readonly lsn: number; readonly settings: PartitionSettings },
  records: readonly QueueRecord[],
): Steps<Buffer[]> {
  const { settings } = saved;
  // The memory of the node's bitmaps is not for copies.
  const bitmaps = createBitmaps(loadCore());
  const options = { partition: id, groupSize: settings.groupSize, settings, bitmaps };
  const queue = yield* machine.loadSteps(options, records);
  const rows = (yield* machine.rowsBySet(queue)).map(({ fields, ids }): SavedRows => {
    return { fields: fields.map((field) => settings.fields[field].name), ids };
  });
  return yield* encodeState(core, { ...saved, records: yield* machine.wholeRecords(queue) }, rows);
}

async function collect<Saved extends QueueRecord>(records: AsyncIterable<Saved>): Promise<Saved[]> {
  const all: Saved[] = [];
  for await (const record of records) all.push(record);
  return all;
}
