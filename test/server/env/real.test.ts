/** The real environment: directories, clock, chance, and how it ends the process. */
import { spawnSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { realEnv } from '../../../server/env/real.ts';
import { temporaryDirectory } from '../../support/process.ts';
import { quietLog } from '../../support/sim_env.ts';

const directory = temporaryDirectory('real');
const { clock, fs, rng } = realEnv(quietLog);

afterAll(() => directory.remove());

describe('directories', () => {
  test('are made with their parents, for their owner only, and are no error when they are there', async () => {
    const path = join(directory.path, 'a', 'b');
    for (let i = 0; i < 2; i++) await fs.makeDirectory(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    await fs.syncDirectory(path);
  });

  test('are refused where none can be made', async () => {
    await expect(fs.makeDirectory('/proc/none/a')).rejects.toThrow('ENOENT');
    const path = join(directory.path, 'file');
    writeFileSync(path, '');
    await expect(fs.makeDirectory(path)).rejects.toThrow('EEXIST');
    await expect(fs.makeDirectory(join(path, 'a'))).rejects.toThrow('ENOTDIR');
  });

  test('list their files, which can be removed', async () => {
    const path = join(directory.path, 'list');
    await fs.makeDirectory(path);
    for (const name of ['1', '2']) writeFileSync(join(path, name), name);
    expect((await fs.list(path)).sort()).toEqual(['1', '2']);
    await fs.unlink(join(path, '1'));
    expect(await fs.list(path)).toEqual(['2']);
    expect(await fs.freeBytes(path)).toBeGreaterThan(0);
  });

  test('have a boot that does not change while the machine is up', () => {
    expect(fs.bootId()).toMatch(/^[0-9a-f-]{36}$/);
    expect(fs.bootId()).toBe(fs.bootId());
  });
});

describe('the clock', () => {
  test('runs what is due in order, and nothing that was cancelled', async () => {
    const ran: string[] = [];
    clock.after(5, () => ran.push('cancelled')).cancel();
    clock.after(20, () => ran.push('second'));
    clock.after(1, () => ran.push('first'));
    clock.soon(() => ran.push('soon'));
    // Timers of the environment do not keep the process alive; this one does.
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(ran).toEqual(['soon', 'first', 'second']);
  });

  test('never goes back', () => {
    const times = Array.from({ length: 1_000 }, () => clock.nowMs());
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(clock.wallMs()).toBeGreaterThan(1_700_000_000_000);
  });
});

test('chance gives as many bytes as asked for, and others each time', () => {
  const [a, b] = [rng.bytes(32), rng.bytes(32)];
  expect([a.length, b.length]).toEqual([32, 32]);
  expect(Buffer.compare(a, b)).not.toBe(0);
});

test('a crash ends the process at once, after a line that says why', () => {
  const source = `
    import { realEnv } from ${JSON.stringify(new URL('../../../server/env/real.ts', import.meta.url).href)};
    const log = { error: (details, message) => console.log(JSON.stringify(details.reason), message) };
    try { realEnv(log).crash('a sync failed', new Error('EIO')); } finally { console.log('went on'); }
  `;
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', source]);
  expect(status).toBe(70);
  expect(stdout.toString()).toMatch(/^"a sync failed" crash: .*\n$/);
});
