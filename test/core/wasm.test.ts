/** The door to core.wasm: loading, and that the frozen vectors are what the oracles say. */

import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';

import { BodyHasher, checksumFromHex, checksumHex, loadCore } from '../../core/wasm.ts';
import { coreVectors, formatVectors } from '../vectors/core.ts';

const wasmBytes = readFileSync(new URL('../../core/core.wasm', import.meta.url));

test('core.wasm imports nothing and exports one memory', () => {
  const module = new WebAssembly.Module(wasmBytes);
  expect(WebAssembly.Module.imports(module)).toEqual([]);
  const kinds = WebAssembly.Module.exports(module).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === 'memory')).toHaveLength(1);
});

test('the sizes that hosts know', () => {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasmBytes));
  const globals = Object.entries(exports).filter(([, one]) => one instanceof WebAssembly.Global);
  const sizes = Object.fromEntries(globals.map(([name, one]) => [name, Number((one as WebAssembly.Global).value)]));
  expect({ ...sizes, SCRATCH: sizes.SCRATCH % 64 }).toEqual({
    SCRATCH: 0,
    SCRATCH_SIZE: 512 * 1024,
    XXH64_STATE_SIZE: 72,
    BODY_STATE_SIZE: 144,
    NODES_MAX: 1024,
    PAGE_SIZE: 8192,
    PAGE_BITS: 65536,
  });
});

test('it loads from beside the file, from bytes and from a module', () => {
  for (const core of [loadCore(), loadCore(wasmBytes), loadCore(new WebAssembly.Module(wasmBytes))]) {
    expect(core.xxh64(new Uint8Array())).toBe(0xef46db3751d8e999n);
  }
});

test('without files it asks for the bytes', async () => {
  // A module that has loaded the binary keeps it.
  vi.resetModules();
  const fresh = await import('@transfer-queue/core/wasm');
  const { getBuiltinModule } = process;
  try {
    Object.assign(process, { getBuiltinModule: undefined });
    expect(() => fresh.loadCore()).toThrow('bytes');
    expect(loadCore(wasmBytes).xxh64(new Uint8Array())).toBe(0xef46db3751d8e999n);
  } finally {
    Object.assign(process, { getBuiltinModule });
  }
});

test('instances share nothing', () => {
  const [one, other] = [loadCore(), loadCore()];
  const page = one.bitmaps.alloc();
  expect(page).not.toBe(0);
  expect([one.bitmaps.pagesUsed, other.bitmaps.pagesUsed]).toEqual([1, 0]);
  expect(one.bodyHasher()).toBeInstanceOf(BodyHasher);
});

test('an instance is small until it holds pages', () => {
  expect(loadCore().raw.memory.buffer.byteLength).toBeLessThan(700 * 1024);
});

test('checksums in headers are the number, most significant digit first', () => {
  const core = loadCore();
  const checksum = core.bodyHasher().finish();
  expect(checksumHex(checksum)).toBe('ef46db3751d8e999');
  expect(checksumFromHex('EF46db3751d8e999')).toEqual(checksum);
  for (const bad of ['', 'ef46db3751d8e99', 'ef46db3751d8e9990', '0xef46db3751d8e9', 'ef46db3751d8e99g']) {
    expect(checksumFromHex(bad)).toBeNull();
  }
});

test('the frozen vectors are what the oracles say', () => {
  for (const [name, groups] of Object.entries(coreVectors())) {
    expect(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8'), name).toBe(formatVectors(groups));
  }
});
