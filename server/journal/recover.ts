/**
 * Reads the journal after a start: feeds every event to a visitor and decides what to do with what cannot be read.
 *
 * A torn tail and corruption are different outcomes, told apart here and nowhere else, by this table. `bad` is the
 * first record whose magic, checksums or order are wrong; `later` means that a valid record follows it in the same
 * file. The checkpoint is the LSN up to which everything is durable elsewhere: its file is the first that is needed.
 *
 *   what is found                                   outcome  reason
 *   the last file has a torn header                 cut      it was never synced; the file goes, a roll makes it anew
 *   a file's header is wrong otherwise              refuse   headers are synced before the file is used
 *   another format version                          refuse   this build would misread it
 *   a file number is missing                        refuse   only files below the checkpoint are removed
 *   a file does not go on from the one before it    refuse   so is the first file, or the end of one
 *   bad, not in the last file                       refuse   a file is synced whole before the next one begins
 *   bad, at or below the durable watermark          refuse   it was synced: the disk changed it
 *   bad, nothing later                              cut      the last write was torn
 *   bad, later, other boot of the machine           cut      pages reach the disk in any order; none was synced
 *   bad, later, same boot                           refuse   a killed process tears its last write only
 *   a good record with a payload that makes no sense refuse  it was written so: a bug or another version
 *
 * The bytes of an insert are checked by the store, against the same watermark.
 */
import type { File } from '../env/env.ts';
import { RecoveryError } from '../errors.ts';
import type { JournalEvent } from './events.ts';
import { fileName, type RecordHeader } from './format.ts';
import type { InsertRun } from './insert_run.ts';
import { JournalScan, type BadBytes, type JournalFile, type JournalSource } from './scan.ts';

export { RecoveryError };

/** What recovery takes away from the end, for the log and the metrics. */
export interface Cut {
  readonly file: string;
  readonly offset: number;
  readonly size: number;
  readonly reason: string;
}

/** What the table says about a journal. `found` is the first column of its row. */
export type Verdict =
  | { readonly outcome: 'sound' }
  | { readonly outcome: 'cut'; readonly found: string; readonly cut: Cut; readonly removesFile: boolean }
  | {
      readonly outcome: 'refuse';
      readonly found: string;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

export interface JournalEnd {
  /** Number of the last file, one less than the first that is needed when there is none. */
  readonly fileNumber: number;
  /** The last file, open for appending at `offset`; null when the next event begins a new one. */
  readonly file: File | null;
  readonly offset: number;
  readonly lsn: number;
  readonly timestamp: number;
  readonly watermark: number;
  /** Of the last run, '' for a new directory. */
  readonly bootId: string;
  /** How many were visited. */
  readonly events: number;
  readonly cut: Cut | null;
}

/** Who is told of each record above the checkpoint. A promise is waited for before the next one is read. */
export interface Visitor {
  visit(event: JournalEvent, header: RecordHeader): void | Promise<void>;
  /** Whether it takes plain puts of the partition as runs now. */
  takesRuns(partition: number): boolean;
  visitRun(run: InsertRun): void | Promise<void>;
}

export interface ReadOptions extends JournalSource {
  readonly visitor: Visitor;
}

/** Reads all files in order. Rejects with a `RecoveryError` when the table says "refuse". */
export async function readJournal(options: ReadOptions): Promise<JournalEnd> {
  const scan = new JournalScan(options);
  let events = 0;
  for await (const file of scan.files()) {
    for (;;) {
      const some = visitSome(file, scan, options.visitor);
      events += some.visited;
      if (some.pending !== null) await some.pending;
      else if (some.isLast) break;
    }
  }
  const verdict = judge(scan, options.env.fs.bootId());
  if (verdict.outcome === 'refuse') throw new RecoveryError(verdict.message, verdict.details);
  if (verdict.outcome === 'cut') await carryOut(options, verdict);
  const { fileNumber, offset, timestamp, watermark, bootId } = scan.progress;
  return {
    ...{ fileNumber, timestamp, bootId, events },
    ...(offset === 0 || (verdict.outcome === 'cut' && verdict.removesFile)
      ? { file: null, offset: 0 }
      : { file: await options.env.fs.open(`${options.directory}/${fileName(fileNumber)}`), offset }),
    lsn: scan.lsn,
    watermark: Math.max(watermark, scan.from.lsn),
    cut: verdict.outcome === 'cut' ? verdict.cut : null,
  };
}

/**
 * Visits that follow each other. A function that is called often is compiled soon and as a whole; one long loop would
 * be compiled anew, while it runs, for each path that an event is the first to take.
 */
const VISITS_MAX = 64;

/** Visits some records: up to one that takes more than this turn, whose promise is returned, or while there are any. */
function visitSome(
  file: JournalFile,
  { from, progress }: JournalScan,
  visitor: Visitor,
): { readonly visited: number; readonly pending: Promise<void> | null; readonly isLast: boolean } {
  const takes = (partition: number): boolean => visitor.takesRuns(partition);
  let visited = 0;
  for (let i = 0; i < VISITS_MAX; i++) {
    const run = progress.lsn < from.lsn ? null : file.inserts(takes);
    const record = run === null ? file.next() : null;
    if (run === null && record === null) return { visited, pending: file.more(), isLast: true };
    if (record !== null && record.header.lsn <= from.lsn) continue;
    visited += run === null ? 1 : run.count;
    const pending = run === null ? visitor.visit(record!.event, record!.header) : visitor.visitRun(run);
    if (pending !== undefined) return { visited, pending, isLast: false };
  }
  return { visited, pending: null, isLast: false };
}

/** What the table says about a scan that ended. Changes nothing. */
export function judge(scan: JournalScan, bootId: string): Verdict {
  const { finding } = scan;
  const after = { after_lsn: scan.lsn };
  switch (finding?.what) {
    case undefined:
      return { outcome: 'sound' };
    case 'file_missing':
      return refuse('a file number is missing', 'a journal file is missing', { file: finding.file, ...after });
    case 'file_strange':
      return refuse(
        'a file does not go on from the one before it',
        'a journal file does not go on from the one before it',
        { file: finding.file, ...after, expected_after_lsn: finding.lsnBefore },
      );
    case 'header_wrong':
      return refuse("a file's header is wrong otherwise", 'a journal file header is damaged', { file: finding.file });
    case 'version_other':
      return refuse('another format version', 'the data directory has another format version', {
        file: finding.file,
        version: finding.version,
      });
    case 'record_senseless': {
      const { file, offset, lsn, why } = finding;
      const found = 'a good record with a payload that makes no sense';
      return refuse(found, 'a journal record makes no sense', { file, offset, lsn, why });
    }
    case 'record_bad':
    case 'header_torn':
      return judgeBad(scan, finding, bootId);
  }
}

function judgeBad(scan: JournalScan, bad: { what: 'record_bad' | 'header_torn' } & BadBytes, bootId: string): Verdict {
  const { file, offset, size, next, later } = bad;
  const where = { file, offset, after_lsn: scan.lsn };
  if (!bad.isLast) {
    return refuse('bad, not in the last file', 'the journal is damaged before its last file', where);
  }
  const isBelowCheckpoint = next !== null && next.lsn <= scan.from.lsn;
  if (later !== null && (later.watermark > scan.lsn || isBelowCheckpoint)) {
    return refuse('bad, at or below the durable watermark', 'the journal is damaged below its durable watermark', {
      ...where,
      watermark: Math.max(later.watermark, scan.from.lsn),
    });
  }
  if (later !== null && scan.progress.bootId === bootId) {
    return refuse('bad, later, same boot', 'the journal is damaged in its middle', { ...where, next_lsn: next!.lsn });
  }
  const isTorn = later === null;
  if (bad.what === 'header_torn') {
    const found = 'the last file has a torn header';
    return { outcome: 'cut', found, cut: { file, offset, size, reason: 'an interrupted roll' }, removesFile: true };
  }
  return {
    outcome: 'cut',
    found: isTorn ? 'bad, nothing later' : 'bad, later, other boot of the machine',
    cut: { file, offset, size, reason: isTorn ? 'a torn write' : 'writes lost by a crash of the machine' },
    removesFile: false,
  };
}

function refuse(found: string, message: string, details: Readonly<Record<string, unknown>>): Verdict {
  return { outcome: 'refuse', found, message, details };
}

/** Durable before it is reported. A file that is removed is made anew once there is something to write. */
async function carryOut(
  { env, directory }: JournalSource,
  verdict: Extract<Verdict, { outcome: 'cut' }>,
): Promise<void> {
  const { cut } = verdict;
  const path = `${directory}/${cut.file}`;
  if (verdict.removesFile) {
    await env.fail('recover.unlink');
    await env.fs.unlink(path);
    await env.fail('recover.syncdir');
    await env.fs.syncDirectory(directory);
    return;
  }
  const file = await env.fs.open(path);
  await env.fail('recover.truncate');
  await file.truncate(cut.offset);
  await env.fail('recover.sync');
  await file.datasync();
  await file.close();
}
