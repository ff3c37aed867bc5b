/** The commands on directories with a checkpoint, and on damaged ones: they show what there is, and say what is not. */
import { beforeAll, describe, expect, test } from 'vitest';
import * as commands from '../../../server/inspect/commands.ts';
import { withDirectory } from '../../../server/inspect/directory.ts';
import { keyText } from '../../../server/inspect/manifest.ts';
import { recordPrefix, rowKey } from '../../../server/index/keys.ts';
import { recordKinds } from '../../../server/index/records.ts';
import { simEnv, type SimFs } from '../../support/sim_env.ts';
import { recordOffsets } from '../journal/files.ts';
import { DIR, flipped, imageOf, makeDirectory, pathsIn } from './made.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

type Run = (console: commands.Console, options: commands.Options) => Promise<number>;

/** Runs a command; whatever it does, the directory stays as it is. */
async function ran(fs: SimFs, run: Run, options: Partial<commands.Options> = {}): Promise<Ran> {
  const text = { out: '', err: '' };
  const output = (name: 'out' | 'err') => ({ write: (part: string) => (text[name] += part), columns: 100 });
  const before = imageOf(fs);
  const console = { env: simEnv(fs), out: output('out'), err: output('err') };
  const code = await run(console, { directory: DIR, json: false, takesLock: true, ...options });
  expect(imageOf(fs)).toEqual(before);
  expect(fs.openPaths.size).toBe(0);
  return { code, ...text };
}

const journal: Run = (console, options) => commands.journal(console, options, {});
const row =
  (partition: string, id: number): Run =>
  (console, options) =>
    commands.row(console, options, { partition, id });

/** A flip in the middle of the last journal file: a start is refused. */
function refused(fs: SimFs): SimFs {
  const path = pathsIn(fs, 'journal').at(-1)!;
  const offsets = recordOffsets(fs.files.get(path)!.current);
  return flipped(fs, path, offsets[offsets.length >> 1] + 10);
}

describe('after a checkpoint', () => {
  let fs: SimFs;
  beforeAll(async () => {
    fs = await makeDirectory({ checkpoint: true });
  });

  test('the journal has names for its numbers, and says what is gone', async () => {
    const { code, out } = await ran(fs, journal);
    expect(code).toBe(0);
    expect(out).toMatch(/claim +os +p +claim 1\.2 of task trainer: rows 3, 4,/);
    expect(out).toMatch(/events up to LSN \d+ are gone: a checkpoint has what came of them\n$/);
    const lines = (await ran(fs, journal, { json: true })).out.trim().split('\n');
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ type: 'seal', partition: 'safe' });
  });

  test('a row has the events that are left, and all that holds now', async () => {
    const { code, out } = await ran(fs, row('p', 3));
    expect(code).toBe(0);
    expect(out).toMatch(/claim +os +claim 1\.2 of task trainer: fields a, attempt 1/);
    expect(out).toMatch(/trainer +leased +1\.2/);
    expect((await ran(fs, row('p', 2))).out).toMatch(/put of fields a, as row 0 of 1/);
    const { out: json } = await ran(fs, row('p', 6), { json: true });
    expect(JSON.parse(json)).toMatchObject({
      partition: 'p',
      id: 6,
      events: [],
      now: { puts: [{ shows: ['b'], bytes: 'sound' }] },
    });
  });

  test('levels show each file with its keys in words', async () => {
    const { out } = await ran(fs, commands.levels);
    expect(out).toMatch(/0 +\d+ +\d{10}\.sst +.* row 1 of #1 to \w+ of #\d/);
    const { out: json } = await ran(fs, commands.levels, { json: true });
    expect(JSON.parse(json)).toMatchObject({ files: [{ level: 0, first: 'row 1 of #1' }] });
  });

  test('the overview shows it, and verify finds all sound', async () => {
    expect((await ran(fs, commands.overview)).out).toMatch(/checkpoint +[1-9]\d*\n/);
    const { code, out } = await ran(fs, commands.verify, { json: true });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ sound: true, problems: [], unchecked: [] });
  });
});

test('rows and partitions that are not there are said not to be', async () => {
  const fs = await makeDirectory();
  expect((await ran(fs, row('p', 999))).out).toBe('0 events\n\nrow 999 is not there now\n');
  expect((await ran(fs, row('unheard', 1))).out).toBe('0 events\n\nrow 1 is not there now\n');
  expect((await ran(fs, row('gone', 1))).out).toMatch(/drop .* the partition is dropped\n/);
});

test('all JSON has the same kind of names', async () => {
  const fs = await makeDirectory({ checkpoint: true });
  for (const run of [commands.verify, commands.overview, commands.segments, commands.levels, journal, row('p', 3)]) {
    const { out } = await ran(fs, run, { json: true });
    expect([...out.matchAll(/"(\w+)":/g)].map(([, name]) => name).filter((name) => /[A-Z]/.test(name))).toEqual([]);
  }
});

describe('of a directory that a start refuses', () => {
  let fs: SimFs;
  beforeAll(async () => {
    fs = refused(await makeDirectory({ checkpoint: true }));
  });

  test('the journal is shown up to there', async () => {
    const { code, out } = await ran(fs, journal);
    expect(code).toBe(0);
    expect(out).toContain('; a start would be refused\n');
  });

  test('the overview and the row are those of the last event that can be read', async () => {
    expect((await ran(fs, commands.overview)).out).toMatch(/a start would be refused/);
    expect((await ran(fs, row('p', 4))).out).toMatch(/sound/);
  });

  test('and whose manifest is damaged, views say so and point to verify, which lists it', async () => {
    const damaged = flipped(fs, `${DIR}/tree/manifest`, 40);
    for (const view of [commands.overview, commands.segments, commands.levels]) {
      const { code, err } = await ran(damaged, view);
      expect([code, err]).toEqual([
        1,
        'tq: a start would be refused: the manifest of the tree is damaged; see tq verify\n',
      ]);
    }
    const { code, out } = await ran(damaged, commands.verify);
    expect(code).toBe(1);
    expect(out).toContain('tree/manifest');
    expect(out).toContain('not checked: ');
  });
});

describe('the lock', () => {
  test('is respected, unless one insists', async () => {
    const fs = await makeDirectory();
    const held = await fs.lock(DIR);
    for (const run of [commands.verify, commands.overview, commands.segments, commands.levels, journal, row('p', 1)]) {
      expect(await ran(fs, run)).toMatchObject({ code: 75, out: '' });
      expect(await ran(fs, run, { takesLock: false })).toMatchObject({ code: 0, err: '' });
    }
    await held.release();
    expect((await ran(fs, commands.overview)).code).toBe(0);
  });

  test('is given back, also after a failure', async () => {
    const fs = refused(await makeDirectory());
    await ran(fs, commands.verify);
    await ran(fs, commands.segments);
    await (await fs.lock(DIR)).release();
  });
});

describe('a directory that cannot be written', () => {
  const all = [commands.verify, commands.overview, commands.segments, commands.levels, journal, row('p', 3)];

  test.each([false, true])('is looked at like any other, without the lock; damaged: %s', async (isDamaged) => {
    const made = await makeDirectory({ checkpoint: true, killed: true });
    const fs = isDamaged ? refused(made) : made;
    const wanted: Ran[] = [];
    for (const run of all) wanted.push(await ran(fs, run));
    fs.isReadOnly = true;
    for (const [i, run] of all.entries()) expect(await ran(fs, run, { takesLock: false })).toEqual(wanted[i]);
  });

  test('cannot be locked, and the message says what to do', async () => {
    const fs = await makeDirectory();
    fs.isReadOnly = true;
    const err = `tq: cannot lock ${DIR}: EROFS; if no server runs on it, look without the lock: --no-lock\n`;
    for (const run of all) expect(await ran(fs, run)).toEqual({ code: 75, out: '', err });
  });
});

test('whoever looks can neither write nor change what there is', async () => {
  const fs = await makeDirectory();
  const [path] = pathsIn(fs, 'journal');
  await withDirectory(simEnv(fs), { directory: DIR, takesLock: true }, async ({ fs: reading }) => {
    const file = await reading.open(path, { create: true });
    await expect(file.pwrite(Buffer.alloc(1), 0)).rejects.toMatchObject({ code: 'EBADF' });
    await file.close();
    await expect(reading.open(`${DIR}/new`, { create: true })).rejects.toMatchObject({ code: 'ENOENT' });
    const changes = [reading.unlink(path), reading.rename(path, `${path}2`), reading.makeDirectory(`${DIR}/new`)];
    for (const change of [...changes, reading.syncDirectory(DIR)]) {
      await expect(change).rejects.toMatchObject({ code: 'EROFS' });
    }
  });
});

test('a disk that cannot be read ends in one line', async () => {
  const fs = await makeDirectory();
  fs.faults.push({ action: 'read', path: /\.tqj$/, code: 'EIO', times: 1 });
  const { code, err } = await ran(fs, journal);
  expect(code).toBe(1);
  expect(err).toMatch(/^tq: cannot read .*: EIO\n$/);
});

test('keys are put into words, and what is no key of ours into hexadecimal', () => {
  expect(keyText(rowKey(7, 42))).toBe('row 42 of #7');
  const record = Buffer.concat([recordPrefix(3), Uint8Array.of(recordKinds.queue, 1, 2)]);
  expect(keyText(record)).toBe('queue of #3');
  expect(keyText(Uint8Array.of(1, 2))).toBe('0102');
  expect(keyText(Uint8Array.of(9, 0, 0, 0, 1, 99))).toBe('090000000163');
});
