/**
 * Who may import whom. Lower never imports higher:
 *
 *     core  <  ts-sdk          core  <  server          everything  <  test
 *
 *     server/:  errors, config, metrics, env  <  tier, sampler  <  journal, segment, tree  <  index  <  store  <  queue
 *               <  engine  <  inspect  <  http, client  <  gauges  <  serve  <  cli  <  main
 *
 * Units of one rank do not see each other, except in the lowest rank. A package names only what its manifest depends
 * on, and reaches another package by its name, never by a relative path. There are no cycles.
 */

import { posix } from 'node:path';
import ts from 'typescript';
import type { SourceFile, Violation } from './files.ts';

const serverRanks: readonly (readonly string[])[] = [
  ['errors', 'config', 'metrics', 'env'],
  ['tier', 'sampler'],
  ['journal', 'segment', 'tree'],
  ['index'],
  ['store'],
  ['queue'],
  ['engine'],
  ['inspect'],
  ['http', 'client'],
  ['gauges'],
  ['serve'],
  ['cli'],
  ['main'],
];

export interface Import {
  readonly from: string;
  /** As written. */
  readonly specifier: string;
  /** The path of the imported file in the repository; undefined for packages and `node:` modules. */
  readonly target: string | undefined;
}

const sourceFile = /^(core|server|ts-sdk|test|\.ci)\/.*\.(ts|mjs)$/;
/** The tools that make core.wasm stand beside it, but are no part of the package. */
const coreTool = /^core\/[^/]*\.mjs$/;

export function importsOf(files: readonly SourceFile[]): Import[] {
  return files
    .filter((file) => sourceFile.test(file.path) && !coreTool.test(file.path))
    .flatMap((file) =>
      ts.preProcessFile(file.text, true, true).importedFiles.map(({ fileName }) => ({
        from: file.path,
        specifier: fileName,
        target: fileName.startsWith('.') ? posix.join(posix.dirname(file.path), fileName) : undefined,
      })),
    );
}

const topOf = (path: string) => path.split('/')[0];
/** `server/journal/format.ts` -> `journal`, `server/main.ts` -> `main`. */
const serverUnit = (path: string) => path.split('/')[1].replace(/\.ts$/, '');

export function checkDirections(imports: readonly Import[]): Violation[] {
  return imports.flatMap((one) => {
    const wrong = packageDirection(one) ?? serverDirection(one);
    return wrong === undefined ? [] : [`${one.from}: imports ${one.specifier}; ${wrong}`];
  });
}

function packageDirection({ from, specifier, target }: Import): string | undefined {
  const home = topOf(from);
  if (home === 'test') return undefined;
  if (target !== undefined) {
    if (topOf(target) === 'test') return 'nobody imports test/';
    return topOf(target) === home || home === '.ci' ? undefined : 'reach another package by its name';
  }
  if (home === 'core' && /^(node:|@transfer-queue\/)/.test(specifier)) return 'core/ is the lowest layer and pure';
  if (/^@transfer-queue\/(?!core\/)/.test(specifier)) return 'packages import core only';
  return undefined;
}

function serverDirection({ from, specifier, target }: Import): string | undefined {
  if (topOf(from) !== 'server' || target === undefined || topOf(target) !== 'server') return undefined;
  const rankOf = (unit: string) => serverRanks.findIndex((units) => units.includes(unit));
  const [unit, other] = [serverUnit(from), serverUnit(target)];
  if (rankOf(unit) === -1) return `${unit} has no rank; give it one in test/tidy/imports.ts`;
  if (rankOf(other) === -1) return `${specifier} has no rank; give it one in test/tidy/imports.ts`;
  if (rankOf(other) > rankOf(unit)) return `${other} is above ${unit}`;
  if (rankOf(other) === rankOf(unit) && rankOf(unit) > 0 && unit !== other) return `${other} stands beside ${unit}`;
  return undefined;
}

/** Packages may import what their manifest depends on, and nothing that only the repository's root installs. */
export function checkDependencies(
  imports: readonly Import[],
  dependencies: Readonly<Record<string, readonly string[]>>,
): Violation[] {
  return imports.flatMap(({ from, specifier, target }) => {
    const allowed = dependencies[topOf(from)];
    if (allowed === undefined || target !== undefined || specifier.startsWith('node:')) return [];
    const name = packageOf(specifier);
    if (allowed.includes(name) || from.startsWith('core/assembly/')) return [];
    return [`${from}: imports ${specifier}; ${topOf(from)}/package.json does not depend on ${name}`];
  });
}

/** A package depends on nothing that it does not import. */
export function checkUnused(
  imports: readonly Import[],
  dependencies: Readonly<Record<string, readonly string[]>>,
): Violation[] {
  return Object.entries(dependencies).flatMap(([folder, names]) => {
    const used = imports.filter(({ from }) => topOf(from) === folder).map(({ specifier }) => packageOf(specifier));
    return names
      .filter((name) => !used.includes(name))
      .map((name) => `${folder}/package.json: depends on ${name}, which nothing in ${folder}/ imports`);
  });
}

const packageOf = (specifier: string) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

/** Each cycle once, as `a -> b -> a`, from a depth-first walk that looks for a file that is still open. */
export function checkCycles(imports: readonly Import[]): Violation[] {
  const targets = Map.groupBy(imports, ({ from }) => from);
  const closed = new Set<string>();
  const open: string[] = [];
  const cycles: Violation[] = [];
  const walk = (path: string): void => {
    if (closed.has(path)) return;
    const openAt = open.indexOf(path);
    if (openAt !== -1) {
      cycles.push([...open.slice(openAt), path].join(' -> '));
      return;
    }
    open.push(path);
    for (const { target } of targets.get(path) ?? []) if (target !== undefined) walk(target);
    open.pop();
    closed.add(path);
  };
  for (const path of targets.keys()) walk(path);
  return cycles;
}
