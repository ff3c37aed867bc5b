/**
 * S2 and S3: the server is killed at a syscall or at a random moment, again and again; nothing acknowledged is lost.
 * TQ_LONG=1 kills at every syscall, and 1,000 times at random.
 */
import { cpSync, rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../support/sim_env.ts';
import { startServer, temporaryDirectory } from '../support/process.ts';
import { isLong, TIMEOUT_MS } from '../support/runs.ts';
import { hasStrace, killBefore } from '../support/strace.ts';
import { check, judgeRow, newNotes, runWorkload, type Notes } from './workload.ts';

/** Syscalls that change the disk. The short run tries one of so many calls of each, the long run tries all. */
const SYSCALLS = [
  { syscall: 'pwrite64', stepShort: 2, pointsMin: 40 },
  { syscall: 'fdatasync', stepShort: 2, pointsMin: 20 },
  { syscall: 'fsync', stepShort: 1, pointsMin: 15 },
  { syscall: 'rename', stepShort: 1, pointsMin: 4 },
  { syscall: 'unlink', stepShort: 1, pointsMin: 3 },
  { syscall: 'ftruncate', stepShort: 1, pointsMin: 3 },
] as const;

/** Before each random kill of S3. */
const ACKNOWLEDGED_MIN = 6;
const POLL_MS = 5;
/** Kills in a start come so late at most. */
const RECOVERY_MS = 500;

/** One run that is killed before the N-th call of a syscall; null when the workload ended before. */
async function killedAt(syscall: string, occurrence: number): Promise<Notes | null> {
  const directory = temporaryDirectory('kill');
  const notes = newNotes();
  const kill = killBefore(syscall, occurrence);
  const args = ['--sync-interval-ms', '50'];
  try {
    const starting = startServer({ directory: directory.path, ...kill.options, arguments: args });
    const server = await starting.catch((error: unknown) => {
      if (!kill.happened()) throw error;
      return null;
    });
    if (server !== null) {
      const end = await runWorkload(server.url, notes, { from: 0, to: 3, size: 100, checkpoints: true });
      server.signal('SIGKILL');
      await server.exited;
      if (!kill.happened()) {
        expect(end, `${syscall} ${occurrence}`).toBe('done');
        return null;
      }
    }
    expect(await check(directory.path, notes), `killed at ${syscall} ${occurrence}`).toEqual([]);
    return notes;
  } finally {
    directory.remove();
  }
}

describe.skipIf(!hasStrace)('S2: kill -9 at a syscall of a fixed workload', () => {
  for (const { syscall, stepShort, pointsMin } of SYSCALLS) {
    test(`at each ${syscall}`, { timeout: TIMEOUT_MS }, async () => {
      const step = isLong ? 1 : stepShort;
      let points = 0;
      let acknowledged = 0;
      for (;;) {
        const killed = await killedAt(syscall, points * step + 1);
        if (killed === null) break;
        points++;
        acknowledged += killed.acknowledged;
      }
      console.log(`S2 ${syscall}: ${points} points, ${acknowledged} acknowledged`);
      expect(points).toBeGreaterThanOrEqual(pointsMin);
      expect(acknowledged).toBeGreaterThan(0);
    });
  }
});

test('S3: random kills under load, also during recovery', { timeout: TIMEOUT_MS }, async () => {
  const random = seededRandom(20);
  const directory = temporaryDirectory('kills');
  const notes = newNotes();
  const kills = isLong ? 1_000 : 8;
  try {
    for (let kill = 0; kill < kills; kill++) {
      const server = await startServer({ directory: directory.path, arguments: ['--sync-interval-ms', '100'] });
      const work = runWorkload(server.url, notes, {
        from: kill * 100,
        to: kill * 100 + 100,
        size: Math.floor(random() * 60_000),
      });
      let isOver = false;
      void work.finally(() => (isOver = true));
      await setTimeout(50 + random() * 300);
      while (!isOver && notes.acknowledged < ACKNOWLEDGED_MIN * (kill + 1)) await setTimeout(POLL_MS);
      server.signal('SIGKILL');
      await server.exited;
      await work;
      const depth = Math.floor(random() * 3);
      for (let deep = 0; deep < depth; deep++) await killedInRecovery(directory.path, random() * RECOVERY_MS);
      if (kill % 4 === 3) await checkCopy(directory.path, notes);
    }
    expect(await check(directory.path, notes)).toEqual([]);
    console.log(`S3: ${kills} kills, attempted ${notes.attempted}, acknowledged ${notes.acknowledged}, lost 0`);
    expect(notes.acknowledged).toBeGreaterThanOrEqual(kills * ACKNOWLEDGED_MIN);
  } finally {
    directory.remove();
  }
});

/** A start that cannot end has no say here: the next one would not either. */
async function killedInRecovery(directory: string, killsAfterMs: number): Promise<void> {
  const server = await startServer({ directory, killsAfterMs }).catch(() => null);
  await server?.exited;
}

/** The check drains the task, so it works on a copy. */
async function checkCopy(directory: string, notes: Notes): Promise<void> {
  const copy = temporaryDirectory('copy');
  try {
    cpSync(directory, copy.path, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    expect(await check(copy.path, notes)).toEqual([]);
  } finally {
    rmSync(copy.path, { recursive: true, force: true });
  }
}

describe('the suites can fail', () => {
  const bugs = ['ack_before_write', 'acks_not_journaled', 'journal_before_data'];
  const KILLS_MAX = 12;

  test.each(bugs)('a planted bug is found: %s', { timeout: 120_000 }, async (bug) => {
    const random = seededRandom(7);
    const found: string[] = [];
    for (let kill = 0; kill < KILLS_MAX && found.length === 0; kill++) {
      const directory = temporaryDirectory('bug');
      const notes = newNotes();
      const preload = new URL(`bugs/${bug}.ts`, import.meta.url);
      const server = await startServer({ directory: directory.path, preload });
      const work = runWorkload(server.url, notes, { from: 0, to: 100, size: 2_000 });
      await setTimeout(200 + random() * 100);
      server.signal('SIGKILL');
      await server.exited;
      await work;
      found.push(...(await check(directory.path, notes).catch((error: unknown) => [String(error)])));
      directory.remove();
    }
    expect(found).not.toEqual([]);
  });

  const row = (
    writes: [string, 'ok' | 'fail' | 'unknown'][],
    deleted: 'ok' | 'no' = 'no',
  ): Parameters<typeof judgeRow>[0] => ({
    writes: writes.map(([value, outcome]) => ({ value, outcome })),
    deleted,
    acked: 'no',
  });

  test('it calls a lost put, foreign bytes, an undone overwrite and a row back from the dead', () => {
    expect(judgeRow(row([['a', 'ok']]), null)).toBe('lost put');
    expect(judgeRow(row([['a', 'ok']]), 'b')).toContain('unexpected');
    expect(
      judgeRow(
        row([
          ['a', 'ok'],
          ['b', 'ok'],
        ]),
        'a',
      ),
    ).toContain('unexpected');
    expect(
      judgeRow(
        row([
          ['a', 'ok'],
          ['b', 'unknown'],
        ]),
        'a',
      ),
    ).toBeNull();
    expect(judgeRow(row([['a', 'unknown']]), null)).toBeNull();
    expect(judgeRow(row([['a', 'ok']], 'ok'), 'a')).toContain('deleted');
  });
});
