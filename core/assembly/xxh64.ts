/**
 * XXH64, after the specification at https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 *
 * One shot, many at once, and streaming over a state that the host owns:
 *
 *     offset  0        32       40                72
 *             | acc1..4 | total  | tail (32 bytes) |
 *
 * acc    four u64 accumulators, advanced by whole stripes of 32 bytes
 * total  bytes seen so far (u64); total % 32 of them wait in the tail
 *
 * Invariants: while total < 32 no stripe was mixed in, so acc3 is still the seed, which the short digest needs.
 */

const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;

const STRIPE_SIZE: u32 = 32;
const TOTAL: usize = 32;
const TAIL: usize = 40;

/** Bytes of a streaming state. */
export const XXH64_STATE_SIZE: u32 = 72;

/** The accumulators of a one-shot hash; calls do not nest, so one place serves all. */
const ONCE: usize = memory.data(32, 16);

function round(acc: u64, lane: u64): u64 {
  return rotl<u64>(acc + lane * P2, 31) * P1;
}

function avalanche(h: u64): u64 {
  h = (h ^ (h >> 33)) * P2;
  h = (h ^ (h >> 29)) * P3;
  return h ^ (h >> 32);
}

function seedAccumulators(acc: usize, seed: u64): void {
  store<u64>(acc, seed + P1 + P2, 0);
  store<u64>(acc, seed + P2, 8);
  store<u64>(acc, seed, 16);
  store<u64>(acc, seed - P1, 24);
}

/** Mixes whole stripes into the accumulators; the only loop over bulk bytes, so it keeps them in locals. */
function mixStripes(acc: usize, ptr: usize, stripes: u32): void {
  let a = load<u64>(acc, 0);
  let b = load<u64>(acc, 8);
  let c = load<u64>(acc, 16);
  let d = load<u64>(acc, 24);
  const end = ptr + <usize>stripes * STRIPE_SIZE;
  while (ptr < end) {
    a = round(a, load<u64>(ptr, 0));
    b = round(b, load<u64>(ptr, 8));
    c = round(c, load<u64>(ptr, 16));
    d = round(d, load<u64>(ptr, 24));
    ptr += STRIPE_SIZE;
  }
  store<u64>(acc, a, 0);
  store<u64>(acc, b, 8);
  store<u64>(acc, c, 16);
  store<u64>(acc, d, 24);
}

function mergeRound(h: u64, acc: u64): u64 {
  return (h ^ round(0, acc)) * P1 + P4;
}

function converge(acc: usize): u64 {
  const a = load<u64>(acc, 0);
  const b = load<u64>(acc, 8);
  const c = load<u64>(acc, 16);
  const d = load<u64>(acc, 24);
  const h = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
  return mergeRound(mergeRound(mergeRound(mergeRound(h, a), b), c), d);
}

/** Mixes in the last len < 32 bytes. */
function finish(h: u64, ptr: usize, len: u32): u64 {
  const end = ptr + len;
  for (; ptr + 8 <= end; ptr += 8) {
    h = rotl<u64>(h ^ round(0, load<u64>(ptr)), 27) * P1 + P4;
  }
  if (ptr + 4 <= end) {
    h = rotl<u64>(h ^ (<u64>load<u32>(ptr) * P1), 23) * P2 + P3;
    ptr += 4;
  }
  for (; ptr < end; ptr++) {
    h = rotl<u64>(h ^ (<u64>load<u8>(ptr) * P5), 11) * P1;
  }
  return avalanche(h);
}

export function xxh64(ptr: usize, len: u32, seed: u64): u64 {
  if (len < STRIPE_SIZE) return finish(seed + P5 + len, ptr, len);
  const stripes = len / STRIPE_SIZE;
  seedAccumulators(ONCE, seed);
  mixStripes(ONCE, ptr, stripes);
  return finish(converge(ONCE) + len, ptr + stripes * STRIPE_SIZE, len % STRIPE_SIZE);
}

/** xxh64 of the 8 little-endian bytes of value, seed 0, without going through memory. */
export function hashOfU64(value: u64): u64 {
  return avalanche(rotl<u64>((P5 + 8) ^ round(0, value), 27) * P1 + P4);
}

/** xxh64 of le64(first) || le64(second), seed 0. */
export function hashOfPair(first: u64, second: u64): u64 {
  const h = rotl<u64>((P5 + 16) ^ round(0, first), 27) * P1 + P4;
  return avalanche(rotl<u64>(h ^ round(0, second), 27) * P1 + P4);
}

/** Stores the hash at out: for hosts in which a 64-bit result costs an allocation. */
export function xxh64_store(ptr: usize, len: u32, seed: u64, out: usize): void {
  store<u64>(out, xxh64(ptr, len, seed));
}

/** Hashes n slices [base + offsets[i], lens[i]] (u32 arrays) into out (u64 array). */
export function xxh64_many(base: usize, offsets: usize, lens: usize, n: u32, seed: u64, out: usize): void {
  for (let i: u32 = 0; i < n; i++) {
    const at = (<usize>i) << 2;
    store<u64>(out + (at << 1), xxh64(base + load<u32>(offsets + at), load<u32>(lens + at), seed));
  }
}

export function xxh64_init(state: usize, seed: u64): void {
  seedAccumulators(state, seed);
  store<u64>(state, 0, TOTAL);
}

export function xxh64_update(state: usize, ptr: usize, len: u32): void {
  const total = load<u64>(state, TOTAL);
  store<u64>(state, total + len, TOTAL);
  const waiting = <u32>(total % STRIPE_SIZE);
  if (waiting > 0) {
    const missing = min<u32>(STRIPE_SIZE - waiting, len);
    memory.copy(state + TAIL + waiting, ptr, missing);
    if (waiting + missing < STRIPE_SIZE) return;
    mixStripes(state, state + TAIL, 1);
    ptr += missing;
    len -= missing;
  }
  const stripes = len / STRIPE_SIZE;
  mixStripes(state, ptr, stripes);
  memory.copy(state + TAIL, ptr + stripes * STRIPE_SIZE, len % STRIPE_SIZE);
}

/** The hash of all bytes so far; the state stays usable. */
export function xxh64_digest(state: usize): u64 {
  const total = load<u64>(state, TOTAL);
  const h = total < STRIPE_SIZE ? load<u64>(state, 16) + P5 : converge(state);
  return finish(h + total, state + TAIL, <u32>(total % STRIPE_SIZE));
}

export function xxh64_digest_store(state: usize, out: usize): void {
  store<u64>(out, xxh64_digest(state));
}

/** Bytes seen so far. */
export function xxh64_total(state: usize): u64 {
  return load<u64>(state, TOTAL);
}
