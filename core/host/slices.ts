/**
 * Slices of ragged columns in the host: gather many into one buffer, check offsets.
 *
 *     source   | ... | slice 1 | ....... | slice 0 | ... |   --gather-->   out | slice 0 | slice 1 |
 *
 * Offsets are Int32Array or BigInt64Array views as Arrow stores them. Long lists cross in pieces that share one
 * element, so that the pair at the seam is checked too.
 */
import type { CoreInstance } from './instance.ts';

const OFFSETS_SIZE_PER_CALL = 256 * 1024;

/**
 * Index of the first offset that is negative, below its predecessor or above limit; -1 when all are good.
 * Reading through bytes keeps BigInt out of the way of 64-bit offsets.
 */
export function checkOffsets(core: CoreInstance, offsets: Int32Array | BigInt64Array, limit: number): number {
  const { raw, window } = core;
  const width = offsets.BYTES_PER_ELEMENT;
  const check = (n: number) =>
    width === 4 ? raw.check_offsets_32(window, n, highest) : raw.check_offsets_64(window, n, limit);
  const highest = Math.min(limit, 2 ** 31 - 1);
  const perCall = OFFSETS_SIZE_PER_CALL / width;
  const source = new Uint8Array(offsets.buffer, offsets.byteOffset, offsets.byteLength);
  for (let from = 0; from < offsets.length; from += perCall - 1) {
    const count = Math.min(perCall, offsets.length - from);
    core.bytes().set(source.subarray(from * width, (from + count) * width), window);
    const bad = check(count);
    if (bad >= 0) return from + bad;
  }
  return -1;
}

/** A copy of one slice costs about 25 ns more in the host than in WASM, the time in which 512 bytes can be staged. */
const STAGED_SIZE_PER_SLICE = 512;

/**
 * Copies the slices [starts[i], lens[i]] of source one behind the other to the start of out; returns the bytes written.
 * Many short slices that lie close together go through WASM, others are copied directly.
 */
export function gather(
  core: CoreInstance,
  source: Uint8Array,
  { starts, lens }: { starts: Uint32Array; lens: Uint32Array },
  out: Uint8Array,
): number {
  let low = source.length;
  let high = 0;
  let total = 0;
  for (let i = 0; i < starts.length; i++) {
    low = Math.min(low, starts[i]);
    high = Math.max(high, starts[i] + lens[i]);
    total += lens[i];
  }
  if (starts.length !== lens.length) throw new RangeError('as many lens as starts are needed');
  if (high > source.length) throw new RangeError(`a slice ends at ${high}, the source at ${source.length}`);
  if (total > out.length) throw new RangeError(`${total} bytes do not fit into ${out.length}`);
  const staged = high - low + total + 8 * starts.length;
  if (staged <= core.windowSize && high - low < STAGED_SIZE_PER_SLICE * starts.length) {
    gatherStaged(core, source.subarray(low, high), { starts, lens, low }, out.subarray(0, total));
  } else {
    gatherDirect(source, { starts, lens }, out);
  }
  return total;
}

function gatherStaged(
  core: CoreInstance,
  span: Uint8Array,
  { starts, lens, low }: { starts: Uint32Array; lens: Uint32Array; low: number },
  out: Uint8Array,
): void {
  const { raw, window } = core;
  const count = starts.length;
  const bytes = core.bytes();
  const words = core.words();
  for (let i = 0; i < count; i++) {
    words[window / 4 + i] = starts[i] - low;
    words[window / 4 + count + i] = lens[i];
  }
  const spanAt = window + 8 * count;
  const outAt = spanAt + span.length;
  bytes.set(span, spanAt);
  raw.gather(spanAt, span.length, window, window + 4 * count, count, outAt, out.length);
  out.set(bytes.subarray(outAt, outAt + out.length));
}

function gatherDirect(
  source: Uint8Array,
  { starts, lens }: { starts: Uint32Array; lens: Uint32Array },
  out: Uint8Array,
): void {
  let at = 0;
  for (let i = 0; i < starts.length; i++) {
    out.set(source.subarray(starts[i], starts[i] + lens[i]), at);
    at += lens[i];
  }
}
