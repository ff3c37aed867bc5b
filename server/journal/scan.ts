/**
 * Reads the files of a journal and changes none of them: records in order, up to the end or to the first thing that
 * cannot be read. What is to be done about that is decided in recover.ts.
 *
 *   JournalScan.files() -> file, file, ...      file.records() -> record, record, ...      then: finding, or null
 *
 * With a checkpoint a scan begins at its file: files below it are passed over, whether they are there or not. Records
 * up to the checkpoint's LSN may still stand in it, and gaps among them mean nothing, since nobody needs them.
 *
 * Invariants: a file's records are read before the next file is; after a finding nothing more is read.
 */
import type { Core } from '@transfer-queue/core/wasm';
import type { Env, File } from '../env/env.ts';
import { ByteReader, FormatError } from './bytes.ts';
import { readEventFrom } from './event_codecs.ts';
import type { JournalEvent } from './events.ts';
import {
  checkFileHeader,
  FILE_HEADER_SIZE,
  fileName,
  fileNumber,
  parseRecordHeader,
  PAYLOAD_SIZE_MAX,
  RECORD_HEADER_SIZE,
  recordSize,
  type RecordHeader,
} from './format.ts';
import { RecordHashes } from './record_hashes.ts';

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
}

export interface JournalRecord {
  readonly header: RecordHeader;
  readonly event: JournalEvent;
  readonly offset: number;
}

export interface JournalFile {
  readonly name: string;
  readonly number: number;
  readonly size: number;
  readonly lsnBefore: number;
  /** To be called until it says null. */
  next(): JournalRecord | null;
  /** The same as an iterable, to be read to its end. */
  records(): Generator<JournalRecord, void>;
}

/** The bytes of a file that are no record, and the first and the last valid record behind them. */
export interface BadBytes {
  readonly file: string;
  readonly isLast: boolean;
  readonly offset: number;
  readonly size: number;
  readonly next: RecordHeader | null;
  readonly later: RecordHeader | null;
}

/** Why a scan ended early. */
export type Finding =
  | { readonly what: 'file_missing'; readonly file: string }
  | { readonly what: 'file_strange'; readonly file: string; readonly lsnBefore: number }
  | { readonly what: 'header_wrong'; readonly file: string }
  | { readonly what: 'version_other'; readonly file: string; readonly version: number }
  | ({ readonly what: 'header_torn' } & BadBytes)
  | ({ readonly what: 'record_bad' } & BadBytes)
  | {
      readonly what: 'record_senseless';
      readonly file: string;
      readonly offset: number;
      readonly lsn: number;
      why: string;
    };

/** What was read so far. */
export interface Progress {
  lsn: number;
  timestamp: number;
  watermark: number;
  bootId: string;
  /** The file read last, and where its records end. */
  fileNumber: number;
  offset: number;
}

/** The bytes of a file, to be read record by record. */
interface Records {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly hashes: RecordHashes;
  readonly source: ByteReader;
  /** Where the next record begins. */
  nextAt: number;
}

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
    const { env, directory } = this.#source;
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
      const bytes = await readWhole(env, `${directory}/${name}`);
      const isLast = index === numbers.length - 1;
      const lsnBefore = this.#begin(bytes, { name, number, isLast });
      if (lsnBefore === null) return;
      const records = this.#recordsOf(bytes);
      const next = (): JournalRecord | null => this.#next(records, { name, isLast });
      yield { name, number, size: bytes.length, lsnBefore, next, records: () => recordsUntilNull(next) };
      if (this.#finding !== null) return;
    }
  }

  /** The LSN before the first record of a file, or null when its header says that it cannot be read. */
  #begin(bytes: Buffer, file: { name: string; number: number; isLast: boolean }): number | null {
    const { name, number, isLast } = file;
    const header = checkFileHeader(this.#source.core, bytes);
    if (header.ok) {
      const isNext = Math.max(header.lsnBefore, this.from.lsn) === this.lsn;
      if (header.number === number && isNext) {
        this.progress.fileNumber = number;
        this.progress.offset = FILE_HEADER_SIZE;
        return header.lsnBefore;
      }
      this.#finding = { what: 'file_strange', file: name, lsnBefore: header.lsnBefore };
    } else if (header.reason === 'other_version') {
      this.#finding = { what: 'version_other', file: name, version: header.version! };
    } else if (isLast && (header.reason === 'torn' || bytes.length <= FILE_HEADER_SIZE)) {
      // Nothing stands behind a header before it is synced; until then a power cut may leave any bytes of it.
      this.#finding = { what: 'header_torn', ...this.#badBytes(bytes, 0, { name, isLast }) };
    } else {
      this.#finding = { what: 'header_wrong', file: name };
    }
    return null;
  }

  /** The next record of a file, or null at its end or at a finding. Until then `progress` stands at this one. */
  #next(records: Records, file: { name: string; isLast: boolean }): JournalRecord | null {
    const { progress } = this;
    const { bytes, source } = records;
    progress.offset = records.nextAt;
    if (this.#finding !== null || progress.offset >= bytes.length) return null;
    const { offset } = progress;
    const header = this.#header(records, offset);
    if (header === null) {
      this.#finding = { what: 'record_bad', ...this.#badBytes(bytes, offset, file) };
      return null;
    }
    const payloadAt = offset + RECORD_HEADER_SIZE;
    let event: JournalEvent;
    try {
      event = readEventFrom(header.type, source.turnTo(payloadAt, payloadAt + header.payloadSize));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      const { name } = file;
      this.#finding = { what: 'record_senseless', file: name, offset, lsn: header.lsn, why: error.message };
      return null;
    }
    if (event.type === 'descriptor') progress.bootId = event.bootId;
    progress.lsn = header.lsn;
    progress.timestamp = header.timestamp;
    progress.watermark = header.watermark;
    records.nextAt = offset + recordSize(header.payloadSize);
    return { header, event, offset };
  }

  #recordsOf(bytes: Buffer): Records {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const hashes = new RecordHashes(this.#source.core, bytes);
    return { bytes, view, hashes, source: new ByteReader(bytes), nextAt: FILE_HEADER_SIZE };
  }

  /** The header of the record at `at`, or null when the record is bad in any way. */
  #header({ hashes, view }: Records, at: number): RecordHeader | null {
    if (!hashes.isRight(at)) return null;
    const after = this.progress;
    const header = parseRecordHeader(view, at);
    if (header.lsn <= after.lsn || header.timestamp <= after.timestamp) return null;
    if (header.watermark < after.watermark || header.watermark >= header.lsn) return null;
    return header.payloadSize > PAYLOAD_SIZE_MAX ? null : header;
  }

  /** Records begin at multiples of 8. */
  #badBytes(bytes: Buffer, offset: number, file: { name: string; isLast: boolean }): BadBytes {
    let next: RecordHeader | null = null;
    let later: RecordHeader | null = null;
    const records = this.#recordsOf(bytes);
    for (let at = offset + 8; at + RECORD_HEADER_SIZE <= bytes.length; at += 8) {
      const header = this.#header(records, at);
      if (header === null) continue;
      later = header;
      next ??= later;
      at += recordSize(header.payloadSize) - 8;
    }
    return { file: file.name, isLast: file.isLast, offset, size: bytes.length - offset, next, later };
  }
}

function* recordsUntilNull(next: () => JournalRecord | null): Generator<JournalRecord, void> {
  for (let record = next(); record !== null; record = next()) yield record;
}

/** Numbers of the files that are there, rising. */
export async function journalFiles(env: Env, directory: string): Promise<number[]> {
  const numbers = (await env.fs.list(directory)).map(fileNumber).filter((number) => number !== null);
  return numbers.sort((a, b) => a - b);
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

async function readWhole(env: Env, path: string): Promise<Buffer> {
  const file: File = await env.fs.open(path);
  try {
    const bytes = Buffer.allocUnsafeSlow(await file.size());
    return bytes.subarray(0, await file.pread(bytes, 0));
  } finally {
    await file.close();
  }
}
