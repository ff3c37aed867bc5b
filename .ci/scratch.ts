/**
 * Where tests put their directories: in memory where the machine has room. They kill processes and make calls fail,
 * which leaves the page cache whole, so that a real disk would add its waits and prove nothing.
 */

import { existsSync, mkdtempSync, statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';

/** What the kernel calls the type of a tmpfs. */
const TMPFS_TYPE = 0x01021994;
/** The tests use a few hundred MiB at a time. */
const ROOM_MIN = 4 * 2 ** 30;

/** A fresh directory in memory, which the caller removes; null where there is not enough room. */
export function scratchInMemory(parent = '/dev/shm', roomMin = ROOM_MIN): string | null {
  if (!existsSync(parent)) return null;
  const { type, bavail, bsize } = statfsSync(parent);
  const room = Math.min(bavail * bsize, freemem());
  // A short name: paths of Unix sockets have little room.
  return type === TMPFS_TYPE && room >= roomMin ? mkdtempSync(join(parent, 'tq-')) : null;
}
