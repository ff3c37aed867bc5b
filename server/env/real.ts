/**
 * The real `Env`. Together with its siblings in this folder it is all of the server that touches Node's system modules.
 */
import { randomBytes } from 'node:crypto';
import { constants, readFileSync } from 'node:fs';
import { mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Clock, Env, Fs, Log } from './env.ts';
import { failpointFiles, FAILPOINTS_VARIABLE } from './failpoint_files.ts';
import { inert } from './failpoints.ts';
import { openRealFile } from './file.ts';
import { lockDirectory } from './lock.ts';
import { realNet } from './net.ts';

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms).unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (action) => void setImmediate(action),
};

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Not with `recursive`: where the parent is there and takes no entries, as in /proc, that tries for ever. */
async function makeDirectory(path: string): Promise<void> {
  const make = (): Promise<void> => mkdir(path, { mode: 0o700 });
  try {
    await make().catch(async (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await makeDirectory(dirname(path));
      await make();
    });
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && (await stat(path)).isDirectory();
    if (!isThere) throw error;
  }
  // One that is there may have been made by a process that was killed before it synced.
  await syncDirectory(dirname(path));
}

const fs: Fs = {
  open: openRealFile,
  list: (directory) => readdir(directory),
  makeDirectory: (directory) => makeDirectory(resolve(directory)),
  unlink: (path) => unlink(path),
  rename: (from, to) => rename(from, to),
  syncDirectory,
  async freeBytes(directory) {
    const stat = await statfs(directory);
    return stat.bavail * stat.bsize;
  },
  lock: lockDirectory,
  bootId: () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
};

/** Exit code of a crash on purpose, as sysexits.h names an internal software error. */
const EXIT_CRASH = 70;

export function realEnv(log: Log): Env {
  const failpoints = process.env[FAILPOINTS_VARIABLE];
  return {
    clock,
    rng: { bytes: (count) => randomBytes(count) },
    fs,
    net: realNet,
    log,
    fail: failpoints === undefined ? inert : failpointFiles(failpoints, () => process.exit(EXIT_CRASH)),
    crash(reason, cause) {
      log.error({ err: cause, reason }, 'crash: the process ends, recovery follows at the next start');
      process.exit(EXIT_CRASH);
    },
  };
}
