/**
 * The documents are right: their TypeScript examples run as printed against a real server, their links and paths lead
 * somewhere, and the tables that repeat the code say what the code says. Python and curl: py-bindings/test_readme.py.
 *
 *   expression; // value           in an example: the value is compared, see support/examples.ts
 *   <!-- checked: name -->         in a document: the table up to <!-- end --> is compared
 */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHECKSUM_BLOCK_SIZE, TAIL_SIZE } from '@transfer-queue/core/protocol';
import { settings } from '../server/config.ts';
import { nodeGauges } from '../server/gauges.ts';
import { recordKinds } from '../server/index/records.ts';
import { eventTypes } from '../server/journal/events.ts';
import * as journalFormat from '../server/journal/format.ts';
import { RESERVE_SIZE } from '../server/journal/reserve.ts';
import { EXTENT_ALIGNMENT } from '../server/segment/segments.ts';
import { blocksIn, compared } from './support/examples.ts';
import { startServer, temporaryDirectory, type ServerProcess } from './support/process.ts';
import { readRepository, root } from './tidy/files.ts';
import { parseManifest } from './tidy/manifests.ts';

const files = readRepository();
const documents = files.filter(({ path }) => path.endsWith('.md'));
const textOf = (path: string): string => documents.find((document) => document.path === path)!.text;

const printedUrl = 'http://127.0.0.1:7654';
const columnsMax = 120;

const blocksOf = (path: string, language: string) => blocksIn(textOf(path), language);

describe('TypeScript examples', () => {
  const directory = temporaryDirectory('docs');
  let server: ServerProcess;
  beforeAll(async () => {
    server = await startServer({ directory: directory.path });
  });
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exited;
    directory.remove();
  });

  const paths = documents.map(({ path }) => path).filter((path) => blocksOf(path, 'ts').length > 0);

  test('are in the READMEs of what TypeScript uses', () => {
    expect(paths).toEqual(expect.arrayContaining(['README.md', 'core/README.md', 'ts-sdk/README.md']));
  });

  test.each(paths)('of %s run as printed, and give the values that they name', (path) => {
    const code = blocksOf(path, 'ts').map((block) => block.code);
    const { status, stderr } = runModule(compared(code.join('\n')).replaceAll(printedUrl, server.url));
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  test('satisfy a strict compiler', () => {
    expect(typeErrors(new Map(paths.map((path) => [path, blocksOf(path, 'ts')])))).toEqual([]);
  });

  test('and one that names another value fails', () => {
    expect(runModule(compared('[1, 2]; // [1, 2]\n')).status).toBe(0);
    expect(runModule(compared('[1, 2]; // [1, 3]\n')).status).not.toBe(0);
  });
});

/** Runs in a process of its own, from the root of the repository, where the packages are found by their names. */
function runModule(code: string): { status: number | null; stderr: string } {
  const module = `import { deepEqual as equal } from 'node:assert/strict';\n${code}`;
  const options = { cwd: root, input: module, encoding: 'utf8', timeout: 60_000 } as const;
  return spawnSync(process.execPath, ['--input-type=module-typescript', '-'], options);
}

/** What the compiler says of the blocks of each document, taken as one module at the root of the repository. */
function typeErrors(blocks: ReadonlyMap<string, { line: number; code: string }[]>): string[] {
  const sources = new Map<string, string>();
  for (const [path, found] of blocks) {
    sources.set(join(root, path.replaceAll('/', '.').replace(/md$/, 'ts')), found.map(({ code }) => code).join('\n'));
  }
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (file) => ts.sys.readFile(file));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const host = ts.createCompilerHost(options);
  const isPrinted = (path: string): boolean => sources.has(path);
  const { fileExists, readFile } = host;
  host.fileExists = (path) => isPrinted(path) || fileExists(path);
  host.readFile = (path) => sources.get(path) ?? readFile(path);
  const program = ts.createProgram([...sources.keys()], { ...options, noUnusedLocals: false }, host);
  return [...sources.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    return found.map(({ start, messageText }) => {
      const line = source!.getLineAndCharacterOfPosition(start ?? 0).line + 1;
      return `${path}:${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
  });
}

describe('text', () => {
  test(`has at most ${columnsMax} columns, but in tables and in what is generated`, () => {
    const written = documents.filter(({ text }) => !text.includes('<!-- generated:'));
    const wide = written.flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, index) => {
        const isTooWide = [...line].length > columnsMax && !line.startsWith('|');
        return isTooWide ? [`${path}:${index + 1}`] : [];
      }),
    );
    expect(wide).toEqual([]);
  });

  test('links to files that are there', () => {
    const broken = documents.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)]
        .map((match) => match[1])
        .filter((link) => !/^https?:/.test(link) && !existsSync(join(root, dirname(path), link)))
        .map((link) => `${path}: ${link}`),
    );
    expect(broken).toEqual([]);
  });

  test('names paths of this repository that are there', () => {
    const named = /`((?:core|server|ts-sdk|py-bindings|test|docs|\.ci)\/[\w./-]*)`/g;
    const missing = documents.flatMap(({ path, text }) =>
      [...text.matchAll(named)]
        .filter(([, name]) => !existsSync(join(root, name)))
        .map(([, name]) => `${path}: ${name}`),
    );
    expect(missing).toEqual([]);
  });
});

/** The cells of a table between `<!-- checked: name -->` and `<!-- end -->`, less backticks, without its head. */
function checkedTable(path: string, name: string): string[][] {
  const part = new RegExp(`<!-- checked: ${name} -->\n(.*?)<!-- end -->`, 's').exec(textOf(path))?.[1] ?? '';
  const lines = part.split('\n').filter((line) => line.startsWith('|'));
  const cellsOf = (line: string): string[] =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.replaceAll('`', '').trim());
  return lines.slice(2).map(cellsOf);
}

describe('docs/STORAGE.md', () => {
  const storage = 'docs/STORAGE.md';

  test('gives the sizes of the formats', () => {
    const constants: Record<string, unknown> = {
      ...journalFormat,
      CHECKSUM_BLOCK_SIZE,
      EXTENT_ALIGNMENT,
      RESERVE_SIZE,
      TAIL_SIZE,
    };
    const printed = checkedTable(storage, 'sizes').map(([, value, name]) => [name, value]);
    expect(printed.length).toBeGreaterThan(5);
    expect(printed).toEqual(printed.map(([name]) => [name, (constants[name] as number).toLocaleString('en')]));
  });

  test('has all events by their numbers', () => {
    const printed = checkedTable(storage, 'events').map(([number, name]) => [name, Number(number)]);
    expect(printed).toEqual(Object.entries(eventTypes));
  });

  test('has all kinds of records by their numbers', () => {
    const kind = /u32 partition, (\d) `?(\w+)/;
    const printed = checkedTable(storage, 'records').flatMap(([key]) => kind.exec(key)?.slice(1, 3) ?? []);
    expect(printed).toEqual(Object.entries(recordKinds).flatMap(([kind, number]) => [String(number), kind]));
  });

  test.each(['server/journal/recover.ts', 'server/engine/open.ts'])('has the table of cases of %s', (path) => {
    const head = files.find((file) => file.path === path)!.text.split('*/')[0];
    const inCode = [...head.matchAll(/^ \* {3}(\S.*?) +(cut|refuse|trust|keep|void)(?: +(.*))?$/gm)];
    expect(inCode.length).toBeGreaterThan(4);
    expect(checkedTable(storage, path)).toEqual(
      inCode.map(([, found, outcome, reason]) => [found, outcome, reason ?? '']),
    );
  });
});

describe('docs/OPERATIONS.md', () => {
  const operations = 'docs/OPERATIONS.md';

  test('has all settings', () => {
    const inCode = Object.entries(settings).map(([key, { flag, env, fallback, about }]) => {
      return [flag, env, key, fallback === '' ? 'none' : fallback, about];
    });
    expect(checkedTable(operations, 'settings')).toEqual(inCode);
  });

  test('has all metrics', () => {
    const none = { connectionCount: () => 0, counts: { bytesReceived: 0, bytesSent: 0 } };
    const gauges = nodeGauges(() => null, none as Parameters<typeof nodeGauges>[1]);
    const [requests, ...printed] = checkedTable(operations, 'metrics');
    expect(requests[0]).toBe('tq_requests_total');
    expect(printed).toEqual(gauges.map(({ name, help }) => [name, help]));
  });
});

test('the newest entry of the changelog is this version', () => {
  const { version } = parseManifest(files, 'package.json');
  expect(/^## \[(.*?)\]/m.exec(textOf('CHANGELOG.md'))?.[1]).toBe(version);
});
