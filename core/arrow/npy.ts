/**
 * The header of a `.npy` file, version 1.0; the values follow it, little-endian and row-major.
 *
 *   "\x93NUMPY" | u8 1, u8 0 | u16 size of the text | text, padded with spaces and "\n" to a multiple of 64 in all
 *
 * NumPy has no bfloat16: its bits come as uint16, to be viewed by who reads them.
 */
import { dtypes } from '../layout.ts';
import type { Dtype } from '../layout.ts';

const PREFIX_SIZE = 10;
const ALIGNMENT = 64;

export function npyHeader(dtype: Dtype, shape: readonly number[]): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '${dtypes[dtype].npy}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const size = Math.ceil((PREFIX_SIZE + text.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = new TextEncoder().encode(`\0NUMPY\u0001\0\0\0${text.padEnd(size - PREFIX_SIZE - 1)}\n`);
  header[0] = 0x93;
  new DataView(header.buffer).setUint16(8, size - PREFIX_SIZE, true);
  return header;
}
