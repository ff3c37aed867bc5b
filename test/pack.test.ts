/**
 * What is published works where nothing else is: the tarballs in an empty npm project and the wheel in a new Python
 * environment, run by their own commands, without a file of this repository.
 */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import ts from 'typescript';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pack, publishedManifest } from '../.ci/pack.ts';
import { root } from './tidy/files.ts';

const packMsMax = 180_000;
const readyLine = 'tq: ready at ';

const folder = mkdtempSync(join(tmpdir(), 'tq-pack-'));
const project = join(folder, 'project');
const venv = join(folder, 'venv');
const venvPython = join(venv, 'bin', 'python');
/** The Node of this run, the commands of the project, and nothing of the repository. */
const environment = {
  HOME: process.env.HOME,
  PATH: [join(project, 'node_modules', '.bin'), dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter),
};

let server: ChildProcess | undefined;
let url: string;

beforeAll(async () => {
  const published = await pack(join(folder, 'dist'));
  const tarballs = published.filter((path) => path.endsWith('.tgz'));
  expect(tarballs).toHaveLength(3);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "type": "module", "private": true }\n');
  execFileSync('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', ...tarballs], {
    cwd: project,
  });
  installWheel(published.filter((path) => path.endsWith('.whl')));
  url = await startServer();
}, packMsMax);

afterAll(async () => {
  if (server?.exitCode === null) {
    const ended = new Promise((resolve) => server?.once('exit', resolve));
    server.kill('SIGTERM');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

/** The wheel alone is new; what it depends on is lent by the repository's environment, and `pip check` judges it. */
function installWheel(wheels: string[]): void {
  const python = join(root, '.venv', 'bin', 'python');
  const pip = (...args: string[]) => execFileSync(python, ['-m', 'pip', '--python', venvPython, ...args]);
  execFileSync(python, ['-m', 'venv', '--without-pip', venv]);
  const [sitePackages] = execFileSync(venvPython, ['-c', 'import site; print(site.getsitepackages()[0])'], {
    encoding: 'utf8',
  }).split('\n');
  pip('install', '--quiet', '--no-deps', '--no-index', ...wheels);
  const lender = execFileSync(python, ['-c', 'import site; print(site.getsitepackages()[0])'], { encoding: 'utf8' });
  writeFileSync(join(sitePackages, 'lent.pth'), lender);
  pip('check');
}

function startServer(): Promise<string> {
  const data = join(folder, 'data');
  server = spawn('tq', ['serve', '--data', data, '--port', '0', '--memory', '64MiB'], {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((resolve, reject) => {
    server?.once('error', reject);
    server?.once('exit', (code) => reject(new Error(`tq serve ended with status ${code}`)));
    if (server?.stdout) {
      createInterface({ input: server.stdout }).on('line', (line) => {
        if (line.startsWith(readyLine)) resolve(line.slice(readyLine.length));
      });
    }
  });
}

function runScript(command: string, name: string, script: string): string {
  const path = join(project, name);
  writeFileSync(path, script);
  return execFileSync(command, [path, url], { cwd: project, env: environment, encoding: 'utf8' }).trim();
}

test('tq serves', async () => {
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});

test('tq tells its version', () => {
  const version = execFileSync('tq', ['--version'], { cwd: project, env: environment, encoding: 'utf8' });
  expect(version.trim()).toMatch(/^\d+\.\d+\.\d+$/);
});

test('the TypeScript SDK puts and gets', () => {
  const script = `
    import { connect, dense, text } from '@transfer-queue/sdk';
    const tq = connect({ url: process.argv[2] });
    const rows = await tq.partition('from_ts', { fields: { prompt: text(), image: dense('float32', [2]) } });
    await rows.put({ prompt: ['a', 'b'], image: Float32Array.of(1, 2, 3, 4) }, { ids: [1, 2] });
    const batch = await rows.get([2, 1], { fields: ['prompt', 'image'] });
    console.log(JSON.stringify([batch.column('prompt').row(0), [...batch.column('image').row(0)]]));
    await tq.close();
  `;
  expect(runScript(process.execPath, 'sdk.js', script)).toBe('["b",[3,4]]');
});

test('the declarations of the packages are good enough for a strict compiler', () => {
  writeFileSync(
    join(project, 'typed.ts'),
    `import { connect, text, type PutResult } from '@transfer-queue/sdk';
     import { loadCore } from '@transfer-queue/core/wasm';
     import { limits } from '@transfer-queue/core/protocol';
     export const hash: bigint = loadCore().xxh64(new Uint8Array(limits.putRowsMax));
     export async function put(url: string): Promise<PutResult> {
       await using tq = connect({ url });
       const rows = await tq.partition('typed', { fields: { prompt: text() } });
       // @ts-expect-error a column of text is not a number
       await rows.put({ prompt: 7 });
       return rows.put({ prompt: ['a'] }, { ids: [1] });
     }\n`,
  );
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const strict = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024', '--lib', 'esnext,dom'];
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules', '@types'), '--skipLibCheck', 'typed.ts'];
  execFileSync(process.execPath, [tsc, ...strict, ...types], { cwd: project, stdio: 'inherit' });
});

test('every relative import of the packages names a file that is packed with them', () => {
  const scope = join(project, 'node_modules', '@transfer-queue');
  const files = readdirSync(scope, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(js|d\.ts)$/.test(name));
  const missing = files.flatMap((name) => {
    const path = join(scope, name);
    const { importedFiles } = ts.preProcessFile(readFileSync(path, 'utf8'), true, true);
    return importedFiles
      .map(({ fileName }) => fileName)
      .filter((specifier) => specifier.startsWith('.') && !existsSync(join(dirname(path), specifier)))
      .map((specifier) => `${name}: ${specifier}`);
  });
  expect(files.length).toBeGreaterThan(100);
  expect(missing).toEqual([]);
});

test('the wheel puts and gets', () => {
  const script = `
import sys
import numpy as np
import transferq
from transferq import Dense

with transferq.connect(sys.argv[1]) as tq:
    rows = tq.partition("from_python", fields={"image": Dense("float32", (2,))})
    rows.put({"image": np.array([[1, 2], [3, 4]], dtype=np.float32)}, index_ids=[1, 2])
    batch = rows.get([2, 1], fields=["image"])
    print(batch["image"].numpy().tolist(), transferq.__file__.startswith(sys.prefix))
`;
  expect(runScript(venvPython, 'wheel.py', script)).toBe('[[3.0, 4.0], [1.0, 2.0]] True');
});

test('a published manifest points at JavaScript and its declarations', () => {
  const manifest = { exports: { './a': './a.ts', './b.wasm': './b.wasm' }, bin: { tq: './main.ts' }, version: '1.0.0' };
  expect(publishedManifest(manifest)).toEqual({
    exports: { './a': { types: './a.d.ts', default: './a.js' }, './b.wasm': './b.wasm' },
    bin: { tq: './main.js' },
    version: '1.0.0',
    publishConfig: { access: 'public' },
  });
});
