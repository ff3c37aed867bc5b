/** What the manifests must agree on: one version everywhere, and the entry file of the command `tq`. */

import type { SourceFile, Violation } from './files.ts';

export interface Manifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

interface Lock {
  packages: Record<string, Manifest>;
}

export const packageFolders = ['core', 'ts-sdk', 'server'] as const;

export function parseManifest(files: readonly SourceFile[], path: string): Manifest {
  return JSON.parse(textOf(files, path)) as Manifest;
}

function textOf(files: readonly SourceFile[], path: string): string {
  const file = files.find((one) => one.path === path);
  if (file === undefined) throw new Error(`${path} is missing`);
  return file.text;
}

/** Every place that states the version of this repository must state the root manifest's. */
export function checkVersions(files: readonly SourceFile[]): Violation[] {
  const { version } = parseManifest(files, 'package.json');
  const stated = new Map<string, string | undefined>();
  const lock = JSON.parse(textOf(files, 'package-lock.json')) as Lock;
  stated.set('package-lock.json', lock.packages[''].version);
  for (const folder of packageFolders) {
    const manifest = parseManifest(files, `${folder}/package.json`);
    stated.set(`${folder}/package.json`, manifest.version);
    stated.set(`package-lock.json of ${folder}`, lock.packages[folder].version);
    for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
      if (name.startsWith('@transfer-queue/')) stated.set(`${folder}/package.json -> ${name}`, range);
    }
  }
  const inToml = /^version = "(.*)"$/m.exec(textOf(files, 'py-bindings/pyproject.toml'))?.[1];
  stated.set('py-bindings/pyproject.toml', inToml);
  const inPython = /^__version__ = "(.*)"$/m.exec(textOf(files, 'py-bindings/transferq/__init__.py'))?.[1];
  stated.set('py-bindings/transferq/__init__.py', inPython);
  return [...stated].flatMap(([place, found]) =>
    found === version ? [] : [`${place}: version ${found ?? 'not stated'}; the root manifest says ${version}`],
  );
}

/** Every dependency is one exact version, so that two machines run the same code. */
export function checkPins(files: readonly SourceFile[]): Violation[] {
  return ['package.json', ...packageFolders.map((folder) => `${folder}/package.json`)].flatMap((path) => {
    const { dependencies = {}, devDependencies = {} } = parseManifest(files, path);
    return Object.entries({ ...dependencies, ...devDependencies })
      .filter(([, range]) => !/^\d+\.\d+\.\d+$/.test(range))
      .map(([name, range]) => `${path}: ${name} ${range}; pin one version`);
  });
}
