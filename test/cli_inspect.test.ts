/** `tq verify` and `tq inspect` as an operator runs them: processes, exit codes, and what they print where. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realEnv } from '../server/env/real.ts';
import { claimOf, declareTest, openTestNode, putText } from './support/node.ts';
import { temporaryDirectory } from './support/process.ts';
import { quietLog } from './support/sim_env.ts';

const MAIN = fileURLToPath(new URL('../server/main.ts', import.meta.url));
const EXIT = { sound: 0, problems: 1, usage: 64, locked: 75 } as const;

const home = temporaryDirectory('inspect');
const directory = join(home.path, 'data');

beforeAll(async () => {
  mkdirSync(directory);
  const { node, close } = await openTestNode(realEnv(quietLog), directory);
  await declareTest(node, 'p');
  for (let id = 0; id < 40; id++) await putText(node, 'p', [id], 'a', [`value ${id}`]);
  const claim = await claimOf(node, 'p', { fields: ['a'], rowsMax: 4, task: 'trainer' });
  if (claim.kind === 'claimed') claim.located.close();
  await close();
});
afterAll(() => home.remove());

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function tq(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (part: Buffer) => (text[name] += part.toString()));
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, ...text })));
}

/** A copy to damage. */
function copyOf(name: string): string {
  const copy = join(home.path, name);
  cpSync(directory, copy, { recursive: true, filter: (path) => !path.endsWith('lock.sock') });
  return copy;
}

function treeHash(path: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(path, { recursive: true }).map(String).sort()) {
    hash.update(name);
    if (statSync(join(path, name)).isFile()) hash.update(readFileSync(join(path, name)));
  }
  return hash.digest('hex');
}

describe('tq verify', () => {
  test('of a sound directory ends with 0, says so, and changes nothing', async () => {
    const before = treeHash(directory);
    const { status, stdout, stderr } = await tq('verify', directory);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/\nrows +40 +0\n/);
    expect(stdout).toMatch(/\nsound\n$/);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(status).toBe(EXIT.sound);
    expect(treeHash(directory)).toBe(before);
  });

  test('of a damaged one ends with 1 and names the file, the partition, the rows and the field', async () => {
    const copy = copyOf('damaged');
    const [name] = readdirSync(join(copy, 'segments')).filter((one) => {
      return readFileSync(join(copy, 'segments', one)).includes('value 7');
    });
    const path = join(copy, 'segments', name);
    const bytes = readFileSync(path);
    bytes[bytes.indexOf('value 7')] ^= 1;
    writeFileSync(path, bytes);
    const before = treeHash(copy);
    const { status, stdout } = await tq('verify', copy);
    expect(stdout).toContain(`segments/${name}`);
    expect(stdout).toMatch(/partition +p\n +rows +7\n +fields +a\n/);
    expect(stdout).toMatch(/\n1 problem\n$/);
    expect(status).toBe(EXIT.problems);
    const json = await tq('verify', copy, '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ sound: false, problems: [{ partition: 'p', rows: [7] }] });
    expect(json.status).toBe(EXIT.problems);
    expect(treeHash(copy)).toBe(before);
  });

  test('refuses while the directory is in use', async () => {
    const { close } = await openTestNode(realEnv(quietLog), copyOf('in-use'));
    try {
      const used = join(home.path, 'in-use');
      for (const command of ['verify', 'inspect']) {
        const { status, stdout, stderr } = await tq(command, used);
        expect([status, stdout]).toEqual([EXIT.locked, '']);
        expect(stderr).toBe(`tq: another process uses ${used}: stop it, or look at a copy\n`);
      }
      expect((await tq('inspect', used, '--no-lock')).stdout).toMatch(/\np +1 +os +40/);
    } finally {
      await close();
    }
  });
});

test('a copy that nobody may write is looked at without its lock', async () => {
  const copy = copyOf('read-only');
  const paths = readdirSync(copy, { recursive: true }).map((name) => join(copy, String(name)));
  for (const path of [...paths, copy]) chmodSync(path, statSync(path).isDirectory() ? 0o555 : 0o444);
  try {
    for (const [command, wanted] of [
      ['verify', /\nsound\n$/],
      ['inspect', /\np +1 +os +40/],
    ] as const) {
      const { status, stdout, stderr } = await tq(command, copy, '--no-lock');
      expect([status, stderr]).toEqual([EXIT.sound, '']);
      expect(stdout).toMatch(wanted);
    }
  } finally {
    for (const path of [copy, ...paths]) if (statSync(path).isDirectory()) chmodSync(path, 0o755);
  }
});

describe('tq inspect', () => {
  test('shows an overview, and the same as JSON', async () => {
    const { status, stdout } = await tq('inspect', directory);
    expect(status).toBe(EXIT.sound);
    expect(stdout).toMatch(/\np +trainer +36 +4 +0 +0 +0 +0 +1\n/);
    expect(JSON.parse((await tq('inspect', directory, '--json')).stdout)).toMatchObject({
      partitions: [{ name: 'p', rows: 40 }],
    });
  });

  test.each(['journal', 'segments', 'levels'])('shows the %s as JSON', async (view) => {
    const { status, stdout, stderr } = await tq('inspect', directory, view, '--json');
    for (const line of stdout.trim().split('\n')) expect(() => JSON.parse(line) as unknown).not.toThrow();
    expect([status, stderr]).toEqual([EXIT.sound, '']);
  });

  test('shows the history of a row', async () => {
    const { status, stdout } = await tq('inspect', directory, 'row', 'p', '0');
    expect(status).toBe(EXIT.sound);
    expect(stdout).toMatch(/insert .*\n(.*\n)*.*claim .*/);
    expect(stdout).toMatch(/trainer +leased/);
  });

  test('ends quietly when its reader does', async () => {
    const child = spawn(process.execPath, [MAIN, 'inspect', directory, 'journal', '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([code, stderr]).toEqual([EXIT.sound, '']);
  });
});

describe.concurrent('what cannot be meant', () => {
  test.each([
    ['no directory', ['verify']],
    ['an unknown option', ['verify', '.', '--repair']],
    ['an unknown view', ['inspect', '.', 'everything']],
    ['an id that is no number', ['inspect', '.', 'row', 'p', 'first']],
    ['a directory of something else', ['inspect', fileURLToPath(new URL('.', import.meta.url))]],
    ['an event type that there is not', ['inspect', directory, 'journal', '--type', 'update']],
  ])('%s ends with 64 and a reason', async (_, args) => {
    const { status, stdout, stderr } = await tq(...args);
    expect([status, stdout]).toEqual([EXIT.usage, '']);
    expect(stderr).not.toBe('');
    expect(stderr).not.toContain('    at ');
  });
});
