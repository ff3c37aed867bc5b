/** Puts what a start would do about the end of the journal into the report. */
import type { Env } from '../env/env.ts';
import { fileName } from '../journal/format.ts';
import type { Verdict } from '../journal/recover.ts';
import { journalFiles } from '../journal/files.ts';
import type { JournalStart } from '../journal/scan.ts';
import type { Meter } from './meter.ts';
import { readJournalFiles, type JournalReading } from './reading.ts';
import { RESTORE, type Report } from './report.ts';

export async function checkJournal(
  { env, directory, from }: { env: Env; directory: string; from: JournalStart },
  { report, meter }: { report: Report; meter: Meter },
): Promise<JournalReading> {
  const reading = await readJournalFiles({ env, directory, from }, ({ size, records }) => {
    report.add('journalFiles', 1, size);
    report.add('records', records);
    meter.add(size);
  });
  reportVerdict(reading.verdict, report);
  for (const number of await journalFiles(env, `${directory}/journal`)) {
    if (number >= from.file) break;
    report.note({
      what: 'it ends below the checkpoint, and a start removes it',
      file: `journal/${fileName(number)}`,
      advice: 'Nothing: the server ended before it was removed.',
    });
  }
  return reading;
}

function reportVerdict(verdict: Verdict, report: Report): void {
  if (verdict.outcome === 'sound') return;
  if (verdict.outcome === 'refuse') {
    const { file, offset, lsn } = verdict.details as { file?: string; offset?: number; lsn?: number };
    report.problem('records', {
      what: `${verdict.message}: a start is refused`,
      ...(file === undefined ? {} : { file: `journal/${file}` }),
      ...{ offset, lsn, details: verdict.details, advice: RESTORE },
    });
    return;
  }
  const { file, offset, size, reason } = verdict.cut;
  const found = { file: `journal/${file}`, offset, length: size };
  if (verdict.removesFile) {
    report.note({ what: `${reason}: a start removes the file`, ...found, advice: 'Nothing: no event was in it.' });
    return;
  }
  report.problem('records', {
    what: `${reason}: a start cuts the journal there`,
    ...found,
    advice:
      'After a crash this is as it should be: what is cut was not acknowledged, or was not synced at level os. ' +
      'After a clean stop it is damage: look for disk errors, then restore the directory from a copy.',
  });
}
