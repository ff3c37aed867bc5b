/** Rules that one file can break by itself: sizes, words, default exports, places of one machine. */

import ts from 'typescript';
import { isGenerated, type SourceFile, type Violation } from './files.ts';

export interface FileRule {
  readonly name: string;
  appliesTo(file: SourceFile): boolean;
  check(file: SourceFile): Violation[];
}

export const fileLinesMax = 400;
export const functionLinesMax = 70;
export const columnsMax = 120;

const isCode = (file: SourceFile) =>
  /\.(ts|js|mjs|py|wit|sh|toml|yml|yaml)$/.test(file.path) || file.path === '.ci/run';
const isTypeScript = (file: SourceFile) => /\.(ts|js|mjs)$/.test(file.path);
const isPython = (file: SourceFile) => file.path.endsWith('.py');
const isTest = (file: SourceFile) => file.path.startsWith('test/');
const isLock = (file: SourceFile) => file.path === 'package-lock.json';
/** This file names what it bans. */
const isRules = (file: SourceFile) => file.path === 'test/tidy/style.ts';
const isVector = (file: SourceFile) => file.path.startsWith('test/vectors/');

/** One violation per line that matches. */
function perLine(file: SourceFile, pattern: RegExp, what: string): Violation[] {
  return file.text
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${file.path}:${index + 1}: ${what}`] : []));
}

const fileLines: FileRule = {
  name: `files have at most ${fileLinesMax} lines`,
  appliesTo: (file) => isCode(file) && !isGenerated(file),
  check(file) {
    const lineCount = file.text.trimEnd().split('\n').length;
    return lineCount > fileLinesMax ? [`${file.path}: ${lineCount} lines; split it where a second concept begins`] : [];
  },
};

const columns: FileRule = {
  name: `lines have at most ${columnsMax} columns`,
  appliesTo: (file) => isCode(file) && !isGenerated(file),
  check: (file) =>
    perLine(file, new RegExp(`.{${columnsMax + 1}}`, 'u'), `more than ${columnsMax} columns; break the line`),
};

const functionLines: FileRule = {
  name: `functions have at most ${functionLinesMax} lines`,
  appliesTo: (file) => (isTypeScript(file) || isPython(file)) && !isTest(file) && !isGenerated(file),
  check: (file) =>
    (isPython(file) ? pythonFunctions(file) : typescriptFunctions(file))
      .filter(({ lineCount }) => lineCount > functionLinesMax)
      .map(({ line, lineCount }) => `${file.path}:${line}: a function of ${lineCount} lines; name its parts`),
};

interface FunctionSpan {
  line: number;
  lineCount: number;
}

function typescriptFunctions(file: SourceFile): FunctionSpan[] {
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
  const spans: FunctionSpan[] = [];
  const lineAt = (position: number) => source.getLineAndCharacterOfPosition(position).line;
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const first = lineAt(node.getStart(source));
      spans.push({ line: first + 1, lineCount: lineAt(node.end) - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return spans;
}

/** A Python function ends before the next line that is indented no deeper than its `def`. */
function pythonFunctions(file: SourceFile): FunctionSpan[] {
  const lines = file.text.split('\n');
  return lines.flatMap((line, first) => {
    const indent = /^(\s*)(?:async )?def /.exec(line)?.[1].length;
    if (indent === undefined) return [];
    const isOutside = (text: string) => text.trim() !== '' && !/^\s*\)/.test(text) && text.search(/\S/) <= indent;
    const after = lines.findIndex((text, index) => index > first && isOutside(text));
    const body = lines.slice(first, after === -1 ? undefined : after);
    return [{ line: first + 1, lineCount: body.join('\n').trimEnd().split('\n').length }];
  });
}

const unfinished: FileRule = {
  name: 'nothing is marked as unfinished',
  appliesTo: (file) => (isCode(file) || file.path.endsWith('.md')) && !isRules(file),
  check: (file) => perLine(file, /\b(?:TODO|FIXME|XXX|HACK)\b/, 'do it now, or write an issue'),
};

const defaultExport: FileRule = {
  name: 'nothing is exported by default',
  appliesTo: (file) => isTypeScript(file) && !/\.config\.(ts|js)$/.test(file.path),
  check: (file) => perLine(file, /^\s*export default\b|\bas default\b/, 'export it by name'),
};

const machinePlace: FileRule = {
  name: 'no path, host or registry of one machine is named',
  appliesTo: (file) => !isRules(file),
  check: (file) => [
    ...perLine(file, /(?<![\w.)}-])\/(?:work|root|home|farm|Users)\/\w/, 'a path of one machine; make it relative'),
    ...perLine(
      file,
      /registry\.npm|npmmirror|\bpypi\.org|pythonhosted|download\.pytorch/,
      'a package host; leave the choice to the configuration of npm and pip',
    ),
    ...(isLock(file) ? perLine(file, /"resolved": "(?:https?|file):/, 'a package host; lock integrity only') : []),
  ],
};

const generated: FileRule = {
  name: 'generated files say so',
  appliesTo: (file) => /(^|\/)_protocol\.py$|\.generated\.\w+$/.test(file.path),
  check: (file) =>
    isGenerated(file) ? [] : [`${file.path}: say at the top what it is generated from, and "do not edit"`],
};

const endsWithNewline: FileRule = {
  name: 'text ends with one newline and has no blanks at line ends',
  appliesTo: (file) => !isVector(file) && file.text !== '',
  check: (file) => [
    ...(/[^\n]\n$/.test(file.text) ? [] : [`${file.path}: end it with one newline`]),
    ...(file.path.endsWith('.md') ? [] : perLine(file, /[ \t]+$/, 'blanks at the end of the line')),
  ],
};

const runs: FileRule = {
  name: 'how much tests try is asked of test/support/runs.ts',
  appliesTo: (file) => isTest(file) && isTypeScript(file) && file.path !== 'test/support/runs.ts' && !isRules(file),
  check: (file) =>
    perLine(file, /process\.env(?:\.|\[['"])(?:TQ_LONG|\w*SEED|\w*RUNS)\b/, 'use isLong, seedOr or runsOr'),
};

export const fileRules: readonly FileRule[] = [
  fileLines,
  columns,
  functionLines,
  unfinished,
  defaultExport,
  machinePlace,
  generated,
  endsWithNewline,
  runs,
];
