/**
 * The checksum of a body in one pass: xxh64 per block of 1 MiB, and xxh64 over those block hashes.
 *
 *     body      | block 0: 1 MiB | block 1: 1 MiB | ... | last block: 1..1 MiB |
 *     h_i       = xxh64(block_i, seed 0)                  kept beside the extent, checked when a block comes from disk
 *     checksum  = xxh64(le64(h_0) || le64(h_1) || ...)    sent on the wire; an empty body has no blocks
 *
 *     state     | xxh64 state of the open block (72) | xxh64 state of the checksum (72) |
 *
 * Invariants: the open block holds fewer than 1 MiB between calls, so a block is closed as soon as it is full.
 */
import { XXH64_STATE_SIZE, xxh64_digest, xxh64_init, xxh64_total, xxh64_update } from './xxh64';

export const BLOCK_SIZE: u32 = 1 << 20;

/** Bytes of a body state. */
export const BODY_STATE_SIZE: u32 = 2 * XXH64_STATE_SIZE;

export function body_init(state: usize): void {
  xxh64_init(state, 0);
  xxh64_init(state + XXH64_STATE_SIZE, 0);
}

function closeBlock(state: usize, out: usize): void {
  store<u64>(out, xxh64_digest(state));
  xxh64_update(state + XXH64_STATE_SIZE, out, 8);
  xxh64_init(state, 0);
}

/** Feeds a window, writes the hash of each block that it fills to out (u64 array) and returns their count. */
export function body_update(state: usize, ptr: usize, len: u32, out: usize): u32 {
  let closed: u32 = 0;
  while (len > 0) {
    const room = BLOCK_SIZE - <u32>xxh64_total(state);
    const taken = min<u32>(room, len);
    xxh64_update(state, ptr, taken);
    if (taken == room) {
      closeBlock(state, out + ((<usize>closed) << 3));
      closed++;
    }
    ptr += taken;
    len -= taken;
  }
  return closed;
}

/** Writes the hash of the last, partial block if there is one, then the checksum; returns the count of the former. */
export function body_finish(state: usize, out: usize): u32 {
  const closed: u32 = xxh64_total(state) > 0 ? 1 : 0;
  if (closed) closeBlock(state, out);
  store<u64>(out + ((<usize>closed) << 3), xxh64_digest(state + XXH64_STATE_SIZE));
  return closed;
}
