/**
 * The scripts: what counts as passed and failed in the reports of Vitest and pytest; what set-up skips; what a proof
 * runs.
 */

import { existsSync, rmdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { capture } from '../.ci/process.mjs';
import { proofOf, vitestArguments } from '../.ci/proof.ts';
import { scratchInMemory } from '../.ci/scratch.ts';
import { root, sameLock } from '../.ci/setup.mjs';
import { readPytest, readVitest } from '../.ci/test.ts';

describe('the report of Vitest', () => {
  const report = (status: string, ...tests: string[]) =>
    JSON.stringify({
      testResults: [
        { name: 'a.test.ts', status, assertionResults: tests.map((one) => ({ fullName: `is ${one}`, status: one })) },
      ],
    });

  test('skipped tests count neither way', () => {
    expect(readVitest(report('passed', 'passed', 'passed', 'skipped'))).toEqual({ passed: 2, failed: [] });
  });

  test('failed tests are named', () => {
    expect(readVitest(report('failed', 'passed', 'failed'))).toEqual({ passed: 1, failed: ['a.test.ts: is failed'] });
  });

  test('a file that does not load is one failed test', () => {
    expect(readVitest(report('failed'))).toEqual({ passed: 0, failed: ['a.test.ts'] });
  });
});

test('the report of pytest: failures and errors fail, skipped tests count neither way', () => {
  const xml = `<?xml version="1.0"?><testsuites><testsuite>
    <testcase classname="test_a" name="test_good" time="0.1" />
    <testcase classname="test_a" name="test_loud" time="0.1"><system-out>&lt;failure&gt;</system-out></testcase>
    <testcase classname="test_a" name="test_skipped"><skipped message="no torch"/></testcase>
    <testcase classname="test_a" name="test_bad"><failure message="assert">x
      y</failure></testcase>
    <testcase classname="" name="test_broken"><error message="import">z</error></testcase>
  </testsuite></testsuites>`;
  expect(readPytest(xml)).toEqual({ passed: 2, failed: ['test_a: test_bad', ': test_broken'] });
});

describe('installed npm packages', () => {
  const wanted = {
    packages: {
      '': { name: 'root' },
      core: { name: '@transfer-queue/core', version: '0.1.0' },
      'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
      'node_modules/b': { version: '1.0.0', integrity: 'sha512-b', optional: true },
    },
  };
  const a = wanted.packages['node_modules/a'];

  test('match the lock file when only optional ones are absent', () => {
    expect(sameLock(wanted, { packages: { 'node_modules/a': a } })).toBe(true);
  });

  test.each([
    ['nothing is installed', undefined],
    ['a package is absent', { packages: {} }],
    ['a version differs', { packages: { 'node_modules/a': { ...a, version: '1.0.1' } } }],
    ['a content differs', { packages: { 'node_modules/a': { ...a, integrity: 'sha512-c' } } }],
  ])('do not match when %s', (_, installed) => {
    expect(sameLock(wanted, installed)).toBe(false);
  });
});

describe('a proof', () => {
  const chance = () => 0.5;

  test('is short and the same each time, unless it is asked for in large', () => {
    expect(proofOf(['crash'], chance)).toMatchObject({ folders: ['test/crash'], seed: 1, isLong: false });
    expect(proofOf(['sim', '--long'], chance)).toMatchObject({ seed: 500_000_000, isLong: true });
  });

  test('is replayed by its seed; other arguments are for Vitest', () => {
    expect(proofOf(['fuzz', '--seed', '7', '-t', 'x', '--long'], chance)).toMatchObject({ seed: 7, rest: ['-t', 'x'] });
  });

  test.each([[[]], [['all']], [['sim', '--seed']], [['sim', '--seed', 'x']], [['sim', '--seed', '-1']]])(
    'is refused: %j',
    (args) => {
      expect(() => proofOf(args, chance)).toThrow(/Which proof|A seed has/);
    },
  );

  test('runs the tests of its folders and no others', async () => {
    const args = vitestArguments(proofOf(['crash'], chance));
    const command = [process.execPath, 'node_modules/vitest/vitest.mjs', 'list', '--filesOnly', ...args];
    const { output } = await capture(command, { cwd: root });
    const files = output.split('\n').filter((line) => line.includes('.test.ts'));
    expect(files).not.toEqual([]);
    expect(files.filter((file) => !file.includes('test/crash/'))).toEqual([]);
  });
});

describe('directories of tests', () => {
  test('are in memory where there is room', () => {
    const made = scratchInMemory('/dev/shm', 0);
    if (existsSync('/dev/shm')) expect(made).toMatch(/^\/dev\/shm\/tq-/);
    if (made !== null) rmdirSync(made);
  });

  test.each([
    ['there is too little room', '/dev/shm', Infinity],
    ['it is no memory', '/proc', 0],
    ['there is no such directory', '/nowhere', 0],
  ])('are where they always were when %s', (_, parent, roomMin) => {
    expect(scratchInMemory(parent, roomMin)).toBeNull();
  });
});
