/**
 * Failpoints of a running server, armed by files of a directory that a test and its servers share:
 *
 *   DIR/NAME.arm      `exit 3`, `throw 1`, `pause 2`, `delay 1 250`: what to do at which pass since the file came
 *   DIR/NAME.hit      written when the point struck, as the file above went
 *   DIR/NAME.release  ends a pause
 *
 * A point strikes once for each arming, so that the next server on the directory goes on. Only a process that was given
 * the directory looks for such files; in all others every point is inert.
 */
import { existsSync, readFileSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { FsError } from './env.ts';
import type { Arming, Failpoint } from './failpoints.ts';

/** The directory, by environment: no setting of a server, since no operator wants it. */
export const FAILPOINTS_VARIABLE = 'TQ_FAILPOINTS';

const RELEASE_POLL_MS = 5;

/** What `Env.fail` is for a process whose failpoints are armed by the files of a directory. */
export function failpointFiles(
  directory: string,
  exit: (point: Failpoint) => void,
): (point: Failpoint) => Promise<void> | null {
  const passes = new Map<Failpoint, number>();
  return (point) => {
    const path = join(directory, point);
    const text = existsSync(`${path}.arm`) ? readFileSync(`${path}.arm`, 'utf8') : '';
    // A file that is still empty is about to be written.
    if (text === '') {
      passes.delete(point);
      return null;
    }
    const arming = parseArming(text);
    const pass = (passes.get(point) ?? 0) + 1;
    passes.set(point, pass);
    if (pass < arming.pass) return null;
    passes.delete(point);
    renameSync(`${path}.arm`, `${path}.hit`);
    return strike(point, path, arming, exit);
  };
}

/** Throws when the text is none, so that a test with a typing error does not pass by arming nothing. */
export function parseArming(text: string): Arming {
  const match = /^(pause|exit|throw|delay) ([1-9]\d*)(?: (\d+))?\s*$/.exec(text);
  if (match === null || (match[1] === 'delay') !== (match[3] !== undefined)) {
    throw new Error(`a failpoint is armed by "pause|exit|throw PASS" or "delay PASS MS", not by "${text.trim()}"`);
  }
  const pass = Number(match[2]);
  if (match[1] === 'delay') return { action: 'delay', pass, ms: Number(match[3]) };
  return { action: match[1] as 'pause' | 'exit' | 'throw', pass };
}

function strike(
  point: Failpoint,
  path: string,
  arming: Arming,
  exit: (point: Failpoint) => void,
): Promise<void> | null {
  switch (arming.action) {
    case 'exit':
      exit(point);
      return null;
    case 'throw':
      return Promise.reject(new FsError('EIO', point, 'failpoint'));
    case 'delay':
      return new Promise((resolve) => setTimeout(resolve, arming.ms));
    case 'pause':
      return released(`${path}.release`);
  }
}

/** Resolves when the file is there, and removes it. */
async function released(path: string): Promise<void> {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, RELEASE_POLL_MS));
  unlinkSync(path);
}
