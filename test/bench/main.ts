/**
 * `npm run bench -- <suite>|all [--quick] [--json FILE]`: runs benchmark suites, prints tables, and with --json writes
 * one result per line. A suite that fails (wrong bytes, a dead server) makes the exit status 1; the others still run.
 * What is not understood makes it 2.
 */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { toResult, type Result, type Suite } from './runner/suite.ts';
import { tableHead, tableLine } from './runner/table.ts';

/** Every file beside this one that exports `run` is a suite, named after the file. */
async function loadSuites(): Promise<Suite[]> {
  const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.ts') && name !== 'main.ts');
  const suites: Suite[] = [];
  for (const file of files.sort()) {
    const module = (await import(join(import.meta.dirname, file))) as Partial<Suite>;
    if (typeof module.run === 'function') suites.push({ name: file.replace(/\.ts$/, ''), run: module.run });
  }
  return suites;
}

async function runSuite(suite: Suite, quick: boolean): Promise<{ results: Result[]; failed: boolean }> {
  const results: Result[] = [];
  console.log(tableHead(suite.name));
  try {
    await suite.run({
      quick,
      report(measured) {
        const result = toResult(suite.name, measured);
        results.push(result);
        console.log(tableLine(result));
      },
    });
    return { results, failed: false };
  } catch (error) {
    console.error(`${suite.name} failed:`, error);
    return { results, failed: true };
  }
}

interface Wanted {
  readonly help: boolean;
  readonly suite: string | undefined;
  readonly quick: boolean;
  /** File for the results. */
  readonly json?: string;
}

/** What the arguments ask for; throws a `TypeError` that says what is wrong with them. */
function wantedOf(): Wanted {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (positionals.length > 1) throw new TypeError(`One suite at a time, or all: not ${positionals.join(' ')}`);
  return { ...values, suite: positionals[0] };
}

async function main(): Promise<number> {
  const suites = await loadSuites();
  const names = [...suites.map(({ name }) => name), 'all'].join(', ');
  const usage = `npm run bench -- <suite> [--quick] [--json FILE], where <suite> is one of: ${names}`;
  let wanted: Wanted;
  try {
    wanted = wantedOf();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n${usage}`);
    return 2;
  }
  if (wanted.help) {
    console.log(usage);
    return 0;
  }
  const chosen = wanted.suite === 'all' ? suites : suites.filter(({ name }) => name === wanted.suite);
  if (chosen.length === 0) {
    console.error(usage);
    return 2;
  }
  const results: Result[] = [];
  let failed = false;
  for (const suite of chosen) {
    const outcome = await runSuite(suite, wanted.quick);
    results.push(...outcome.results);
    failed ||= outcome.failed;
  }
  if (wanted.json !== undefined) writeFileSync(wanted.json, results.map((one) => `${JSON.stringify(one)}\n`).join(''));
  return failed ? 1 : 0;
}

process.exit(await main());
