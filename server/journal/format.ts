/**
 * The byte layout of a journal file.
 *
 *   file    journal/000000000001.tqj, numbered from 1; the next one begins when a file reaches FILE_SIZE_MAX
 *
 *   header  0  magic "TQJOURNL"    8  u32 format version   12  u32 zero   16  u64 file number
 *          24  u64 LSN before the first record             32  u64 zero   40  u64 xxh64 of bytes 0..40
 *
 *   record  0  u32 magic "TQRC"    4  u32 payload length
 *           8  u64 LSN            16  u64 hybrid timestamp
 *          24  u16 type           26  u16 ack level         28  u32 epoch
 *          32  u64 durable watermark: every event up to this LSN, and the bytes it names, were synced before
 *          40  u64 xxh64 of the payload
 *          48  u64 xxh64 of bytes 0..48
 *          56  payload, zero-padded to a multiple of 8
 *
 * Invariants: records follow each other without gaps; LSNs and timestamps rise strictly; watermarks never fall and are
 * below the LSN of their record; numbers are little-endian.
 */
import { ackLevels, type AckLevel } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { numberAt, readNumber, writeNumber } from './bytes.ts';

export const FORMAT_VERSION = 1;
export const FILE_MAGIC = 'TQJOURNL';
export const FILE_HEADER_SIZE = 48;
export const FILE_SIZE_MAX = 64 << 20;
export const RECORD_MAGIC = 0x43525154;
export const RECORD_HEADER_SIZE = 56;
export const PAYLOAD_SIZE_MAX = 16 << 20;
/** Timestamps count 1,024 to the millisecond: as safe integers they last beyond the year 2200. */
export const TICKS_PER_MS = 1_024;

export interface RecordHeader {
  readonly payloadSize: number;
  readonly lsn: number;
  readonly timestamp: number;
  readonly type: number;
  readonly level: AckLevel;
  readonly epoch: number;
  readonly watermark: number;
}

export type Writable<Type> = { -readonly [Name in keyof Type]: Type[Name] };

export function recordSize(payloadSize: number): number {
  return RECORD_HEADER_SIZE + Math.ceil(payloadSize / 8) * 8;
}

export function fileName(number: number): string {
  return `${String(number).padStart(12, '0')}.tqj`;
}

/** The number in a journal file's name, or null for a file that is not ours. */
export function fileNumber(name: string): number | null {
  const match = /^(\d{12})\.tqj$/.exec(name);
  return match ? Number(match[1]) : null;
}

export function fileHeader(core: Core, number: number, lsnBefore: number): Buffer {
  const bytes = Buffer.alloc(FILE_HEADER_SIZE);
  bytes.write(FILE_MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  writeNumber(bytes, 16, number);
  writeNumber(bytes, 24, lsnBefore);
  core.xxh64Into(bytes.subarray(0, 40), bytes.subarray(40, 48));
  return bytes;
}

export type FileHeaderCheck =
  | { readonly ok: true; readonly number: number; readonly lsnBefore: number }
  | { readonly ok: false; readonly reason: 'torn' | 'damaged' | 'other_version'; readonly version?: number };

/** Only a header that was never written whole (short or zero) counts as torn, whatever stands behind it. */
export function checkFileHeader(core: Core, bytes: Buffer): FileHeaderCheck {
  if (bytes.length < FILE_HEADER_SIZE || bytes.subarray(0, FILE_HEADER_SIZE).every((byte) => byte === 0)) {
    return { ok: false, reason: 'torn' };
  }
  if (bytes.toString('latin1', 0, 8) !== FILE_MAGIC) return { ok: false, reason: 'damaged' };
  const version = bytes.readUInt32LE(8);
  if (version !== FORMAT_VERSION) return { ok: false, reason: 'other_version', version };
  if (!hashMatches(core, bytes.subarray(0, 40), bytes.subarray(40, 48))) return { ok: false, reason: 'damaged' };
  return { ok: true, number: readNumber(bytes, 16), lsnBefore: readNumber(bytes, 24) };
}

const scratch = Buffer.alloc(8);

export function hashMatches(core: Core, bytes: Uint8Array, hash: Uint8Array): boolean {
  core.xxh64Into(bytes, scratch);
  return scratch.equals(hash);
}

/** Fills in the header of a record whose payload already stands behind it, and zeroes the padding. */
export function sealRecord(core: Core, record: Buffer, header: RecordHeader): void {
  record.writeUInt32LE(RECORD_MAGIC, 0);
  record.writeUInt32LE(header.payloadSize, 4);
  writeNumber(record, 8, header.lsn);
  writeNumber(record, 16, header.timestamp);
  record.writeUInt16LE(header.type, 24);
  record.writeUInt16LE(ackLevels.indexOf(header.level), 26);
  record.writeUInt32LE(header.epoch, 28);
  writeNumber(record, 32, header.watermark);
  record.fill(0, RECORD_HEADER_SIZE + header.payloadSize);
  core.xxh64Into(record.subarray(RECORD_HEADER_SIZE, RECORD_HEADER_SIZE + header.payloadSize), record.subarray(40, 48));
  core.xxh64Into(record.subarray(0, 48), record.subarray(48, 56));
}

/** What the header of a record says whose hash is right: written into `header`, which a reader of many reuses. */
export function readRecordHeader(view: DataView, at: number, header: Writable<RecordHeader>): RecordHeader {
  header.payloadSize = view.getUint32(at + 4, true);
  header.lsn = numberAt(view, at + 8);
  header.timestamp = numberAt(view, at + 16);
  header.type = view.getUint16(at + 24, true);
  header.level = ackLevels[view.getUint16(at + 26, true)] ?? 'os';
  header.epoch = view.getUint32(at + 28, true);
  header.watermark = numberAt(view, at + 32);
  return header;
}

export function blankRecordHeader(): Writable<RecordHeader> {
  return { payloadSize: 0, lsn: NaN, timestamp: NaN, type: 0, level: 'os', epoch: 0, watermark: NaN };
}
