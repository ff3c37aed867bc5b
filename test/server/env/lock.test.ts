/** The lock of a data directory between real processes: stopped, killed, racing ones. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lockDirectory } from '../../../server/env/lock.ts';
import { temporaryDirectory } from '../../support/process.ts';

const LOCK = new URL('../../../server/env/lock.ts', import.meta.url).href;

let directory: ReturnType<typeof temporaryDirectory>;
let children: ChildProcess[];

beforeEach(() => {
  directory = temporaryDirectory('lock');
  children = [];
});

afterEach(async () => {
  await Promise.all(children.map(kill));
  directory.remove();
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

/** Runs a module in a process of its own; resolves with its first line. */
function run(source: string): Promise<{ child: ChildProcess; line: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.stdout.once('data', (bytes: Buffer) => resolve({ child, line: bytes.toString().trim() }));
    child.once('exit', (code) => reject(new Error(`ended with ${code} without a line`)));
  });
}

function holder(): ReturnType<typeof run> {
  return run(`
    import { lockDirectory } from ${JSON.stringify(LOCK)};
    const outcome = await lockDirectory(${JSON.stringify(directory.path)}).then(() => 'held', (error) => error.code);
    setInterval(() => undefined, 1_000);
    console.log(outcome);
  `);
}

const refused = { name: 'FsError', code: 'ELOCKED' };

describe('the lock', () => {
  test('is held once, and free again after its release', async () => {
    const first = await lockDirectory(directory.path);
    await expect(lockDirectory(directory.path)).rejects.toMatchObject(refused);
    await expect(lockDirectory(directory.path)).rejects.toMatchObject(refused);
    await first.release();
    const second = await lockDirectory(directory.path);
    await second.release();
  });

  test('of one directory says nothing about another, and a long path is no obstacle', async () => {
    const deep = join(directory.path, 'x'.repeat(100), 'y'.repeat(100));
    mkdirSync(deep, { recursive: true });
    const locks = await Promise.all([lockDirectory(directory.path), lockDirectory(deep)]);
    await expect(lockDirectory(deep)).rejects.toMatchObject(refused);
    for (const lock of locks) await lock.release();
  });

  test('is kept by a process that is stopped', async () => {
    const { child, line } = await holder();
    expect(line).toBe('held');
    child.kill('SIGSTOP');
    await expect(lockDirectory(directory.path)).rejects.toMatchObject(refused);
    child.kill('SIGCONT');
    await expect(lockDirectory(directory.path)).rejects.toMatchObject(refused);
  });

  test('is free after kill -9, whatever file was left behind', async () => {
    const { child } = await holder();
    await kill(child);
    expect(existsSync(join(directory.path, 'lock.sock'))).toBe(true);
    const lock = await lockDirectory(directory.path);
    await expect(lockDirectory(directory.path)).rejects.toMatchObject(refused);
    await lock.release();
  });

  test('goes to one of those who come together after a kill', async () => {
    await kill((await holder()).child);
    const lines = await Promise.all(
      [holder(), holder(), holder(), holder()].map((one) => one.then(({ line }) => line)),
    );
    expect(lines.sort()).toEqual(['ELOCKED', 'ELOCKED', 'ELOCKED', 'held']);
  });

  test('is kept by a stopped process in another network name space, although its backlog is full', async () => {
    const path = join(directory.path, 'lock.sock');
    const listen = `createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => console.log('listens'))`;
    const { child } = await run(`import { createServer } from 'node:net'; ${listen};`);
    child.kill('SIGSTOP');
    const sockets: Socket[] = Array.from({ length: 8 }, () => connect(path).on('error', () => undefined));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await expect(lockDirectory(directory.path)).rejects.toMatchObject(refused);
    expect(existsSync(path)).toBe(true);
    for (const socket of sockets) socket.destroy();
  });
});
