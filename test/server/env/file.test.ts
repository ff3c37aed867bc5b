/** Real files: explicit offsets, whole reads and writes, and the system's word for what went wrong. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { File } from '../../../server/env/env.ts';
import { openRealFile } from '../../../server/env/file.ts';
import { temporaryDirectory } from '../../support/process.ts';

const directory = temporaryDirectory('file');
const path = join(directory.path, 'data');

afterAll(() => directory.remove());

async function created(text = ''): Promise<File> {
  writeFileSync(path, text);
  return openRealFile(path);
}

describe('a file', () => {
  test('is written and read at offsets, in any order, and has zeros between', async () => {
    const file = await created();
    await Promise.all([file.pwrite(Buffer.from('later'), 100), file.pwrite(Buffer.from('first'), 0)]);
    await file.pwrite(Buffer.from('FIRST'), 0);
    expect(await file.size()).toBe(105);
    const bytes = Buffer.alloc(105, 0xff);
    expect(await file.pread(bytes, 0)).toBe(105);
    expect(bytes.toString('latin1')).toBe(`FIRST${'\0'.repeat(95)}later`);
    await file.datasync();
    await file.close();
  });

  test('is read up to its end, and no further', async () => {
    const file = await created('abcdef');
    const bytes = Buffer.alloc(10, 0x2e);
    expect(await file.pread(bytes, 4)).toBe(2);
    expect(bytes.toString()).toBe('ef........');
    expect(await file.pread(bytes, 6)).toBe(0);
    expect(await file.pread(Buffer.alloc(0), 0)).toBe(0);
    await file.close();
  });

  test('is cut and goes on', async () => {
    const file = await created('abcdef');
    await file.truncate(3);
    await file.pwrite(Buffer.from('X'), 3);
    await file.close();
    expect(readFileSync(path, 'utf8')).toBe('abcX');
  });

  test('keeps what was there when it is opened to be created, and is for its owner only when it is new', async () => {
    await (await created('kept')).close();
    const file = await openRealFile(path, { create: true });
    expect(await file.size()).toBe(4);
    await file.close();
    const fresh = await openRealFile(join(directory.path, 'fresh'), { create: true });
    expect(statSync(fresh.path).mode & 0o777).toBe(0o600);
    await fresh.close();
  });
});

describe('a file that is opened to be read', () => {
  /** The access modes of the descriptors of this process on a path, as the system has them. */
  function accessModes(name: string): number[] {
    const modes: number[] = [];
    for (const fd of readdirSync('/proc/self/fd')) {
      try {
        if (readlinkSync(`/proc/self/fd/${fd}`) !== name) continue;
        modes.push(parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1], 8) & 3);
      } catch {
        // The descriptor that lists the others is gone by now.
      }
    }
    return modes;
  }

  test('asks the system for reading only', async () => {
    const reading = await created('abc').then(async (file) => {
      await file.close();
      return openRealFile(path, { readOnly: true });
    });
    expect(accessModes(path)).toEqual([0]);
    const bytes = Buffer.alloc(3);
    expect([await reading.size(), await reading.pread(bytes, 0), bytes.toString()]).toEqual([3, 3, 'abc']);
    await expect(reading.pwrite(bytes, 0)).rejects.toMatchObject({ code: 'EBADF', path });
    await expect(reading.truncate(0)).rejects.toMatchObject({ name: 'FsError', path });
    const writing = await openRealFile(path);
    expect(accessModes(path).sort()).toEqual([0, 2]);
    await Promise.all([reading.close(), writing.close()]);
    expect(readFileSync(path, 'utf8')).toBe('abc');
  });

  test('is not made, and is no folder and no pipe that nobody writes to', async () => {
    const missing = join(directory.path, 'never');
    await expect(openRealFile(missing, { create: true, readOnly: true })).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(openRealFile(directory.path, { readOnly: true })).rejects.toMatchObject({ code: 'EISDIR' });
    const pipe = join(directory.path, 'pipe');
    spawnSync('mkfifo', [pipe]);
    await expect(openRealFile(pipe, { readOnly: true })).rejects.toMatchObject({ code: 'EINVAL' });
    expect([...accessModes(directory.path), ...accessModes(pipe)]).toEqual([]);
  });
});

describe('an error', () => {
  test('of a missing file names it', async () => {
    const missing = join(directory.path, 'missing');
    await expect(openRealFile(missing)).rejects.toMatchObject({
      name: 'FsError',
      code: 'ENOENT',
      path: missing,
    });
  });

  test('of a full disk comes out, however the system reports it', async () => {
    const file = await openRealFile('/dev/full');
    await expect(file.pwrite(Buffer.alloc(100_000), 0)).rejects.toMatchObject({ code: 'ENOSPC', path: '/dev/full' });
    await file.close();
  });

  test('of a closed file is no other file', async () => {
    const file = await created('abc');
    await file.close();
    const uses = [
      () => file.pread(Buffer.alloc(1), 0),
      () => file.pwrite(Buffer.alloc(1), 0),
      () => file.datasync(),
      () => file.truncate(0),
      () => file.size(),
      () => file.close(),
    ];
    for (const use of uses) {
      await expect(use()).rejects.toMatchObject({ name: 'FsError', code: 'EBADF', path });
    }
  });

  test('a file that is closed while calls are under way keeps its descriptor until they are done', async () => {
    const other = join(directory.path, 'other');
    writeFileSync(other, 'b'.repeat(100));
    for (let round = 0; round < 20; round++) {
      const file = await created('a'.repeat(100));
      const buffers = Array.from({ length: 40 }, () => Buffer.alloc(100));
      const reads = buffers.map((bytes) => file.pread(bytes, 0));
      const closing = file.close();
      const next = await openRealFile(other);
      await Promise.all([...reads, closing]);
      for (const bytes of buffers) expect(bytes.toString()).toBe('a'.repeat(100));
      await next.close();
    }
  });
});
