/**
 * S4: after a failed fsync nothing is acknowledged, the process ends at once, and what was acknowledged before is
 * there.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { startServer, temporaryDirectory } from '../support/process.ts';
import { check, newNotes, runWorkload } from './workload.ts';

const isLong = process.env.TQ_LONG === '1';
const hasStrace = spawnSync('strace', ['-V']).status === 0;
const POINTS = 20;
const EXIT_CRASH = 70;
const EXIT_START_FAILED = 1;

/** One run in which the N-th fdatasync fails; false when the workload needed fewer. */
async function failedAt(occurrence: number, bug?: { preload: URL; failures: 'one' | 'all' }): Promise<boolean> {
  const directory = temporaryDirectory('sync');
  const notes = newNotes();
  const inject = `inject=fdatasync:error=EIO:when=${occurrence}${bug?.failures === 'one' ? '' : '+'}`;
  const wrapper = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', inject];
  try {
    const env = { UV_THREADPOOL_SIZE: '1' };
    const server = await startServer({
      directory: directory.path,
      wrapper,
      env,
      preload: bug?.preload,
      arguments: ['--sync-interval-ms', '50'],
    }).catch(() => null);
    if (server !== null) {
      const end = await runWorkload(server.url, notes, { from: 0, to: 3, size: 100 });
      if (end === 'done') {
        server.signal('SIGKILL');
        await server.exited;
        return false;
      }
      const { code } = await server.exited;
      expect([EXIT_CRASH, EXIT_START_FAILED]).toContain(code);
    }
    expect(await check(directory.path, notes), `fdatasync ${occurrence} failed`).toEqual([]);
    return true;
  } finally {
    directory.remove();
  }
}

describe.skipIf(!hasStrace)('S4: a failed sync', () => {
  test(
    'ends the process; what was acknowledged before is there',
    { timeout: isLong ? 3_600_000 : 180_000 },
    async () => {
      let points = 0;
      while ((isLong || points < POINTS) && (await failedAt(points + 1))) points++;
      console.log(`S4: ${points} points`);
      expect(points).toBeGreaterThanOrEqual(POINTS);
    },
  );

  const bugs = [
    ['sync_errors_ignored', 'all'],
    ['sync_retried', 'one'],
    ['sync_skipped', 'all'],
  ] as const;

  test.each(bugs)('a planted bug is noticed, since the process goes on: %s', async (bug, failures) => {
    expect(await failedAt(1, { preload: new URL(`bugs/${bug}.ts`, import.meta.url), failures })).toBe(false);
  });
});
