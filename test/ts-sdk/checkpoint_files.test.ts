/** The directory of a checkpoint when the file system fails. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { open, readdir, rename, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { CheckpointWriter, readManifest, readSaved } from '../../ts-sdk/checkpoint_files.ts';
import { rejection } from './support.ts';

vi.mock('node:fs/promises', { spy: true });

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tq-checkpoint-'));
});

afterEach(() => {
  vi.resetAllMocks();
  rmSync(directory, { recursive: true, force: true });
});

async function save(bytes: Uint8Array): Promise<void> {
  const writer = await CheckpointWriter.begin(directory);
  try {
    const state = await writer.write('0.state', bytes);
    const partitions = [{ name: 'train', rows: 0, state, files: [] }];
    await writer.commit({ lsn: 1, metadata: null, left_out: [], partitions });
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

async function saved(): Promise<Uint8Array> {
  const manifest = await readManifest(directory);
  return readSaved(directory, manifest, manifest.partitions[0].state);
}

it('a save that fails before its manifest is there leaves the old checkpoint and nothing else', async () => {
  await save(Buffer.of(1));
  vi.mocked(rename).mockRejectedValueOnce(new Error('no rename'));
  expect((await rejection(save(Buffer.of(2)))).message).toBe('no rename');
  expect([...(await saved())]).toEqual([1]);
  expect(readdirSync(directory).filter((name) => name.startsWith('data-'))).toHaveLength(1);
});

it('a save that fails when its manifest is there keeps the data that the manifest names', async () => {
  await save(Buffer.of(1));
  vi.mocked(readdir).mockRejectedValueOnce(new Error('no list'));
  expect((await rejection(save(Buffer.of(2)))).message).toBe('no list');
  expect([...(await saved())]).toEqual([2]);
});

it('is written where directories cannot be synced', async () => {
  const { open: openReal } = await vi.importActual<{ open: typeof open }>('node:fs/promises');
  vi.mocked(open).mockImplementation(async (path, flags) => {
    const file = await openReal(path, flags);
    if ((await stat(path)).isDirectory()) file.sync = () => Promise.reject(new Error('EPERM'));
    return file;
  });
  expect((await rejection(save(Buffer.of(1)))).message).toBe('EPERM');
  const { platform } = process;
  Object.defineProperty(process, 'platform', { value: 'win32' });
  try {
    await save(Buffer.of(2));
  } finally {
    Object.defineProperty(process, 'platform', { value: platform });
  }
  expect([...(await saved())]).toEqual([2]);
});
