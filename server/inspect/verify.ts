/**
 * Checks a whole data directory and changes nothing: what recovery checks, and all that recovery trusts.
 *
 *   tree       manifest, every file, every block               journal    every record, and how it ends
 *   start      recovery itself, on an overlay                  extents    every block of every put that lives
 *   index      every row: batches, ordinals, queue             files      those that nobody names
 *
 * A journal that a start would refuse is read as far as it goes, so that the rest is checked all the same.
 */
import { FsError, type Env } from '../env/env.ts';
import { InvariantError, StoreError } from '../errors.ts';
import { segmentName } from '../segment/files.ts';
import type { Partition, StoredBatch } from '../store/partition.ts';
import type { Store } from '../store/store.ts';
import { checkExtents } from './check_extents.ts';
import { checkIndex, type IndexProblem, type RowPut } from './check_index.ts';
import { checkJournal } from './check_journal.ts';
import { checkTree } from './check_tree.ts';
import { filesOf, type FoundFile } from './directory.ts';
import type { Meter } from './meter.ts';
import { tryStart, type JournalReading, type Refusal } from './reading.ts';
import { Report, RESTORE, type Problem } from './report.ts';
import type { Started } from './start.ts';
import { batchesHit, damageProblem } from './where.ts';
import { namesText } from './words.ts';

/** What was looked at and what is wrong with it. Rejects only when the disk does. */
export async function verifyDirectory(env: Env, directory: string, meter: Meter): Promise<Report> {
  const report = new Report();
  const files = await filesOf(env, directory);
  const sizeOf = (kind: FoundFile['kind']): number =>
    files.reduce((sum, file) => sum + (file.kind === kind ? file.size : 0), 0);
  meter.total(sizeOf('tree') + sizeOf('journal') + sizeOf('segment'));
  meter.stage('tree');
  const from = await checkTree({ env, directory }, { report, meter });
  meter.stage('journal');
  const journal = await checkJournal({ env, directory, from }, { report, meter });
  meter.stage('start');
  const started = await start(env, { directory, journal }, report);
  if (started !== null) {
    try {
      await checkState(started, { report, meter, sizeBefore: sizeOf('tree') + sizeOf('journal') });
      // What was given up may need them.
      if (report.unchecked.length === 0 && report.count('start').problems === 0)
        noteStrays(started, { directory, report });
    } finally {
      await started.close();
    }
  }
  checkFiles(files, report);
  return report;
}

/** Null when a start would be refused, also one that gives up what the journal has beyond its damage. */
async function start(
  env: Env,
  { directory, journal }: { directory: string; journal: JournalReading },
  report: Report,
): Promise<Started | null> {
  const { started, refusals } = await tryStart(env, directory, journal);
  report.add('start', 1);
  for (const { message, details } of refusals) {
    report.problem('start', { what: `a start is refused: ${message}`, ...placeOf(details), details, advice: RESTORE });
  }
  if (started === null) {
    report.unchecked.push('puts and rows, since there is no state that could be checked');
    return null;
  }
  if (journal.readable !== null) {
    report.unchecked.push(`what the journal says after LSN ${journal.progress.lsn}; the rest is as of there`);
  }
  const { voided } = started.recovery;
  if (voided.length > 0) {
    report.problem('start', {
      what: `a start leaves out puts whose bytes a crash of the machine took: LSN ${voided.join(', ')}`,
      advice: 'They were acknowledged at level os and not synced yet. Make their rows anew.',
    });
  }
  return started;
}

/** The file that a refusal is about. */
function placeOf(details: Refusal['details']): Pick<Problem, 'file'> {
  const { segment } = details ?? {};
  return typeof segment === 'number' ? { file: `segments/${segmentName(segment)}` } : {};
}

async function checkState(
  { node }: Started,
  { report, meter, sizeBefore }: { report: Report; meter: Meter; sizeBefore: number },
): Promise<void> {
  const { state, segments, core } = node.parts;
  const extents = [...state.store.extents()].filter(({ level }) => level !== 'memory');
  const liveSize = extents.reduce((sum, { length }) => sum + length, 0);
  meter.total(sizeBefore + liveSize);
  meter.stage('puts');
  const { damages, segments: segmentCount } = await checkExtents(extents, { segments, core, meter });
  report.add('extents', extents.length, liveSize);
  report.add('segments', segmentCount);
  meter.stage('rows');
  const wanted = new Set(damages.flatMap(batchesHit));
  const shown = new Map<StoredBatch, readonly RowPut[]>();
  for (const partition of state.store.partitions()) {
    const queue = state.queue(partition);
    await checkRows(partition, { report, shown, given: { queue, wanted, batch: (n) => liveBatch(state.store, n) } });
  }
  for (const damage of damages) report.problem('extents', damageProblem(damage, shown));
}

async function checkRows(
  partition: Partition,
  {
    report,
    shown,
    given,
  }: {
    report: Report;
    shown: Map<StoredBatch, readonly RowPut[]>;
    given: Parameters<typeof checkIndex>[1];
  },
): Promise<void> {
  report.add('partitions', 1);
  report.add('batches', countBatches(partition));
  try {
    const found = await checkIndex(partition, given);
    report.add('rows', found.rows);
    report.add('puts', found.puts);
    for (const [batch, puts] of found.shown) shown.set(batch, puts);
    for (const problem of found.problems) reportRow(report, problem);
  } catch (error) {
    if (!(error instanceof StoreError) && !(error instanceof FsError)) throw error;
    const { details } = error as { details?: Record<string, unknown> };
    report.problem('rows', {
      what: `the index cannot be read: ${error.message}`,
      ...{ partition: partition.settings.name, details, advice: RESTORE },
    });
  }
}

function reportRow(report: Report, { what, partition, row, batch }: IndexProblem): void {
  report.problem('rows', {
    what,
    partition: partition.settings.name,
    ...(row === undefined ? {} : { rows: [row], rowCount: 1 }),
    ...(batch === undefined ? {} : { details: { batch } }),
    advice: 'No file is damaged, so this is a fault of the server: keep the directory, and report it.',
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

/** Files that a start would remove, since nothing that lives is in them. */
function noteStrays({ changes }: Started, { directory, report }: { directory: string; report: Report }): void {
  const paths = changes.removed.map((path) => path.slice(directory.length + 1)).sort();
  for (const folder of ['segments', 'tree']) {
    const names = paths.filter((path) => path.startsWith(`${folder}/`));
    if (names.length === 0) continue;
    report.note({
      what: `${names.length === 1 ? 'a file holds' : `${names.length} files hold`} nothing that lives: a start removes ${namesText(names)}`,
      advice: 'Nothing: kept for new bytes, or left by a server that ended before it could remove them.',
    });
  }
}

function checkFiles(files: readonly FoundFile[], report: Report): void {
  for (const { path, kind, size } of files) {
    if (kind === 'lock') continue;
    if (kind === 'reserve' || kind === 'strange') report.add('otherFiles', 1, size);
    if (kind !== 'strange') continue;
    report.note({ what: 'no part of the server knows this file', file: path, advice: 'Move it out of the directory.' });
  }
}
