/**
 * Bloom filters over key hashes (xxh64 of the key, seed 0). A format on disk, integers little-endian:
 *
 *     filter    bits, 8 bytes x words | key count u32 | probes u32 |
 *     probe i   bit floor(((h + i * step) mod 2^32) * bits / 2^32),  h = low half of the hash, step = high half | 1
 *
 * 10 bits a key, rounded up to words, and bits / keys * ln 2 = 7 probes: about 0.8 % of absent keys are taken for
 * present. A filter covers the keys of neighbouring blocks, at most as many as make one slot of the cache: what a scan
 * or a run of ids asks next is then in the same slot.
 */
import { DAMAGED } from './block';
import { arePositions, hashAt, isMaybe, pendingAt, setMaybe } from './lookup';

/** Keys of one filter: 16,256 bytes with the trailer. */
export const FILTER_KEYS_MAX: u32 = 13000;
const BITS_PER_KEY: u32 = 10;
const PROBES: u32 = 7;
const PROBES_MAX: u32 = 30;
const TRAILER_SIZE: u32 = 8;
const FILTER_SIZE_MAX: u32 = 1 << 20;

function bitOf(hash: u64, i: u32, bits: u32): u32 {
  const mixed = <u32>hash + i * ((<u32>(hash >> 32)) | 1);
  return <u32>((<u64>mixed * <u64>bits) >> 32);
}

/** The bit in its byte. */
function maskOf(bit: u32): u8 {
  const mask: u32 = 1 << (bit & 7);
  return <u8>mask;
}

/** Writes the filter of n hashes (u64 array) to `out`, at most a slot; returns its size. */
export function buildFilter(hashes: usize, n: u32, out: usize): u32 {
  const size = max<u32>((n * BITS_PER_KEY + 63) >> 6, 1) << 3;
  memory.fill(out, 0, size);
  for (let i: u32 = 0; i < n; i++) {
    const hash = load<u64>(hashes + ((<usize>i) << 3));
    for (let probe: u32 = 0; probe < PROBES; probe++) {
      const bit = bitOf(hash, probe, size << 3);
      const at = out + (bit >> 3);
      store<u8>(at, load<u8>(at) | maskOf(bit));
    }
  }
  store<u32>(out + size, n);
  store<u32>(out + size, PROBES, 4);
  return size + TRAILER_SIZE;
}

/** 1 when probe i, or the last one in place of those behind it, finds its bit set. */
function isSet(filter: usize, bits: u32, probes: u32, hash: u64, i: u32): u32 {
  const bit = bitOf(hash, min<u32>(i, probes - 1), bits);
  return (load<u8>(filter + (bit >> 3)) >> (<u8>(bit & 7))) & 1;
}

/** Four probes at a time: a branch for each is guessed wrong as often as not, and then their loads do not overlap. */
function mayHold(filter: usize, bits: u32, probes: u32, hash: u64): bool {
  for (let i: u32 = 0; i < probes; i += 4) {
    const left = isSet(filter, bits, probes, hash, i) & isSet(filter, bits, probes, hash, i + 1);
    const right = isSet(filter, bits, probes, hash, i + 2) & isSet(filter, bits, probes, hash, i + 3);
    if ((left & right) == 0) return false;
  }
  return true;
}

/** 0 for a filter that probes stay inside of, else DAMAGED. */
export function filter_check(filter: usize, size: u32): i32 {
  if (size < TRAILER_SIZE + 8 || size > FILTER_SIZE_MAX || size % 8 != 0) return DAMAGED;
  const probes = load<u32>(filter + size - 4);
  return probes >= 1 && probes <= PROBES_MAX ? 0 : DAMAGED;
}

/** Excludes those of the positions [from, to) whose keys are not there; returns how many may be, or DAMAGED. */
export function filter_probe(keys: usize, from: u32, to: u32, filter: usize, size: u32): i32 {
  if (!arePositions(keys, from, to) || filter_check(filter, size) != 0) return DAMAGED;
  const bits = (size - TRAILER_SIZE) << 3;
  const probes = load<u32>(filter + size - 4);
  let left = 0;
  for (let position = from; position < to; position++) {
    const maybe = isMaybe(keys, position) && mayHold(filter, bits, probes, hashAt(keys, pendingAt(keys, position)));
    setMaybe(keys, position, maybe);
    left += <i32>maybe;
  }
  return left;
}
