/** Damage: which rows a block touches, what a read of it says, and that one failed read fails one request. */
import { describe, expect, test } from 'vitest';
import { encodeBatch, type EncodedColumn } from '@transfer-queue/core/arrow';
import type { FieldLayout } from '@transfer-queue/core/layout';
import { touchedRows } from '../../../server/store/damage.ts';
import { putBody, readText } from '../../support/node.ts';
import {
  diskSize,
  evictAll,
  expectCorrupt,
  newWorld,
  putRow,
  settle,
  valueOf,
  type SpaceWorld,
} from '../engine/space.ts';

describe('rows that a range touches', () => {
  const dense: FieldLayout = { layout: 'dense', dtype: 'float32', shape: [5, 5] };
  const scalar: FieldLayout = { layout: 'scalar', dtype: 'int16' };
  const text: FieldLayout = { layout: 'text' };
  const tensor: FieldLayout = { layout: 'ragged', dtype: 'uint8', shape: [null, 3] };
  const all = { first: 0, end: 40 };

  test.each([
    ['dense, the first byte', dense, [1_000, 4_000], 1_000, 1_001, { first: 0, end: 1 }],
    ['dense, two rows', dense, [1_000, 4_000], 1_199, 1_201, { first: 1, end: 3 }],
    ['dense, all', dense, [1_000, 4_000], 0, 9_999, all],
    ['dense, the bytes before', dense, [1_000, 4_000], 0, 1_000, null],
    ['dense, the bytes behind', dense, [1_000, 4_000], 5_000, 6_000, null],
    ['scalar', scalar, [64, 80], 70, 71, { first: 3, end: 4 }],
    ['text, its offsets', text, [0, 164, 168, 5_000], 10, 11, all],
    ['text, its values', text, [0, 164, 168, 5_000], 5_000, 5_001, all],
    ['text, the gap between', text, [0, 164, 168, 5_000], 164, 168, null],
    ['tensor, its shapes', tensor, [0, 164, 168, 500, 672, 320], 672 + 17, 672 + 18, { first: 2, end: 3 }],
    ['tensor, its values', tensor, [0, 164, 168, 500, 672, 320], 200, 201, all],
  ] as const)('%s', (_, layout, regions, from, to, expected) => {
    expect(touchedRows({ layout, regions, rows: 40 }, from, to)).toEqual(expected);
  });
});

describe('a read', () => {
  test('of a block that the disk cannot give names it; the node goes on', async () => {
    const world = await newWorld();
    const { env, node } = world;
    for (let id = 0; id < 5; id++) await putRow(node, id, 200_000);
    evictAll(node);
    env.fs.faults.push({ action: 'read', path: /seg/, code: 'EIO', times: Infinity });
    await expectCorrupt(node, 2);
    expect(node.parts.damage.all()).toMatchObject([{ kind: 'unreadable', foundBy: 'read', partition: 'p' }]);
    await putRow(node, 9, 100);
    expect((await readText(node, 'p', [9])).a).toEqual([valueOf(9, 0, 100)]);
    env.fs.faults = [];
    expect((await readText(node, 'p', [2])).a).toEqual([valueOf(2, 0, 200_000)]);
    expect(node.parts.damage.all()).toHaveLength(0);
  });

  test('that fails once fails one request, also when others wait for the same block', async () => {
    const world = await newWorld();
    const { env, node } = world;
    await putRow(node, 1, 200_000);
    evictAll(node);
    const gate = Promise.withResolvers<void>();
    env.fs.gate = (action) => (action === 'read' ? gate.promise : Promise.resolve());
    env.fs.faults.push({ action: 'read', path: /seg/, code: 'EIO', times: 1 });
    const reads = Array.from({ length: 10 }, () => readText(node, 'p', [1]).then(() => 'ok', codeOf));
    await settle();
    gate.resolve();
    const outcomes = (await Promise.all(reads)).sort();
    expect(outcomes).toEqual(['data_corrupt', ...Array.from({ length: 9 }, () => 'ok')]);
  });

  test('of a file that has gone is refused', async () => {
    const world = await newWorld();
    const { env, node } = world;
    for (let id = 0; id < 8; id++) await putRow(node, id, 400_000);
    await node.makeDurable();
    evictAll(node);
    await lose(world);
    await expectCorrupt(node, 0);
    expect(node.parts.damage.all()).toMatchObject([{ kind: 'missing' }]);
    expect(diskSize(env)).toBeGreaterThan(0);
  });

  test('of other fields and rows than those of the block works', async () => {
    const { env, node } = await newWorld();
    const rows = 4_000;
    const dense = (name: string): EncodedColumn => ({
      name,
      layout: { layout: 'dense', dtype: 'float32', shape: [128] },
      values: new Uint8Array(rows * 512).fill(name.charCodeAt(0)),
    });
    await putBody(
      node,
      'p',
      Buffer.concat(
        encodeBatch(
          Float64Array.from({ length: rows }, (_, id) => id),
          [dense('x'), dense('y')],
        ),
      ),
    );
    evictAll(node);
    const [{ place, batches }] = node.parts.state.store.extents();
    const { fieldsByName } = node.partition('p');
    const [start] = batches[0]!.regions[fieldsByName.get('y')!.id]!;
    const file = [...env.fs.files].find(([path]) => path.endsWith(`${place.segment.id}.seg`))![1];
    file.current[place.offset + start + 3_000 * 512 + 7] ^= 1;
    await expect(readText(node, 'p', [3_000], ['y'])).rejects.toMatchObject({ code: 'data_corrupt' });
    const [{ cells }] = node.parts.damage.all();
    expect(cells.map(({ field }) => field)).toEqual(['y']);
    expect(cells[0].first).toBeLessThanOrEqual(3_000);
    expect(cells[0].end).toBeGreaterThan(3_000);
    expect(cells[0].end - cells[0].first).toBeLessThanOrEqual((1 << 20) / 512 + 1);
  });
});

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code;
}

/** Unlinks the file of the first segment after its descriptor was closed. */
async function lose({ env, node }: SpaceWorld): Promise<void> {
  const [{ place }] = node.parts.state.store.extents();
  await place.segment.file?.close();
  place.segment.file = null;
  env.fs.files.delete([...env.fs.files.keys()].find((path) => path.endsWith(`${place.segment.id}.seg`))!);
}
