/** The Python half of a suite: wire_bench.py prints one measured figure per line, in the form that `report` takes. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { BenchServer } from './server.ts';
import type { BenchContext, Measured } from './suite.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Runs the cases of a suite whose names contain `only`. */
export async function benchPython(
  server: BenchServer,
  { quick, report }: BenchContext,
  { suite, only = '' }: { suite: string; only?: string },
): Promise<void> {
  const python = `${root}.venv/bin/python`;
  if (!existsSync(python)) throw new Error(`${python} is missing: set the repository up with npm test first`);
  const script = `${root}test/bench/wire_bench.py`;
  const options = [server.url, String(server.pid), '--suite', suite, '--only', only, ...(quick ? ['--quick'] : [])];
  const child = spawn(python, [script, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONPATH: `${root}py-bindings` },
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  for await (const line of createInterface({ input: child.stdout })) report(JSON.parse(line) as Measured);
  const code = await ended;
  if (code !== 0) throw new Error(`wire_bench.py ended with status ${code}`);
}
