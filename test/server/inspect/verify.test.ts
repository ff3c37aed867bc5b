/** `tq verify` finds damage in every kind of file and names it, finds none where there is none, and changes nothing. */
import { describe, expect, test } from 'vitest';
import { FILE_HEADER_SIZE, RECORD_HEADER_SIZE } from '../../../server/journal/format.ts';
import type { Report } from '../../../server/inspect/report.ts';
import type { SimFs } from '../../support/sim_env.ts';
import { compact, newWorld, putRow, remove } from '../engine/space.ts';
import { recordOffsets } from '../journal/files.ts';
import { DIR, flipped, imageOf, makeDirectory, openOn, pathsIn, verifyOn, withBytes } from './made.ts';

/** Whatever becomes of it, no byte and no name changes. */
async function verifiedUnchanged(fs: SimFs): Promise<Report> {
  const before = imageOf(fs);
  const report = await verifyOn(fs);
  expect(imageOf(fs)).toEqual(before);
  expect(fs.openPaths.size).toBe(0);
  return report;
}

describe.each([
  ['stopped', {}],
  ['killed', { killed: true }],
  ['stopped after a checkpoint', { checkpoint: true }],
  ['killed after a checkpoint', { checkpoint: true, killed: true }],
] as const)('a directory of a server that was %s', (_, options) => {
  test('is sound, and all of it was looked at', async () => {
    const report = await verifiedUnchanged(await makeDirectory(options));
    expect(report.problems).toEqual([]);
    expect(report.unchecked).toEqual([]);
    expect(report.isSound).toBe(true);
    const counts = Object.fromEntries([...report.counts].map(([what, { count }]) => [what, count]));
    expect(counts).toMatchObject({ partitions: 2, rows: 9, extents: 5 });
  });

  test('shows what a start makes of it, since it is one', async () => {
    const fs = await makeDirectory(options);
    await verifyOn(fs);
    const { node, close } = await openOn(fs);
    expect([...node.parts.state.store.partitions()].map(({ settings }) => settings.name)).toEqual(['p', 'safe']);
    await close();
  });
});

test.each([false, true])('a directory whose segments were compacted is sound, checkpoint: %s', async (isSaved) => {
  const world = await newWorld();
  const { env, node, compaction } = world;
  const ids = Array.from({ length: 100 }, (_, id) => id);
  for (const id of ids) await putRow(node, id, 60_000);
  const dead = ids.filter((id) => id % 10 !== 3);
  await remove(node, dead);
  await compact(world);
  expect(compaction.movedCount).toBeGreaterThan(0);
  if (isSaved) await node.checkpoints.run();
  await putRow(node, 0, 100);
  await node.stop();
  const report = await verifiedUnchanged(env.fs.afterCrash());
  expect(report.problems).toEqual([]);
  expect(report.isSound).toBe(true);
  expect(report.count('rows').count).toBe(11);
});

describe('the bytes of puts', () => {
  test('a flip in a sealed segment is named with its partition, rows and fields', async () => {
    const fs = await makeDirectory();
    const path = largest(fs);
    const report = await verifiedUnchanged(flipped(fs, path, 1_000));
    expect(report.isSound).toBe(false);
    expect(report.problems).toMatchObject([
      {
        of: 'extents',
        file: path.slice(DIR.length + 1),
        offset: 0,
        partition: 'safe',
        rows: [10, 11],
        fields: ['text'],
        what: expect.stringContaining('fail their checksum') as string,
      },
    ]);
  });

  test('a flip in the active segment is found', async () => {
    const fs = await makeDirectory({ killed: true });
    const path = pathsIn(fs, 'segments').find((one) => fs.files.get(one)!.current.includes('two again'))!;
    const at = fs.files.get(path)!.current.indexOf('two again');
    const { problems } = await verifiedUnchanged(flipped(fs, path, at, 3));
    expect(problems).toMatchObject([{ of: 'extents', partition: 'p', rows: [2], fields: ['a'] }]);
  });

  test('a segment that is cut short, or missing, is found', async () => {
    const fs = await makeDirectory();
    const path = largest(fs);
    const short = await verifiedUnchanged(withBytes(fs, path, (bytes) => bytes.subarray(0, 100_000)));
    expect(short.problems).toMatchObject([{ of: 'extents', what: expect.stringContaining('ends before') as string }]);
    const missing = await verifiedUnchanged(withBytes(fs, path, () => null));
    expect(missing.problems.at(-1)).toMatchObject({ of: 'extents', file: path.slice(DIR.length + 1) });
    expect(missing.isSound).toBe(false);
  });

  test('a flip where no live put lies is no problem', async () => {
    const fs = await makeDirectory({ killed: true });
    const path = pathsIn(fs, 'segments').find((one) => fs.files.get(one)!.current.includes('gone'));
    if (path === undefined) return;
    const at = fs.files.get(path)!.current.indexOf('gone');
    expect((await verifiedUnchanged(flipped(fs, path, at))).isSound).toBe(true);
  });
});

function largest(fs: SimFs): string {
  const sizeOf = (path: string): number => fs.files.get(path)!.current.length;
  return pathsIn(fs, 'segments').sort((a, b) => sizeOf(b) - sizeOf(a))[0];
}

describe('the journal', () => {
  function lastFile(fs: SimFs): { path: string; bytes: Buffer; offsets: number[] } {
    const path = pathsIn(fs, 'journal').at(-1)!;
    const bytes = fs.files.get(path)!.current;
    return { path, bytes, offsets: recordOffsets(bytes) };
  }

  test('a flip in its middle refuses a start; what comes before is checked all the same', async () => {
    const fs = await makeDirectory();
    const { path, offsets } = lastFile(fs);
    const middle = offsets[offsets.length >> 1];
    const report = await verifiedUnchanged(flipped(fs, path, middle + RECORD_HEADER_SIZE + 2));
    expect(report.problems[0]).toMatchObject({ of: 'records', file: path.slice(DIR.length + 1), offset: middle });
    expect(report.problems[0].what).toContain('a start is refused');
    expect(report.unchecked).toHaveLength(1);
    expect(report.count('extents').count).toBeGreaterThan(0);
  });

  test('a torn tail is reported with where a start cuts, and how much', async () => {
    const fs = await makeDirectory({ killed: true });
    const { path, bytes, offsets } = lastFile(fs);
    const last = offsets.at(-2)!;
    const torn = withBytes(fs, path, () => bytes.subarray(0, bytes.length - 9));
    const { problems } = await verifiedUnchanged(torn);
    expect(problems).toMatchObject([
      {
        of: 'records',
        offset: last,
        length: bytes.length - 9 - last,
        what: 'a torn write: a start cuts the journal there',
      },
    ]);
  });

  test('an interrupted roll is worth a note only', async () => {
    const fs = await makeDirectory();
    const number = Number(/(\d+)\.tqj$/.exec(lastFile(fs).path)![1]) + 1;
    const path = `${DIR}/journal/${String(number).padStart(12, '0')}.tqj`;
    fs.files.set(path, { current: Buffer.alloc(20), durable: Buffer.alloc(20) });
    const report = await verifiedUnchanged(fs);
    expect(report.isSound).toBe(true);
    expect(report.notes).toMatchObject([{ file: path.slice(DIR.length + 1) }]);
  });

  test.each([0, 9, 30, FILE_HEADER_SIZE - 1])('a flip of byte %i of a file header is found', async (at) => {
    const fs = await makeDirectory();
    const { path } = lastFile(fs);
    const { problems } = await verifiedUnchanged(flipped(fs, path, at));
    expect(problems[0]).toMatchObject({ of: 'records', file: path.slice(DIR.length + 1) });
  });
});

describe('the tree', () => {
  const sst = (fs: SimFs): string => pathsIn(fs, 'tree').find((path) => path.endsWith('.sst'))!;

  test.each([0, 20, 40, 100, -5, -60, -100])('a flip of byte %i of a file is named', async (place) => {
    const fs = await makeDirectory({ checkpoint: true });
    const path = sst(fs);
    const at = place < 0 ? fs.files.get(path)!.current.length + place : place;
    const { problems } = await verifiedUnchanged(flipped(fs, path, at));
    expect(problems.map(({ of, file }) => [of, file])).toContainEqual(['treeFiles', path.slice(DIR.length + 1)]);
  });

  test('a file that is missing or cut short is named', async () => {
    const fs = await makeDirectory({ checkpoint: true });
    const path = sst(fs);
    for (const change of [() => null, (bytes: Buffer) => bytes.subarray(0, 50), () => Buffer.alloc(0)]) {
      const { problems } = await verifiedUnchanged(withBytes(fs, path, change));
      expect(problems[0]).toMatchObject({ of: 'treeFiles', file: path.slice(DIR.length + 1) });
    }
  });

  test('a flip in the manifest, or none at all, is found, and the journal is read as far back as it goes', async () => {
    const fs = await makeDirectory({ checkpoint: true });
    const path = `${DIR}/tree/manifest`;
    const { length } = fs.files.get(path)!.current;
    for (const at of [0, 30, length >> 1, length - 1]) {
      const report = await verifiedUnchanged(flipped(fs, path, at));
      expect(report.problems[0]).toMatchObject({ of: 'treeFiles', file: 'tree/manifest' });
      expect(report.count('records').count).toBeGreaterThan(0);
      expect(report.unchecked).toHaveLength(1);
    }
    const { isSound, problems } = await verifiedUnchanged(withBytes(fs, path, () => null));
    expect(isSound).toBe(false);
    expect(problems[0]).toMatchObject({ of: 'treeFiles', what: 'there are files and no manifest' });
  });

  test('a file that the manifest does not name is worth a note', async () => {
    const fs = await makeDirectory({ checkpoint: true });
    fs.files.set(`${DIR}/tree/0000000099.sst`, { current: Buffer.from('x'), durable: Buffer.from('x') });
    const report = await verifiedUnchanged(fs);
    expect(report.isSound).toBe(true);
    expect(report.notes.map(({ what }) => what)).toContainEqual(expect.stringContaining('tree/0000000099.sst'));
  });
});

describe('other files', () => {
  test('that nobody knows are named', async () => {
    const fs = await makeDirectory();
    for (const path of ['notes.txt', 'journal/1.bak', 'segments/x.seg']) {
      fs.files.set(`${DIR}/${path}`, { current: Buffer.from('x'), durable: Buffer.from('x') });
    }
    const report = await verifiedUnchanged(fs);
    expect(report.isSound).toBe(true);
    expect(report.notes.map(({ file }) => file)).toEqual(['notes.txt', 'journal/1.bak', 'segments/x.seg']);
  });
});
