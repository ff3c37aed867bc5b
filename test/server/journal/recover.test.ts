/** The table of recover.ts, a test for each row: what is cut, what is refused, and that nothing else is lost. */
import { describe, expect, test } from 'vitest';
import { ByteWriter, readNumber } from '../../../server/journal/bytes.ts';
import type { JournalEvent } from '../../../server/journal/events.ts';
import {
  fileHeader,
  FILE_HEADER_SIZE,
  recordSize,
  sealRecord,
  type RecordHeader,
} from '../../../server/journal/format.ts';
import { judge, readJournal } from '../../../server/journal/recover.ts';
import { JournalScan, type JournalStart } from '../../../server/journal/scan.ts';
import { simEnv, SimFs } from '../../support/sim_env.ts';
import {
  append,
  bytesOf,
  core,
  DIR,
  openJournal,
  otherBoot,
  pathOf,
  recordOffsets,
  startJournal,
  withFile,
  oneByOne,
} from './files.ts';

/** A descriptor, events 1 to 3 below the watermark, and 4 to 6 above it. */
async function sample(): Promise<{ fs: SimFs; bytes: Buffer; at: number[] }> {
  const { env, journal } = await startJournal();
  await append(journal, [1, 2, 3]);
  await journal.makeDurable(() => Promise.resolve());
  for (const number of [4, 5, 6]) await append(journal, [number]);
  await journal.close();
  const bytes = bytesOf(env.fs);
  return { fs: env.fs, bytes, at: recordOffsets(bytes) };
}

function flipped(bytes: Buffer, at: number, bit = 0): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] ^= 1 << bit;
  return copy;
}

function readHeaderLsn(bytes: Buffer): number {
  return readNumber(bytes, 24);
}

async function refusalOf(fs: SimFs, from?: JournalStart): Promise<string> {
  const error: unknown = await openJournal(fs, { from }).then(
    ({ seen }) => `opened with ${seen.join()}`,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error) || error.name !== 'RecoveryError') throw new Error(`not refused: ${String(error)}`);
  return error.message;
}

describe('a torn tail', () => {
  test('at every byte of the last record loses that record and nothing else, and the journal goes on', async () => {
    const { fs, bytes, at } = await sample();
    const [from, to] = at.slice(-2);
    for (let end = from; end < to; end++) {
      const torn = Buffer.concat([bytes.subarray(0, end), Buffer.alloc(end % 3 === 0 ? to - end : 0)]);
      const { journal, end: found, seen, env } = await openJournal(withFile(fs, 1, torn));
      if (torn.equals(bytes)) continue;
      expect(seen).toEqual([1, 2, 3, 4, 5]);
      const size = torn.length - from;
      expect(found.cut).toEqual(
        size === 0 ? null : { file: '000000000001.tqj', offset: from, size, reason: 'a torn write' },
      );
      await append(journal, [7]);
      expect((await openJournal(env.fs.afterCrash())).seen).toEqual([1, 2, 3, 4, 5, 7]);
    }
  });

  test('a cut is durable before it is reported', async () => {
    const { fs, bytes, at } = await sample();
    const torn = bytes.subarray(0, at.at(-1)! - 1);
    const { env, end } = await openJournal(withFile(fs, 1, torn));
    expect(end.cut).not.toBeNull();
    const again = await openJournal(env.fs.afterPowerCut({ keep: (_, __, durable) => durable, keepName: () => true }));
    expect(again.end.cut).toBeNull();
    expect(again.seen).toEqual([1, 2, 3, 4, 5]);
  });

  test('every flip in the last record is cut away, except in its padding, which says nothing', async () => {
    const { fs, bytes, at } = await sample();
    const [from, to] = at.slice(-2);
    const padding = to - 4;
    for (let byte = from; byte < to; byte++) {
      const { seen, end } = await openJournal(withFile(fs, 1, flipped(bytes, byte, byte % 8)));
      expect(seen).toEqual(byte < padding ? [1, 2, 3, 4, 5] : [1, 2, 3, 4, 5, 6]);
      expect(end.cut === null).toBe(byte >= padding);
    }
  });
});

describe('a bad record with valid ones behind it', () => {
  test('below the watermark is refused, wherever it is flipped and whatever the boot', async () => {
    const { fs, bytes, at } = await sample();
    for (const record of [0, 1, 2, 3]) {
      for (let byte = at[record]; byte < at[record + 1]; byte += 7) {
        const damaged = withFile(fs, 1, flipped(bytes, byte, byte % 8));
        if (byte >= at[record + 1] - 4 && record > 0) continue;
        for (const disk of [damaged, otherBoot(damaged)]) {
          expect(await refusalOf(disk)).toBe('the journal is damaged below its durable watermark');
        }
      }
    }
  });

  test('above it is refused in the same boot: a killed process tears its last write only', async () => {
    const { fs, bytes, at } = await sample();
    for (const record of [4, 5]) {
      expect(await refusalOf(withFile(fs, 1, flipped(bytes, at[record] + 9)))).toBe(
        'the journal is damaged in its middle',
      );
    }
  });

  test('above it is cut with all that follow after another boot: pages reach the disk in any order', async () => {
    const { fs, bytes, at } = await sample();
    for (const [record, seen] of [
      [4, [1, 2, 3]],
      [5, [1, 2, 3, 4]],
    ] as const) {
      const { end, seen: found } = await openJournal(otherBoot(withFile(fs, 1, flipped(bytes, at[record] + 9))));
      expect(found).toEqual(seen);
      expect(end.cut?.reason).toBe('writes lost by a crash of the machine');
    }
  });

  test('a record out of order is bad: LSNs, timestamps and watermarks only rise', async () => {
    const { fs, bytes, at } = await sample();
    const fourth = bytes.subarray(at[4], at[5]);
    const repeated = Buffer.concat([bytes, fourth]);
    const { seen, end } = await openJournal(withFile(fs, 1, repeated));
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    expect(end.cut).toMatchObject({ offset: bytes.length, reason: 'a torn write' });
  });
});

describe('whole files', () => {
  async function three(): Promise<SimFs> {
    const { env, journal } = await startJournal(undefined, { fileSizeMax: 200 });
    for (const number of [1, 2, 3, 4, 5, 6]) await append(journal, [number]);
    await journal.close();
    return env.fs;
  }

  test('are read in order', async () => {
    const { seen, end } = await openJournal(await three());
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    expect(end.fileNumber).toBe(3);
  });

  test('one that is missing is refused: the first, and one in the middle', async () => {
    const fs = await three();
    expect(await refusalOf(withFile(fs, 1, null))).toBe('a journal file is missing');
    expect(await refusalOf(withFile(fs, 2, null))).toBe('a journal file is missing');
  });

  test('one that lost its end is refused, although what is left of it is sound', async () => {
    const fs = await three();
    const bytes = bytesOf(fs, 2);
    const shorter = bytes.subarray(0, recordOffsets(bytes).at(-2));
    expect(await refusalOf(withFile(fs, 2, shorter))).toBe('a journal file does not go on from the one before it');
  });

  test('damage before the last file is refused, also at the end of a file', async () => {
    const fs = await three();
    const bytes = bytesOf(fs, 2);
    const [last] = recordOffsets(bytes).slice(-2);
    expect(await refusalOf(withFile(fs, 2, flipped(bytes, last + 20)))).toBe(
      'the journal is damaged before its last file',
    );
  });

  test('one that took the place of another is refused', async () => {
    const fs = await three();
    expect(await refusalOf(withFile(fs, 3, bytesOf(fs, 2)))).toBe(
      'a journal file does not go on from the one before it',
    );
  });

  test('files that are not ours are passed over', async () => {
    const fs = await three();
    fs.files.set(`${pathOf(9)}.bak`, { current: Buffer.from('x'), durable: Buffer.from('x') });
    expect((await openJournal(fs)).seen).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

describe('after a checkpoint', () => {
  /** A descriptor and events 1 to 9 of LSN 2 to 10, a few to a file. */
  async function files(): Promise<SimFs> {
    const { env, journal } = await startJournal(undefined, { fileSizeMax: 200 });
    for (const number of [1, 2, 3, 4, 5, 6, 7, 8, 9]) await append(journal, [number]);
    await journal.close();
    return env.fs;
  }
  const boot = 'boot-1';

  test('the journal is read from its file on, whether the files before it are there or not', async () => {
    const fs = await files();
    const from = { file: 2, lsn: 5, bootId: boot };
    const all = await openJournal(fs, { from });
    expect(all.seen).toEqual([5, 6, 7, 8, 9]);
    expect(all.end).toMatchObject({ events: 5, lsn: 10, watermark: 5, bootId: boot });
    const fewer = await openJournal(withFile(fs, 1, null), { from });
    expect(fewer.seen).toEqual(all.seen);
    const garbage = await openJournal(withFile(fs, 1, Buffer.from('garbage')), { from });
    expect(garbage.seen).toEqual(all.seen);
  });

  test('records of its file up to its LSN are skipped, wherever in the file it lies', async () => {
    const fs = await files();
    for (let lsn = 4; lsn <= 10; lsn++) {
      const { seen } = await openJournal(fs, { from: { file: 2, lsn } });
      expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].filter((number) => number + 1 > lsn));
    }
  });

  test('a checkpoint below the beginning of its file is refused: events in between are gone', async () => {
    const fs = await files();
    expect(await refusalOf(fs, { file: 3, lsn: 4 })).toBe('a journal file does not go on from the one before it');
  });

  test('its file must be there, and those after it', async () => {
    const fs = await files();
    const from = { file: 2, lsn: 5 };
    expect(await refusalOf(withFile(fs, 2, null), from)).toBe('a journal file is missing');
    expect(await refusalOf(withFile(fs, 3, null), from)).toBe('a journal file is missing');
    const none = new SimFs();
    expect(await refusalOf(none, from)).toBe('a journal file is missing');
    expect((await openJournal(none)).seen).toEqual([]);
  });

  test('LSNs of events without a record count: the journal goes on above the checkpoint, and rolls', async () => {
    const { env, journal } = await startJournal(undefined, { fileSizeMax: 100 });
    await append(journal, [1]);
    await append(journal, [2, 3, 4], 'memory');
    await journal.close();
    const from = { file: 1, lsn: 5 };
    const first = await openJournal(env.fs.afterCrash(), { from, fileSizeMax: 100 });
    expect([first.seen, first.end.lsn]).toEqual([[], 5]);
    await append(first.journal, [5]);
    await append(first.journal, [6]);
    await first.journal.close();
    const second = await openJournal(first.env.fs.afterCrash(), { from });
    expect([second.seen, second.end.lsn]).toEqual([[5, 6], 7]);
    expect(second.end.fileNumber).toBeGreaterThan(1);
  });

  test('damage to records that it covers is refused, since they were synced', async () => {
    const { fs, bytes, at } = await sample();
    const damaged = otherBoot(withFile(fs, 1, flipped(bytes, at[5] + 9)));
    expect((await openJournal(damaged.afterCrash())).end.cut?.reason).toBe('writes lost by a crash of the machine');
    expect(await refusalOf(damaged, { file: 1, lsn: 7 })).toBe('the journal is damaged below its durable watermark');
  });

  test('the boot of its run tells a killed process from a crash of the machine', async () => {
    const fs = await files();
    const { length } = [...fs.files.keys()].filter((path) => path.endsWith('.tqj'));
    const bytes = bytesOf(fs, length);
    const disk = withFile(fs, length, flipped(bytes, recordOffsets(bytes)[0] + 9));
    const from = { file: length, lsn: readHeaderLsn(bytes) };
    expect(await refusalOf(disk.afterCrash(), { ...from, bootId: boot })).toBe('the journal is damaged in its middle');
    expect((await openJournal(disk, { from: { ...from, bootId: 'other' } })).end.cut).not.toBeNull();
  });
});

test('a visitor that returns a promise is waited for before the next event', async () => {
  const { fs } = await sample();
  const trace: string[] = [];
  const visit = async (event: JournalEvent): Promise<void> => {
    trace.push(`begin ${event.type}`);
    await new Promise((resolve) => setImmediate(resolve));
    trace.push(`end ${event.type}`);
  };
  const { file } = await readJournal({ env: simEnv(fs), core, directory: DIR, visitor: oneByOne(visit) });
  await file?.close();
  expect(trace).toEqual(
    ['descriptor', ...Array<string>(6).fill('seal')].flatMap((type) => [`begin ${type}`, `end ${type}`]),
  );
});

test('a scan changes nothing and says what a start would do', async () => {
  const { fs, bytes, at } = await sample();
  const torn = withFile(fs, 1, bytes.subarray(0, at.at(-1)! - 1));
  const scan = new JournalScan({ env: simEnv(torn), core, directory: DIR });
  const records: unknown[] = [];
  for await (const file of scan.files()) for await (const record of file.records()) records.push(record);
  expect(records).toHaveLength(6);
  expect(judge(scan, fs.boot)).toMatchObject({ outcome: 'cut', found: 'bad, nothing later' });
  expect(bytesOf(torn)).toHaveLength(at.at(-1)! - 1);
  expect(torn.openPaths.size).toBe(0);
});

describe('a file header', () => {
  test('of another format version is refused by name', async () => {
    const { fs, bytes } = await sample();
    const newer = Buffer.from(bytes);
    newer.writeUInt32LE(2, 8);
    core.xxh64Into(newer.subarray(0, 40), newer.subarray(40, 48));
    const opening = openJournal(withFile(fs, 1, newer)).then(() => 'opened');
    await expect(opening).rejects.toMatchObject({
      message: 'the data directory has another format version',
      details: { file: '000000000001.tqj', version: 2 },
    });
  });

  test('is refused after every flip', async () => {
    const { fs, bytes } = await sample();
    for (let byte = 0; byte < FILE_HEADER_SIZE; byte++) {
      expect(await refusalOf(withFile(fs, 1, flipped(bytes, byte, byte % 8)))).toMatch(
        /header is damaged|format version/,
      );
    }
  });

  test.each([0, 1, 47])('that was torn at byte %i of a roll is made anew', async (size) => {
    const { fs } = await sample();
    const torn = fileHeader(core, 2, 7).subarray(0, size);
    const { env, journal, end, seen } = await openJournal(withFile(fs, 2, torn));
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    expect(end.cut).toMatchObject({ file: '000000000002.tqj', reason: 'an interrupted roll' });
    await append(journal, [7]);
    expect((await openJournal(env.fs.afterCrash())).seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('that is zero before synced records is damage, not an interrupted roll', async () => {
    const { fs, bytes } = await sample();
    const zeroed = Buffer.from(bytes).fill(0, 0, FILE_HEADER_SIZE);
    for (const disk of [withFile(fs, 1, zeroed), otherBoot(withFile(fs, 1, zeroed))]) {
      expect(await refusalOf(disk)).toBe('the journal is damaged below its durable watermark');
    }
  });
});

describe('a good record that makes no sense', () => {
  const header = { timestamp: 2 ** 52, level: 'os', epoch: 1, watermark: 0 } as const;

  function withRecord(bytes: Buffer, record: Pick<RecordHeader, 'lsn' | 'type'>, payload: Buffer): Buffer {
    const sealed = Buffer.alloc(recordSize(payload.length));
    sealed.set(payload, 56);
    sealRecord(core, sealed, { ...header, ...record, payloadSize: payload.length, watermark: 4 });
    return Buffer.concat([bytes, sealed]);
  }

  test.each([
    ['an unknown type', 77, Buffer.alloc(4)],
    ['bytes left over', 9, Buffer.alloc(5)],
    ['bytes missing', 9, Buffer.alloc(3)],
    ['settings that are not JSON', 2, declaration('{"name"')],
  ])('is refused: %s', async (_, type, payload) => {
    const { fs, bytes } = await sample();
    const disk = withFile(fs, 1, withRecord(bytes, { lsn: 8, type }, payload));
    expect(await refusalOf(disk)).toBe('a journal record makes no sense');
  });
});

function declaration(json: string): Buffer {
  const out = new ByteWriter();
  out.u32(1);
  out.text(json);
  return Buffer.from(out.view());
}
