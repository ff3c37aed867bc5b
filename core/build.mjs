/**
 * Builds core.wasm from AssemblyScript, then the component and its typed ES module from the same binary.
 *
 *     core/assembly/*.ts --asc--> core/core.wasm --embed core.wit, new--> component --transpile--> core/component/
 *
 * Run it as `node core/build.mjs` (Node 20 or newer). Each output appears as a whole, by a rename, so that a build that
 * fails leaves the last good one.
 */

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { transpileBytes } from '@bytecodealliance/jco-transpile';
import { componentEmbed, componentNew } from '@bytecodealliance/jco-transpile/wasm-tools';
import asc from 'assemblyscript/asc';

import { CanonicalNames } from './canonical-names.mjs';

const core = dirname(fileURLToPath(import.meta.url));
const root = dirname(core);

/** Runs the compiler with asconfig.json and returns the binary. */
async function compile() {
  let wasm = null;
  const { error, stderr } = await asc.main(['--config', join(root, 'asconfig.json'), '--target', 'release'], {
    transforms: [CanonicalNames],
    writeFile(name, contents) {
      if (name.endsWith('.wasm')) wasm = contents;
    },
  });
  if (error || !wasm) throw new Error(`asc failed: ${error?.message ?? 'no output'}\n${stderr.toString()}`);
  return wasm;
}

/** The ES module of the component: file name -> bytes. */
async function transpileComponent(wasm) {
  const witSource = await readFile(join(core, 'core.wit'), 'utf8');
  const component = await componentNew(await componentEmbed({ binary: wasm, witSource, world: 'core' }));
  const { files } = await transpileBytes(component, { name: 'core' });
  return { 'core.component.wasm': component, ...files };
}

async function replaceFile(path, contents) {
  const fresh = `${path}.${process.pid}`;
  await writeFile(fresh, contents);
  await rename(fresh, path);
}

async function replaceFolder(path, files) {
  const fresh = `${path}.${process.pid}`;
  for (const [name, contents] of Object.entries(files)) {
    const file = join(fresh, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, contents);
  }
  await rm(path, { recursive: true, force: true });
  await rename(fresh, path);
}

const wasm = await compile();
await replaceFile(join(core, 'core.wasm'), wasm);
await replaceFolder(join(core, 'component'), await transpileComponent(wasm));
console.log(`core/core.wasm ${wasm.length} bytes, core/component/core.js`);
