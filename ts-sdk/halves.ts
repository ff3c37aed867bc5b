/**
 * The two 16-bit floats, which JavaScript has no (or no widely known) array for: they travel as bits in a Uint16Array.
 *
 *   float16   sign 1 | exponent 5, bias 15 | fraction 10          bfloat16   the upper half of a float32
 *
 * Numbers are rounded to the nearest, ties to even, as NumPy and torch do.
 */

const float32 = new Float32Array(1);
const float32Bits = new Uint32Array(float32.buffer);
const float64 = new Float64Array(1);
const float64Bits = new Uint32Array(float64.buffer);

const MIN_NORMAL = 2 ** -14;
/** The first number that rounds to infinity. */
const OVERFLOW = 65_520;

export function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= OVERFLOW) return sign + 0x7c00;
  if (size < MIN_NORMAL) return sign + roundToEven(size * 2 ** 24);
  float64[0] = size;
  const exponent = (float64Bits[1] >>> 20) - 1_023;
  // A fraction that rounds up to 1024 carries into the exponent, which is right.
  return sign + (exponent + 15) * 1_024 + roundToEven((size / 2 ** exponent - 1) * 1_024);
}

export function float16Number(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1_023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1_024) * 2 ** (exponent - 15);
}

export function bfloat16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  float32[0] = value;
  const bits = float32Bits[0];
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 2 ** 16) & 0xffff;
}

export function bfloat16Number(bits: number): number {
  float32Bits[0] = bits << 16;
  return float32[0];
}

function roundToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
