/**
 * Writes again what a start found in the page cache, and of which nobody knows that it is on the disk. A sync of the
 * run before may have failed: the system then shows the bytes to who reads them, calls their pages clean, and no later
 * sync writes them.
 *
 *   journal    | synced .............. | records above journal.synced: the same bytes again |
 *   segments   extents of level `os` above journal.durable: the same bytes again
 *
 * Only bytes that no sync covered are touched, so that a power cut meanwhile takes nothing that was promised. The sync
 * that follows makes them durable.
 */
import type { Core } from '@transfer-queue/core/wasm';
import type { Env, File } from '../env/env.ts';
import { FileReading } from '../journal/file_reading.ts';
import { blankRecordHeader, FILE_HEADER_SIZE, readRecordHeader, recordSize } from '../journal/format.ts';
import type { JournalEnd } from '../journal/recover.ts';
import { readSyncMarks } from '../journal/sync_marks.ts';
import type { Segments } from '../segment/segments.ts';
import type { Store } from '../store/store.ts';

const PIECE_SIZE = 1 << 20;

export interface Found {
  readonly env: Env;
  readonly core: Core;
  /** Of the journal. */
  readonly directory: string;
  readonly end: JournalEnd;
  readonly segments: Segments;
  readonly store: Store;
}

export async function writeUnsyncedAgain({ env, core, directory, end, segments, store }: Found): Promise<void> {
  const marks = await readSyncMarks({ env, core, directory });
  // Files before the last were synced before the next one began.
  const synced = Math.max(end.watermark, marks.synced);
  if (end.file !== null && end.lsn > synced) await writeTailAgain(end.file, end.offset, synced);
  const piece = Buffer.allocUnsafeSlow(PIECE_SIZE);
  for (const { level, place, length } of store.extentsAfter(Math.max(end.watermark, marks.durable))) {
    for (let from = 0; level === 'os' && from < length; from += PIECE_SIZE) {
      const bytes = piece.subarray(0, Math.min(PIECE_SIZE, length - from));
      const count = await segments.read(place.segment, bytes, place.offset + from);
      await segments.overwrite(place, bytes.subarray(0, count), from);
    }
  }
}

/** The records above an LSN, which end at `end`. */
async function writeTailAgain(file: File, end: number, lsn: number): Promise<void> {
  const reading = await FileReading.of(file);
  await reading.whole();
  const { bytes } = reading;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = blankRecordHeader();
  let at = FILE_HEADER_SIZE;
  while (at < end && readRecordHeader(view, at, header).lsn <= lsn) at += recordSize(header.payloadSize);
  if (at < end) await file.pwrite(bytes.subarray(at, end), at);
}
