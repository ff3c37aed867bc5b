/**
 * The door of every npm script: `node .ci/do.mjs <task> [arguments]`. Sets up what the task needs, then runs it with
 * the repository's own Node 24 and Python. Itself it runs on the Node that the machine has (20 or newer).
 */

import { run } from './process.mjs';
import { environment, nodeBinary, pythonBinary, root, setUp, SetupError } from './setup.mjs';

const everything = ['demo', 'test'];

/** Task -> the extras of the Python package that it needs, and its commands; the last one gets the arguments. */
const tasks = {
  setup: { python: everything, commands: [] },
  build: { python: [], commands: [] },
  start: { python: [], commands: [[nodeBinary, 'server/main.ts', 'serve']] },
  demo: { python: ['demo'], commands: [[pythonBinary, '-m', 'transferq.demo']] },
  test: { python: everything, commands: [[nodeBinary, '.ci/test.ts']] },
  sim: { python: everything, commands: [[nodeBinary, '.ci/proof.ts', 'sim']] },
  crash: { python: everything, commands: [[nodeBinary, '.ci/proof.ts', 'crash']] },
  fuzz: { python: everything, commands: [[nodeBinary, '.ci/proof.ts', 'fuzz']] },
  lint: { python: everything, commands: [[nodeBinary, '.ci/test.ts', '--checks-only']] },
  format: {
    python: everything,
    commands: [
      [pythonBinary, '-m', 'ruff', 'check', '--fix', '--quiet', 'py-bindings', 'test'],
      [pythonBinary, '-m', 'ruff', 'format', 'py-bindings', 'test'],
      [nodeBinary, 'node_modules/eslint/bin/eslint.js', '--fix', '.'],
      [nodeBinary, 'node_modules/prettier/bin/prettier.cjs', '--write', '--log-level=warn', '.'],
    ],
  },
  generate: { python: [], commands: [[nodeBinary, '.ci/generate.ts']] },
  bench: { python: everything, commands: [[nodeBinary, '--expose-gc', 'test/bench/main.ts']] },
  pack: { python: everything, commands: [[nodeBinary, '.ci/pack.ts']] },
};

const [name, ...args] = process.argv.slice(2);
if (!Object.hasOwn(tasks, name)) {
  console.error(`Which task? One of: ${Object.keys(tasks).join(', ')}.`);
  process.exit(2);
}
const { python, commands } = tasks[name];

try {
  await setUp({ python });
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nset-up failed. ${error.message}`);
  if (name === 'test') console.log('0 passed, 1 failed');
  process.exit(1);
}
let status = 0;
for (const [order, command] of commands.entries()) {
  const isLast = order === commands.length - 1;
  status = Math.max(status, await run(isLast ? [...command, ...args] : command, { cwd: root, env: environment }));
}
process.exitCode = status;
