/** The scrub: every planted flip is found in one pass, at its rate, and nothing else is. */
import { describe, expect, test } from 'vitest';
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import { Scrub, type ScrubTarget } from '../../../server/engine/scrub.ts';
import { Damage, type Repairer } from '../../../server/store/damage.ts';
import { readText } from '../../support/node.ts';
import { seededRandom, simEnv } from '../../support/sim_env.ts';
import {
  compact,
  DIR,
  evictAll,
  expectCorrupt,
  newWorld,
  openWorld,
  putRow,
  remove,
  valueOf,
  type SpaceWorld,
} from './space.ts';

const RATE = 1_000_000;

async function stocked(): Promise<SpaceWorld> {
  const world = await newWorld();
  for (let id = 0; id < 40; id++) await putRow(world.node, id, id % 8 === 0 ? 1_400_000 : 70_000);
  evictAll(world.node);
  return world;
}

function bytesOf({ env }: SpaceWorld, segment: number): Buffer {
  return env.fs.files.get(`${DIR}/segments/${String(segment).padStart(10, '0')}.seg`)!.current;
}

/** Flips a bit in blocks of random extents; returns the names of the blocks. */
function flip(world: SpaceWorld, count: number): string[] {
  const random = seededRandom(5);
  const extents = [...world.node.parts.state.store.extents()];
  const flipped = new Set<string>();
  while (flipped.size < count) {
    const extent = extents[Math.floor(random() * extents.length)];
    const at = Math.floor(random() * extent.length);
    const name = `${extent.key}:${Math.floor(at / CHECKSUM_BLOCK_SIZE)}`;
    if (flipped.has(name)) continue;
    flipped.add(name);
    bytesOf(world, extent.place.segment.id)[extent.place.offset + at] ^= 1 << Math.floor(random() * 8);
  }
  return [...flipped].sort();
}

function foundBy(damage: Damage): string[] {
  return damage
    .all()
    .map(({ extent, block }) => `${extent.key}:${block}`)
    .sort();
}

/** A damage registry and a scrub of their own, beside those of the node. */
function newScrub(
  world: SpaceWorld,
  options: Partial<ConstructorParameters<typeof Scrub>[0]> = {},
): {
  scrub: Scrub;
  damage: Damage;
} {
  const { env, core, segments, state } = world.node.parts;
  const damage = options.damage ?? new Damage({ env, core, segments, source: state.store });
  return { scrub: new Scrub({ env, segments, bytesPerSecond: RATE, ...options, damage }), damage };
}

/** Runs until so many passes are done; returns the milliseconds that it took. */
async function passes(world: SpaceWorld, scrub: Scrub, count = 1): Promise<number> {
  const startMs = world.env.clock.nowMs();
  scrub.tick();
  while (scrub.passCount < count) {
    await world.env.clock.advance(100);
    scrub.tick();
  }
  return world.env.clock.nowMs() - startMs;
}

describe('a pass', () => {
  test('finds every planted flip and nothing else, at its rate', async () => {
    const world = await stocked();
    const { scrub, damage } = newScrub(world);
    const planted = flip(world, 12);
    const ms = await passes(world, scrub);
    expect(foundBy(damage)).toEqual(planted);
    expect(scrub.damagedCount).toBe(planted.length);
    let size = 0;
    for (const extent of world.node.parts.state.store.extents()) size += extent.length;
    expect(scrub.verifiedSize).toBe(size);
    expect(ms).toBeGreaterThan((0.9 * 1_000 * size) / RATE);
    for (const { extent } of damage.all()) {
      const { batches } = world.node.parts.state.store.extent(extent.key)!;
      const { ids } = await world.node.parts.state.store.rowsOfBatch(batches[0]!);
      await expectCorrupt(world.node, ids[0]);
    }
  });

  test('says which rows and fields are hit', async () => {
    const world = await stocked();
    const { scrub, damage } = newScrub(world);
    const extent = [...world.node.parts.state.store.extents()][9];
    bytesOf(world, extent.place.segment.id)[extent.place.offset + extent.length - 100] ^= 4;
    await passes(world, scrub);
    const [described] = await Promise.all(damage.all().map((one) => damage.describe(one)));
    expect(described).toMatchObject({ partition: 'p', reason: 'checksum', found_by: 'scrub' });
    expect(described.cells).toEqual([{ field: 'a', rows: 1, ids: [9] }]);
  });

  test('passes over what dies or moves meanwhile, and goes on after a file that cannot be opened', async () => {
    const world = await stocked();
    const { scrub, damage } = newScrub(world);
    scrub.tick();
    await world.env.clock.advance(300);
    await remove(
      world.node,
      [...Array(40).keys()].filter((id) => id % 5 !== 0),
    );
    world.env.fs.faults.push({ action: 'open', path: /seg/, code: 'EMFILE', times: 2 });
    await compact(world);
    await passes(world, scrub);
    expect(foundBy(damage)).toEqual([]);
    expect((await readText(world.node, 'p', [5])).a).toEqual([valueOf(5, 0, 70_000)]);
  });

  test('is followed by another one after a day, from the beginning', async () => {
    const world = await stocked();
    const { scrub, damage } = newScrub(world, { bytesPerSecond: 1e9 });
    await passes(world, scrub);
    const planted = flip(world, 3);
    scrub.tick();
    await world.env.clock.advance(1_000);
    expect(scrub.passCount).toBe(1);
    expect(foundBy(damage)).toEqual([]);
    await world.env.clock.advance(24 * 3_600_000);
    await passes(world, scrub, 2);
    expect(foundBy(damage)).toEqual(planted);
  });

  test('goes on where the run before was', async () => {
    const world = await stocked();
    const { scrub } = newScrub(world);
    scrub.tick();
    await world.env.clock.advance(3_000);
    await scrub.stop();
    expect(scrub.position.segment).toBeGreaterThan(0);
    const { scrub: next } = newScrub(world, { position: scrub.position });
    await passes(world, next);
    const total = scrub.verifiedSize + next.verifiedSize;
    let size = 0;
    for (const extent of world.node.parts.state.store.extents()) size += extent.length;
    expect(total).toBeGreaterThanOrEqual(size);
    expect(total).toBeLessThan(size + 2 * CHECKSUM_BLOCK_SIZE);
  });

  test('takes other files along, and ends with a stop', async () => {
    const world = await stocked();
    const sizes: number[] = [];
    const target: ScrubTarget = {
      async verify(take) {
        while (await take(500_000)) {
          sizes.push(500_000);
          if (sizes.length === 4) return;
        }
      },
    };
    const { scrub } = newScrub(world, { targets: [target] });
    await passes(world, scrub);
    expect(sizes).toHaveLength(4);
    await scrub.stop();
    scrub.tick();
    await world.env.clock.advance(25 * 3_600_000);
    expect(scrub.passCount).toBe(1);
  });

  test('does nothing at a rate of 0', async () => {
    const world = await stocked();
    const { scrub } = newScrub(world, { bytesPerSecond: 0 });
    scrub.tick();
    await world.env.clock.advance(1_000);
    expect(scrub.verifiedSize).toBe(0);
  });
});

describe('the position', () => {
  /** A world whose own scrub is in the middle of a pass, which its clock does not drive on. */
  async function halfway(): Promise<SpaceWorld> {
    const world = await stocked();
    const { scrub } = world.node;
    scrub.tick();
    while (scrub.position.segment === 0) await world.env.clock.advance(10);
    await scrub.stop();
    return world;
  }

  function restarted({ env }: SpaceWorld): Promise<SpaceWorld> {
    return openWorld(simEnv(env.fs.afterCrash(), env.clock));
  }

  test('is kept by checkpoints, so that a pass goes on after a restart', async () => {
    const world = await halfway();
    const { position, verifiedSize } = world.node.scrub;
    await world.node.checkpoints.run();
    const next = await restarted(world);
    expect(next.node.scrub.position).toEqual(position);
    await passes(next, next.node.scrub);
    let size = 0;
    for (const extent of next.node.parts.state.store.extents()) size += extent.length;
    expect(next.node.scrub.verifiedSize).toBeGreaterThanOrEqual(size - verifiedSize);
    expect(next.node.scrub.verifiedSize).toBeLessThan(size);
    expect(next.node.scrub.position).toEqual({ segment: 0, offset: 0 });
  });

  test('is that of the last checkpoint after a crash, and the beginning without one', async () => {
    const world = await halfway();
    expect((await restarted(world)).node.scrub.position).toEqual({ segment: 0, offset: 0 });
    const next = await restarted(world);
    await next.node.checkpoints.run();
    await passes(next, next.node.scrub);
    expect((await restarted(next)).node.scrub.position).toEqual({ segment: 0, offset: 0 });
  });

  test('is passed over when its segment is gone', async () => {
    const world = await halfway();
    const { segment } = world.node.scrub.position;
    const extents = [...world.node.parts.state.store.extents()].map(({ place, batches }) => ({ place, batches }));
    const gone = extents.filter(({ place }) => place.segment.id === segment);
    for (const { batches } of gone) {
      await remove(world.node, [...(await world.node.parts.state.store.rowsOfBatch(batches[0]!)).ids]);
    }
    await world.node.makeDurable();
    await world.node.checkpoints.run();
    const next = await restarted(world);
    expect([...next.node.parts.segments.all()].map(({ id }) => id)).not.toContain(segment);
    expect(next.node.scrub.position.segment).toBe(segment);
    let size = 0;
    for (const { place, length } of next.node.parts.state.store.extents()) {
      if (place.segment.id > segment) size += length;
    }
    expect(size).toBeGreaterThan(0);
    await passes(next, next.node.scrub);
    expect(next.node.scrub.verifiedSize).toBe(size);
  });

  test('makes a checkpoint due when nothing else happens', async () => {
    const world = await stocked();
    const { checkpoints, scrub } = world.node;
    await passes(world, scrub);
    await checkpoints.run();
    expect(checkpoints.isDue).toBe(false);
    await world.env.clock.advance(24 * 3_600_000 - 1_000);
    const { lsn } = checkpoints;
    expect(scrub.passCount).toBe(1);
    await world.env.clock.advance(20 * 60_000);
    expect(scrub.passCount).toBe(2);
    await checkpoints.idle();
    expect(checkpoints.lsn).toBeGreaterThan(lsn);
    expect(world.env.crashes).toEqual([]);
  });
});

describe('repair', () => {
  /** Five damaged blocks, and a repairer that makes something of the bytes that they had. */
  async function damaged(make: (good: Buffer) => Buffer): Promise<{ world: SpaceWorld; damage: Damage; scrub: Scrub }> {
    const world = await stocked();
    const { env, core, segments, state } = world.node.parts;
    const copies = new Map([...segments.all()].map(({ id }) => [id, Buffer.from(bytesOf(world, id))]));
    const repairer: Repairer = ({ place, length }, block) => {
      const from = place.offset + block * CHECKSUM_BLOCK_SIZE;
      const end = Math.min(place.offset + length, from + CHECKSUM_BLOCK_SIZE);
      return Promise.resolve(make(copies.get(place.segment.id)!.subarray(from, end)));
    };
    const repairers = [() => Promise.resolve(null), repairer];
    const damage = new Damage({ env, core, segments, source: state.store, repairers });
    flip(world, 5);
    return { world, damage, scrub: newScrub(world, { damage }).scrub };
  }

  test('puts good bytes back, durably', async () => {
    const { world, damage, scrub } = await damaged((good) => good);
    await passes(world, scrub);
    expect(damage.all()).toHaveLength(0);
    expect([damage.foundCount, damage.restoredCount]).toEqual([5, 5]);
    const { a } = await readText(world.node, 'p', [...Array(40).keys()]);
    expect(a).toEqual(a.map((_, id) => valueOf(id, 0, id % 8 === 0 ? 1_400_000 : 70_000)));
    for (const { id } of world.node.parts.segments.all()) {
      const file = world.env.fs.files.get(`${DIR}/segments/${String(id).padStart(10, '0')}.seg`)!;
      expect(file.durable.equals(file.current)).toBe(true);
    }
  });

  test('never writes bytes that are not right', async () => {
    const { world, damage, scrub } = await damaged((good) => Buffer.alloc(good.length, 7));
    await passes(world, scrub);
    expect(damage.all()).toHaveLength(5);
    expect(damage.restoredCount).toBe(0);
  });
});
