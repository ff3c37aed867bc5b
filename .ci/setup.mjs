/**
 * Set-up: from a plain clone to everything that the tasks need. Runs on Node 20, standard library only.
 *
 *   npm packages (with Node 24)  ->  core.wasm and its typed component  ->  Python environment .venv
 *
 * - Each stage is skipped when what it made is still there and its inputs are unchanged (a hash of them is kept inside
 *   what the stage made, so that deleting the thing forgets the hash too).
 * - One set-up at a time: a lock file names the process that is at it.
 * - Whatever is missing ends in a SetupError, which says what it is and how to get it.
 */

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { capture } from './process.mjs';

export const root = join(import.meta.dirname, '..');
const inRoot = (...parts) => join(root, ...parts);

export const nodeBinary = inRoot('node_modules', '.bin', 'node');
export const pythonBinary = inRoot('.venv', 'bin', 'python');

/** The environment of every task: our Node and our Python come first. */
export const environment = {
  ...process.env,
  PATH: [inRoot('node_modules', '.bin'), inRoot('.venv', 'bin'), process.env.PATH].join(delimiter),
};

export class SetupError extends Error {}

/**
 * Brings the repository up to what a task needs.
 * @param {{ python: readonly string[] }} wanted extras of the Python package; none of them = no Python at all
 */
export async function setUp({ python }) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) throw new SetupError(`Node.js ${process.versions.node} is too old: install Node.js 20 or newer.`);
  const stages = [npmStage, wasmStage, ...(python.length > 0 ? [pythonStage(python)] : [])];
  if (stages.every((stage) => stage.isDone())) return;
  await withLock(async () => {
    for (const stage of stages) {
      if (stage.isDone()) continue;
      const startMs = Date.now();
      console.log(`set-up: ${stage.name} ...`);
      await stage.make();
      console.log(`set-up: ${stage.name} done in ${((Date.now() - startMs) / 1000).toFixed(1)} s`);
    }
  });
}

// npm packages -----------------------------------------------------------------------------------------------------

const npmStage = {
  name: 'npm packages',
  isDone: () =>
    existsSync(nodeBinary) && sameLock(readJson('package-lock.json'), readJson('node_modules', '.package-lock.json')),
  async make() {
    // The npm that runs us, if any, on its own Node: ours stands in the folder that `npm ci` empties first.
    const { npm_node_execpath: npmNode, npm_execpath: npmScript } = process.env;
    const npm = npmNode !== undefined && npmScript !== undefined ? [npmNode, npmScript] : ['npm'];
    // Engines are not asked for: the Node that npm runs on is not the one that runs what it installs.
    // The level is given because `npm --silent` would silence this call's errors too.
    const command = [...npm, 'ci', '--no-audit', '--no-fund', '--engine-strict=false', '--loglevel=error'];
    const { status, output } = await capture(command, { cwd: root });
    if (status !== 0) {
      throw new SetupError(
        failure('npm ci', output, [
          'npm must reach its package registry (see `npm config get registry`, `npm ping`) and be version 9 or newer.',
          'Behind a proxy: `npm config set proxy` and `https-proxy`.',
        ]),
      );
    }
    const node = await capture([nodeBinary, '--version']);
    if (!/^v(2[4-9]|[3-9]\d)\./.test(node.output)) {
      throw new SetupError(
        failure('node_modules/.bin/node --version', node.output, [
          'Node.js 24 comes with the npm package `node`, whose install script fetches it.',
          'If `npm config get ignore-scripts` says true: set it to false, then `npm rebuild node`.',
        ]),
      );
    }
  },
};

/** Whether what is installed is what the lock file asks for; optional packages may be absent (other platforms). */
export function sameLock(wanted, installed) {
  if (wanted === undefined || installed === undefined) return false;
  return Object.entries(wanted.packages).every(([path, { version, integrity, link, optional }]) => {
    if (!path.includes('node_modules/')) return true;
    const found = installed.packages[path];
    if (found === undefined) return optional === true;
    return link === found.link && version === found.version && integrity === found.integrity;
  });
}

// core.wasm --------------------------------------------------------------------------------------------------------

const wasmStamp = inRoot('node_modules', '.wasm-stamp');
const wasmOutputs = [inRoot('core', 'core.wasm'), inRoot('core', 'component')];
const wasmPythonCopy = inRoot('py-bindings', 'transferq', 'core.wasm');

/** The stamp covers the sources and the binary, so that a binary from elsewhere is not taken for ours. */
const wasmHash = () =>
  hashOf([
    ...filesUnder('core', 'assembly'),
    ...[
      'core/core.wit',
      'core/build.mjs',
      'core/canonical-names.mjs',
      'asconfig.json',
      'package-lock.json',
      'core/core.wasm',
    ].map((path) => inRoot(path)),
  ]);

const wasmStage = {
  name: 'core.wasm',
  isDone: () => wasmOutputs.every(existsSync) && existsSync(wasmPythonCopy) && stampIs(wasmStamp, wasmHash()),
  async make() {
    const { status, output } = await capture([nodeBinary, 'core/build.mjs'], { cwd: root, env: environment });
    if (status !== 0) throw new SetupError(failure('node core/build.mjs', output, ['See core/assembly.']));
    copyFileSync(wasmOutputs[0], wasmPythonCopy);
    writeFileSync(wasmStamp, wasmHash());
  },
};

// Python environment -----------------------------------------------------------------------------------------------

const pythonInputs = ['py-bindings/pyproject.toml', 'py-bindings/hatch_build.py'].map((path) => inRoot(path));
const pythonStamp = (extra) => inRoot('.venv', `.setup-stamp-${extra}`);

const pythonStage = (extras) => ({
  name: `Python environment (transferq with ${extras.join(', ')})`,
  isDone: () => existsSync(pythonBinary) && extras.every((extra) => stampIs(pythonStamp(extra), hashOf(pythonInputs))),
  async make() {
    if ((await capture([pythonBinary, '-m', 'pip', '--version'])).status !== 0) await makeVenv();
    const spec = `./py-bindings[${extras.join(',')}]`;
    const command = [pythonBinary, '-m', 'pip', 'install', '--progress-bar=off', '--no-input', '--editable', spec];
    const onLine = (line) => {
      const named = /^(?:Collecting|Processing) (?:\S*\/)?(\S+)/.exec(line);
      if (named) console.log(`  ${named[1]}`);
      else if (line.startsWith('Installing collected')) console.log('  installing ...');
    };
    const { status, output } = await capture(command, { cwd: root, env: environment, onLine });
    if (status !== 0) {
      throw new SetupError(
        failure(['python', ...command.slice(1)].join(' '), output, [
          'pip must reach its package index (see `pip config list`) and find a build for this Python and machine.',
          'Behind a proxy: set HTTPS_PROXY. No space left: PyTorch alone needs about 2 GB here and under TMPDIR.',
        ]),
      );
    }
    for (const extra of extras) writeFileSync(pythonStamp(extra), hashOf(pythonInputs));
  },
});

async function makeVenv() {
  const python = await findPython();
  rmSync(inRoot('.venv'), { recursive: true, force: true });
  const { status, output } = await capture([python, '-m', 'venv', '.venv'], { cwd: root });
  if (status !== 0) {
    throw new SetupError(
      failure(`${python} -m venv .venv`, output, [
        'Python comes without its venv module here. Debian and Ubuntu: `sudo apt-get install python3-venv`.',
      ]),
    );
  }
}

/** The first Python 3.10 or newer, asked for by PYTHON or found on the path. */
async function findPython() {
  const names = process.env.PYTHON
    ? [process.env.PYTHON]
    : ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10'];
  const seen = [];
  for (const name of names) {
    const { status, output } = await capture([name, '-c', 'import sys; print(*sys.version_info[:2])']);
    if (status !== 0) continue;
    const [major, minor] = output.split(' ').map(Number);
    if (major === 3 && minor >= 10) return name;
    seen.push(`${name} is ${major}.${minor}`);
  }
  throw new SetupError(
    [
      `Python 3.10 or newer is needed; ${seen.join(', ') || `none of ${names.join(', ')} runs`}.`,
      'Debian and Ubuntu: `sudo apt-get install python3 python3-venv`. Elsewhere: set PYTHON to one that you have.',
    ].join('\n'),
  );
}

// What the stages share --------------------------------------------------------------------------------------------

function readJson(...parts) {
  return existsSync(inRoot(...parts)) ? JSON.parse(readFileSync(inRoot(...parts), 'utf8')) : undefined;
}

function filesUnder(...parts) {
  const entries = readdirSync(inRoot(...parts), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function hashOf(paths) {
  const hash = createHash('sha256');
  for (const path of [...paths].sort()) {
    const content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    hash.update(`${path.slice(root.length)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function stampIs(path, hash) {
  return existsSync(path) && readFileSync(path, 'utf8') === hash;
}

const outputLinesMax = 15;

/** What failed, the beginning and the end of what it said, and what to do about it. */
function failure(command, output, advice) {
  const lines = output.split('\n');
  const shown =
    lines.length <= 2 * outputLinesMax
      ? lines
      : [...lines.slice(0, outputLinesMax), '...', ...lines.slice(-outputLinesMax)];
  const said = shown.map((line) => `  | ${line}`);
  return [`\`${command}\` failed:`, ...said, ...advice].join('\n');
}

const lockPath = inRoot('.setup-lock');
const lockPollMs = 500;

/** Runs `body` while no other process of this repository sets up. A lock whose process is gone is taken over. */
async function withLock(body) {
  for (let waited = false; !takeLock(); waited = true) {
    const holder = Number(existsSync(lockPath) ? readFileSync(lockPath, 'utf8') : 0);
    if (holder > 0 && !isAlive(holder)) rmSync(lockPath, { force: true });
    else if (!waited) console.log(`set-up: waiting for process ${holder} (its lock is ${lockPath})`);
    await sleep(lockPollMs);
  }
  const release = () => rmSync(lockPath, { force: true });
  process.once('exit', release);
  try {
    await body();
  } finally {
    process.off('exit', release);
    release();
  }
}

function takeLock() {
  try {
    writeFileSync(lockPath, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
