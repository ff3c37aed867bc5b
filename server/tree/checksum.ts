/** xxh64 (seed 0) in 8 little-endian bytes: of host bytes, and of bytes that lie in the memory of the tree. */
import type { LsmMemory } from '@transfer-queue/core/lsm';

export const CHECKSUM_SIZE = 8;
/** The state of a hash under way stands at the start of the window. */
const STATE_SIZE = 256;

export function xxh64Of(memory: LsmMemory, bytes: Uint8Array): Buffer {
  const { raw, window, results } = memory;
  const pieceSize = memory.windowSize - STATE_SIZE;
  raw.xxh64_init(window, 0n);
  for (let from = 0; from < bytes.length; from += pieceSize) {
    const piece = bytes.subarray(from, from + pieceSize);
    memory.write(window + STATE_SIZE, piece);
    raw.xxh64_update(window, window + STATE_SIZE, piece.length);
  }
  raw.xxh64_digest_store(window, results);
  return Buffer.from(memory.read(results, CHECKSUM_SIZE));
}

/** Of bytes that lie in the memory; valid until its next use. */
export function checksumAt(memory: LsmMemory, address: number, size: number): Uint8Array {
  const { raw, results } = memory;
  raw.xxh64_store(address, size, 0n, results);
  return memory.bytes.subarray(results, results + CHECKSUM_SIZE);
}

/** Whether `expected` holds the checksum `found` at a place. */
export function sameChecksum(found: Uint8Array, expected: Uint8Array, at: number): boolean {
  for (let i = 0; i < CHECKSUM_SIZE; i++) if (found[i] !== expected[at + i]) return false;
  return true;
}
