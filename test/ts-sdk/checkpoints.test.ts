/** Checkpoints against real servers: a directory holds one moment, whole, and Python's client writes the same. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { filesOf, readManifest, readSaved } from '../../ts-sdk/checkpoint_files.ts';
import {
  blob,
  connect,
  ragged,
  scalar,
  text,
  type Batch,
  type ClaimedBatch,
  type Client,
  type Partition,
} from '../../ts-sdk/index.ts';
import { startServer, type RealServer } from './real.ts';
import { rejection } from './support.ts';

const root = new URL('../../', import.meta.url).pathname;
let servers: RealServer[];
let source: Client;
let target: Client;
let directory: string;

beforeAll(async () => {
  servers = await Promise.all([startServer(), startServer()]);
  [source, target] = servers.map(({ url }) => connect({ url }));
});

afterAll(async () => {
  await Promise.all([source.close(), target.close()]);
  await Promise.all(servers.map((server) => server.stop()));
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tq-checkpoint-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const fields = { prompt: text(), reward: scalar('float32'), tokens: ragged('int64') };

async function claim(partition: Partition, batchSize: number): Promise<ClaimedBatch> {
  const result = await partition.claim({ task: 'train', fields: ['prompt'], batchSize });
  if (result.outcome !== 'rows') throw new Error(result.outcome);
  return result.batch;
}

/** Rows of two sets of fields, some of them consumed and some leased. */
async function fill(name: string): Promise<Partition> {
  const partition = await source.partition(name, { fields });
  const ids = Array.from({ length: 40 }, (_, i) => 39 - i);
  await partition.put({ prompt: ids.map((id) => `p${id}`) }, { ids });
  const some = ids.slice(0, 20);
  await partition.put({ reward: some, tokens: some.map((id) => [id, id + 1]) }, { ids: some });
  await (await claim(partition, 7)).ack();
  await claim(partition, 5);
  return partition;
}

function cellsOf(batch: Batch, names: readonly string[]): unknown[] {
  return names.map((name) => Array.from({ length: batch.rows }, (_, row) => batch.column(name).row(row)));
}

async function viewOf(client: Client, name: string): Promise<unknown> {
  const partition = await client.partition(name);
  const { rows, fieldRows, tasks, fields: declared } = await partition.stats();
  const batch = await partition.get([39, 30, 20], { fields: ['prompt', 'reward', 'tokens'] });
  const cells = cellsOf(batch, ['prompt', 'reward', 'tokens']);
  const prompts = cellsOf(await partition.get([0, 19, 5], { fields: ['prompt'] }), ['prompt']);
  return { rows, fieldRows, declared, consumed: tasks.train.consumed, cells, prompts };
}

describe('a checkpoint', () => {
  it('brings partitions to another server, which is left as it was when something is in the way', async () => {
    await fill('train');
    const before = await viewOf(source, 'train');
    const saved = await source.saveCheckpoint(directory, { metadata: { step: 12 } });
    expect(saved).toMatchObject({ metadata: { step: 12 }, partitions: { train: 40 }, leftOut: [] });
    expect(await target.loadCheckpoint(directory)).toEqual(saved);
    expect(await viewOf(target, 'train')).toEqual(before);
    const claimed = await claim(await target.partition('train'), 5);
    expect([...claimed.ids]).toEqual([32, 31, 30, 29, 28]);
    expect(await rejection(target.loadCheckpoint(directory))).toMatchObject({ code: 'partition_exists' });
    await (await target.partition('train')).delete([39]);
    await target.loadCheckpoint(directory, { replace: true, partitions: ['train'] });
    expect(await viewOf(target, 'train')).toEqual(before);
    expect((await target.partitions()).map(({ name }) => name)).toEqual(['train']);
    expect(await rejection(target.loadCheckpoint(directory, { partitions: ['x'] }))).toMatchObject({
      code: 'partition_unknown',
    });
    expect(await rejection(source.saveCheckpoint(directory, { partitions: ['x'] }))).toMatchObject({
      code: 'partition_unknown',
    });
  });

  it('replaces partitions under handles that were made before, which learn their fields anew', async () => {
    const given = await source.partition('learned', { fields: { x: scalar('float32') } });
    await given.put({ x: [0.5] }, { ids: [1] });
    await source.saveCheckpoint(directory, { partitions: ['learned'] });
    const handle = await target.partition('learned', { fields: { x: scalar('int32') } });
    await target.loadCheckpoint(directory, { replace: true });
    await handle.put({ x: [1.5] }, { ids: [2] });
    expect([...(await handle.get([1, 2])).column('x')]).toEqual([0.5, 1.5]);
    expect(await target.partition('learned')).toBe(handle);
  });

  it('has files of at most 8,192 rows, however short these are', async () => {
    const many = await source.partition('many', { fields: { x: scalar('int32') } });
    const ids = Array.from({ length: 20_000 }, (_, id) => id);
    await many.put({ x: ids }, { ids });
    await source.saveCheckpoint(directory, { partitions: ['many'] });
    const [{ files }] = (await readManifest(directory)).partitions;
    expect(files.map(({ rows }) => rows)).toEqual([256, 1_024, 4_096, 8_192, 6_432]);
    await target.loadCheckpoint(directory);
    const some = [19_999, 0, 9_000];
    expect([...(await (await target.partition('many')).get(some)).column('x')]).toEqual(some);
  });

  /** 32 rows that share four blobs, two of which fill a file. */
  const images = [5 << 20, 5 << 20, 100, 0].map((size, seed) =>
    Uint8Array.from({ length: size }, (_, at) => (at * 31 + seed) % 251),
  );
  const photoIds = Array.from({ length: 32 }, (_, id) => id);

  async function fillPhotos(name: string): Promise<Uint8Array[]> {
    const photos = await source.partition(name, { fields: { image: blob(), x: scalar('int32') } });
    const given = photoIds.map((id) => images[id % images.length]);
    await photos.put({ image: given, x: photoIds }, { ids: photoIds });
    return given;
  }

  async function photosOf(client: Client, name: string): Promise<Uint8Array[]> {
    const batch = await (await client.partition(name)).get(photoIds, { fields: ['image'] });
    return batch.blobs('image');
  }

  it('has shared blobs once, and they are shared again', async () => {
    const given = await fillPhotos('photos');
    await source.saveCheckpoint(directory, { partitions: ['photos'] });
    const manifest = await readManifest(directory);
    const files = filesOf(manifest.partitions[0]);
    expect(manifest.partitions[0].blobs?.map(({ rows }) => rows)).toEqual([2, 2]);
    expect(files.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(11 << 20);
    await target.loadCheckpoint(directory);
    const found = await photosOf(target, 'photos');
    expect(new Set(found).size).toBe(images.length);
    expect(found.every((bytes, row) => Buffer.compare(bytes, given[row]) === 0)).toBe(true);
  });

  it('that is damaged, or not there, changes nothing', async () => {
    await fill('damage');
    await source.saveCheckpoint(directory, { partitions: ['damage'] });
    const manifest = await readManifest(directory);
    const files = manifest.partitions.flatMap(filesOf);
    const names = ['manifest.json', ...files.map(({ file }) => join(manifest.data, file))];
    for (const [place, name] of [...names, ...names].entries()) {
      const copy = join(directory, 'copy');
      rmSync(copy, { recursive: true, force: true });
      for (const one of names) cpSync(join(directory, one), join(copy, one));
      const path = join(copy, name);
      const bytes = readFileSync(path);
      const at = (place * 7_919) % bytes.length;
      bytes[at] ^= 4;
      if (place < names.length) writeFileSync(path, bytes);
      else rmSync(path);
      expect(await rejection(target.loadCheckpoint(copy))).toMatchObject({ code: 'checkpoint_invalid' });
    }
    expect(await rejection(target.loadCheckpoint(join(directory, 'none')))).toMatchObject({
      code: 'checkpoint_invalid',
    });
    expect((await target.partitions()).map(({ name }) => name)).not.toContain('damage');
  });

  it('is whole whenever its saver is killed', async () => {
    await fill('killed');
    const program = `
      const { connect } = await import(${JSON.stringify(join(root, 'ts-sdk/index.ts'))});
      const tq = connect(process.argv[1]);
      for (let step = 0; ; step++) {
        await tq.saveCheckpoint(process.argv[2], { metadata: step, partitions: ['killed'] });
        process.stdout.write('.');
      }`;
    for (const pauseMs of [0, 30, 80]) {
      const saver = spawn(process.execPath, ['--input-type=module', '-e', program, servers[0].url, directory]);
      let steps = 0;
      saver.stdout.on('data', (dots: Buffer) => (steps += dots.length));
      await once(saver.stdout, 'data');
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      saver.kill('SIGKILL');
      await once(saver, 'close');
      const manifest = await readManifest(directory);
      expect([steps - 1, steps]).toContain(manifest.metadata);
      for (const partition of manifest.partitions)
        for (const saved of filesOf(partition)) await readSaved(directory, manifest, saved);
    }
    await source.saveCheckpoint(directory, { partitions: ['killed'] });
    expect(readdirSync(directory).filter((name) => name.startsWith('data-'))).toHaveLength(1);
  });

  const python = join(root, '.venv/bin/python');
  it.runIf(existsSync(python))('is read by the client of the other language', async () => {
    await fill('both');
    const given = await fillPhotos('photos-of-both');
    const before = await viewOf(source, 'both');
    await source.saveCheckpoint(directory, { metadata: { é: [1, null] }, partitions: ['both', 'photos-of-both'] });
    const program = `
import sys, transferq
with transferq.connect(sys.argv[1]) as tq:
    loaded = tq.load_checkpoint(sys.argv[2])
    tq.save_checkpoint(sys.argv[2], loaded.metadata, ["both", "photos-of-both"])
`;
    const env = { ...process.env, PYTHONPATH: join(root, 'py-bindings') };
    await promisify(execFile)(python, ['-c', program, servers[1].url, directory], { env });
    expect(await viewOf(target, 'both')).toEqual(before);
    const loaded = await source.loadCheckpoint(directory, { replace: true });
    expect(loaded.metadata).toEqual({ é: [1, null] });
    expect(await viewOf(source, 'both')).toEqual(before);
    const found = await photosOf(source, 'photos-of-both');
    expect(found.every((bytes, row) => Buffer.compare(bytes, given[row]) === 0)).toBe(true);
  });
});
