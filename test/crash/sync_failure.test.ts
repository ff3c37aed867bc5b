/**
 * S4: after a failed fsync nothing is acknowledged, the process ends at once, and what was acknowledged before is
 * there. TQ_LONG=1 tries every fdatasync of the workload.
 */
import { describe, expect, test } from 'vitest';
import { startServer, temporaryDirectory } from '../support/process.ts';
import { isLong, TIMEOUT_MS } from '../support/runs.ts';
import { hasStrace, ONE_DISK_THREAD, straced } from '../support/strace.ts';
import { check, newNotes, runWorkload, type Notes } from './workload.ts';

const POINTS = 20;
const EXIT_CRASH = 70;
const FAILED_START = /EIO/;

/** One run in which the N-th fdatasync fails; null when the workload needed fewer. */
async function failedAt(occurrence: number, bug?: { preload: URL; failures: 'one' | 'all' }): Promise<Notes | null> {
  const directory = temporaryDirectory('sync');
  const notes = newNotes();
  const inject = `inject=fdatasync:error=EIO:when=${occurrence}${bug?.failures === 'one' ? '' : '+'}`;
  try {
    const server = await startServer({
      directory: directory.path,
      wrapper: straced('-o', '/dev/null', '-e', 'trace=fdatasync', '-e', inject),
      env: ONE_DISK_THREAD,
      preload: bug?.preload,
      arguments: ['--sync-interval-ms', '50'],
    }).catch((error: unknown) => {
      // strace itself ends with 1 when it cannot trace.
      expect(String(error)).toMatch(FAILED_START);
      return null;
    });
    if (server !== null) {
      const end = await runWorkload(server.url, notes, { from: 0, to: 3, size: 100 });
      if (end === 'done') {
        server.signal('SIGKILL');
        await server.exited;
        return null;
      }
      const { code } = await server.exited;
      expect(code).toBe(EXIT_CRASH);
    }
    expect(await check(directory.path, notes), `fdatasync ${occurrence} failed`).toEqual([]);
    return notes;
  } finally {
    directory.remove();
  }
}

describe.skipIf(!hasStrace)('S4: a failed sync', () => {
  test('ends the process; what was acknowledged before is there', { timeout: TIMEOUT_MS }, async () => {
    let points = 0;
    let acknowledged = 0;
    while (isLong || points < POINTS) {
      const notes = await failedAt(points + 1);
      if (notes === null) break;
      points++;
      acknowledged += notes.acknowledged;
    }
    console.log(`S4: ${points} points, ${acknowledged} acknowledged`);
    expect(points).toBeGreaterThanOrEqual(POINTS);
    expect(acknowledged).toBeGreaterThan(POINTS);
  });

  const bugs = [
    ['sync_errors_ignored', 'all'],
    ['sync_retried', 'one'],
    ['sync_skipped', 'all'],
  ] as const;

  test.each(bugs)('a planted bug is noticed, since the process goes on: %s', async (bug, failures) => {
    expect(await failedAt(1, { preload: new URL(`bugs/${bug}.ts`, import.meta.url), failures })).toBeNull();
  });
});
