/**
 * A directory as far as it can be read: its journal file by file, and the state that a start would make of it. When a
 * start would be refused, the state as of the last event that can be read, if there is one.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import { FsError, type Env } from '../env/env.ts';
import { InvariantError, RecoveryError, StoreError } from '../errors.ts';
import { FormatError } from '../journal/bytes.ts';
import { fileName } from '../journal/format.ts';
import { judge, type Verdict } from '../journal/recover.ts';
import { journalFiles } from '../journal/files.ts';
import { JournalScan, type JournalStart, type Progress } from '../journal/scan.ts';
import { segmentName } from '../segment/files.ts';
import { startOn, type JournalCut, type Started } from './start.ts';

export interface JournalFileSummary {
  readonly name: string;
  readonly size: number;
  readonly records: number;
  /** Of the first and the last record; 0 for a file without any. */
  readonly lsnFirst: number;
  readonly lsnLast: number;
}

export interface JournalReading {
  readonly from: JournalStart;
  readonly files: readonly JournalFileSummary[];
  readonly verdict: Verdict;
  readonly progress: Readonly<Progress>;
  /** Where a start would have to end that gives up what cannot be read; null when all can be, or nothing. */
  readonly readable: JournalCut | null;
}

/** Reads all that a start would read. `each` hears of every file. */
export async function readJournalFiles(
  { env, directory, from }: { env: Env; directory: string; from: JournalStart },
  each: (file: JournalFileSummary) => void = () => undefined,
): Promise<JournalReading> {
  const folder = `${directory}/journal`;
  const scan = new JournalScan({ env, core: loadCore(), directory: folder, from });
  const files: JournalFileSummary[] = [];
  for await (const file of scan.files()) {
    const { name, size } = file;
    const summary = { name, size, records: 0, lsnFirst: 0, lsnLast: 0 };
    for await (const { header } of file.records()) {
      summary.records++;
      summary.lsnFirst ||= header.lsn;
      summary.lsnLast = header.lsn;
    }
    files.push(summary);
    each(summary);
  }
  const verdict = judge(scan, env.fs.bootId());
  const isReadable = verdict.outcome === 'refuse' && scan.progress.offset > 0;
  const readable = isReadable ? await cutAt(env, folder, scan.progress) : null;
  return { from, files, verdict, progress: scan.progress, readable };
}

async function cutAt(env: Env, folder: string, { fileNumber, offset }: Progress): Promise<JournalCut> {
  const numbers = await journalFiles(env, folder);
  const pathOf = (number: number): string => `${folder}/${fileName(number)}`;
  return { path: pathOf(fileNumber), offset, later: numbers.filter((number) => number > fileNumber).map(pathOf) };
}

/** What a start says when it refuses: about bytes, so that it is no fault of this program. */
export interface Refusal {
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The state, as far as there is one, and all that a start refuses on the way to it. */
export interface Outcome {
  readonly started: Started | null;
  readonly refusals: readonly Refusal[];
}

/** Tries to start; gives up what the journal has beyond its damage, and segments whose files are missing. */
export async function tryStart(env: Env, directory: string, { verdict, readable }: JournalReading): Promise<Outcome> {
  if (verdict.outcome === 'refuse' && readable === null) return { started: null, refusals: [] };
  const missing: string[] = [];
  const refusals: Refusal[] = [];
  for (;;) {
    try {
      return { started: await startOn(env, directory, { journal: readable, missing }), refusals };
    } catch (error) {
      if (!isFinding(error)) throw error;
      refusals.push({ message: error.message, details: error.details });
      const segment = await missingSegment(env, directory, error);
      if (segment === null || missing.includes(segment)) return { started: null, refusals };
      missing.push(segment);
    }
  }
}

/** The path of the segment that a start could not open, when it is not there. */
async function missingSegment(env: Env, directory: string, { details }: Refusal): Promise<string | null> {
  const { segment } = details ?? {};
  if (typeof segment !== 'number') return null;
  const name = segmentName(segment);
  const names = await env.fs.list(`${directory}/segments`);
  return names.includes(name) ? null : `${directory}/segments/${name}`;
}

function isFinding(error: unknown): error is Error & Refusal {
  const kinds = [RecoveryError, StoreError, FormatError, InvariantError, FsError];
  return kinds.some((kind) => error instanceof kind);
}
