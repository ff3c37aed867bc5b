/** Damaged files: what fails, what goes on, and what a start refuses or clears away. */

import { describe, expect, test } from 'vitest';
import { RecoveryError } from '../../../server/errors.ts';
import { SimFs, simEnv } from '../../support/sim_env.ts';
import { bytesOf, DIRECTORY, entriesOf, fill, nameOf, openSmall, valuesOf } from './support.ts';

describe('damage', () => {
  async function filled(): Promise<SimFs> {
    const fs = new SimFs();
    const tree = await openSmall(simEnv(fs));
    await fill(tree, 1, { count: 4_000 });
    await tree.compacted();
    await tree.close();
    return fs;
  }

  const firstSst = (fs: SimFs) => [...fs.files.keys()].filter((path) => path.endsWith('.sst')).sort()[0];

  test('of a block fails the reads that need it, with its place, and no other', async () => {
    const fs = await filled();
    const path = firstSst(fs);
    fs.files.get(path)!.current[100] ^= 1;
    const tree = await openSmall(simEnv(fs));
    const refusal = { code: 'data_corrupt', details: { file: path, offset: 32 } };
    await expect(tree.get([bytesOf(nameOf(3))])).rejects.toMatchObject(refusal);
    await expect(entriesOf(tree)).rejects.toMatchObject(refusal);
    await expect(tree.load([bytesOf(nameOf(3))])).rejects.toMatchObject(refusal);
    expect(await valuesOf(tree, [nameOf(3_999)])).toEqual(['value 3999']);
    expect((await entriesOf(tree, { start: nameOf(3_000) })).length).toBe(1_000);
    await tree.close();
  });

  test('that an EIO hides fails the read only', async () => {
    const fs = await filled();
    const tree = await openSmall(simEnv(fs));
    fs.faults = [{ action: 'read', path: /\.sst$/, code: 'EIO', times: 1 }];
    await expect(tree.get([bytesOf(nameOf(3))])).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(await valuesOf(tree, [nameOf(3)])).toEqual(['value 3']);
    await tree.close();
  });

  test('stops compaction of its level and neither reads nor flushes', async () => {
    const fs = await filled();
    fs.files.get(firstSst(fs))!.current[100] ^= 1;
    const tree = await openSmall(simEnv(fs));
    for (let lsn = 2; lsn < 30; lsn++) await fill(tree, lsn, { count: 400, step: 10 });
    await tree.compacted();
    expect(await valuesOf(tree, [nameOf(3_990), nameOf(3_999)])).toEqual(['value 3990', 'value 3999']);
    await tree.close();
  });

  test.each([
    ['a file is missing', (fs: SimFs) => void fs.files.delete(firstSst(fs))],
    ['a file is too short', (fs: SimFs) => cut(fs, firstSst(fs), 20)],
    ['a footer is damaged', (fs: SimFs) => flip(fs, firstSst(fs), -10)],
    ['a block table is damaged', (fs: SimFs) => flip(fs, firstSst(fs), -85)],
    ['the manifest is missing', (fs: SimFs) => void fs.files.delete(`${DIRECTORY}/manifest`)],
    ['the manifest is empty', (fs: SimFs) => cut(fs, `${DIRECTORY}/manifest`, 1e6)],
    ['the manifest is cut', (fs: SimFs) => cut(fs, `${DIRECTORY}/manifest`, 5)],
    ['the manifest is damaged', (fs: SimFs) => flip(fs, `${DIRECTORY}/manifest`, 30)],
  ])('is refused at the start when %s', async (_, harm) => {
    const fs = await filled();
    harm(fs);
    await expect(openSmall(simEnv(fs))).rejects.toThrow(RecoveryError);
  });

  function cut(fs: SimFs, path: string, count: number): void {
    const file = fs.files.get(path)!;
    file.current = Buffer.from(file.current.subarray(0, Math.max(0, file.current.length - count)));
  }

  function flip(fs: SimFs, path: string, at: number): void {
    const { current } = fs.files.get(path)!;
    current[at < 0 ? current.length + at : at] ^= 4;
  }
});

test('what a crash left behind goes at the start; what nobody knows stays', async () => {
  const fs = new SimFs();
  let tree = await openSmall(simEnv(fs));
  await fill(tree, 1);
  await tree.close();
  const names = [...fs.files.keys()].sort();
  const scrap = { current: Buffer.from('scrap'), durable: Buffer.from('scrap') };
  for (const name of ['0000000099.sst', 'manifest.new', 'notes']) fs.files.set(`${DIRECTORY}/${name}`, { ...scrap });
  tree = await openSmall(simEnv(fs));
  expect([...fs.files.keys()].sort()).toEqual([...names, `${DIRECTORY}/notes`].sort());
  await fill(tree, 2);
  await tree.compacted();
  expect([...fs.files.keys()].filter((path) => path.endsWith('99.sst'))).toEqual([]);
  await tree.close();
});
