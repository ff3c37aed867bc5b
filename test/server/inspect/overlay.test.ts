/** The overlay behaves as the file system below would, and that one never changes. */
import { describe, expect, test } from 'vitest';
import { OverlayFs } from '../../../server/inspect/overlay.ts';
import type { Fs } from '../../../server/env/env.ts';
import { seededRandom, SimFs } from '../../support/sim_env.ts';

const DIR = '/data';
const NAMES = ['a', 'b', 'c', 'd'];
/** Around the size of a page. */
const SIZE_MAX = 200_000;

function imageOf(fs: SimFs): Record<string, string> {
  return Object.fromEntries([...fs.files].map(([path, { current }]) => [path, current.toString('hex')]));
}

async function read(fs: Fs, path: string): Promise<string> {
  const file = await fs.open(path);
  const bytes = Buffer.alloc(await file.size());
  expect(await file.pread(bytes, 0)).toBe(bytes.length);
  await file.close();
  return bytes.toString('hex');
}

async function all(fs: Fs): Promise<Record<string, string>> {
  const names = (await fs.list(DIR)).sort();
  const found: Record<string, string> = {};
  for (const name of names) found[name] = await read(fs, `${DIR}/${name}`);
  return found;
}

type Random = () => number;

function bytesOf(random: Random, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)));
}

/** One random change, made to both. */
async function change(random: Random, systems: readonly Fs[]): Promise<void> {
  const pick = (count: number): number => Math.floor(random() * count);
  const path = `${DIR}/${NAMES[pick(NAMES.length)]}`;
  const to = `${DIR}/${NAMES[pick(NAMES.length)]}`;
  const [action, at] = [pick(6), pick(SIZE_MAX)];
  const bytes = bytesOf(random, pick(300));
  const outcomes: string[] = [];
  for (const fs of systems) {
    try {
      if (action === 0) await fs.unlink(path);
      else if (action === 1 && path !== to) await fs.rename(path, to);
      else {
        const file = await fs.open(path, { create: action === 2 });
        if (action === 5) await file.truncate(Math.min(at, await file.size()));
        else await file.pwrite(bytes, at);
        await file.datasync();
        const some = Buffer.alloc(500);
        const count = await file.pread(some, Math.max(0, at - 100));
        await file.close();
        outcomes.push(some.toString('hex', 0, count));
        continue;
      }
      outcomes.push('done');
    } catch (error) {
      outcomes.push((error as { code: string }).code);
    }
  }
  expect(outcomes[0]).toBe(outcomes[1]);
}

describe('the overlay', () => {
  test.each([1, 2, 3, 4])('does what the file system below would do, which stays as it was: seed %i', async (seed) => {
    const random = seededRandom(seed);
    const below = new SimFs();
    below.pace = () => Promise.resolve();
    for (const name of ['a', 'b', 'c']) {
      const file = await below.open(`${DIR}/${name}`, { create: true });
      await file.pwrite(bytesOf(random, Math.floor(random() * 100_000)), 0);
      await file.close();
    }
    const before = imageOf(below);
    const model = below.afterCrash();
    model.pace = () => Promise.resolve();
    const overlay = new OverlayFs(below);
    for (let step = 0; step < 100; step++) await change(random, [overlay, model]);
    expect(await all(overlay)).toEqual(await all(model));
    expect(imageOf(below)).toEqual(before);
    await overlay.close();
    expect(below.openPaths.size).toBe(0);
  });

  test('says what was changed', async () => {
    const below = new SimFs();
    for (const name of ['kept', 'read', 'gone', 'written', 'cut', 'renamed']) {
      await (await below.open(`${DIR}/${name}`, { create: true })).pwrite(Buffer.from('bytes'), 0);
    }
    const overlay = new OverlayFs(below);
    await read(overlay, `${DIR}/read`);
    await overlay.unlink(`${DIR}/gone`);
    await (await overlay.open(`${DIR}/written`)).pwrite(Buffer.from('x'), 2);
    await (await overlay.open(`${DIR}/cut`)).truncate(1);
    await overlay.rename(`${DIR}/renamed`, `${DIR}/other`);
    await overlay.open(`${DIR}/new`, { create: true });
    await overlay.open(`${DIR}/passing`, { create: true });
    await overlay.unlink(`${DIR}/passing`);
    await overlay.open(`${DIR}/gone again`, { create: true });
    await overlay.rename(`${DIR}/gone again`, `${DIR}/gone`);
    await overlay.unlink(`${DIR}/gone`);
    const { created, removed, changed } = overlay.changes;
    expect([...created].sort()).toEqual([`${DIR}/new`, `${DIR}/other`]);
    expect([...removed].sort()).toEqual([`${DIR}/gone`, `${DIR}/renamed`]);
    expect([...changed].sort()).toEqual([`${DIR}/cut`, `${DIR}/written`]);
  });

  test('makes directories of its own, and takes no lock', async () => {
    const overlay = new OverlayFs({
      ...new SimFs(),
      list: () => Promise.reject(new Error('no such directory')),
    } as never);
    await expect(overlay.list(`${DIR}/tree`)).rejects.toThrow('no such directory');
    await overlay.makeDirectory(`${DIR}/tree`);
    expect(await overlay.list(`${DIR}/tree`)).toEqual([]);
    await (await overlay.open(`${DIR}/tree/x`, { create: true }).catch(() => null))?.close();
    const first = await overlay.lock();
    await (await overlay.lock()).release();
    await first.release();
  });
});
