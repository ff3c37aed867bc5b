/**
 * S2 and S3: the server is killed at a syscall or at a random moment, again and again; nothing acknowledged is lost.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../support/sim_env.ts';
import { startServer, temporaryDirectory } from '../support/process.ts';
import { check, judgeRow, newNotes, runWorkload, type Notes } from './workload.ts';

const isLong = process.env.TQ_LONG === '1';
const hasStrace = spawnSync('strace', ['-V']).status === 0;
/** Syscalls that change the disk; the short run tries one of so many calls of each, the long run tries all. */
const SYSCALLS = { pwrite64: 2, fdatasync: 2, fsync: 1, rename: 1, unlink: 1, ftruncate: 1 } as const;

/** One run that is killed before the N-th call of a syscall; null when the workload ended before. */
async function killedAt(syscall: string, occurrence: number): Promise<Notes | null> {
  const directory = temporaryDirectory('kill');
  const notes = newNotes();
  const wrapper = [
    'strace',
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    `trace=${syscall}`,
    '-e',
    `inject=${syscall}:signal=KILL:when=${occurrence}`,
  ];
  try {
    const env = { UV_THREADPOOL_SIZE: '1' };
    const server = await startServer({
      directory: directory.path,
      wrapper,
      env,
      arguments: ['--sync-interval-ms', '50'],
    }).catch(() => null);
    if (server !== null) {
      const end = await runWorkload(server.url, notes, { from: 0, to: 3, size: 100, checkpoints: true });
      server.signal('SIGKILL');
      await server.exited;
      if (end === 'done') return null;
    }
    expect(await check(directory.path, notes), `killed at ${syscall} ${occurrence}`).toEqual([]);
    return notes;
  } finally {
    directory.remove();
  }
}

describe.skipIf(!hasStrace)('S2: kill -9 at a syscall of a fixed workload', () => {
  for (const [syscall, stepShort] of Object.entries(SYSCALLS)) {
    test(`at each ${syscall}`, { timeout: isLong ? 3_600_000 : 240_000 }, async () => {
      const step = isLong ? 1 : stepShort;
      let points = 0;
      let acknowledged = 0;
      for (;;) {
        const killed = await killedAt(syscall, points * step + 1);
        if (killed === null) break;
        points++;
        acknowledged += killed.acknowledged;
      }
      console.log(`S2 ${syscall}: ${points} points, ${acknowledged} changes acknowledged`);
      expect(points).toBeGreaterThan(2);
      expect(acknowledged).toBeGreaterThan(0);
    });
  }
});

test('S3: random kills under load, also during recovery', { timeout: isLong ? 3_600_000 : 240_000 }, async () => {
  const random = seededRandom(20);
  const directory = temporaryDirectory('kills');
  const notes = newNotes();
  const kills = isLong ? 1_000 : 20;
  try {
    for (let kill = 0; kill < kills; kill++) {
      const server = await startServer({ directory: directory.path, arguments: ['--sync-interval-ms', '100'] });
      const work = runWorkload(server.url, notes, {
        from: kill * 100,
        to: kill * 100 + 100,
        size: Math.floor(random() * 60_000),
      });
      await new Promise((resolve) => setTimeout(resolve, 50 + random() * 300));
      server.signal('SIGKILL');
      await server.exited;
      await work;
      for (let depth = 0; depth < Math.floor(random() * 3); depth++)
        await killedInRecovery(directory.path, random() * 500);
      if (kill % 5 === 4) await checkCopy(directory.path, notes);
    }
    expect(await check(directory.path, notes)).toEqual([]);
    console.log(`S3: ${kills} kills, attempted ${notes.attempted}, acknowledged ${notes.acknowledged}, lost 0`);
    expect(notes.acknowledged).toBeGreaterThan(kills * 5);
  } finally {
    directory.remove();
  }
});

async function killedInRecovery(directory: string, afterMs: number): Promise<void> {
  const starting = startServer({ directory }).catch(() => null);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  const server = await starting;
  server?.signal('SIGKILL');
  await server?.exited;
}

/** The check drains the task, so it works on a copy. */
async function checkCopy(directory: string, notes: Parameters<typeof check>[1]): Promise<void> {
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
      await new Promise((resolve) => setTimeout(resolve, 200 + random() * 100));
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
