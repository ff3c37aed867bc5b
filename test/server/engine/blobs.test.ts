/** Blobs: stored once, named by rows, counted through all that happens to these, released when nobody names them. */
import { describe as group, expect, test, vi } from 'vitest';
import { BLOB_GRACE_MS } from '../../../server/engine/blob_release.ts';
import type { Node } from '../../../server/engine/node.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, describe, drop } from '../../../server/engine/partitions.ts';
import { visiblePartitions } from '../../../server/engine/staging.ts';
import { declareTest, openTestNode, putBody, readText } from '../../support/node.ts';
import { settle, simEnv, type SimEnv } from '../../support/sim_env.ts';
import { evictAll } from './space.ts';
import { absent, digestOf, download, putNamed, upload } from './blob_world.ts';
import { save, stage } from './load_world.ts';

const DIR = '/data';
const fields = new Map([
  ['image', { layout: 'blob' }],
  ['note', { layout: 'text' }],
] as const);

async function open(env = simEnv(), ack: 'os' | 'disk' | 'memory' = 'os'): Promise<{ env: SimEnv; node: Node }> {
  const { node } = await openTestNode(env, DIR);
  await declareTest(node, 'p', { fields, ack });
  return { env, node };
}

async function restarted(env: SimEnv): Promise<{ env: SimEnv; opened: OpenedNode }> {
  const next = simEnv(env.fs.afterCrash(), env.clock);
  return { env: next, opened: await openTestNode(next, DIR) };
}

function counts(node: Node, name = 'p'): unknown {
  return describe(node, node.partition(name)).blobs;
}

/** Lets the while of unused blobs pass, with ticks before and after it. */
async function pass(env: SimEnv, ms = BLOB_GRACE_MS): Promise<void> {
  await env.clock.advance(2_000);
  await env.clock.advance(ms);
  await env.clock.advance(2_000);
  await settle();
}

group('uploads', () => {
  test('a blob is stored once, and read as it came', async () => {
    const { node } = await open();
    const image = 'pixel'.repeat(100_000);
    expect(absent(node, 'p', [image, ''])).toEqual([image, '']);
    expect(await upload(node, 'p', image)).toBe(true);
    const { bytes } = node.partition(`blobs:${node.partition('p').id}`);
    expect(await upload(node, 'p', image)).toBe(false);
    expect(counts(node)).toEqual({ count: 1, bytes });
    expect(bytes).toBeLessThan(image.length + 2_000);
    expect(await download(node, 'p', image)).toBe(image);
    expect(await upload(node, 'p', '')).toBe(true);
    expect(absent(node, 'p', [image, ''])).toEqual([]);
  });

  test('bytes of another digest leave nothing behind', async () => {
    const { node } = await open();
    await expect(upload(node, 'p', 'cat', digestOf('dog'))).rejects.toMatchObject({
      code: 'blob_mismatch',
      details: { digest: digestOf('dog'), found: digestOf('cat') },
    });
    expect(absent(node, 'p', ['cat', 'dog'])).toEqual(['cat', 'dog']);
    expect(counts(node)).toEqual({ count: 0, bytes: 0 });
  });

  test('a damaged blob is refused, and can be put again once it is gone', async () => {
    const { env, node } = await open();
    const image = 'pixel'.repeat(300_000);
    await upload(node, 'p', image);
    evictAll(node);
    const [extent] = [...node.parts.state.store.extents()];
    const { segment, offset } = extent.place;
    const file = env.fs.files.get(`${DIR}/segments/${String(segment.id).padStart(10, '0')}.seg`)!;
    file.current[offset + 700_000] ^= 1;
    await expect(download(node, 'p', image)).rejects.toMatchObject({ code: 'data_corrupt' });
    await pass(env);
    expect(await upload(node, 'p', image)).toBe(true);
    expect(await download(node, 'p', image)).toBe(image);
  });

  test('two uploads of one blob at the same time are one blob', async () => {
    const { node } = await open();
    expect(await Promise.all([upload(node, 'p', 'cat'), upload(node, 'p', 'cat')])).toEqual([true, true]);
    expect(counts(node)).toMatchObject({ count: 1 });
    expect(await download(node, 'p', 'cat')).toBe('cat');
  });

  test('nobody sees the partition that has them, and it is dropped with its owner', async () => {
    const { env, node } = await open();
    await upload(node, 'p', 'cat');
    expect(visiblePartitions(node).map(({ settings }) => settings.name)).toEqual(['p']);
    await drop(node, 'p');
    expect(node.parts.state.store.partitionCount).toBe(0);
    await declareTest(node, 'p', { fields });
    expect(absent(node, 'p', ['cat'])).toEqual(['cat']);
    const { opened } = await restarted(env);
    expect(opened.node.parts.state.store.partitionCount).toBe(1);
  });
});

group('rows that name blobs', () => {
  test('a put is refused while a blob is absent, and says which', async () => {
    const { node } = await open();
    await upload(node, 'p', 'cat');
    await expect(putNamed(node, 'p', [1, 2], ['cat', 'dog'])).rejects.toMatchObject({
      code: 'blob_missing',
      details: { partition: 'p', digests: [digestOf('dog')], count: 1 },
    });
    await expect(readText(node, 'p', [1], ['note'])).rejects.toMatchObject({ code: 'rows_missing' });
    await upload(node, 'p', 'dog');
    await putNamed(node, 'p', [1, 2], ['cat', 'dog']);
    expect(await readText(node, 'p', [2, 1], ['note'])).toMatchObject({ note: ['n', 'n'] });
  });

  test('a blob stays while a cell names it, through overwrites and deletes, and goes a while after', async () => {
    const { env, node } = await open();
    for (const text of ['cat', 'dog', 'eel']) await upload(node, 'p', text);
    await putNamed(node, 'p', [1, 2, 3], ['cat', 'cat', 'dog']);
    await pass(env);
    expect(absent(node, 'p', ['cat', 'dog', 'eel'])).toEqual(['eel']);
    await putNamed(node, 'p', [1, 3], ['dog', 'dog']);
    await pass(env);
    expect(absent(node, 'p', ['cat', 'dog'])).toEqual([]);
    await deleteRows(node, 'p', { ids: Float64Array.of(2), requestId: '' });
    await env.clock.advance(BLOB_GRACE_MS / 2);
    expect(counts(node)).toMatchObject({ count: 2 });
    await pass(env);
    expect(absent(node, 'p', ['cat', 'dog'])).toEqual(['cat']);
    await expect(download(node, 'p', 'cat')).rejects.toMatchObject({ code: 'blob_missing' });
  });

  test('who asks for an unnamed blob keeps it for as long as an upload would', async () => {
    const { env, node } = await open();
    await upload(node, 'p', 'cat');
    for (let i = 0; i < 3; i++) {
      await env.clock.advance(BLOB_GRACE_MS * 0.9);
      expect(absent(node, 'p', ['cat'])).toEqual([]);
    }
    await pass(env);
    expect(absent(node, 'p', ['cat'])).toEqual(['cat']);
  });

  test('nothing is released while a snapshot is open', async () => {
    const { env, node } = await open();
    await upload(node, 'p', 'cat');
    const { snapshot } = await node.snapshots.open(10 * BLOB_GRACE_MS);
    await pass(env);
    expect(counts(node)).toMatchObject({ count: 1 });
    node.snapshots.close(snapshot);
    await env.clock.advance(3_000);
    expect(counts(node)).toMatchObject({ count: 0 });
  });

  test('a load names its blobs as puts do, and takes them with it when it ends early', async () => {
    const { node: source } = await open();
    for (const text of ['cat', 'dog']) await upload(source, 'p', text);
    await putNamed(source, 'p', [1, 2, 3], ['cat', 'cat', 'dog']);
    const [{ state, bodies }] = await save(source);
    const env = simEnv();
    const { node } = await openTestNode(env, DIR);
    const { store } = node.parts.state;
    const staged = async (): Promise<string> => {
      const { load } = node.loads.open(10 * BLOB_GRACE_MS);
      const staging = await stage(node, load, 'p', state);
      for (const text of ['cat', 'dog', 'eel']) await upload(node, staging, text);
      await pass(env);
      for (const body of bodies) await putBody(node, staging, body);
      return load;
    };
    await node.loads.close(await staged());
    expect([...store.partitions()]).toEqual([]);
    await node.loads.commit(await staged(), { replace: false });
    await pass(env);
    expect(absent(node, 'p', ['cat', 'dog', 'eel'])).toEqual(['eel']);
    await deleteRows(node, 'p', { ids: Float64Array.of(1, 3), requestId: '' });
    await pass(env);
    expect(absent(node, 'p', ['cat', 'dog'])).toEqual(['dog']);
  });

  test.each([true, false])('counts are the same after a restart, with a checkpoint: %s', async (saved) => {
    const { env, node } = await open();
    for (const text of ['cat', 'dog', 'eel']) await upload(node, 'p', text);
    await putNamed(node, 'p', [1, 2, 3], ['cat', 'cat', 'dog']);
    if (saved) await node.checkpoints.run();
    await putNamed(node, 'p', [1], ['dog']);
    const { env: later, opened } = await restarted(env);
    expect(await download(opened.node, 'p', 'eel')).toBe('eel');
    // The while of what nobody names begins anew.
    await later.clock.advance(BLOB_GRACE_MS / 2);
    expect(counts(opened.node)).toMatchObject({ count: 3 });
    await pass(later);
    expect(absent(opened.node, 'p', ['cat', 'dog', 'eel'])).toEqual(['eel']);
    await deleteRows(opened.node, 'p', { ids: Float64Array.of(2), requestId: '' });
    await pass(later);
    expect(absent(opened.node, 'p', ['cat', 'dog'])).toEqual(['cat']);
    if (saved) await opened.node.checkpoints.run();
    const { env: last, opened: again } = await restarted(later);
    await pass(last);
    expect(absent(again.node, 'p', ['cat', 'dog'])).toEqual(['cat']);
  });

  test('rows that survive a power cut have their blobs', async () => {
    const { env, node } = await open();
    await upload(node, 'p', 'cat');
    await putNamed(node, 'p', [1], ['cat'], { ack: 'disk' });
    const next = simEnv(env.fs.afterPowerCut({ keep: (_, __, durable) => durable }), env.clock);
    const { node: later } = await openTestNode(next, DIR);
    expect(await readText(later, 'p', [1], ['note'])).toMatchObject({ note: ['n'] });
    expect(await download(later, 'p', 'cat')).toBe('cat');
  });

  test('a put of level disk waits for its own blobs, whatever others upload meanwhile', async () => {
    const { node } = await open();
    await upload(node, 'p', 'cat');
    const makeDurable = node.makeDurable.bind(node);
    let others = 0;
    vi.spyOn(node, 'makeDurable').mockImplementation(async () => {
      await makeDurable();
      if (others++ < 10) await upload(node, 'p', `other ${others}`);
    });
    await putNamed(node, 'p', [1], ['cat'], { ack: 'disk' });
    expect(others).toBe(1);
    const late = putNamed(node, 'p', [2], ['dog'], { ack: 'disk' });
    await expect(late).rejects.toMatchObject({ code: 'blob_missing' });
  });

  test('blobs of a memory partition end with the process', async () => {
    const { env, node } = await open(simEnv(), 'memory');
    await upload(node, 'p', 'cat');
    await putNamed(node, 'p', [1], ['cat']);
    const { opened } = await restarted(env);
    expect(absent(opened.node, 'p', ['cat'])).toEqual(['cat']);
    expect(counts(opened.node)).toEqual({ count: 0, bytes: 0 });
  });
});
