/** Journals on a simulated disk: opened as a start opens them, written, cut, damaged. */
import { expect } from 'vitest';
import { loadCore } from '@transfer-queue/core/wasm';
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { JournalEvent } from '../../../server/journal/events.ts';
import {
  blankRecordHeader,
  FILE_HEADER_SIZE,
  fileName,
  readRecordHeader,
  recordSize,
  type RecordHeader,
} from '../../../server/journal/format.ts';
import { RecordHashes } from '../../../server/journal/record_hashes.ts';
import { Journal } from '../../../server/journal/journal.ts';
import { readJournal, type JournalEnd, type Visitor } from '../../../server/journal/recover.ts';
import type { JournalStart } from '../../../server/journal/scan.ts';
import { Reserve } from '../../../server/journal/reserve.ts';
import { simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

export const core = loadCore();
export const DIR = '/data/journal';
/** Most records stand in two pieces, or in more. */
const PIECE_SIZE = 80;

/** An event that is told from others by its number. */
export function numbered(number: number): JournalEvent {
  return { type: 'seal', partition: number };
}

export interface Opened {
  readonly env: SimEnv;
  readonly journal: Journal;
  readonly reserve: Reserve;
  readonly end: JournalEnd;
  /** Numbers of the events that were read. */
  readonly seen: number[];
}

/** A visitor that wants no runs. */
export function oneByOne(visit: Visitor['visit']): Visitor {
  return { visit, takesRuns: () => false, visitRun: () => undefined };
}

export async function openJournal(
  fs = new SimFs(),
  { from, ...options }: { fileSizeMax?: number; pendingSizeMax?: number; from?: JournalStart } = {},
): Promise<Opened> {
  const env = simEnv(fs);
  const seen: number[] = [];
  const visitor = oneByOne((event) => void ('partition' in event && seen.push(event.partition)));
  const end = await readJournal({ env, core, directory: DIR, from, visitor, pieceSize: PIECE_SIZE });
  const reserve = new Reserve({ env, directory: '/data' });
  const position = { ...end, epoch: 1 };
  const journal = new Journal({ env, core, directory: DIR, position, file: end.file, reserve, ...options });
  return { env, journal, reserve, end, seen };
}

/** As `openJournal`, after the first event of a run: which boot it belongs to. */
export async function startJournal(
  fs?: SimFs,
  options?: { fileSizeMax?: number; pendingSizeMax?: number },
): Promise<Opened> {
  const opened = await openJournal(fs, options);
  const { boot } = opened.env.fs;
  const tokenKey = new Uint8Array();
  const voided = new Float64Array();
  const event = { type: 'descriptor', formatVersion: 1, epoch: 1, bootId: boot, tokenKey, voided } as const;
  await opened.journal.append(event, 'disk').commit;
  return opened;
}

export async function append(journal: Journal, numbers: readonly number[], level: AckLevel = 'os'): Promise<void> {
  await Promise.all(numbers.map((number) => journal.append(numbered(number), level).commit));
}

export function pathOf(number: number): string {
  return `${DIR}/${fileName(number)}`;
}

export function bytesOf(fs: SimFs, number = 1): Buffer {
  return fs.files.get(pathOf(number))!.current;
}

/** Of a record that is right. */
export function headerAt(bytes: Buffer, at: number): RecordHeader {
  expect(new RecordHashes(core, bytes).isRight(at)).toBe(true);
  return readRecordHeader(new DataView(bytes.buffer, bytes.byteOffset), at, blankRecordHeader());
}

/** Offsets at which records begin, and last the end of the file. */
export function recordOffsets(bytes: Buffer): number[] {
  const offsets = [FILE_HEADER_SIZE];
  while (offsets.at(-1)! < bytes.length) {
    const at = offsets.at(-1)!;
    offsets.push(at + recordSize(headerAt(bytes, at).payloadSize));
  }
  return offsets;
}

/** The same disk with other bytes in one journal file. */
export function withFile(fs: SimFs, number: number, bytes: Buffer | null): SimFs {
  const next = fs.afterCrash();
  if (bytes === null) next.files.delete(pathOf(number));
  else next.files.set(pathOf(number), { current: Buffer.from(bytes), durable: Buffer.from(bytes) });
  return next;
}

export function otherBoot(fs: SimFs): SimFs {
  const next = fs.afterCrash();
  next.boot = `${fs.boot}+`;
  return next;
}
