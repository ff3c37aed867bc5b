/** Damage: no flipped bit of any file passes for good bytes, and the offline check finds each of them. */

import { beforeAll, describe, expect, test } from 'vitest';
import { RecoveryError, StoreError } from '../../../server/errors.ts';
import { HEADER_SIZE } from '../../../server/tree/sst_format.ts';
import { verifyTree, type TreeReport } from '../../../server/tree/verify.ts';
import { seededRandom, simEnv, SimFs } from '../../support/sim_env.ts';
import { bytesOf, DIRECTORY, entriesOf, openSmall, picker, textOrNull } from './support.ts';

const KEYS = 900;
const name = (i: number) => `k${String(i).padStart(4, '0')}`;
let sound: SimFs;
let expected: string[];

/** Several files in two levels, with deletions and versions that a snapshot holds. */
async function fill(fs: SimFs, compressed: boolean): Promise<void> {
  const tree = await openSmall(simEnv(fs), { compressed });
  for (let lsn = 1; lsn <= 6; lsn++) {
    for (let i = lsn % 3; i < KEYS; i += lsn) {
      if (i % 7 === lsn) tree.delete(bytesOf(name(i)), lsn);
      else tree.put(bytesOf(name(i)), bytesOf(`${lsn}`.padEnd(40 + (i % 30), 'abc')), lsn);
    }
    tree.snapshot(lsn);
    tree.rotate();
    await tree.flush({ lsn });
  }
  await tree.compacted();
  tree.put(bytesOf('last'), bytesOf('run'), 7);
  tree.rotate();
  await tree.flush({ lsn: 7 });
  expected = await entriesOf(tree);
  await tree.close();
}

const verify = (fs: SimFs): Promise<TreeReport> => verifyTree(simEnv(fs), DIRECTORY);

beforeAll(async () => {
  sound = new SimFs();
  await fill(sound, false);
});

test('a sound tree has no problems, and all of it is looked at', async () => {
  for (const compressed of [false, true]) {
    const fs = new SimFs();
    await fill(fs, compressed);
    const sizes: number[] = [];
    const report = await verifyTree(simEnv(fs), DIRECTORY, ({ doneSize }) => sizes.push(doneSize));
    expect(report.problems).toEqual([]);
    expect(report.files).toBeGreaterThan(2);
    expect(report.entries).toBeGreaterThan(KEYS);
    const files = [...fs.files].filter(([path]) => path.endsWith('.sst'));
    expect(report.size).toBe(files.reduce((sum, [, { current }]) => sum + current.length, 0));
    expect(sizes.at(-1)).toBe(report.size);
  }
  expect(await verify(new SimFs())).toEqual({ files: 0, size: 0, entries: 0, problems: [] });
});

/** Places all over a file; header and tail byte by byte. */
function placesOf(size: number, pick: (count: number) => number): number[] {
  const edges = [...Array(HEADER_SIZE).keys(), ...Array.from({ length: 120 }, (_, i) => size - 1 - i)];
  return [...edges, ...Array.from({ length: 60 }, () => pick(size))].filter((at) => at >= 0);
}

test('a flipped bit is found, and never read as something else', { timeout: 120_000 }, async () => {
  const pick = picker(seededRandom(9));
  let flips = 0;
  for (const path of sound.files.keys()) {
    for (const at of placesOf(sound.files.get(path)!.current.length, pick)) {
      const fs = sound.afterCrash();
      fs.files.get(path)!.current[at] ^= 1 << pick(8);
      const { problems } = await verify(fs);
      expect(problems.length, `${path} ${at}`).toBeGreaterThan(0);
      expect(problems[0].file).toBe(path.slice(DIRECTORY.length + 1));
      await readAll(fs);
      flips++;
    }
  }
  expect(flips).toBeGreaterThan(800);
});

/** All that can be read is right; all else is a typed error. */
async function readAll(fs: SimFs): Promise<void> {
  try {
    const tree = await openSmall(simEnv(fs));
    const values = new Map(expected.map((entry) => entry.split('=') as [string, string]));
    for (let i = 0; i < KEYS; i += 50) {
      const keys = Array.from({ length: 50 }, (_, j) => name(i + j));
      await expectRight(async () => {
        const found = await tree.get(keys.map(bytesOf));
        expect(found.map(textOrNull)).toEqual(keys.map((key) => values.get(key) ?? null));
      });
    }
    await expectRight(async () => expect(await entriesOf(tree)).toEqual(expected));
    await tree.close();
  } catch (error) {
    if (!(error instanceof RecoveryError)) throw error;
  }
}

async function expectRight(read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    expect(error).toMatchObject({ code: 'data_corrupt', details: { file: expect.any(String) } });
  }
}

describe('also found is', () => {
  const firstSst = (fs: SimFs) => [...fs.files.keys()].filter((path) => path.endsWith('.sst')).sort()[0];
  const edit = (fs: SimFs, path: string, change: (bytes: Buffer) => Buffer) => {
    fs.files.get(path)!.current = change(fs.files.get(path)!.current);
  };

  test.each<[string, string, (fs: SimFs) => void]>([
    ['a file that is missing', 'ENOENT', (fs) => void fs.files.delete(firstSst(fs))],
    ['a file that was cut', 'bytes', (fs) => edit(fs, firstSst(fs), (bytes) => bytes.subarray(0, 500))],
    ['a file that has grown', 'bytes', (fs) => edit(fs, firstSst(fs), (bytes) => Buffer.concat([bytes, bytes]))],
    ['a manifest that is missing', 'no manifest', (fs) => void fs.files.delete(`${DIRECTORY}/manifest`)],
    [
      'a file in the place of another',
      'footer',
      (fs) => {
        const [one, two] = [...fs.files.keys()].filter((path) => path.endsWith('.sst')).sort();
        edit(fs, one, (bytes) => Buffer.concat([fs.files.get(two)!.current, bytes]).subarray(0, bytes.length));
      },
    ],
  ])('%s', async (_, what, harm) => {
    const fs = sound.afterCrash();
    harm(fs);
    const { problems } = await verify(fs);
    expect(problems.map((problem) => problem.what).join()).toContain(what);
  });
});
