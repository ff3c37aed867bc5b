/**
 * Reads the files of a journal and changes none of them: records in order, up to the end or to the first thing that
 * cannot be read. What is to be done about that is decided in recover.ts.
 *
 *   JournalScan.files() -> file, file, ...      file.records() -> record, record, ...      then: finding, or null
 *
 * With a checkpoint a scan begins at its file: files below it are passed over, whether they are there or not. Records
 * up to the checkpoint's LSN may still stand in it, and gaps among them mean nothing, since nobody needs them.
 *
 * Invariants: a file's records are read before the next file is; after a finding nothing more is read; a finding is
 * told of a file that was read to its end.
 */
import type { Core } from '@transfer-queue/core/wasm';
import type { Env } from '../env/env.ts';
import { FileReading } from './file_reading.ts';
import { journalFiles } from './files.ts';
import { checkFileHeader, FILE_HEADER_SIZE, fileName } from './format.ts';
import { badBytes, JournalFile, type BadBytes, type FileBytes, type Progress, type RecordFinding } from './records.ts';

export type { BadBytes, JournalFile, Progress };

/** Where a scan begins, as the last checkpoint says; all before it is durable elsewhere. */
export interface JournalStart {
  /** The first file that is needed; it is there when a checkpoint names it. */
  readonly file: number;
  /** Records up to here are not needed. */
  readonly lsn: number;
  /** Of the run that wrote the checkpoint: its descriptor may be in a file that is gone. */
  readonly bootId?: string;
  readonly timestamp?: number;
}

/** Without a checkpoint: from the first event. */
export const journalBegin: JournalStart = { file: 1, lsn: 0 };

export interface JournalSource {
  readonly env: Env;
  readonly core: Core;
  readonly directory: string;
  readonly from?: JournalStart;
  /** What is read of a file at once. Default: a MiB. */
  readonly pieceSize?: number;
}

/** Why a scan ended early. */
export type Finding =
  | { readonly what: 'file_missing'; readonly file: string }
  | { readonly what: 'file_strange'; readonly file: string; readonly lsnBefore: number }
  | { readonly what: 'header_wrong'; readonly file: string }
  | { readonly what: 'version_other'; readonly file: string; readonly version: number }
  | ({ readonly what: 'header_torn' } & BadBytes)
  | RecordFinding;

export class JournalScan {
  readonly from: JournalStart;
  readonly progress: Progress;
  readonly #source: JournalSource;
  #finding: Finding | null = null;

  constructor(source: JournalSource) {
    this.#source = source;
    this.from = source.from ?? journalBegin;
    const { bootId = '', timestamp = 0 } = this.from;
    this.progress = { lsn: 0, timestamp, watermark: 0, bootId, fileNumber: this.from.file - 1, offset: 0 };
  }

  /** Null while all that was read is sound. */
  get finding(): Finding | null {
    return this.#finding;
  }

  /** The highest LSN that was read or is part of the checkpoint. */
  get lsn(): number {
    return Math.max(this.progress.lsn, this.from.lsn);
  }

  async *files(): AsyncGenerator<JournalFile, void> {
    const { env, core, directory } = this.#source;
    const numbers = (await journalFiles(env, directory)).filter((number) => number >= this.from.file);
    if (numbers.length === 0 && this.from.lsn > 0) {
      this.#finding = { what: 'file_missing', file: fileName(this.from.file) };
    }
    for (const [index, number] of numbers.entries()) {
      if (number !== this.from.file + index) {
        this.#finding = { what: 'file_missing', file: fileName(this.from.file + index) };
        return;
      }
      const name = fileName(number);
      const opened = await env.fs.open(`${directory}/${name}`);
      try {
        const reading = await FileReading.of(opened, this.#source.pieceSize);
        const bytes = { core, reading, name, isLast: index === numbers.length - 1 };
        if (!(await this.#begin(bytes, number))) return;
        const file = new JournalFile(bytes, this.progress);
        yield file;
        this.#finding = file.finding;
        if (this.#finding !== null) return;
      } finally {
        await opened.close();
      }
    }
  }

  /** Whether the header of a file says that it can be read. */
  async #begin(file: FileBytes, number: number): Promise<boolean> {
    const { core, reading, name, isLast } = file;
    while (!reading.isWhole && reading.ready < FILE_HEADER_SIZE) await reading.more();
    const header = checkFileHeader(core, reading.bytes.subarray(0, reading.ready));
    if (header.ok) {
      const isNext = Math.max(header.lsnBefore, this.from.lsn) === this.lsn;
      if (header.number === number && isNext) {
        this.progress.fileNumber = number;
        this.progress.offset = FILE_HEADER_SIZE;
        return true;
      }
      this.#finding = { what: 'file_strange', file: name, lsnBefore: header.lsnBefore };
    } else if (header.reason === 'other_version') {
      this.#finding = { what: 'version_other', file: name, version: header.version! };
    } else if (isLast && (header.reason === 'torn' || reading.bytes.length <= FILE_HEADER_SIZE)) {
      await reading.whole();
      // Nothing stands behind a header before it is synced; until then a power cut may leave any bytes of it.
      this.#finding = { what: 'header_torn', ...badBytes(file, 0, this.progress) };
    } else {
      this.#finding = { what: 'header_wrong', file: name };
    }
    return false;
  }
}

/** The first record that is still there: what a checkpoint made superfluous may not have been removed yet. */
export async function oldestStart({ env, core, directory }: Omit<JournalSource, 'from'>): Promise<JournalStart> {
  const [oldest] = await journalFiles(env, directory);
  if (oldest === undefined || oldest === 1) return journalBegin;
  const file = await env.fs.open(`${directory}/${fileName(oldest)}`);
  try {
    const bytes = Buffer.alloc(FILE_HEADER_SIZE);
    const header = checkFileHeader(core, bytes.subarray(0, await file.pread(bytes, 0)));
    return { file: oldest, lsn: header.ok ? header.lsnBefore : 0 };
  } finally {
    await file.close();
  }
}
