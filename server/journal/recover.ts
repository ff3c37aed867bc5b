/**
 * Reads the journal after a start: feeds every event to a visitor and decides what to do with what cannot be read.
 *
 * A torn tail and corruption are different outcomes, told apart here and nowhere else, by this table. `bad` is the
 * first record whose magic, checksums or order are wrong; `later` means that a valid record follows it in the same
 * file.
 *
 *   what is found                                   outcome  reason
 *   the last file's header is short or zero         cut      it was never synced; the file goes, a roll makes it anew
 *   a file's header is wrong otherwise              refuse   headers are synced before the file is used
 *   another format version                          refuse   this build would misread it
 *   a file number is missing                        refuse   files are never removed
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
import type { Core } from '@transfer-queue/core/wasm';
import type { Env, File } from '../env/env.ts';
import { FormatError } from './bytes.ts';
import { readEvent, type JournalEvent } from './events.ts';
import {
  checkFileHeader,
  FILE_HEADER_SIZE,
  fileName,
  fileNumber,
  hashMatches,
  PAYLOAD_SIZE_MAX,
  readRecordHeader,
  RECORD_HEADER_SIZE,
  recordSize,
  type RecordHeader,
} from './format.ts';

/** The data directory cannot be opened without losing what it promised to keep. */
export class RecoveryError extends Error {
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, details: Readonly<Record<string, unknown>>) {
    super(message);
    this.name = 'RecoveryError';
    this.details = details;
  }
}

/** What recovery took away from the end, for the log and the metrics. */
export interface Cut {
  readonly file: string;
  readonly offset: number;
  readonly size: number;
  readonly reason: string;
}

export interface JournalEnd {
  /** Number of the last file, 0 when there is none. */
  readonly fileNumber: number;
  /** The last file, open for appending at `offset`; null when the next event begins a new one. */
  readonly file: File | null;
  readonly offset: number;
  readonly lsn: number;
  readonly timestamp: number;
  readonly watermark: number;
  readonly events: number;
  readonly cut: Cut | null;
}

export type Visit = (event: JournalEvent, header: RecordHeader) => void;

export interface ReadOptions {
  readonly env: Env;
  readonly core: Core;
  readonly directory: string;
  readonly visit: Visit;
}

interface Progress {
  lsn: number;
  timestamp: number;
  watermark: number;
  events: number;
  bootId: string;
}

/** Reads all files in order. Rejects with a `RecoveryError` when the table says "refuse". */
export async function readJournal(options: ReadOptions): Promise<JournalEnd> {
  const { env, directory } = options;
  const numbers = (await env.fs.list(directory)).map(fileNumber).filter((number) => number !== null);
  numbers.sort((a, b) => a - b);
  const progress: Progress = { lsn: 0, timestamp: 0, watermark: 0, events: 0, bootId: '' };
  let end: FileEnd = { fileNumber: 0, file: null, offset: 0, cut: null };
  for (const [index, number] of numbers.entries()) {
    const name = fileName(number);
    if (index > 0 && number !== numbers[index - 1] + 1)
      throw new RecoveryError('a journal file is missing', { before: name });
    const last = index === numbers.length - 1;
    const file = await env.fs.open(`${directory}/${name}`);
    end = await readFile(options, file, { name, number, last, progress });
    if (!last || end.file === null) await file.close();
  }
  const { lsn, timestamp, watermark, events } = progress;
  return { lsn, timestamp, watermark, events, ...end };
}

type FileEnd = Pick<JournalEnd, 'fileNumber' | 'file' | 'offset' | 'cut'>;

interface FileContext {
  readonly name: string;
  readonly number: number;
  readonly last: boolean;
  readonly progress: Progress;
}

async function readFile(options: ReadOptions, file: File, context: FileContext): Promise<FileEnd> {
  const whole = Buffer.allocUnsafeSlow(await file.size());
  const bytes = whole.subarray(0, await file.pread(whole, 0));
  const header = checkFileHeader(options.core, bytes);
  if (!header.ok) return brokenHeader(options, file, bytes, context, header);
  if (header.number !== context.number || header.lsnBefore !== context.progress.lsn) {
    const { lsn } = context.progress;
    const details = { file: context.name, after_lsn: lsn, expected_after_lsn: header.lsnBefore };
    throw new RecoveryError('a journal file does not go on from the one before it', details);
  }
  let at = FILE_HEADER_SIZE;
  while (at < bytes.length) {
    const record = readRecord(options.core, bytes, at, context.progress);
    if (record === null) {
      return {
        fileNumber: context.number,
        file,
        offset: at,
        cut: await cutOrRefuse(options, file, bytes, at, context),
      };
    }
    visitRecord(options, record, context);
    at += recordSize(record.header.payloadSize);
  }
  return { fileNumber: context.number, file, offset: at, cut: null };
}

/** The journal goes on in a file of the same number, once it has something to write. */
async function brokenHeader(
  options: ReadOptions,
  file: File,
  bytes: Buffer,
  context: FileContext,
  header: { reason: string; version?: number },
): Promise<FileEnd> {
  if (header.reason === 'other_version') {
    throw new RecoveryError('the data directory has another format version', {
      file: context.name,
      version: header.version,
    });
  }
  if (header.reason !== 'torn' || !context.last)
    throw new RecoveryError('a journal file header is damaged', { file: context.name });
  const cut = await cutOrRefuse(options, file, bytes, 0, context);
  await options.env.fs.unlink(file.path);
  await options.env.fs.syncDirectory(options.directory);
  return { fileNumber: context.number - 1, file: null, offset: 0, cut: { ...cut, reason: 'an interrupted roll' } };
}

interface FoundRecord {
  readonly header: RecordHeader;
  readonly payload: Buffer;
}

/** The record at `at`, or null when it is bad in any way. */
function readRecord(
  core: Core,
  bytes: Buffer,
  at: number,
  after: { lsn: number; timestamp: number; watermark: number },
): FoundRecord | null {
  const header = readRecordHeader(core, bytes.subarray(at));
  if (header === null || header.payloadSize > PAYLOAD_SIZE_MAX) return null;
  if (header.lsn <= after.lsn || header.timestamp <= after.timestamp) return null;
  if (header.watermark < after.watermark || header.watermark >= header.lsn) return null;
  const start = at + RECORD_HEADER_SIZE;
  const payload = bytes.subarray(start, start + header.payloadSize);
  if (at + recordSize(header.payloadSize) > bytes.length) return null;
  return hashMatches(core, payload, bytes.subarray(at + 40, at + 48)) ? { header, payload } : null;
}

function visitRecord(options: ReadOptions, record: FoundRecord, context: FileContext): void {
  const { progress } = context;
  const { header } = record;
  try {
    const event = readEvent(header.type, record.payload);
    if (event.type === 'descriptor') progress.bootId = event.bootId;
    options.visit(event, header);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new RecoveryError('a journal record makes no sense', {
      file: context.name,
      lsn: header.lsn,
      why: error.message,
    });
  }
  progress.lsn = header.lsn;
  progress.timestamp = header.timestamp;
  progress.watermark = header.watermark;
  progress.events++;
}

/** The record at `at` is bad: the table decides. A cut is made durable at once. */
async function cutOrRefuse(
  options: ReadOptions,
  file: File,
  bytes: Buffer,
  at: number,
  context: FileContext,
): Promise<Cut> {
  const { progress, name, last } = context;
  const where = { file: name, offset: at, after_lsn: progress.lsn };
  if (!last) throw new RecoveryError('the journal is damaged before its last file', where);
  const later = findLater(options.core, bytes, at + 8, progress);
  if (later !== null && later.watermark > progress.lsn) {
    throw new RecoveryError('the journal is damaged below its durable watermark', {
      ...where,
      watermark: later.watermark,
    });
  }
  if (later !== null && progress.bootId === options.env.fs.bootId()) {
    throw new RecoveryError('the journal is damaged in its middle', { ...where, next_lsn: later.lsn });
  }
  await file.truncate(at);
  await file.datasync();
  const reason = later === null ? 'a torn write' : 'writes lost by a crash of the machine';
  return { file: name, offset: at, size: bytes.length - at, reason };
}

/** The last valid record behind a bad one; records begin at multiples of 8. */
function findLater(core: Core, bytes: Buffer, from: number, after: Progress): RecordHeader | null {
  let found: RecordHeader | null = null;
  for (let at = from; at + RECORD_HEADER_SIZE <= bytes.length; at += 8) {
    const record = readRecord(core, bytes, at, after);
    if (record === null) continue;
    found = record.header;
    at += recordSize(record.header.payloadSize) - 8;
  }
  return found;
}
