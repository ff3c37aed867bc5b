/**
 * The real `Env`. Together with its siblings in this folder it is all of the server that touches Node's system modules.
 */
import { randomBytes } from 'node:crypto';
import { constants, readFileSync } from 'node:fs';
import { mkdir, open, readdir, rename, statfs, unlink } from 'node:fs/promises';
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

const fs: Fs = {
  open: (path, options) => openRealFile(path, options?.create === true),
  list: (directory) => readdir(directory),
  async makeDirectory(directory) {
    const path = resolve(directory);
    const highest = await mkdir(path, { recursive: true, mode: 0o700 });
    // One that is there may have been made by a process that was killed before it synced.
    await syncDirectory(dirname(path));
    for (let made = path; highest !== undefined && made !== highest; made = dirname(made)) {
      await syncDirectory(dirname(dirname(made)));
    }
  },
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
