/** Tags: change those of rows; list rows with them. */
import { nextTurn } from '../env/env.ts';
import { inSlices, type Steps } from '../env/slice.ts';
import { StoreError } from '../errors.ts';
import { machine, type ListCommand, type RowList, type TagChange, type TagDrafts } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';
import type { ListRows, TagRows } from './commands.ts';
import type { Node } from './node.ts';
import { fieldsOf } from './read.ts';

/** Tags all rows, or none. */
export async function tagRows(node: Node, command: TagRows): Promise<{ lsn: number; rows: number }> {
  const { state } = node.parts;
  const partition = node.partition(command.partition);
  const { ack } = partition.settings;
  const { ids, tags, requestId } = command;
  const drafting = draftTags(node, partition, { ids, tags });
  const drafts = drafting instanceof Promise ? await drafting : drafting;
  for (let room = node.journalRoom(ack); room !== null; room = node.journalRoom(ack)) await room;
  if (partition.dropped) throw new StoreError('partition_unknown', { partition: command.partition, dropped: true });
  const earlier = state.requests.get(command.requestId);
  if (earlier !== undefined) {
    if (earlier.kind !== 'tag' || earlier.partition !== partition.id) throw new StoreError('request_id_reused');
    await earlier.commit;
    return { lsn: earlier.lsn, rows: earlier.rows };
  }
  if (ack !== 'memory') node.checkRoom();
  checkTags(node, partition, { ids, tags, drafts }, { withPut: false });
  state.prepareTags(drafts);
  const done = node.commit({ type: 'tag', partition: partition.id, requestId, ids, tags }, ack);
  await done.commit;
  return { lsn: done.lsn, rows: done.rows };
}

/** What the patches make of the tags, found out before the decision: of many rows in slices. Nothing changes yet. */
export function draftTags(
  node: Node,
  partition: Partition,
  change: TagChange,
): TagDrafts | undefined | Promise<TagDrafts | undefined> {
  const { state, env } = node.parts;
  const steps = machine.draftTags(change, () => state.queueById(partition.id));
  const first = steps.next();
  if (first.done === true) return first.value;
  const drafting = inSlices(steps, env.clock);
  // The decision has a turn of its own.
  return drafting.then((drafts) => nextTurn(env.clock).then(() => drafts));
}

/** Refuses patches that some of the rows can not have. */
export function checkTags(
  { parts: { state } }: Node,
  partition: Partition,
  change: TagChange,
  options: { readonly withPut: boolean },
): void {
  const refusal = machine.decideTags(state.queue(partition), change, options);
  if (refusal === undefined) return;
  throw new StoreError(refusal.code, { partition: partition.settings.name, ...refusal.details });
}

/** One page of rows, once all that it shows is committed. */
export async function listRows(node: Node, command: ListRows): Promise<RowList & { numberNames: readonly string[] }> {
  const { state, env, journal } = node.parts;
  const { ids, where, ready, from, rowsMax } = command;
  const wantedIn = (partition: Partition): Omit<ListCommand, 'where'> => ({
    ids: ids ?? undefined,
    ready: ready === null ? undefined : { task: ready.task, fields: fieldIdsOf(partition, ready.fields) },
    from,
    rowsMax,
  });
  if (where !== null) {
    const asked = node.partition(command.partition);
    await inSlices(machine.warmList(state.queue(asked), where, wantedIn(asked)), env.clock);
  }
  const partition = node.partition(command.partition);
  const queue = state.queue(partition);
  const use = where === null ? undefined : machine.useFilter(queue, where);
  if (use !== undefined && 'code' in use) {
    throw new StoreError(use.code, { partition: partition.settings.name, ...use.details });
  }
  const list = machine.listRows(queue, { ...wantedIn(partition), where: use });
  const numberNames = partition.settings.numbers ?? [];
  await journal.settled(partition.settings.ack);
  return { ...list, numberNames };
}

/**
 * JSON texts of all that the rows are tagged with as they are in this turn, numbers included, once that is committed;
 * rows that are gone have no tags.
 */
export async function tagTexts(node: Node, partition: Partition, ids: Float64Array): Promise<string[]> {
  const { settings, dropped } = partition;
  if (dropped) throw new StoreError('partition_unknown', { partition: settings.name, dropped });
  const queue = node.parts.state.queue(partition);
  const tags = Array.from(ids, (id) => machine.tagsOfRow(queue, id));
  const settled = node.parts.journal.settled(settings.ack);
  const texts = await inSlices(jsonTexts(tags), node.parts.env.clock);
  await settled;
  return texts;
}

/** Values that become texts in one step, well under a millisecond. */
const TEXTS_PER_STEP = 512;

export function* jsonTexts(values: readonly unknown[]): Steps<string[]> {
  const texts: string[] = [];
  for (const value of values) {
    texts.push(JSON.stringify(value));
    if (texts.length % TEXTS_PER_STEP === 0) yield;
  }
  return texts;
}

function fieldIdsOf(partition: Partition, names: readonly string[]): number[] {
  return fieldsOf(partition, names).map((field) => field.id);
}
