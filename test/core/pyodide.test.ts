/**
 * The Python core host under Pyodide: the package's own files, the same core.wasm and the same vectors as everywhere,
 * run by CPython compiled to WebAssembly with nothing but its standard library.
 */

import { readFileSync } from 'node:fs';
import { loadPyodide, type PyodideAPI } from 'pyodide';
import { beforeAll, expect, test } from 'vitest';

import { pattern } from '../vectors/core.ts';
import { checksumHex, loadCore } from '../../core/wasm.ts';

const root = new URL('../../', import.meta.url);
const vectorNames = ['hash', 'routing', 'offsets', 'bitmaps', 'random', 'slices'];

let python: PyodideAPI;

function mount(path: string, contents: string | Uint8Array): void {
  python.FS.mkdirTree(path.slice(0, path.lastIndexOf('/')));
  python.FS.writeFile(path, contents);
}

beforeAll(async () => {
  python = await loadPyodide();
  // The package itself needs NumPy and PyArrow; its core host must not.
  mount('/app/transferq/__init__.py', '');
  for (const name of ['_core.py', '_core_engine.py']) {
    mount(`/app/transferq/${name}`, readFileSync(new URL(`py-bindings/transferq/${name}`, root)));
  }
  mount('/app/transferq/core.wasm', readFileSync(new URL('core/core.wasm', root)));
  mount('/app/core_vectors.py', readFileSync(new URL('test/py-bindings/core_vectors.py', root)));
  for (const name of vectorNames) {
    mount(`/app/vectors/${name}.json`, readFileSync(new URL(`test/vectors/${name}.json`, root)));
  }
  python.runPython('import sys; sys.path.insert(0, "/app")');
});

test('all vectors', () => {
  const counts = python.runPython(`
import json, pathlib, core_vectors
json.dumps(core_vectors.check_all(pathlib.Path("/app/vectors"), core_vectors.raw_engine_maker()))
`) as string;
  const checked = JSON.parse(counts) as Record<string, number>;
  for (const name of vectorNames) {
    const groups = JSON.parse(readFileSync(new URL(`test/vectors/${name}.json`, root), 'utf8')) as object;
    const cases = Object.values(groups).reduce((sum: number, list: unknown[]) => sum + list.length, 0);
    expect(checked[name], name).toBeGreaterThanOrEqual(cases);
  }
});

test('only the standard library was imported', () => {
  const foreign = python.runPython(`
import sys
" ".join(name for name in ("numpy", "pyarrow", "wasmtime", "micropip") if name in sys.modules)
`) as string;
  expect(foreign).toBe('');
});

test('a body that JavaScript hands over has the checksum that TypeScript computes', () => {
  const body = pattern(1_300_000);
  const hasher = loadCore().bodyHasher();
  hasher.update(body);
  python.globals.set('body_from_js', body);
  const checksum = python.runPython(`
from transferq._core import BodyHasher
body = body_from_js.to_py()
hasher = BodyHasher()
for start in range(0, len(body), 300_001):
    hasher.update(body[start : start + 300_001])
f"{int.from_bytes(hasher.finish(), 'little'):016x}"
`) as string;
  expect(checksum).toBe(checksumHex(hasher.finish()));
});

test('an unknown function and a trap are errors, not crashes', () => {
  const names = python.runPython(`
from transferq._core import core, CoreError
def outcome(call):
    try:
        call()
        return "nothing"
    except Exception as error:
        return type(error).__name__
" ".join([
    outcome(lambda: core().check_offsets(b"ab", limit=1)),
    outcome(lambda: core()._engine.call("body_init", -8)),
])
`) as string;
  expect(names).toBe('ValueError CoreError');
});
