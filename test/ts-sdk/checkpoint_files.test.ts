/** The directory of a checkpoint when the file system fails, and what a save tells the server while it lasts. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { open, readdir, rename, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits, type RouteName } from '@transfer-queue/core/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CheckpointWriter, readManifest, readSaved } from '../../ts-sdk/checkpoint_files.ts';
import { loadCheckpoint, saveCheckpoint } from '../../ts-sdk/checkpoints.ts';
import type { Call, Wire } from '../../ts-sdk/wire.ts';
import { rejection } from './support.ts';

vi.mock('node:fs/promises', { spy: true });

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tq-checkpoint-'));
});

afterEach(() => {
  vi.resetAllMocks();
  vi.useRealTimers();
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

describe('a lease is renewed while a call is under way', () => {
  const utf8 = new TextEncoder();
  const state = utf8.encode('TQSTATE\n\x0b\0\0\0{"sets":[]}');

  /** A node that lets two minutes pass during this call. */
  function wireOf(slow: RouteName): { wire: Wire; sent: RouteName[] } {
    const sent: RouteName[] = [];
    const send = ({ route }: Call): Promise<{ bytes: Uint8Array }> => {
      sent.push(route);
      if (route === slow) vi.advanceTimersByTime(120_000);
      return Promise.resolve({ bytes: state });
    };
    const opened = { snapshot: 's', load: 'l', staging: 'h', lsn: 1, partitions: ['train'], left_out: [] };
    const wire = {
      shards: () => Promise.resolve({ nodes: [{ id: 'n', url: 'http://n' }] }),
      limits: () => Promise.resolve(limits),
      send,
      sendForJson: (call: Call) => send(call).then(() => opened),
    };
    return { wire: wire as unknown as Wire, sent };
  }

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  });

  const renewals = (sent: readonly RouteName[], slow: RouteName): (RouteName | undefined)[] => {
    const at = sent.indexOf(slow) + 1;
    return sent.slice(at, at + 5);
  };

  it('of a save, and no more when it is over', async () => {
    const { wire, sent } = wireOf('snapshotState');
    await saveCheckpoint(wire, directory, {});
    vi.advanceTimersByTime(120_000);
    const four = Array.from({ length: 4 }, () => 'renewSnapshot');
    expect(renewals(sent, 'snapshotState')).toEqual([...four, 'closeSnapshot']);
    expect(sent.at(-1)).toBe('closeSnapshot');
  });

  it('of a load', async () => {
    await saveCheckpoint(wireOf('limits').wire, directory, {});
    const { wire, sent } = wireOf('commitLoad');
    await loadCheckpoint(wire, directory, {});
    const four = Array.from({ length: 4 }, () => 'renewLoad');
    expect(renewals(sent, 'commitLoad')).toEqual([...four, 'closeLoad']);
  });
});
