/** Segment compaction: space comes back, whatever is read, put and deleted meanwhile; damaged extents stay. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { drop } from '../../../server/engine/partitions.ts';
import { locate } from '../../../server/store/locate.ts';
import type * as SegmentModule from '../../../server/segment/segment.ts';
import { OpenFiles } from '../../../server/segment/open_files.ts';
import { declareTest, openTestNode, putText, readText, valuesOf } from '../../support/node.ts';
import { simEnv } from '../../support/sim_env.ts';
import {
  checkAccounts,
  expectCorrupt,
  compact,
  compactionOf,
  DIR,
  diskSize,
  evictAll,
  MEMORY_SIZE,
  newWorld,
  putRow,
  remove,
  settle,
  valueOf,
  type SpaceWorld,
} from './space.ts';

let isBlind = false;

/** Planted: whatever was copied is moved, whether it lives and lies there still or not. */
vi.mock('../../../server/segment/segment.ts', async (original) => {
  const real = await original<typeof SegmentModule>();
  return { ...real, isAt: (...given: Parameters<typeof real.isAt>) => isBlind || real.isAt(...given) };
});

afterEach(() => {
  vi.restoreAllMocks();
  isBlind = false;
});

const SIZE = 60_000;
const ROWS = 200;

/** Rows of 60 kB in many segments, of which each tenth stays. */
async function mostlyDeleted(): Promise<{ world: SpaceWorld; kept: number[] }> {
  const world = await newWorld();
  const ids = Array.from({ length: ROWS }, (_, id) => id);
  for (const id of ids) await putRow(world.node, id, SIZE);
  await remove(
    world.node,
    ids.filter((id) => id % 10 !== 3),
  );
  return { world, kept: ids.filter((id) => id % 10 === 3) };
}

async function expectRows(world: SpaceWorld, ids: readonly number[]): Promise<void> {
  const { a } = await readText(world.node, 'p', ids);
  expect(a).toEqual(ids.map((id) => valueOf(id, 0, SIZE)));
}

describe('space', () => {
  test('after 90 % is deleted, disk use is below 1.3 times what lives within 60 seconds', async () => {
    const { world, kept } = await mostlyDeleted();
    const { env, node } = world;
    expect(diskSize(env)).toBeGreaterThan(ROWS * SIZE);
    await env.clock.advance(60_000);
    expect(diskSize(env)).toBeLessThan(1.3 * kept.length * SIZE + (1 << 20));
    await expectRows(world, kept);
    checkAccounts(node);
  });

  test('and what was moved is there after a start, from its new place', async () => {
    const { world, kept } = await mostlyDeleted();
    await compact(world);
    const places = new Set([...world.node.parts.state.store.extents()].map(({ place }) => place.segment.id));
    expect(world.compaction.movedCount).toBeGreaterThan(kept.length / 2);
    const env = simEnv(world.env.fs.afterCrash());
    const { node } = await openTestNode(env, DIR, MEMORY_SIZE);
    expect(new Set([...node.parts.state.store.extents()].map(({ place }) => place.segment.id))).toEqual(places);
    await expectRows({ ...world, env, node }, kept);
    checkAccounts(node);
  });

  test('nothing is copied while little is dead', async () => {
    const world = await newWorld();
    for (let id = 0; id < 60; id++) await putRow(world.node, id, SIZE);
    await remove(world.node, [5, 25, 45]);
    await compact(world);
    expect(world.compaction.movedCount).toBe(0);
  });

  test('large extents and those of several blocks keep their bytes', async () => {
    const world = await newWorld();
    const big = 1_200_000;
    await putRow(world.node, 1, big);
    await putRow(world.node, 2, 200_000);
    for (let id = 10; id < 60; id++) await putRow(world.node, id, 150_000);
    await putText(world.node, 'p', [3, 4], 'a', [valueOf(3, 0, big), valueOf(4, 0, 10)]);
    await remove(
      world.node,
      [...Array(50).keys()].map((i) => i + 10).filter((id) => id % 7 !== 0),
    );
    await compact(world);
    evictAll(world.node);
    const { a } = await readText(world.node, 'p', [1, 2, 3, 4, 14]);
    const sizes = [big, 200_000, big, 10, 150_000];
    expect(a).toEqual([1, 2, 3, 4, 14].map((id, i) => valueOf(id, 0, sizes[i])));
  });

  test('a dropped partition frees whole files also after its extents were moved', async () => {
    const world = await newWorld();
    await declareTest(world.node, 'q');
    const value = 'q'.repeat(SIZE);
    for (let id = 0; id < 80; id++) {
      await putRow(world.node, id, SIZE);
      await putText(world.node, 'q', [id], 'a', [value]);
    }
    await remove(
      world.node,
      [...Array(80).keys()].filter((id) => id % 2 === 0),
    );
    await compact(world);
    await drop(world.node, 'p');
    await world.env.clock.advance(30_000);
    expect(diskSize(world.env)).toBeLessThan(1.3 * 80 * SIZE + (1 << 20));
    checkAccounts(world.node);
  });
});

describe('readers', () => {
  test('that begun before a move get their bytes, from memory and from disk', async () => {
    const { world, kept } = await mostlyDeleted();
    const { node } = world;
    evictAll(node);
    const partition = node.partition('p');
    const ids = Float64Array.from(kept);
    const located = await locate(node.parts.state.store, partition, { ids, fields: partition.fields });
    await remove(node, kept.slice(0, 10));
    await compact(world);
    expect((await valuesOf(node, located)).a).toEqual(kept.map((id) => valueOf(id, 0, SIZE)));
    checkAccounts(node);
  });

  /** A read of the disk that begins before the segment dies, and ends when its file would serve others. */
  async function slowRead(): Promise<string[]> {
    const { world, kept } = await mostlyDeleted();
    const { env, node } = world;
    await remove(node, [kept[1]]);
    evictAll(node);
    const gate = Promise.withResolvers<void>();
    env.fs.gate = (action) => (action === 'read' ? gate.promise : Promise.resolve());
    const reading = readText(node, 'p', [kept[0]]);
    await settle();
    env.fs.gate = () => Promise.resolve();
    await compact(world);
    for (let id = 1_000; id < 1_200; id++) await putRow(node, id, SIZE, 7);
    gate.resolve();
    const { a } = await reading;
    await node.makeDurable();
    checkAccounts(node);
    return a.map((value) => value.slice(0, 10));
  }

  test('that are under way keep the file from others', async () => {
    expect(await slowRead()).toEqual([valueOf(3, 0, 10)]);
  });

  test('the suite finds a file that is given away before its last reader is done', async () => {
    vi.spyOn(OpenFiles.prototype, 'isUsed').mockReturnValue(false);
    await expect(slowRead()).rejects.toMatchObject({ code: 'data_corrupt' });
  });
});

describe('what stands in the way', () => {
  /** Rows are deleted while their copies are being synced. */
  async function deletedMeanwhile(): Promise<void> {
    const { world, kept } = await mostlyDeleted();
    const { env, node, compaction } = world;
    const gate = Promise.withResolvers<void>();
    env.fs.gate = (action) => (action === 'datasync' ? gate.promise : Promise.resolve());
    compaction.tick();
    await settle();
    await remove(node, kept.slice(1));
    env.fs.gate = () => Promise.resolve();
    gate.resolve();
    await compact(world);
    await expectRows(world, kept.slice(0, 1));
    checkAccounts(node);
    await env.clock.advance(60_000);
    expect(diskSize(env)).toBeLessThan(1.3 * SIZE + (1 << 20));
  }

  test('extents that die while they are copied do not move', async () => {
    await deletedMeanwhile();
  });

  test('the suite finds extents that move although they are dead', async () => {
    isBlind = true;
    await expect(deletedMeanwhile()).rejects.toThrow();
  });

  test('a run ends although a segment seems to live that has no extents left', async () => {
    const { world, kept } = await mostlyDeleted();
    for (const segment of world.node.parts.segments.all()) segment.live++;
    await compact(world);
    await expectRows(world, kept);
  });

  test('a damaged extent is reported and stays; others of its segment move', async () => {
    const { world, kept } = await mostlyDeleted();
    const { env, node } = world;
    evictAll(node);
    const victim = [...node.parts.state.store.extents()][4];
    const { segment, offset } = victim.place;
    const file = env.fs.files.get(`${DIR}/segments/${String(segment.id).padStart(10, '0')}.seg`)!;
    file.current[offset + 700] ^= 1;
    await compact(world);
    expect(victim.place.segment).toBe(segment);
    expect([...segment.extents]).toEqual([victim]);
    const [damaged] = node.parts.damage.all();
    expect(damaged).toMatchObject({ partition: 'p', segment: segment.id, offset, kind: 'checksum', foundBy: 'move' });
    expect(damaged.cells.map(({ field, first, end }) => [field, first, end])).toEqual([['a', 0, 1]]);
    const bad = kept[4];
    await expectCorrupt(node, bad);
    await expectRows(
      world,
      kept.filter((id) => id !== bad),
    );
    await remove(node, [bad]);
    await compact(world);
    expect(node.parts.damage.all()).toHaveLength(0);
    expect(node.parts.segments.get(segment.id)).toBeUndefined();
  });

  test('a disk without room is left alone, and a full one loses nothing', async () => {
    const { world, kept } = await mostlyDeleted();
    const { env, node, compaction } = world;
    env.fs.free = 1 << 20;
    await compact(world);
    expect(compaction.movedCount).toBe(0);
    env.fs.free = 1e12;
    env.fs.faults.push({ action: 'write', path: /seg/, code: 'ENOSPC', times: 1, partial: 100 });
    await compact(world);
    await expectRows(world, kept);
    await env.clock.advance(60_000);
    expect(diskSize(env)).toBeLessThan(1.3 * kept.length * SIZE + (1 << 20));
    await expectRows(world, kept);
    checkAccounts(node);
  });

  test('a stop in the middle forgets what was copied and not moved', async () => {
    const { world, kept } = await mostlyDeleted();
    const { env, node } = world;
    const gate = Promise.withResolvers<void>();
    const compaction = compactionOf(node);
    env.fs.gate = (action) => (action === 'datasync' ? gate.promise : Promise.resolve());
    compaction.tick();
    await settle();
    const stopping = compaction.stop();
    gate.resolve();
    await stopping;
    expect(compaction.movedCount).toBe(0);
    await expectRows(world, kept);
    checkAccounts(node);
  });
});
