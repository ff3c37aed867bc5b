/** The raw exports of a fresh core.wasm, with a bump allocator over SCRATCH for the arguments of one call. */

import { readFileSync } from 'node:fs';
import xxhash from 'xxhash-wasm';

import type { CoreExports } from '../../../core/host/instance.ts';

/** Property tests repeat the same sequences on every run. */
export const seeded = (numRuns: number) => ({ seed: 20240607, numRuns });

export const { h64Raw } = await xxhash();

const module = new WebAssembly.Module(readFileSync(new URL('../../../core/core.wasm', import.meta.url)));

export interface Raw {
  readonly core: CoreExports;
  /** Copies an array into SCRATCH, 16-aligned, and returns its address; `skew` moves it off alignment. */
  place(values: ArrayBufferView, skew?: number): number;
  /** Room in SCRATCH, filled with 0xee. */
  room(size: number): number;
  /** Makes all of SCRATCH free again. */
  reset(): void;
  bytes(at: number, size: number): Uint8Array;
  u32(at: number, count: number): number[];
  i32(at: number, count: number): number[];
  u64(at: number, count: number): bigint[];
}

export function instantiate(): Raw {
  const core = new WebAssembly.Instance(module).exports as unknown as CoreExports;
  const start = Number(core.SCRATCH.value);
  const end = start + Number(core.SCRATCH_SIZE.value);
  let next = start;
  const take = (size: number, skew = 0): number => {
    const at = Math.ceil(next / 16) * 16 + skew;
    next = at + size;
    if (next > end) throw new Error('SCRATCH is full');
    return at;
  };
  const view = (at: number, size: number) => new Uint8Array(core.memory.buffer, at, size);
  const copy = (at: number, size: number) => view(at, size).slice().buffer;
  return {
    core,
    place(values, skew) {
      const at = take(values.byteLength, skew);
      view(at, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      return at;
    },
    room(size) {
      const at = take(size);
      view(at, size).fill(0xee);
      return at;
    },
    reset() {
      next = start;
    },
    bytes: (at, size) => view(at, size).slice(),
    u32: (at, count) => [...new Uint32Array(copy(at, count * 4))],
    i32: (at, count) => [...new Int32Array(copy(at, count * 4))],
    u64: (at, count) => [...new BigUint64Array(copy(at, count * 8))],
  };
}
