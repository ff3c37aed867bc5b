/**
 * Settings from flags, environment and file: which one wins, what the server says of a wrong one, and what it shows.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, resolveSettings, settings, type ConfigSources, type Settings } from '../../server/config.ts';
import { startServer, temporaryDirectory } from '../support/process.ts';

const MAIN = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
const EXIT_USAGE = 64;
const EXIT_FAILED = 1;
const SECRET = 'hush-hush';

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly log: string;
}

interface Start {
  readonly arguments?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Written to settings.json, which --config names. */
  readonly file?: string;
}

let folder: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  folder = temporaryDirectory('settings');
});
afterAll(() => folder.remove());
let runs = 0;

/** Starts `tq serve` in a directory of its own and stops it when it is ready; resolves when it has ended. */
function run({ arguments: given = [], env = {}, file }: Start): Promise<Ended> {
  const cwd = join(folder.path, String(runs++));
  mkdirSync(cwd);
  if (file !== undefined) writeFileSync(join(cwd, 'settings.json'), file);
  const config = file === undefined ? [] : ['--config', 'settings.json'];
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TQ_')));
  const child = spawn(process.execPath, [MAIN, 'serve', ...config, ...given], { cwd, env: { ...inherited, ...env } });
  let [out, log] = ['', ''];
  child.stderr.on('data', (bytes: Buffer) => (log += bytes.toString()));
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString();
    if (out.includes('tq: ready')) child.kill('SIGTERM');
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, log })));
}

describe('which one wins', () => {
  /** Four values of each setting, weakest first; the first one is its default. */
  const values: { readonly [K in keyof Settings]: readonly string[] } = {
    data: ['./tq-data', '/file', '/env', '/flag'],
    host: ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'],
    port: ['7654', '1', '2', '3'],
    memory: ['1073741824', '33554432', '33554433', '33554434'],
    indexCache: ['67108864', '4194304', '4194305', '4194306'],
    rowsMax: ['0', '1', '2', '3'],
    bytesMax: ['0', '1', '2', '3'],
    sampler: ['', 'of=/file', 'of=/env', 'of=/flag'],
    logLevel: ['info', 'debug', 'warn', 'error'],
    token: ['', 'file', 'env', 'flag'],
    plaintext: ['false', 'true', 'false', 'true'],
    syncIntervalMs: ['1000', '11', '12', '13'],
    scrubRate: ['20971520', '1048576', '1048577', '1048578'],
    advertise: ['', 'http://file', 'http://env', 'http://flag'],
    shards: ['64', '1', '2', '3'],
  };
  const keys = Object.keys(settings) as (keyof Settings)[];

  test.each(keys)('%s: flag, environment, file, default', (key) => {
    const [fallback, file, env, flag] = values[key];
    const sources: ConfigSources = { flags: { [key]: flag }, env: { [settings[key].env]: env }, file: { [key]: file } };
    const chosen = (given: Partial<ConfigSources>): string =>
      String(resolveSettings({ flags: {}, env: {}, file: {}, ...given })[key]);
    expect(chosen({})).toBe(fallback);
    expect(chosen({ file: sources.file })).toBe(file);
    expect(chosen({ file: sources.file, env: sources.env })).toBe(env);
    expect(chosen(sources)).toBe(flag);
  });

  test('a file may hold numbers and booleans as they are', () => {
    const file = { port: 1, plaintext: true, memory: 40 << 20 };
    expect(resolveSettings({ flags: {}, env: {}, file })).toMatchObject(file);
  });

  test('in a process, with the settings in force printed and the secret kept', async () => {
    const file = JSON.stringify({ port: 0, memory: '48MiB', shards: 3, syncIntervalMs: 20, token: SECRET });
    const env = { TQ_MEMORY: '40MiB', TQ_SHARDS: '5' };
    const { code, out, log } = await run({ file, env, arguments: ['--shards', '7', '--data', 'here'] });
    expect(out).toMatch(/^tq: ready at http:\/\/127\.0\.0\.1:\d+\n$/);
    expect(code).toBe(0);
    const shown = log.split('\n').find((line) => line.includes('settings in force'))!;
    const inForce = { data: 'here', port: 0, memory: 40 << 20, shards: 7, syncIntervalMs: 20, tokenGiven: true };
    expect(JSON.parse(shown)).toMatchObject(inForce);
    expect(log + out).not.toContain(SECRET);
  });
});

describe('a wrong one is named, with what would do', () => {
  const usage: Readonly<Record<string, [Start, RegExp]>> = {
    port: [{ arguments: ['--port', '65536'] }, /^tq: --port: "65536" is not an integer from 0 to 65535$/],
    'port from the environment': [{ env: { TQ_PORT: '1e3' } }, /^tq: TQ_PORT: "1e3" is not an integer/],
    'port from the file': [{ file: '{"port":-1}' }, /^tq: "port" in the settings file: "-1" is not an integer/],
    'no port': [{ env: { TQ_PORT: '' } }, /^tq: TQ_PORT: "" is not an integer/],
    memory: [{ arguments: ['--memory', '1GB'] }, /^tq: --memory: "1GB" is not a size such as 512MiB or 2GiB$/],
    'little memory': [
      { arguments: ['--memory', '31MiB'] },
      /^tq: --memory: "31MiB" is not a size from 32MiB to 64GiB$/,
    ],
    'little cache': [
      { arguments: ['--index-cache', '4095KiB'] },
      /^tq: --index-cache: "4095KiB" is not a size from 4MiB to 512MiB$/,
    ],
    'much cache': [{ env: { TQ_INDEX_CACHE: '513MiB' } }, /^tq: TQ_INDEX_CACHE: .* 4MiB to 512MiB$/],
    'little scrub': [
      { arguments: ['--scrub-rate', '1023KiB'] },
      /^tq: --scrub-rate: "1023KiB" is not a size from 1MiB to 1GiB$/,
    ],
    'much memory': [{ arguments: ['--memory', '9999999999999GiB'] }, /^tq: --memory: .* 32MiB to 64GiB$/],
    'a budget of rows': [{ arguments: ['--rows-max', '-1'] }, /^tq: --rows-max: "-1" is not an integer from 0 to/],
    'a budget of bytes': [
      { env: { TQ_BYTES_MAX: '9999999999999GiB' } },
      /^tq: TQ_BYTES_MAX: .* is not a size below 2\^53 bytes$/,
    ],
    'log level': [{ arguments: ['--log-level', 'loud'] }, /^tq: --log-level: "loud" is not one of debug, info/],
    plaintext: [{ env: { TQ_PLAINTEXT: 'maybe' } }, /^tq: TQ_PLAINTEXT: "maybe" is not true or false$/],
    'no data directory': [{ env: { TQ_DATA: '' } }, /^tq: TQ_DATA: it must not be empty$/],
    'no host': [{ arguments: ['--host', ''] }, /^tq: --host: it must not be empty$/],
    advertise: [{ arguments: ['--advertise', 'node-1:7654'] }, /^tq: --advertise: "node-1:7654" is not a URL/],
    shards: [{ arguments: ['--shards', '0'] }, /^tq: --shards: "0" is not an integer from 1 to 8192$/],
    'a token that no header can hold': [
      { env: { TQ_TOKEN: `${SECRET} é` } },
      /^tq: TQ_TOKEN: a token is made of visible/,
    ],
    'a token of null': [{ file: '{"token":null}' }, /^tq: "token" in the settings file: it is neither a word/],
    'a list': [{ file: '{"data":["a"]}' }, /^tq: "data" in the settings file: it is neither a word/],
    'an unknown key': [
      { file: '{"ports":1}' },
      /^tq: the settings file has the unknown key "ports"; known are data, host/,
    ],
    'no object': [{ file: 'null' }, /^tq: cannot read the settings file settings.json: it holds no JSON object$/],
    'no JSON': [{ file: `{"token":"${SECRET}",}` }, /^tq: cannot read .* it is not valid JSON at line 1 column \d+$/],
    'half of JSON': [{ file: `{"token":"${SECRET}"` }, /^tq: cannot read .* it is not valid JSON at /],
    'no file': [{ arguments: ['--config', 'none.json'] }, /^tq: cannot read the settings file none.json: ENOENT/],
    'a host beyond loopback': [
      { arguments: ['--host', '0.0.0.0'] },
      /^tq: --host 0.0.0.0 is open to others: give --token/,
    ],
    'with a token, without --plaintext': [
      { arguments: ['--host', '0.0.0.0', '--token', SECRET] },
      /^tq: --host 0.0.0.0 is open/,
    ],
    'with --plaintext, without a token': [{ arguments: ['--host', '::', '--plaintext'] }, /^tq: --host :: is open/],
    'a name that only looks like loopback': [
      { arguments: ['--host', '127.0.0.1.evil'] },
      /^tq: --host 127.0.0.1.evil is open/,
    ],
  };

  test.concurrent.each(Object.keys(usage))('%s', async (name) => {
    const [start, message] = usage[name];
    const { code, out, log } = await run(start);
    expect(log.trimEnd()).toMatch(message);
    expect([code, out]).toEqual([EXIT_USAGE, '']);
    expect(log).not.toContain(SECRET);
  });

  test('an unknown flag', async () => {
    const { code, out, log } = await run({ arguments: ['--bogus'] });
    expect(log).toMatch(/^error: unknown option '--bogus'/);
    expect([code, out]).toEqual([EXIT_USAGE, '']);
  });

  test('a host beyond loopback is served with both', async () => {
    const { code, out } = await run({
      arguments: ['--host', '0.0.0.0', '--port', '0', '--plaintext', '--memory', '32MiB'],
      env: { TQ_TOKEN: SECRET },
    });
    expect(out).toMatch(/^tq: ready at http:\/\/0\.0\.0\.0:\d+\n$/);
    expect(code).toBe(0);
  });

  test('a refused start leaves no data directory behind', async () => {
    const data = join(folder.path, 'never');
    await run({ arguments: ['--data', data, '--host', '0.0.0.0'] });
    expect(existsSync(data)).toBe(false);
  });
});

describe('what is taken', () => {
  test('a data directory that another process serves', async () => {
    const data = join(folder.path, 'shared');
    const server = await startServer({ directory: data });
    const { code, log } = await run({
      arguments: ['--data', data, '--port', '0', '--log-level', 'warn', '--memory', '32MiB'],
    });
    expect(log).toBe(`tq: another process serves ${data}; stop it or choose another --data\n`);
    expect(code).toBe(EXIT_FAILED);
    const answer = await fetch(`${server.url}/readyz`);
    expect(answer.status).toBe(200);
    server.signal('SIGTERM');
    await server.exited;
  });

  test('a port', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const { code, log } = await run({ arguments: ['--port', String(port), '--log-level', 'warn'] });
    expect(log).toBe(`tq: 127.0.0.1:${port} is taken; choose another --port, or 0 for a free one\n`);
    expect(code).toBe(EXIT_FAILED);
    other.close();
  });

  test('a data directory that is a file', async () => {
    const file = join(folder.path, 'file');
    writeFileSync(file, '');
    const { code, log } = await run({
      arguments: ['--data', file, '--port', '0', '--log-level', 'warn', '--memory', '32MiB'],
    });
    expect(log).toMatch(/^tq: cannot start: E(NOTDIR|EXIST): [^\n]*\n$/);
    expect(code).toBe(EXIT_FAILED);
  });
});

test('a setting that cannot be used is a ConfigError, also of settings that a caller made up', () => {
  const made = { flags: {}, env: {}, file: JSON.parse('{"__proto__":{"token":"x"}}') as Record<string, unknown> };
  expect(() => resolveSettings(made)).toThrow(ConfigError);
});
