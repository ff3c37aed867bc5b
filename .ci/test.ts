/**
 * `npm test`: checks, then Vitest, then pytest, each with its output as it comes. The last line sums all three:
 *
 *     N passed, N failed
 *
 * A check counts as one test. A runner that dies, or fails without naming a test, counts as one failed test, so that
 * "0 failed" and exit status 0 always go together.
 */

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { capture, run, type Options } from './process.mjs';
import { scratchInMemory } from './scratch.ts';
import { root } from './setup.mjs';

interface Outcome {
  passed: number;
  /** Names of what failed. */
  failed: string[];
}

interface Check {
  name: string;
  command: string[];
}

const node = process.execPath;
const python = join(root, '.venv', 'bin', 'python');
const packages = (path: string) => join(root, 'node_modules', path);
const mypyConfig = 'py-bindings/pyproject.toml';

/** Two lanes, run side by side: one core each. */
const checkLanes: Check[][] = [
  [{ name: 'eslint', command: [node, packages('eslint/bin/eslint.js'), '--max-warnings=0', '.'] }],
  [
    { name: 'prettier', command: [node, packages('prettier/bin/prettier.cjs'), '--check', '.'] },
    { name: 'tsc', command: [node, packages('typescript/bin/tsc'), '--project', 'tsconfig.json'] },
    { name: 'ruff check', command: [python, '-m', 'ruff', 'check', 'py-bindings', 'test'] },
    { name: 'ruff format', command: [python, '-m', 'ruff', 'format', '--check', 'py-bindings', 'test'] },
    { name: 'mypy', command: [python, '-m', 'mypy', '--config-file', mypyConfig, 'py-bindings/transferq'] },
  ],
];

const outDir = join(root, 'out', 'test');
const vitestReport = join(outDir, 'vitest.json');
const pytestReport = join(outDir, 'pytest.xml');

/** No runner may take longer: a test that never gives the turn back meets no deadline of its own. */
const RUNNER_MS_MAX = 40 * 60_000;

/** Colours belong to terminals; a log file stays plain. */
const options = { cwd: root, env: process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: '1' } };

function runnerOptions(scratch: string | null): Options {
  if (scratch === null) return { ...options, timeout: RUNNER_MS_MAX };
  // Hundreds of servers start from the same sources: one of them compiles for all.
  const env = { ...options.env, TMPDIR: scratch, NODE_COMPILE_CACHE: join(scratch, 'compiled') };
  return { ...options, env, timeout: RUNNER_MS_MAX };
}

async function runChecks(): Promise<Outcome> {
  const outcomes = await Promise.all(
    checkLanes.map(async (lane) => {
      const outcome: Outcome = { passed: 0, failed: [] };
      for (const check of lane) {
        const startMs = performance.now();
        const { status, output } = await capture(check.command, options);
        console.log(` ${status === 0 ? '✓' : '✗'} ${check.name} ${seconds(startMs)}`);
        if (status === 0) outcome.passed += 1;
        else {
          console.log(output);
          outcome.failed.push(check.name);
        }
      }
      return outcome;
    }),
  );
  return sum(outcomes);
}

async function runVitest(scratch: string | null): Promise<Outcome> {
  rmSync(vitestReport, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${vitestReport}`];
  const status = await run([node, packages('vitest/vitest.mjs'), 'run', ...reporters], runnerOptions(scratch));
  const outcome = existsSync(vitestReport) ? readVitest(readFileSync(vitestReport, 'utf8')) : nothing();
  return withStatus('vitest', status, outcome);
}

async function runPytest(scratch: string | null): Promise<Outcome> {
  rmSync(pytestReport, { force: true });
  // Two processes, one for each core; the tests of a file share its server.
  const lanes = ['-n', '2', '--dist', 'loadfile'];
  const report = `--junit-xml=${pytestReport}`;
  const command = [python, '-m', 'pytest', '--config-file=test/pytest.ini', ...lanes, report, 'test'];
  const status = await run(command, runnerOptions(scratch));
  const outcome = existsSync(pytestReport) ? readPytest(readFileSync(pytestReport, 'utf8')) : nothing();
  return withStatus('pytest', status, outcome);
}

interface VitestReport {
  testResults: { name: string; status: string; assertionResults: { fullName: string; status: string }[] }[];
}

/** A file that fails outside its tests (an import that throws) counts as one failed test. */
export function readVitest(json: string): Outcome {
  const outcome = nothing();
  for (const file of (JSON.parse(json) as VitestReport).testResults) {
    const path = file.name.replace(`${root}/`, '');
    const failed = file.assertionResults.filter((test) => test.status === 'failed');
    outcome.passed += file.assertionResults.filter((test) => test.status === 'passed').length;
    outcome.failed.push(...failed.map((test) => `${path}: ${test.fullName}`));
    if (file.status === 'failed' && failed.length === 0) outcome.failed.push(path);
  }
  return outcome;
}

/** Reads what pytest writes: a test case with a <failure> or an <error> failed, one with <skipped> does not count. */
export function readPytest(xml: string): Outcome {
  const outcome = nothing();
  for (const [, attributes, body = ''] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)) {
    const attribute = (name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? '';
    if (/<(failure|error)\b/.test(body)) outcome.failed.push(`${attribute('classname')}: ${attribute('name')}`);
    else if (!/<skipped\b/.test(body)) outcome.passed += 1;
  }
  return outcome;
}

function withStatus(runner: string, status: number, outcome: Outcome): Outcome {
  if (status === 0 || outcome.failed.length > 0) return outcome;
  return { ...outcome, failed: [`${runner} ended with status ${status}`] };
}

function nothing(): Outcome {
  return { passed: 0, failed: [] };
}

function sum(outcomes: Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((total, outcome) => total + outcome.passed, 0),
    failed: outcomes.flatMap((outcome) => outcome.failed),
  };
}

function seconds(startMs: number): string {
  return `(${((performance.now() - startMs) / 1000).toFixed(1)} s)`;
}

async function main(): Promise<void> {
  mkdirSync(outDir, { recursive: true });
  const scratch = scratchInMemory();
  const outcomes: Outcome[] = [];
  try {
    for (const [name, step] of [
      ['checks', runChecks],
      ['vitest', runVitest],
      ['pytest', runPytest],
    ] as const) {
      const startMs = performance.now();
      console.log(`\n== ${name}`);
      outcomes.push(await step(scratch));
      console.log(`== ${name} ${seconds(startMs)}`);
      if (process.argv.includes('--checks-only')) break;
    }
  } finally {
    if (scratch !== null) rmSync(scratch, { recursive: true, force: true });
  }
  const { passed, failed } = sum(outcomes);
  if (failed.length > 0) console.log(`\nfailed:\n${failed.map((name) => `  ${name}`).join('\n')}`);
  console.log(`\n${passed} passed, ${failed.length} failed`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

if (import.meta.main) await main();
