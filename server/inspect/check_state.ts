/** Checks the state that a start makes: the bytes of all puts that live, and the index that leads to them. */
import { FsError } from '../env/env.ts';
import { InvariantError, StoreError } from '../errors.ts';
import { machine } from '../queue/machine.ts';
import type { Partition, StoredBatch } from '../store/partition.ts';
import type { Store } from '../store/store.ts';
import { checkExtents } from './check_extents.ts';
import { checkIndex, type IndexContext, type IndexProblem, type RowPut } from './check_index.ts';
import type { Meter } from './meter.ts';
import { RESTORE, type Report } from './report.ts';
import type { Started } from './start.ts';
import { batchesHit, damageProblem } from './where.ts';

/** What a row counts for in the progress, which is in bytes: about what it takes in the index. */
const ROW_SIZE = 32;

export async function checkState(
  { node }: Started,
  { report, meter, sizeBefore }: { report: Report; meter: Meter; sizeBefore: number },
): Promise<void> {
  const { state, segments, core } = node.parts;
  const partitions = [...state.store.partitions()];
  const extents = [...state.store.extents()].filter(({ level }) => level !== 'memory');
  const liveSize = extents.reduce((sum, { length }) => sum + length, 0);
  const rows = partitions.reduce((sum, partition) => sum + machine.stats(state.queue(partition)).rows, 0);
  meter.total(sizeBefore + liveSize + rows * ROW_SIZE);
  meter.stage('puts');
  const { damages, segments: segmentCount } = await checkExtents(extents, { segments, core, meter });
  report.add('extents', extents.length, liveSize);
  report.add('segments', segmentCount);
  meter.stage('rows');
  const wanted = new Set(damages.flatMap(batchesHit));
  const shown = new Map<Partition, ReadonlyMap<StoredBatch, readonly RowPut[]>>();
  for (const partition of partitions) {
    report.add('partitions', 1);
    report.add('batches', countBatches(partition));
    const context = {
      queue: state.queue(partition),
      batch: (number: number) => liveBatch(state.store, number),
      wanted,
      looked: (count: number) => meter.add(count * ROW_SIZE),
    };
    const found = await checkRows(partition, context, report);
    if (found !== null) shown.set(partition, found);
  }
  for (const damage of damages) {
    report.problem('extents', damageProblem(damage, shown.get(damage.extent.partition) ?? null));
  }
}

/** Which rows show the batches that are wanted; null when the index cannot be read. */
async function checkRows(
  partition: Partition,
  context: IndexContext,
  report: Report,
): Promise<ReadonlyMap<StoredBatch, readonly RowPut[]> | null> {
  try {
    const { rows, puts, shown, problems } = await checkIndex(partition, context);
    report.add('rows', rows);
    report.add('puts', puts);
    for (const problem of problems) reportRow(report, problem);
    return shown;
  } catch (error) {
    if (!(error instanceof StoreError) && !(error instanceof FsError)) throw error;
    const { details } = error as { details?: Record<string, unknown> };
    report.problem('rows', {
      what: `the index cannot be read: ${error.message}`,
      ...{ partition: partition.settings.name, details, advice: RESTORE },
    });
    return null;
  }
}

function reportRow(report: Report, { what, partition, row, batch }: IndexProblem): void {
  report.problem('rows', {
    what,
    partition: partition.settings.name,
    ...(row === undefined ? {} : { rows: [row], rowCount: 1 }),
    ...(batch === undefined ? {} : { details: { batch } }),
    advice: 'Unless a file is damaged this is a fault of the server: keep the directory, and report it.',
  });
}

function countBatches({ extents }: Partition): number {
  let count = 0;
  for (const { refs } of extents) count += refs;
  return count;
}

function liveBatch(store: Store, number: number): StoredBatch | undefined {
  try {
    return store.batch(number);
  } catch (error) {
    if (error instanceof InvariantError) return undefined;
    throw error;
  }
}
