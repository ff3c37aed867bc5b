/** Where a row stands now: which put shows each field, whether the bytes are sound, and what tasks did with it. */
import { machine, type PartitionQueue, type RowTaskStatus } from '../queue/machine.ts';
import { placeOfBatch, type Partition } from '../store/partition.ts';
import { damagedBlocks } from './check_extents.ts';
import type { Started } from './start.ts';

export interface PutOfRow {
  /** LSN of the put. */
  readonly put: number;
  /** LSN of the event that wrote its bytes: the put, or a rewrite that left out dead rows. */
  readonly extent: number;
  readonly batch: number;
  readonly ordinal: number;
  /** Fields of the put that the row shows; newer puts have the others. */
  readonly shows: readonly string[];
  readonly hides: readonly string[];
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly level: string;
  /** `sound`, or what is wrong. */
  readonly bytes: string;
}

export interface RowNow {
  readonly partition: string;
  readonly id: number;
  /** Newest first. */
  readonly puts: readonly PutOfRow[];
  /** JSON text of its tags and numbers. */
  readonly tags: string;
  readonly tasks: readonly RowTaskStatus[];
}

/** Null for a row that is not there. */
export async function rowNow({ node }: Started, partition: Partition, id: number): Promise<RowNow | null> {
  const { state, segments, core } = node.parts;
  const status = machine.rowStatus(state.queue(partition), id);
  if (status === undefined) return null;
  const { batches, ordinals, starts } = await partition.index.lookup(Float64Array.of(id));
  const seen = new Set<number>();
  const puts: PutOfRow[] = [];
  for (let i = starts[0]; i < starts[1]; i++) {
    const { number, lsn, extent, regions } = state.store.batch(batches[i]);
    const fields = partition.fields.filter((field) => regions[field.id] !== undefined);
    const shown = fields.filter((field) => !seen.has(field.id));
    for (const field of fields) seen.add(field.id);
    const wrong: string[] = [];
    for await (const { from, to, what } of damagedBlocks(extent, { segments, core }))
      wrong.push(`${from}-${to}: ${what}`);
    puts.push({
      ...{ put: lsn, extent: extent.key, batch: placeOfBatch(number), ordinal: ordinals[i] },
      shows: shown.map(({ name }) => name),
      hides: fields.filter((field) => !shown.includes(field)).map(({ name }) => name),
      ...{ segment: extent.place.segment.id, offset: extent.place.offset, length: extent.length, level: extent.level },
      bytes: wrong.length === 0 ? 'sound' : wrong.join('; '),
    });
  }
  return {
    partition: partition.settings.name,
    id,
    puts,
    tags: tagsOf(state.queue(partition), id),
    tasks: status.tasks,
  };
}

function tagsOf(queue: PartitionQueue, id: number): string {
  const list = machine.listRows(queue, { ids: Float64Array.of(id), from: 0, rowsMax: 1 });
  const names = queue.settings.numbers ?? [];
  const numbers = names.flatMap((name, i) => (Number.isNaN(list.numbers[i][0]) ? [] : [[name, list.numbers[i][0]]]));
  return JSON.stringify({ ...list.tags[0], ...Object.fromEntries(numbers) });
}
