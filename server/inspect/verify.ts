/**
 * Checks a whole data directory and changes nothing: what recovery checks, and all that recovery trusts.
 *
 *   tree       manifest, every file, every block               journal    every record, and how it ends
 *   start      recovery itself, on an overlay                  extents    every block of every put that lives
 *   index      every row: batches, ordinals, queue             files      those that nobody names
 *
 * A journal that a start would refuse is read as far as it goes, so that the rest is checked all the same.
 */
import type { Env } from '../env/env.ts';
import { segmentName } from '../segment/files.ts';
import { checkJournal } from './check_journal.ts';
import { checkState } from './check_state.ts';
import { checkTree } from './check_tree.ts';
import { filesOf, type FoundFile } from './directory.ts';
import type { Meter } from './meter.ts';
import { tryStart, type JournalReading, type Refusal } from './reading.ts';
import { Report, RESTORE, type Problem } from './report.ts';
import type { Started } from './start.ts';
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
  report.add('start', started?.recovery.events ?? 0);
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

/** Files that a start would remove, since nothing that lives is in them. */
function noteStrays({ changes }: Started, { directory, report }: { directory: string; report: Report }): void {
  const paths = changes.removed.map((path) => path.slice(directory.length + 1)).sort();
  for (const folder of ['segments', 'tree']) {
    const names = paths.filter((path) => path.startsWith(`${folder}/`));
    if (names.length === 0) continue;
    const whose = names.length === 1 ? 'a file holds' : `${names.length} files hold`;
    report.note({
      what: `${whose} nothing that lives: a start removes ${namesText(names)}`,
      advice: 'Nothing: kept for new bytes, or left by a server that ended before it could remove them.',
    });
  }
}

function checkFiles(files: readonly FoundFile[], report: Report): void {
  for (const { path, kind, size } of files) {
    if (kind === 'lock' || kind === 'mark') continue;
    if (kind === 'reserve' || kind === 'strange') report.add('otherFiles', 1, size);
    if (kind !== 'strange') continue;
    report.note({ what: 'no part of the server knows this file', file: path, advice: 'Move it out of the directory.' });
  }
}
