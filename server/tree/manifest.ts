/**
 * The manifest: the one small file that says which SSTs make up the tree, and how far the last flush got.
 *
 *   {"magic":"TQTREE","format":1,"edit":7,"fileNext":13,"round":null,"checkpoint":{...},"dropped":[["02","03",6]],
 *   "files":[
 *   {"number":12,"level":0,"run":5,"size":..,"entries":..,"first":"01..","last":"01..", ...},
 *   ...
 *   ]}
 *   xxh64 0123456789abcdef                                     of all bytes before this line
 *
 * Keys are in hexadecimal. Every edit writes the whole file anew, under another name, and renames it.
 *
 * Invariants: `edit` rises by one with each edit; a file number at or above `fileNext` was never used; files of one run
 * of level 0, and of each deeper level, do not overlap.
 */
import type { LsmMemory } from '@transfer-queue/core/lsm';
import { RecoveryError } from '../errors.ts';
import type { Checkpoint } from './api.ts';
import { xxh64Of } from './checksum.ts';
import type { KeyRange } from './keys.ts';

export const MANIFEST_NAME = 'manifest';
export const MANIFEST_FORMAT = 1;
const MAGIC = 'TQTREE';

/** What the manifest says about one SST. */
export interface SstRecord {
  readonly number: number;
  readonly level: number;
  /** Of level 0: higher is newer, files of one flush share it. 0 for deeper levels. */
  readonly run: number;
  readonly size: number;
  readonly entries: number;
  /** Lowest key that counts; the file may hold lower ones when it is trimmed. */
  readonly first: Uint8Array;
  readonly last: Uint8Array;
  /** What lies below `first` was compacted into the next level already. */
  readonly trimmed: boolean;
  readonly lsnMin: number;
  readonly lsnMax: number;
  /** Holds nothing of the ranges that were dropped up to this edit. */
  readonly cleanEdit: number;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
}

/** A range that nobody asks for any more. */
export interface Dropped extends KeyRange {
  /** The edit that dropped it: files that are not clean up to this edit may hold keys of it. */
  readonly edit: number;
}

export interface Manifest {
  readonly edit: number;
  readonly fileNext: number;
  /** While level 0 is compacted piece by piece: the newest run that takes part. */
  readonly round: number | null;
  readonly checkpoint: Checkpoint | null;
  /** What files may still hold of them; sorted, disjoint. */
  readonly dropped: readonly Dropped[];
  readonly files: readonly SstRecord[];
}

export const emptyManifest: Manifest = { edit: 0, fileNext: 1, round: null, checkpoint: null, dropped: [], files: [] };

const CHECKSUM_LINE = /^xxh64 ([0-9a-f]{16})\n$/;
const CHECKSUM_LINE_SIZE = 'xxh64 0123456789abcdef\n'.length;

export function encodeManifest(memory: LsmMemory, manifest: Manifest): Buffer {
  const { dropped, files, ...rest } = manifest;
  const ranges = dropped.map(({ start, end, edit }) => [hexOf(start), end === null ? null : hexOf(end), edit]);
  const head = { magic: MAGIC, format: MANIFEST_FORMAT, ...rest, dropped: ranges };
  const lines = files.map((file) => JSON.stringify({ ...file, first: hexOf(file.first), last: hexOf(file.last) }));
  const body = `${JSON.stringify(head).slice(0, -1)},\n"files":[\n${lines.join(',\n')}\n]}\n`;
  return Buffer.from(`${body}xxh64 ${checksumOf(memory, Buffer.from(body))}\n`);
}

/** Throws a `RecoveryError` when one byte is not as it was written, or the format is another one. */
export function decodeManifest(memory: LsmMemory, bytes: Buffer): Manifest {
  const body = bytes.subarray(0, Math.max(0, bytes.length - CHECKSUM_LINE_SIZE));
  const found = CHECKSUM_LINE.exec(bytes.toString('latin1', body.length));
  if (found === null) refuse('it does not end with a checksum');
  if (found[1] !== checksumOf(memory, body)) refuse('its checksum is wrong');
  return manifestOf(JSON.parse(body.toString()));
}

/** The checksum was right, so that anything unexpected is a bug or another version. */
function manifestOf(parsed: unknown): Manifest {
  const { magic, format, dropped, files, ...rest } = parsed as Omit<Manifest, 'dropped' | 'files'> & {
    magic: string;
    format: number;
    dropped: [string, string | null, number][];
    files: (Omit<SstRecord, 'first' | 'last'> & { first: string; last: string })[];
  };
  if (magic !== MAGIC) refuse('it is no manifest of a tree');
  if (format !== MANIFEST_FORMAT) refuse(`its format is ${format}, this build reads ${MANIFEST_FORMAT}`);
  return {
    ...rest,
    dropped: dropped.map(([start, end, edit]) => ({
      start: keyOf(start),
      end: end === null ? null : keyOf(end),
      edit,
    })),
    files: files.map((file) => ({ ...file, first: keyOf(file.first), last: keyOf(file.last) })),
  };
}

function refuse(why: string): never {
  throw new RecoveryError('the manifest of the tree is damaged', { file: MANIFEST_NAME, why });
}

function checksumOf(memory: LsmMemory, bytes: Uint8Array): string {
  return xxh64Of(memory, bytes).toString('hex');
}

export function hexOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('hex');
}

function keyOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
