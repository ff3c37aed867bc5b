/**
 * The records of one file of a journal, in order, up to its end or to the first that cannot be read.
 *
 *   file   | header | record | record | ... | bad or torn bytes |        header: see scan.ts
 *
 * Invariant: a record is read only when its hashes are right and it goes on from the one before it.
 */
import type { Core } from '@transfer-queue/core/wasm';
import { ByteReader, FormatError } from './bytes.ts';
import { readEventFrom } from './event_codecs.ts';
import { eventTypes, type JournalEvent } from './events.ts';
import {
  blankRecordHeader,
  FILE_HEADER_SIZE,
  readRecordHeader,
  RECORD_HEADER_SIZE,
  recordSize,
  type RecordHeader,
} from './format.ts';
import type { FileReading } from './file_reading.ts';
import { InsertRunReader, type InsertRun } from './insert_run.ts';
import { RecordHashes } from './record_hashes.ts';

export interface JournalRecord {
  readonly header: RecordHeader;
  readonly event: JournalEvent;
  readonly offset: number;
}

/** A file whose header is sound. */
export interface FileBytes {
  readonly core: Core;
  readonly reading: FileReading;
  readonly name: string;
  readonly isLast: boolean;
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

/** Why the records of a file ended early. */
export type RecordFinding =
  | ({ readonly what: 'record_bad' } & BadBytes)
  | {
      readonly what: 'record_senseless';
      readonly file: string;
      readonly offset: number;
      readonly lsn: number;
      readonly why: string;
    };

/** What was read of a journal so far. */
export interface Progress {
  lsn: number;
  timestamp: number;
  watermark: number;
  bootId: string;
  /** The file read last, and where its records end. */
  fileNumber: number;
  offset: number;
}

export class JournalFile {
  readonly name: string;
  readonly #file: FileBytes;
  readonly #progress: Progress;
  readonly #headers: Headers;
  readonly #source: ByteReader;
  readonly #inserts: InsertRunReader;
  #nextAt = FILE_HEADER_SIZE;
  /** Of the record that is next; null when that was not looked at, or is no record. */
  #nextHeader: RecordHeader | null = null;
  #finding: RecordFinding | null = null;

  /** `progress` stands where the file begins, and moves on with its records. */
  constructor(file: FileBytes, progress: Progress) {
    this.name = file.name;
    this.#file = file;
    this.#progress = progress;
    this.#headers = new Headers(file);
    this.#source = new ByteReader(file.reading.bytes);
    this.#inserts = new InsertRunReader(file.reading.bytes);
  }

  /** Null while all that was read is sound. */
  get finding(): RecordFinding | null {
    return this.#finding;
  }

  /** Shorter when it turns out that the file became so while it was read. */
  get size(): number {
    const { isWhole, ready, bytes } = this.#file.reading;
    return isWhole ? ready : bytes.length;
  }

  /** When there was no next record for want of bytes that are still read: waits for some. Null: it was not for that. */
  more(): Promise<void> | null {
    const { reading } = this.#file;
    return reading.isWhole ? null : reading.more();
  }

  /**
   * The next record; null at the end of the file, at a finding, or until there is `more`. Until then `progress` stands
   * at this one.
   */
  next(): JournalRecord | null {
    const progress = this.#progress;
    const offset = this.#nextAt;
    progress.offset = offset;
    if (this.#finding !== null || offset >= this.size) return null;
    const header = this.#header();
    if (header === null) {
      if (!this.#file.reading.isWhole) return null;
      this.#finding = { what: 'record_bad', ...badBytes(this.#file, offset, progress) };
      return null;
    }
    const event = this.#event(header, offset);
    if (event === null) return null;
    if (event.type === 'descriptor') progress.bootId = event.bootId;
    this.#pass(header);
    return { header: { ...header }, event, offset };
  }

  /** The plain puts that are next and there, of a partition that `takes` names; null when there is none. */
  inserts(takes: (partition: number) => boolean): InsertRun | null {
    if (this.#finding !== null) return null;
    const run = this.#inserts.begin();
    while (this.#nextAt < this.size) {
      const header = this.#header();
      if (header === null || header.type !== eventTypes.insert) break;
      if (!this.#inserts.add(header, this.#nextAt + RECORD_HEADER_SIZE)) break;
      if (run.count === 1 && !takes(run.partition)) return null;
      this.#progress.offset = this.#nextAt;
      this.#pass(header);
    }
    return run.count > 0 ? run : null;
  }

  /** What stands next, if it is a record. */
  #header(): RecordHeader | null {
    return (this.#nextHeader ??= this.#headers.at(this.#nextAt, this.#progress));
  }

  /** The next record was read. */
  #pass({ lsn, timestamp, watermark, payloadSize }: RecordHeader): void {
    const progress = this.#progress;
    progress.lsn = lsn;
    progress.timestamp = timestamp;
    progress.watermark = watermark;
    this.#nextAt += recordSize(payloadSize);
    this.#nextHeader = null;
  }

  /** All records, to be read to their end. */
  async *records(): AsyncGenerator<JournalRecord, void> {
    for (let pending: Promise<void> | null; ; await pending) {
      for (let record = this.next(); record !== null; record = this.next()) yield record;
      pending = this.more();
      if (pending === null) return;
    }
  }

  #event(header: RecordHeader, offset: number): JournalEvent | null {
    const payloadAt = offset + RECORD_HEADER_SIZE;
    try {
      return readEventFrom(header.type, this.#source.turnTo(payloadAt, payloadAt + header.payloadSize));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#finding = { what: 'record_senseless', file: this.name, offset, lsn: header.lsn, why: error.message };
      return null;
    }
  }
}

/** What is behind the records before `offset`, which `progress` has seen, of a file that was read to its end. */
export function badBytes(file: FileBytes, offset: number, progress: Progress): BadBytes {
  const { name, isLast } = file;
  const size = file.reading.ready;
  const headers = new Headers(file);
  let next: RecordHeader | null = null;
  let later: RecordHeader | null = null;
  // Records begin at multiples of 8.
  for (let at = offset + 8; at + RECORD_HEADER_SIZE <= size; at += 8) {
    const header = headers.at(at, progress);
    if (header === null) continue;
    later = { ...header };
    next ??= later;
    at += recordSize(header.payloadSize) - 8;
  }
  return { file: name, isLast, offset, size: size - offset, next, later };
}

class Headers {
  readonly #reading: FileReading;
  readonly #view: DataView;
  readonly #hashes: RecordHashes;
  readonly #header = blankRecordHeader();

  constructor({ core, reading }: Pick<FileBytes, 'core' | 'reading'>) {
    const { bytes } = reading;
    this.#reading = reading;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#hashes = new RecordHashes(core, bytes);
  }

  /** The header of the record at `at`, valid until the next call; null when the record is bad in any way. */
  at(at: number, after: Progress): RecordHeader | null {
    if (!this.#hashes.isRight(at, this.#reading.ready)) return null;
    const header = readRecordHeader(this.#view, at, this.#header);
    if (header.lsn <= after.lsn || header.timestamp <= after.timestamp) return null;
    if (header.watermark < after.watermark || header.watermark >= header.lsn) return null;
    return header;
  }
}
