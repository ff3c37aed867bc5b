/**
 * The lint rules can fail: planted lines, linted as if they stood in a file of each place, break the rule that is meant
 * to catch them, and the same lines pass where they are allowed.
 */

import { ESLint } from 'eslint';
import { beforeAll, describe, expect, test } from 'vitest';
import { root } from './tidy/files.ts';

const core = 'core/layout.ts';
const server = 'server/errors.ts';
const env = 'server/env/real.ts';
const cli = 'server/cli.ts';
const sdk = 'ts-sdk/errors.ts';

let eslint: ESLint;
beforeAll(() => {
  eslint = new ESLint({ cwd: root });
});

/** The rules that the code breaks, were it the whole of the file at `path`. */
async function broken(path: string, code: string): Promise<(string | null)[]> {
  const [result] = await eslint.lintText(code, { filePath: path });
  return [...new Set(result.messages.map((message) => message.ruleId))];
}

const promise = 'declare const f: () => Promise<void>;\n';

describe.each([
  ['no-restricted-globals', 'export const x = Date.now();', [core, server], [env, sdk]],
  ['no-restricted-globals', 'export const x = performance.now();', [core, server], [env, sdk]],
  ['no-restricted-globals', 'setTimeout(() => undefined, 1);', [core, server], [env, sdk]],
  ['no-restricted-globals', 'setInterval(() => undefined, 1);', [core, server], [env, sdk]],
  ['no-restricted-globals', 'setImmediate(() => undefined);', [core, server], [env, sdk]],
  ['no-restricted-globals', 'export const x = crypto.randomUUID();', [core, server], [env, sdk]],
  ['no-restricted-globals', 'export const x = fetch;', [core, server], [env, sdk]],
  ['no-restricted-properties', 'export const x = Math.random();', [core, server], [env, sdk]],
  ['no-restricted-properties', 'export const x = process.hrtime();', [core, server, cli], [env, sdk]],
  ['no-restricted-properties', 'export const x = globalThis.Date.now();', [core, server, cli], [env, sdk]],
  ['no-restricted-properties', 'globalThis.setTimeout(() => undefined, 1);', [core, server, cli], [env, sdk]],
  ['no-restricted-properties', 'export const x = globalThis.crypto.getRandomValues;', [core, server, cli], [env, sdk]],
  ['no-restricted-properties', 'process.exit(1);', [server], [env, cli]],
  ['no-restricted-properties', 'process.nextTick(() => undefined);', [server], [env, cli]],
  ['no-restricted-properties', "export const x = process.getBuiltinModule('node:fs');", [server], [env]],
  ['no-restricted-globals', "export const x = new Worker('./x.js');", [core, server, cli], [env]],
  [
    'no-restricted-imports',
    "import { open } from 'node:fs/promises';\nexport const x = open;",
    [core, server],
    [env, sdk],
  ],
  [
    'no-restricted-imports',
    "import { randomBytes } from 'crypto';\nexport const x = randomBytes;",
    [core, server],
    [env],
  ],
  [
    'no-restricted-imports',
    "import { setTimeout } from 'node:timers/promises';\nexport const x = setTimeout;",
    [core, server],
    [env],
  ],
  ['no-restricted-imports', "import { hrtime } from 'node:process';\nexport const x = hrtime;", [core, server], [env]],
  ['no-restricted-syntax', "export const x = import('node:fs/promises');", [core, server, cli], [env]],
  ['no-restricted-syntax', "export const x = import('worker_threads');", [core, server, cli], [env]],
  ['no-restricted-imports', "import { connect } from 'net';\nexport const x = connect;", [core, server], [env, sdk]],
  ['no-restricted-imports', "import { get } from 'node:http';\nexport const x = get;", [core, server], [env, sdk]],
  [
    'no-restricted-imports',
    "import { Worker } from 'node:worker_threads';\nexport const x = Worker;",
    [core, server],
    [env],
  ],
  ['no-restricted-imports', "import { join } from 'node:path';\nexport const x = join;", [core], [server, env, sdk]],
  ['@typescript-eslint/no-floating-promises', `${promise}f();`, [core, server, env, sdk], []],
  [
    '@typescript-eslint/no-explicit-any',
    'export const x = (y: any): boolean => y === 1;',
    [core, server, env, sdk],
    [],
  ],
  ['no-empty', 'try { JSON.parse("1"); } catch {}', [core, server, env, sdk], []],
  ['no-console', 'console.log(1);', [core, server, env, sdk], []],
  ['no-restricted-syntax', 'export enum E { a }', [core, server, env, sdk], []],
  ['no-restricted-syntax', `${'export'} default 1;`, [core, server, env, sdk], []],
] as const)('%s catches %s', (rule, code, caught, allowed) => {
  test.each(caught.map((path) => [path]))('in %s', async (path) => {
    expect(await broken(path, `${code}\n`)).toContain(rule);
  });

  test.each(allowed.map((path) => [path]))('not in %s', async (path) => {
    expect(await broken(path, `${code}\n`)).not.toContain(rule);
  });
});
