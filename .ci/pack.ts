/**
 * `npm run pack`: makes what is published, in dist/.
 *
 *     core/ ts-sdk/ server/  --tsc-->  dist/emit/<folder>/**.js, .d.ts  --stage-->  dist/<folder>/  --npm pack-->  .tgz
 *     py-bindings/           --build-->  .tar.gz, .whl
 *
 * In the repository the manifests point at TypeScript, which Node 24 runs as it is. Node strips no types below
 * node_modules, so published manifests point at the emitted JavaScript beside its declarations.
 */

import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { capture } from './process.mjs';
import { environment, root } from './setup.mjs';

/** Folder -> files that are packed beside the compiled ones. */
const extraFiles: Readonly<Record<string, readonly string[]>> = {
  core: ['core.wasm', 'core.wit', 'component'],
  'ts-sdk': [],
  server: [],
};

interface Manifest {
  exports: Record<string, string>;
  bin?: Record<string, string>;
  [key: string]: unknown;
}

/** Packs everything into `dist` (emptied first) and returns the paths of the files to publish. */
export async function pack(dist: string): Promise<string[]> {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  const emit = join(dist, 'emit');
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  await must([process.execPath, tsc, '--project', '.ci/tsconfig.pack.json', '--outDir', emit]);
  for (const folder of Object.keys(extraFiles)) {
    const staged = join(dist, folder);
    stage(folder, join(emit, folder), staged);
    await must(['npm', 'pack', staged, '--pack-destination', dist, '--loglevel=error']);
  }
  const python = join(root, '.venv', 'bin', 'python');
  await must([python, '-m', 'build', '--no-isolation', '--outdir', dist, 'py-bindings']);
  rmSync(emit, { recursive: true });
  return readdirSync(dist)
    .filter((name) => /\.(tgz|whl|tar\.gz)$/.test(name))
    .map((name) => join(dist, name));
}

function stage(folder: string, emitted: string, staged: string): void {
  cpSync(emitted, staged, { recursive: true });
  for (const path of declarationsUnder(staged)) writeFileSync(path, withJsSpecifiers(readFileSync(path, 'utf8')));
  for (const name of extraFiles[folder]) cpSync(join(root, folder, name), join(staged, name), { recursive: true });
  copyFileSync(join(root, 'LICENSE'), join(staged, 'LICENSE'));
  for (const readme of [join(root, folder, 'README.md'), join(root, 'README.md')].filter(existsSync).slice(0, 1)) {
    copyFileSync(readme, join(staged, 'README.md'));
  }
  const manifest = publishedManifest(JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest);
  writeFileSync(join(staged, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const entry of Object.values(manifest.bin ?? {})) chmodSync(join(staged, entry), 0o755);
}

function declarationsUnder(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return entries.filter((name) => name.endsWith('.d.ts')).map((name) => join(folder, name));
}

/** tsc rewrites the specifiers of the code that it emits, but not those of its declarations. */
function withJsSpecifiers(declaration: string): string {
  return declaration.replace(/((?:from|import)\s*\(?\s*['"]\.{1,2}\/[^'"]*)\.ts(['"])/g, '$1.js$2');
}

const compiled = (path: string) => path.replace(/\.ts$/, '.js');

export function publishedManifest(manifest: Manifest): Manifest {
  const exported = Object.entries(manifest.exports).map(([name, path]) => [
    name,
    path.endsWith('.ts') ? { types: path.replace(/\.ts$/, '.d.ts'), default: compiled(path) } : path,
  ]);
  const bin = Object.entries(manifest.bin ?? {}).map(([name, path]) => [name, compiled(path)]);
  return {
    ...manifest,
    exports: Object.fromEntries(exported) as Record<string, string>,
    ...(bin.length > 0 ? { bin: Object.fromEntries(bin) as Record<string, string> } : {}),
    publishConfig: { access: 'public' },
  };
}

async function must(command: readonly string[]): Promise<void> {
  const { status, output } = await capture(command, { cwd: root, env: environment });
  if (status !== 0) throw new Error(`${command.join(' ')} ended with status ${status}:\n${output}`);
}

if (import.meta.main) {
  for (const path of await pack(join(root, 'dist'))) console.log(relative(root, path));
}
