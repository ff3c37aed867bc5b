/**
 * Slices of stored columns: copy many of them together, make offsets anew for a choice of rows, check offsets.
 *
 *     stored    offsets | o0 | o1 | o2 | o3 |     values | row 0 | row 1 | row 2 |       o0 need not be 0
 *     chosen    rows    | 2 | 0 |
 *     answer    offsets | 0 | l2 | l2+l0 |        slices (o2, l2) (o0, l0)               l_r = o_{r+1} - o_r
 */

/**
 * Copies n slices [offsets[i], lens[i]] (u32 arrays) of src one behind the other to dst; returns the bytes written, or
 * -1 (nothing written) when a slice leaves src or all together do not fit into dst.
 */
export function gather(src: usize, srcLen: u32, offsets: usize, lens: usize, n: u32, dst: usize, dstLen: u32): i32 {
  let total: u64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const at = (<usize>i) << 2;
    const len = load<u32>(lens + at);
    if (<u64>load<u32>(offsets + at) + len > srcLen) return -1;
    total += len;
  }
  if (total > dstLen) return -1;
  for (let i: u32 = 0; i < n; i++) {
    const at = (<usize>i) << 2;
    const len = load<u32>(lens + at);
    memory.copy(dst, src + load<u32>(offsets + at), len);
    dst += len;
  }
  return <i32>total;
}

/**
 * For n rows (u32 array) of a ragged column with count + 1 checked int32 offsets: writes n + 1 new offsets that begin
 * at 0, and per row where its slice starts and how long it is. Returns the total length; -1 for a row out of range,
 * -2 when the total exceeds int32 (split the answer into several batches).
 */
export function rebase_offsets(
  offsets: usize,
  count: u32,
  rows: usize,
  n: u32,
  outOffsets: usize,
  outStarts: usize,
  outLens: usize,
): i32 {
  let total: u64 = 0;
  store<i32>(outOffsets, 0);
  for (let i: u32 = 0; i < n; i++) {
    const at = (<usize>i) << 2;
    const row = load<u32>(rows + at);
    if (row >= count) return -1;
    const start = load<u32>(offsets + ((<usize>row) << 2));
    const len = load<u32>(offsets + ((<usize>row) << 2), 4) - start;
    total += len;
    if (total > <u64>i32.MAX_VALUE) return -2;
    store<u32>(outStarts + at, start);
    store<u32>(outLens + at, len);
    store<i32>(outOffsets + at, <i32>total, 4);
  }
  return <i32>total;
}

/**
 * Index of the first of n int32 offsets that is negative, below its predecessor or above limit; -1 when all are good.
 * Four at a time as long as they are good, since nearly all are.
 */
export function check_offsets_32(offsets: usize, n: u32, limit: i32): i32 {
  const highest = i32x4.splat(limit);
  let i: u32 = n > 0 && load<i32>(offsets) >= 0 && load<i32>(offsets) <= limit ? 1 : 0;
  for (; i > 0 && i + 4 <= n; i += 4) {
    const here = v128.load(offsets + ((<usize>i) << 2));
    const before = v128.load(offsets + ((<usize>i - 1) << 2));
    if (v128.any_true(v128.or(i32x4.lt_s(here, before), i32x4.gt_s(here, highest)))) break;
  }
  for (; i < n; i++) {
    const before = i > 0 ? load<i32>(offsets + ((<usize>i - 1) << 2)) : 0;
    const offset = load<i32>(offsets + ((<usize>i) << 2));
    if (offset < before || offset > limit) return i;
  }
  return -1;
}

/** The same for int64 offsets. */
export function firstBadOffset64(offsets: usize, n: u32, limit: i64): i32 {
  let before: i64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const offset = load<i64>(offsets + ((<usize>i) << 3));
    if (offset < before || offset > limit) return i;
    before = offset;
  }
  return -1;
}

/** The limit is a double (a safe integer), so that no host needs a 64-bit argument. */
export function check_offsets_64(offsets: usize, n: u32, limit: f64): i32 {
  return firstBadOffset64(offsets, n, <i64>limit);
}
