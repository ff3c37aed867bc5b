/**
 * The bytes of an SST: sorted entries in blocks, written once.
 *
 *   header        32 bytes
 *   data blocks   block 0 .. d-1       entries in order (core/assembly/lsm/block.ts)
 *   filters       block d .. d+f-1     each of the keys of some data blocks that stand side by side
 *   index         block d+f            lower bound of each data block -> its number, the number of its filter
 *   block table   u32 offset of each block and of the block table | u64 xxh64 of them
 *   footer        72 bytes
 *
 *   block         bytes, as they are or as one zstd frame | u64 xxh64 of what is stored
 *
 *   header   0 "TQSORTED"   8 u32 format version   12 u32 flags: 1 zstd    16 u64 file number    24 u64 xxh64 of 0..24
 *   footer   0 "TQSSTEND"   8 u32 format version   12 u32 flags            16 u64 file number
 *           24 u32 data blocks d   28 u32 filters f   32 u64 entries   40 u64 lowest LSN   48 u64 highest LSN
 *           56 u32 offset of the block table   60 u32 zero   64 u64 xxh64 of 0..64
 *
 * All numbers are little-endian. Invariants: every byte is covered by a checksum; block and index fit a slot of the
 * cache.
 */
import type { LsmMemory } from '@transfer-queue/core/lsm';
import { CHECKSUM_SIZE, xxh64Of } from './checksum.ts';

export const SST_FORMAT = 1;
export const HEADER_SIZE = 32;
export const FOOTER_SIZE = 72;
export const SstFlag = { zstd: 1 } as const;

const HEADER_MAGIC = 'TQSORTED';
const FOOTER_MAGIC = 'TQSSTEND';
const NAME = /^(\d{10})\.sst$/;

export interface SstHeader {
  readonly number: number;
  readonly flags: number;
}

export interface SstFooter extends SstHeader {
  readonly dataCount: number;
  readonly filterCount: number;
  readonly entries: number;
  readonly lsnMin: number;
  readonly lsnMax: number;
  readonly tableOffset: number;
}

export function sstName(number: number): string {
  return `${String(number).padStart(10, '0')}.sst`;
}

/** The number in the name of an SST, null for other files. */
export function sstNumber(name: string): number | null {
  const found = NAME.exec(name);
  return found === null ? null : Number(found[1]);
}

export function encodeHeader(memory: LsmMemory, { number, flags }: SstHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_SIZE);
  bytes.write(HEADER_MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(SST_FORMAT, 8);
  bytes.writeUInt32LE(flags, 12);
  bytes.writeBigUInt64LE(BigInt(number), 16);
  return sealed(memory, bytes);
}

export function encodeFooter(memory: LsmMemory, footer: SstFooter): Buffer {
  const bytes = Buffer.alloc(FOOTER_SIZE);
  bytes.write(FOOTER_MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(SST_FORMAT, 8);
  bytes.writeUInt32LE(footer.flags, 12);
  bytes.writeBigUInt64LE(BigInt(footer.number), 16);
  bytes.writeUInt32LE(footer.dataCount, 24);
  bytes.writeUInt32LE(footer.filterCount, 28);
  bytes.writeBigUInt64LE(BigInt(footer.entries), 32);
  bytes.writeBigUInt64LE(BigInt(footer.lsnMin), 40);
  bytes.writeBigUInt64LE(BigInt(footer.lsnMax), 48);
  bytes.writeUInt32LE(footer.tableOffset, 56);
  return sealed(memory, bytes);
}

/** Null when it is none, or damaged. */
export function decodeHeader(memory: LsmMemory, bytes: Buffer): SstHeader | null {
  if (bytes.length < HEADER_SIZE || !isSound(memory, bytes.subarray(0, HEADER_SIZE), HEADER_MAGIC)) return null;
  return { flags: bytes.readUInt32LE(12), number: Number(bytes.readBigUInt64LE(16)) };
}

/** Of the last bytes of a file; null when they are none, or damaged. */
export function decodeFooter(memory: LsmMemory, bytes: Buffer): SstFooter | null {
  const footer = bytes.subarray(Math.max(0, bytes.length - FOOTER_SIZE));
  if (!isSound(memory, footer, FOOTER_MAGIC)) return null;
  return {
    flags: footer.readUInt32LE(12),
    number: Number(footer.readBigUInt64LE(16)),
    dataCount: footer.readUInt32LE(24),
    filterCount: footer.readUInt32LE(28),
    entries: Number(footer.readBigUInt64LE(32)),
    lsnMin: Number(footer.readBigUInt64LE(40)),
    lsnMax: Number(footer.readBigUInt64LE(48)),
    tableOffset: footer.readUInt32LE(56),
  };
}

export function encodeBlockTable(memory: LsmMemory, offsets: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * offsets.length + CHECKSUM_SIZE);
  for (const [i, offset] of offsets.entries()) bytes.writeUInt32LE(offset, 4 * i);
  return sealed(memory, bytes);
}

export function blockTableSize({ dataCount, filterCount }: SstFooter): number {
  return 4 * (dataCount + filterCount + 2) + CHECKSUM_SIZE;
}

/** Null when it is damaged. */
export function decodeBlockTable(memory: LsmMemory, bytes: Buffer): Uint32Array | null {
  if (!isSound(memory, bytes)) return null;
  const offsets = new Uint32Array((bytes.length - CHECKSUM_SIZE) / 4);
  for (let i = 0; i < offsets.length; i++) offsets[i] = bytes.readUInt32LE(4 * i);
  return offsets;
}

/** Puts the checksum of all that comes before it into the last bytes. */
function sealed(memory: LsmMemory, bytes: Buffer): Buffer {
  const at = bytes.length - CHECKSUM_SIZE;
  xxh64Of(memory, bytes.subarray(0, at)).copy(bytes, at);
  return bytes;
}

function isSound(memory: LsmMemory, bytes: Buffer, magic = ''): boolean {
  const at = bytes.length - CHECKSUM_SIZE;
  if (at < magic.length || bytes.toString('latin1', 0, magic.length) !== magic) return false;
  if (magic !== '' && bytes.readUInt32LE(8) !== SST_FORMAT) return false;
  return xxh64Of(memory, bytes.subarray(0, at)).equals(bytes.subarray(at));
}
