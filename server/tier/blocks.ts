/**
 * The checksum blocks of an extent: what is read, verified and found damaged as one piece.
 *
 *   extent   | block 0 (1 MiB) | block 1 | ... | block k (the rest) |        blocks = xxh64 of each, 8 bytes each
 */
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';

const HASH_SIZE = 8;

/** Bytes whose blocks have known hashes. */
export interface Hashed {
  readonly length: number;
  /** xxh64 of each block. */
  readonly blocks: Uint8Array;
}

export function blockCount({ length }: Hashed): number {
  return Math.ceil(length / CHECKSUM_BLOCK_SIZE);
}

export function blockSize({ length }: Hashed, block: number): number {
  return Math.min(CHECKSUM_BLOCK_SIZE, length - block * CHECKSUM_BLOCK_SIZE);
}

const computed = Buffer.alloc(HASH_SIZE);

/** Whether these are all the bytes of the block, as its writer sent them. */
export function isIntact(core: Core, hashed: Hashed, block: number, bytes: Uint8Array): boolean {
  if (bytes.length !== blockSize(hashed, block)) return false;
  core.xxh64Into(bytes, computed);
  return computed.equals(hashed.blocks.subarray(HASH_SIZE * block, HASH_SIZE * (block + 1)));
}
