/**
 * `npm run bench -- <suite>|all [--quick] [--json FILE]`: runs benchmark suites, prints tables, and with --json writes
 * one result per line. A suite that fails (wrong bytes, a dead server) makes the exit status 1; the others still run.
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

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } },
  });
  const suites = await loadSuites();
  const [wanted] = positionals;
  const chosen = wanted === 'all' ? suites : suites.filter(({ name }) => name === wanted);
  if (chosen.length === 0) {
    const names = [...suites.map(({ name }) => name), 'all'].join(', ');
    console.error(`npm run bench -- <suite> [--quick] [--json FILE], where <suite> is one of: ${names}`);
    return 2;
  }
  const results: Result[] = [];
  let failed = false;
  for (const suite of chosen) {
    const outcome = await runSuite(suite, values.quick);
    results.push(...outcome.results);
    failed ||= outcome.failed;
  }
  if (values.json !== undefined) writeFileSync(values.json, results.map((one) => `${JSON.stringify(one)}\n`).join(''));
  return failed ? 1 : 0;
}

process.exit(await main());
