/**
 * The style of this repository as a test. Every rule is run on the repository, where it must find nothing, and on a
 * planted sample that breaks it, where it must find something: a rule that can not fail proves nothing.
 */

import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { readRepository, root, type SourceFile } from './tidy/files.ts';
import { checkCycles, checkDependencies, checkDirections, checkUnused, importsOf } from './tidy/imports.ts';
import { checkPins, checkVersions, packageFolders, parseManifest } from './tidy/manifests.ts';
import { columnsMax, fileLinesMax, fileRules, functionLinesMax } from './tidy/style.ts';

const files = readRepository();
const imports = importsOf(files);
const productionImports = imports.filter(({ from }) => !from.startsWith('test/'));

const sample = (path: string, text: string): SourceFile => ({ path, text });
const lines = (count: number, line: string) => `${line}\n`.repeat(count);

/** Written in two pieces, so that this file does not break the rules itself. */
const planted: Record<string, SourceFile[]> = {
  [`files have at most ${fileLinesMax} lines`]: [sample('core/long.ts', lines(fileLinesMax + 1, 'x();'))],
  [`lines have at most ${columnsMax} columns`]: [sample('core/wide.py', `${'x'.repeat(columnsMax + 1)}\n`)],
  [`functions have at most ${functionLinesMax} lines`]: [
    sample('core/f.ts', `function f() {\n${lines(functionLinesMax, '  x();')}}\n`),
    sample('core/g.ts', `const g = () => {\n${lines(functionLinesMax, '  x();')}};\n`),
    sample('core/c.ts', `class C {\n  m() {\n${lines(functionLinesMax, '    x();')}  }\n}\n`),
    sample(
      'core/h.py',
      `class C:\n    def h(\n        self,\n    ):\n${lines(functionLinesMax, '        x()')}\ny = 1\n`,
    ),
  ],
  'nothing is marked as unfinished': [sample('core/x.ts', `// ${'TO'}DO later\n`), sample('a.md', `${'FIX'}ME\n`)],
  'nothing is exported by default': [sample('core/x.ts', `${'export'} default f;\n`)],
  'no path, host or registry of one machine is named': [
    sample('core/x.ts', `const dir = '/${'home'}/me/x';\n`),
    sample('docs/a.md', `see https://${'pypi'}.org/x\n`),
    sample('package-lock.json', '"resolved": "https://mirror.example/x.tgz"\n'),
  ],
  'generated files say so': [sample('py-bindings/transferq/_protocol.py', '"""The protocol."""\n')],
  'text ends with one newline and has no blanks at line ends': [
    sample('a.ts', 'x'),
    sample('a.ts', 'x\n\n'),
    sample('a.ts', 'x \n'),
  ],
  'how much tests try is asked of test/support/runs.ts': [
    sample('test/x.test.ts', `const isLong = ${'process'}.env.TQ_LONG === '1';\n`),
    sample('test/x.test.ts', `const seed = Number(${'process'}.env['LSM_SEED'] ?? 1);\n`),
  ],
};

describe.each(fileRules.map((rule) => [rule.name, rule] as const))('%s', (name, rule) => {
  test('in this repository', () => {
    expect(files.filter((file) => rule.appliesTo(file)).flatMap((file) => rule.check(file))).toEqual([]);
  });

  test('and a sample that breaks it is found', () => {
    expect(planted[name].length).toBeGreaterThan(0);
    for (const file of planted[name]) {
      expect(rule.appliesTo(file), file.path).toBe(true);
      expect(rule.check(file), file.path).toHaveLength(1);
    }
  });
});

describe('lower never imports higher', () => {
  test('in this repository', () => {
    expect(checkDirections(imports)).toEqual([]);
  });

  test.each([
    ['core/wasm.ts', 'node:fs'],
    ['core/wasm.ts', '@transfer-queue/sdk'],
    ['core/wasm.ts', '../server/errors.ts'],
    ['ts-sdk/index.ts', '@transfer-queue/server'],
    ['ts-sdk/index.ts', '../core/wasm.ts'],
    ['server/main.ts', '@transfer-queue/sdk'],
    ['server/main.ts', '../test/tidy/files.ts'],
    ['.ci/test.ts', '../test/tidy/files.ts'],
    ['server/errors.ts', './tier/arena.ts'],
    ['server/journal/format.ts', '../store/store.ts'],
    ['server/journal/format.ts', '../segment/extent.ts'],
    ['server/journal/format.ts', '../unheard/of.ts'],
    ['server/http/parser.ts', '../main.ts'],
  ])('%s may not import %s', (from, specifier) => {
    expect(checkDirections(importsOf([sample(from, `import { x } from '${specifier}';\n`)]))).toHaveLength(1);
  });

  test.each([
    ['server/store/store.ts', '../journal/format.ts'],
    ['server/config.ts', './errors.ts'],
    ['server/main.ts', '@transfer-queue/core/wasm'],
    ['test/a.test.ts', '../server/main.ts'],
  ])('%s may import %s', (from, specifier) => {
    expect(checkDirections(importsOf([sample(from, `import { x } from '${specifier}';\n`)]))).toEqual([]);
  });
});

describe('imports make no cycle', () => {
  test('in this repository', () => {
    expect(checkCycles(productionImports)).toEqual([]);
  });

  test('and a planted one is found', () => {
    const cycle = [
      sample('core/a.ts', "import { b } from './b.ts';\n"),
      sample('core/b.ts', "export { c } from './deep/c.ts';\n"),
      sample('core/deep/c.ts', "import type { a } from '../a.ts';\n"),
    ];
    expect(checkCycles(importsOf(cycle))).toEqual(['core/a.ts -> core/b.ts -> core/deep/c.ts -> core/a.ts']);
  });
});

describe('packages import only what their manifests name', () => {
  const dependencies = Object.fromEntries(
    packageFolders.map((folder) => [
      folder,
      Object.keys(parseManifest(files, `${folder}/package.json`).dependencies ?? {}),
    ]),
  );

  test('in this repository', () => {
    expect(checkDependencies(productionImports, dependencies)).toEqual([]);
  });

  test('and a stranger is found', () => {
    const stranger = importsOf([sample('core/a.ts', "import { b } from '@some/thing/deep';\n")]);
    expect(checkDependencies(stranger, dependencies)).toHaveLength(1);
  });

  test('and all that they name', () => {
    expect(checkUnused(productionImports, dependencies)).toEqual([]);
    expect(checkUnused([], { core: ['flatbuffers'] })).toHaveLength(1);
  });
});

describe('manifests agree', () => {
  const changed = (path: string, from: string, to: string) =>
    files.map((file) => (file.path === path ? { ...file, text: file.text.replace(from, to) } : file));

  test('on one version', () => {
    expect(checkVersions(files)).toEqual([]);
  });

  test.each(['core/package.json', 'py-bindings/pyproject.toml', 'py-bindings/transferq/__init__.py'])(
    'and another version in %s is found',
    (path) => {
      const { version } = parseManifest(files, 'package.json');
      expect(checkVersions(changed(path, `"${version}"`, '"9.9.9"'))).toHaveLength(1);
    },
  );

  test('on exact versions of what they depend on', () => {
    expect(checkPins(files)).toEqual([]);
    expect(checkPins(changed('core/package.json', '"typebox": "', '"typebox": "^'))).toHaveLength(1);
  });

  test('on an executable tq', () => {
    const main = files.find((file) => file.path === 'server/main.ts');
    expect(main?.text.split('\n')[0]).toBe('#!/usr/bin/env node');
    const staged = execFileSync('git', ['ls-files', '--stage', 'server/main.ts'], { cwd: root, encoding: 'utf8' });
    expect(staged, 'run: git update-index --chmod=+x server/main.ts').toMatch(/^100755 /);
  });
});
