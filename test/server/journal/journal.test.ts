/** The append loop: who shares a write, who waits for a sync, how files roll, and what a full disk does. */
import { describe, expect, test } from 'vitest';
import { checkFileHeader } from '../../../server/journal/format.ts';
import { Reserve, RESERVE_SIZE } from '../../../server/journal/reserve.ts';
import { settle, simEnv, SimFs } from '../../support/sim_env.ts';
import { append, bytesOf, core, DIR, numbered, openJournal, startJournal, type Opened } from './files.ts';

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** Holds back every sync until `open` is called. */
function closeGate({ env }: Opened, action: 'datasync' | 'write' = 'datasync'): { open(): void; waiting: number } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const gate = { open: resolve, waiting: 0 };
  env.fs.gate = (asked) => {
    if (asked !== action) return Promise.resolve();
    gate.waiting++;
    return promise;
  };
  return gate;
}

async function isDone(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  await settle();
  return done;
}

describe('group commit', () => {
  test('events of one turn share a write, and those that come meanwhile the next', async () => {
    const opened = await startJournal();
    const { env, journal } = opened;
    const gate = closeGate(opened, 'write');
    const before = env.fs.writes;
    const first = append(journal, range(1, 50));
    await settle();
    const second = append(journal, range(51, 150));
    gate.open();
    await Promise.all([first, second]);
    expect(env.fs.writes - before).toBe(2);
    expect((await openJournal(env.fs.afterCrash())).seen).toEqual(range(1, 150));
  });

  test('`os` does not wait for the sync of `disk`', async () => {
    const opened = await startJournal();
    const gate = closeGate(opened);
    const disk = opened.journal.append(numbered(1), 'disk').commit;
    const os = opened.journal.append(numbered(2), 'os').commit;
    expect(await isDone(os)).toBe(true);
    expect(await isDone(disk)).toBe(false);
    gate.open();
    expect(await disk).toEqual({ lsn: 2, level: 'disk' });
  });

  test('`disk` events that come during a sync share the next one', async () => {
    const opened = await startJournal();
    const { journal, env } = opened;
    const gate = closeGate(opened);
    const first = journal.append(numbered(1), 'disk').commit;
    await settle();
    expect(gate.waiting).toBe(1);
    const others = append(journal, range(2, 40), 'disk');
    await settle();
    const before = env.fs.syncs;
    gate.open();
    await Promise.all([first, others]);
    expect(env.fs.syncs - before).toBe(2);
  });

  test('a `disk` event is durable when it is acknowledged, with all before it', async () => {
    const { journal, env } = await startJournal();
    for (const number of range(1, 20)) {
      await append(journal, [number], number % 3 === 0 ? 'disk' : 'os');
      const cut = env.fs.afterPowerCut({ keep: (_, __, durable) => durable });
      const { seen } = await openJournal(cut);
      expect(seen.slice(0, number - (number % 3))).toEqual(range(1, number - (number % 3)));
    }
  });

  test('`memory` events take an LSN and leave no trace', async () => {
    const { journal, env } = await startJournal();
    const before = bytesOf(env.fs).length;
    const { lsn, commit } = journal.append(numbered(1), 'memory');
    expect(await commit).toEqual({ lsn, level: 'memory' });
    expect(journal.settled()).toBeNull();
    await append(journal, [2]);
    expect(journal.lsn).toBe(lsn + 1);
    expect(bytesOf(env.fs).length).toBeGreaterThan(before);
    const again = await openJournal(env.fs.afterCrash());
    expect(again.seen).toEqual([2]);
    expect(again.end.lsn).toBe(lsn + 1);
  });

  test('settled waits for what was appended, and for nothing else', async () => {
    const opened = await startJournal();
    const { journal } = opened;
    expect(journal.settled()).toBeNull();
    const gate = closeGate(opened, 'write');
    const commit = append(journal, [1]);
    const settled = journal.settled()!;
    expect(await isDone(settled)).toBe(false);
    gate.open();
    await Promise.all([commit, settled]);
    expect(journal.settled()).toBeNull();
  });
});

describe('room for long events', () => {
  const SIZE_MAX = 2_000;
  const RECORD_SIZE = 64;

  /** Appends as a put does, when there is room; resolves with its commit. */
  async function appendInRoom({ journal }: Opened, number: number): Promise<void> {
    for (let room = journal.room(); room !== null; room = journal.room()) await room;
    await journal.append(numbered(number), 'os').commit;
  }

  test('is there until so many bytes wait, and again when they are being written', async () => {
    const opened = await startJournal(undefined, { pendingSizeMax: SIZE_MAX });
    const { journal } = opened;
    const gate = closeGate(opened, 'write');
    expect(journal.room()).toBeNull();
    const first = append(journal, [0]);
    let sizeMax = 0;
    const rest = range(1, 200).map(async (number) => {
      await appendInRoom(opened, number);
      sizeMax = Math.max(sizeMax, journal.unwrittenSize);
    });
    await settle();
    expect(journal.unwrittenSize).toBeGreaterThanOrEqual(SIZE_MAX);
    expect(journal.unwrittenSize).toBeLessThan(SIZE_MAX + RECORD_SIZE);
    const { lsn } = journal;
    // What asks for no room has it.
    const short = append(journal, [1_000, 1_001]);
    expect(journal.lsn).toBe(lsn + 2);
    gate.open();
    await Promise.all([first, ...rest, short]);
    expect(sizeMax).toBeLessThan(SIZE_MAX + 3 * RECORD_SIZE);
    expect(journal.unwrittenSize).toBe(0);
    const { seen } = await openJournal(opened.env.fs.afterCrash());
    expect(seen.filter((number) => number < 1_000)).toEqual(range(0, 200));
    expect(seen.indexOf(1_000)).toBe(lsn - 1);
  });

  test('is refused when the disk takes nothing for too long, and nothing is left of who waited', async () => {
    const opened = await startJournal(undefined, { pendingSizeMax: SIZE_MAX });
    const { journal, env } = opened;
    const gate = closeGate(opened, 'write');
    const appended = append(journal, range(1, 100));
    await settle();
    const more = append(journal, range(101, 200));
    const refused = expect(appendInRoom(opened, 500)).rejects.toMatchObject({
      code: 'memory_full',
      details: { journal_waiting_bytes: journal.unwrittenSize },
    });
    await env.clock.advance(20_000);
    await refused;
    gate.open();
    await Promise.all([appended, more]);
    await appendInRoom(opened, 501);
    expect((await openJournal(env.fs.afterCrash())).seen).toEqual([...range(1, 200), 501]);
  });
});

describe('the watermark', () => {
  test('rises to what was appended before, after the data and the journal are synced', async () => {
    const opened = await startJournal();
    const { journal } = opened;
    await append(journal, [1, 2]);
    const lsn = journal.lsn;
    const data = Promise.withResolvers<void>();
    const making = journal.makeDurable(() => data.promise);
    await append(journal, [3]);
    expect(journal.durableLsn).toBeLessThan(lsn);
    data.resolve();
    await making;
    expect(journal.durableLsn).toBe(lsn);
    await append(journal, [4]);
    expect((await openJournal(opened.env.fs.afterCrash())).end.watermark).toBe(lsn);
  });

  test('counts `memory` events as durable, and names only events that are in the files', async () => {
    const { journal, env } = await startJournal();
    await append(journal, [1]);
    const written = journal.lsn;
    await append(journal, [2, 3], 'memory');
    await journal.makeDurable(() => Promise.resolve());
    expect(journal.durableLsn).toBe(written + 2);
    await append(journal, [4]);
    expect((await openJournal(env.fs.afterCrash())).end.watermark).toBe(written);
  });

  test('a failed sync of data ends the process, and nothing is durable by it', async () => {
    const { journal, env } = await startJournal();
    await append(journal, [1]);
    const before = journal.durableLsn;
    await expect(journal.makeDurable(() => Promise.reject(new Error('EIO')))).rejects.toThrow();
    expect(env.crashes).toEqual(['a sync of a segment failed']);
    expect(journal.durableLsn).toBe(before);
  });
});

describe('files', () => {
  test('roll when they are full; each names the LSN it goes on from', async () => {
    const { journal, env } = await startJournal(undefined, { fileSizeMax: 1_000 });
    for (const number of range(1, 60)) await append(journal, [number], number % 7 === 0 ? 'disk' : 'os');
    await journal.close();
    const numbers = range(1, [...env.fs.files.keys()].filter((path) => path.startsWith(`${DIR}/`)).length);
    expect(numbers.length).toBeGreaterThan(4);
    for (const number of numbers) {
      const header = checkFileHeader(core, bytesOf(env.fs, number));
      expect(header).toMatchObject({ ok: true, number });
      if (number > 1) expect(header.ok && header.lsnBefore).toBeGreaterThan(0);
    }
    expect((await openJournal(env.fs.afterCrash())).seen).toEqual(range(1, 60));
  });

  test('are synced whole, and named durably, before the next one begins', async () => {
    const opened = await startJournal(undefined, { fileSizeMax: 500 });
    const { journal, env } = opened;
    let rolls = 0;
    const known = new Set([...env.fs.files.keys()].filter((path) => path.startsWith(`${DIR}/`)));
    env.fs.onChange = () => {
      for (const path of env.fs.files.keys()) {
        if (known.has(path) || !path.startsWith(`${DIR}/`)) continue;
        for (const earlier of known) {
          const { current, durable } = env.fs.files.get(earlier)!;
          expect(durable.equals(current)).toBe(true);
        }
        known.add(path);
        rolls++;
      }
    };
    for (const number of range(1, 40)) await append(journal, [number]);
    expect(rolls).toBeGreaterThan(4);
  });

  test('a power cut at any change of a rolling journal loses nothing that was synced', async () => {
    const { journal, env } = await startJournal(undefined, { fileSizeMax: 300 });
    const images: { fs: SimFs; acknowledged: number }[] = [];
    let acknowledged = 0;
    env.fs.onChange = () => {
      for (const name of [true, false]) {
        const fs = env.fs.afterPowerCut({ keep: (_, __, durable) => durable, keepName: () => name });
        images.push({ fs, acknowledged });
      }
    };
    for (const number of range(1, 25)) {
      await append(journal, [number], 'disk');
      acknowledged = number;
    }
    for (const { fs, acknowledged: least } of images) {
      const { seen, journal: next } = await openJournal(fs);
      expect(seen).toEqual(range(1, seen.length));
      expect(seen.length).toBeGreaterThanOrEqual(least);
      await append(next, [99]);
    }
  });
});

describe('a full disk', () => {
  async function withReserve(): Promise<Opened> {
    const opened = await startJournal(SimFs.withReserve('/data'));
    await opened.reserve.find();
    return opened;
  }

  test('takes the reserve once, writes the same bytes again, and loses nothing', async () => {
    const { journal, env, reserve } = await withReserve();
    expect(reserve.intact).toBe(true);
    env.fs.faults.push({ action: 'write', path: /journal/, code: 'ENOSPC', times: 1, partial: 30 });
    await append(journal, range(1, 5));
    await append(journal, [6]);
    expect(reserve.intact).toBe(false);
    expect(env.fs.files.has('/data/reserve')).toBe(false);
    expect(env.crashes).toEqual([]);
    expect((await openJournal(env.fs.afterCrash())).seen).toEqual(range(1, 6));
  });

  test('the reserve is made again when there is room for it and as much again', async () => {
    const env = simEnv();
    const reserve = new Reserve({ env, directory: '/data' });
    env.fs.free = 2 * RESERVE_SIZE - 1;
    await reserve.restore();
    expect(reserve.intact).toBe(false);
    env.fs.free = 2 * RESERVE_SIZE;
    await reserve.restore();
    expect(reserve.intact).toBe(true);
    expect(env.fs.files.get('/data/reserve')!.current.length).toBe(RESERVE_SIZE);
    expect(await reserve.giveWay()).toBe(true);
    expect(await reserve.giveWay()).toBe(false);
  });

  test('a reserve that could not be made whole leaves nothing behind', async () => {
    const env = simEnv();
    env.fs.faults.push({ action: 'write', path: /reserve/, code: 'ENOSPC', times: 1 });
    const reserve = new Reserve({ env, directory: '/data' });
    await reserve.restore();
    expect(reserve.intact).toBe(false);
    expect(env.fs.files.has('/data/reserve')).toBe(false);
    expect(env.fs.openPaths.size).toBe(0);
  });

  test('half a reserve of a crash is not taken for one', async () => {
    const env = simEnv();
    env.fs.files.set('/data/reserve', { current: Buffer.alloc(1_000), durable: Buffer.alloc(1_000) });
    const reserve = new Reserve({ env, directory: '/data' });
    await reserve.find();
    expect(reserve.intact).toBe(false);
    await reserve.restore();
    expect(reserve.intact).toBe(true);
    expect(env.fs.files.get('/data/reserve')!.current.length).toBe(RESERVE_SIZE);
  });
});

test('an event that cannot be written leaves nothing behind', async () => {
  const { journal, env } = await startJournal();
  await append(journal, [1]);
  const large = { type: 'delete', partition: 2, requestId: '', ids: new Float64Array(3_000_000) } as const;
  for (const event of [numbered(-1), { type: 'drop', partition: 2 ** 32 } as const, large]) {
    expect(() => journal.append(event, 'os')).toThrow();
  }
  await append(journal, [3]);
  expect((await openJournal(env.fs.afterCrash())).seen).toEqual([1, 3]);
});
