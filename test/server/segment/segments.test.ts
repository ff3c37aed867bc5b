/** Segments: which put goes where, who keeps memory and files, and when both are free again. */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Segment, SegmentExtent } from '../../../server/segment/segment.ts';
import { spaceOf } from '../../../server/segment/segment.ts';
import { Segments, type Reservation } from '../../../server/segment/segments.ts';
import { Arena } from '../../../server/tier/arena.ts';
import { settle, simEnv, type SimEnv } from '../../support/sim_env.ts';
import * as puts from './puts.ts';
import { commit, DIR, expectMarked, FRAME, FRAMES, move, registered, SMALL, type Put } from './puts.ts';

let env: SimEnv;
let arena: Arena;
let segments: Segments;

beforeEach(() => ({ env, arena, segments } = puts.newSegments()));

function reserve(length: number, level: AckLevel = 'os', partition = 1): Promise<Reservation> {
  return segments.reserve({ level, partition, length });
}

function put(length: number, mark: number, level: AckLevel = 'os', partition = 1): Promise<Put> {
  return puts.putMarked(segments, { level, partition, length }, mark);
}

function drop({ extent }: Put, lsn: number): void {
  segments.drop(extent, lsn);
}

const fileSizes = (): number[] => puts.fileSizes(env);
const markAt = (segment: Segment, offset: number): Promise<number> => puts.markAt(segments, segment, offset);

describe('places', () => {
  test('extents of one lane follow each other at multiples of 64, in memory and in the file alike', async () => {
    const lengths = [1, 64, 65, 500];
    const reservations: Reservation[] = [];
    for (const [i, length] of lengths.entries()) reservations.push(await put(length, i + 1));
    expect(reservations.map(({ offset }) => offset)).toEqual([0, 64, 128, 256]);
    expect(new Set(reservations.map(({ segment }) => segment)).size).toBe(1);
    const { current } = [...env.fs.files.values()][0];
    for (const [i, { segment, offset, length }] of reservations.entries()) {
      expect(segment.run!.bytes.subarray(offset, offset + length).equals(Buffer.alloc(length, i + 1))).toBe(true);
      expect(current.subarray(offset, offset + length).equals(Buffer.alloc(length, i + 1))).toBe(true);
    }
  });

  test('ack levels do not share a segment, and a large partition has its own', async () => {
    const os = await put(SMALL, 1, 'os', 1);
    const disk = await put(SMALL, 1, 'disk', 1);
    const memory = await put(SMALL, 1, 'memory', 1);
    const other = await put(SMALL, 1, 'os', 2);
    expect(other.segment).toBe(os.segment);
    expect(new Set([os.segment, disk.segment, memory.segment]).size).toBe(3);
    let large = os;
    for (let i = 0; i < 8; i++) large = await put(SMALL, 1, 'os', 1);
    expect(large.segment).not.toBe(other.segment);
    expect((await put(SMALL, 1, 'os', 2)).segment).toBe(other.segment);
  });

  test('a put above a quarter of a frame gets a segment of its size, which is sealed at once', async () => {
    const large = await put(3 * FRAME + 1, 1);
    expect(large.segment).toMatchObject({ sealed: true, capacity: 4 * FRAME, end: 3 * FRAME + 64 });
    expect((await put(FRAME / 4, 1)).segment).not.toBe(large.segment);
    expect((await put(FRAME / 4 + 1, 1)).segment).toMatchObject({ sealed: true, capacity: FRAME });
  });

  test('a full segment is sealed, and those who come together share the next', async () => {
    const first = await put(FRAME / 4, 1);
    for (let partition = 2; partition <= 4; partition++) await put(FRAME / 4, 1, 'os', partition);
    const next = await Promise.all([put(SMALL, 2), put(SMALL, 3, 'os', 2), put(SMALL, 4, 'os', 3)]);
    expect(first.segment.sealed).toBe(true);
    expect(new Set(next.map(({ segment }) => segment)).size).toBe(1);
    expect(next[0].segment).not.toBe(first.segment);
  });

  test('many large partitions in turn fill segments, not a file with each put', async () => {
    for (let round = 0; round < 40; round++) {
      for (let partition = 1; partition <= 12; partition++) await put(SMALL, partition, 'os', partition);
    }
    const filled = (40 * 12 * SMALL) / FRAME;
    expect([...segments.all()].length).toBeLessThanOrEqual(filled * 1.5);
  });

  test('room of a cancelled put is given back when nothing was reserved after it', async () => {
    await put(SMALL, 1);
    const last = await reserve(SMALL);
    segments.cancel(last);
    const again = await reserve(SMALL);
    expect(again.offset).toBe(last.offset);
    const after = await reserve(SMALL);
    segments.cancel(again);
    expect((await reserve(SMALL)).offset).toBeGreaterThan(after.offset);
  });
});

describe('memory', () => {
  test('idle lanes give way to who needs their frames, and their bytes are read from disk then', async () => {
    const small: Reservation[] = [];
    for (let partition = 1; partition <= 3; partition++) {
      for (let i = 0; i < 9; i++) small.push(await put(SMALL, partition, partition === 2 ? 'disk' : 'os', partition));
    }
    const large = await put(FRAMES * FRAME, 9);
    expect(large.segment.run!.count).toBe(FRAMES);
    for (const { segment, offset } of small) {
      expect(segment).toMatchObject({ sealed: true, run: null });
      expect(await markAt(segment, offset)).toBeGreaterThan(0);
    }
    expect(await markAt(small[0].segment, small[0].offset)).toBe(1);
    expect((await put(SMALL, 5)).segment.sealed).toBe(false);
  });

  test('a lane that is being filled does not, and neither do bytes of level memory', async () => {
    const filling = await reserve(SMALL);
    const memory = await put(SMALL, 7, 'memory');
    const refused = reserve(FRAMES * FRAME).catch((error: unknown) => error);
    await env.clock.advance(1_000);
    expect(await refused).toMatchObject({ code: 'memory_full' });
    expect(memory.segment.run!.bytes[memory.offset]).toBe(7);
    segments.commit(filling, SMALL);
    drop(memory, 1);
    const { segment } = await reserve((FRAMES - 1) * FRAME);
    expect(segment.run!.count).toBe(FRAMES - 1);
  });

  test('rooms that are parked give way too, but keep their files until they are committed or cancelled', async () => {
    const rooms: Reservation[] = [];
    for (let mark = 1; mark <= 3; mark++) {
      const room = await reserve(SMALL);
      room.bytes.fill(mark);
      await segments.write(room, 0, SMALL);
      rooms.push(room);
      segments.park(room);
      segments.park(room);
    }
    const [first, second, third] = rooms;
    const { segment } = first;
    const active = await reserve(SMALL);
    expect(active.segment).toBe(segment);
    expect(segment.run!.onEvict).toBeNull();
    segments.cancel(active);
    const large = await reserve(FRAMES * FRAME);
    expect(segment).toMatchObject({ sealed: true, run: null, filling: 3, parked: 3 });
    segments.cancel(second);
    await segments.reclaim(Infinity);
    expect(segments.get(segment.id)).toBe(segment);
    const extent = commit(segments, first);
    segments.commit(third, SMALL - 64);
    registered(segment, third.offset, SMALL - 64);
    segments.cancel(large);
    expect(segment).toMatchObject({ filling: 0, parked: 0, live: 2 });
    expect([await markAt(segment, extent.place.offset), await markAt(segment, third.offset)]).toEqual([1, 3]);
    await segments.reclaim(Infinity);
    expect(segments.get(segment.id)).toBe(segment);
  });

  test('a room of level memory that is parked keeps its memory', async () => {
    const room = await reserve(SMALL, 'memory');
    segments.park(room);
    const refused = reserve(FRAMES * FRAME).catch((error: unknown) => error);
    await env.clock.advance(1_000);
    expect(await refused).toMatchObject({ code: 'memory_full' });
    segments.cancel(room);
    segments.cancel(await reserve(FRAMES * FRAME));
    expect(arena.heldSize).toBe(0);
  });

  test('more lanes than there are frames do not block each other', async () => {
    for (let round = 0; round < 3; round++) {
      for (let partition = 1; partition <= 20; partition++) {
        for (let i = 0; i < 3; i++) {
          const { segment, offset } = await put(FRAME / 4, partition, partition % 2 === 0 ? 'disk' : 'os', partition);
          expect(await markAt(segment, offset)).toBe(partition);
        }
      }
    }
    expect(arena.heldSize).toBe(0);
  });

  test('a put that failed leaves no memory behind', async () => {
    env.fs.faults.push({ action: 'open', path: /seg/, code: 'EMFILE', times: 3 });
    for (let i = 0; i < 3; i++) await expect(reserve(SMALL)).rejects.toMatchObject({ code: 'EMFILE' });
    for (let i = 0; i < 30; i++) segments.cancel(await reserve(2 * FRAME));
    expect(arena.heldSize).toBe(0);
  });
});

describe('recycling', () => {
  test('waits until the event that killed the last extent is durable', async () => {
    const { segment, extent } = await put(FRAME, 1);
    segments.drop(extent, 10);
    await segments.reclaim(9);
    expect(segments.get(segment.id)).toBe(segment);
    const early = await put(FRAME, 2);
    expect(early.segment.id).not.toBe(segment.id);
    await segments.reclaim(10);
    expect(segments.get(segment.id)).toBeUndefined();
    const late = await put(FRAME, 3);
    expect(late.segment.id).toBe(segment.id);
    expect(env.fs.opens).toBe(2);
  });

  test('an active segment without live extents is not dead before it is sealed', async () => {
    const first = await put(SMALL, 1);
    drop(first, 1);
    await segments.reclaim(Infinity);
    const second = await put(SMALL, 2);
    expect(second.segment).toBe(first.segment);
    for (let partition = 2; partition <= 8; partition++) await put(SMALL, 3, 'os', partition);
    expect(first.segment.sealed).toBe(true);
    await segments.reclaim(Infinity);
    expect(segments.get(first.segment.id)).toBe(first.segment);
  });

  test('a file is counted by what it holds, however little its next owner wrote', async () => {
    const large = await put(4 * FRAME, 1);
    drop(large, 1);
    await segments.reclaim(1);
    const aborted = await reserve(2 * FRAME);
    await segments.write(aborted, 0, 10);
    segments.cancel(aborted);
    await segments.reclaim(1);
    expect(aborted.segment).toMatchObject({ id: large.segment.id, end: 0, fileSize: 4 * FRAME });
    const small = await put(FRAME, 2);
    expect(small.segment.id).not.toBe(large.segment.id);
    expect(fileSizes()).toEqual([4 * FRAME, FRAME]);
  });

  test('recycled files go when nobody wanted them for a while', async () => {
    for (const one of [await put(FRAME, 1), await put(2 * FRAME, 2)]) drop(one, 1);
    await segments.reclaim(1);
    expect(fileSizes()).toHaveLength(2);
    await env.clock.advance(10_000);
    expect(fileSizes()).toEqual([]);
    expect(env.fs.openPaths.size).toBe(0);
  });

  test('a dropped partition lets go of its lane', async () => {
    const reservations: Put[] = [];
    for (let i = 0; i < 12; i++) reservations.push(await put(SMALL, 1, 'os', 5));
    for (const one of reservations) drop(one, 3);
    segments.forgetPartition(5);
    await segments.reclaim(3);
    const own = reservations.at(-1)!.segment;
    expect(segments.get(own.id)).toBeUndefined();
  });

  test('files without a live extent are removed after a start, others stay', async () => {
    const kept = await put(FRAME, 1);
    await put(FRAME, 2);
    await put(FRAME, 3);
    const next = new Segments({ env, arena, directory: DIR, memoryWaitMsMax: 0 });
    await next.files.list();
    next.adopt(spaceOf({ segment: kept.segment.id, offset: 0, length: FRAME }), 'os');
    const dead = next.adopt(spaceOf({ segment: 2, offset: 0, length: FRAME }), 'os');
    next.drop(registered(dead, 0, FRAME), 5);
    await next.removeStrays();
    expect([...env.fs.files.keys()]).toEqual([`${DIR}/0000000001.seg`]);
    const fresh = await next.reserve({ level: 'os', partition: 1, length: FRAME });
    expect(fresh.segment.id).toBe(4);
  });
});

describe('open files', () => {
  test('stay within their limit; readers open what was closed', async () => {
    const all: Reservation[] = [];
    for (let mark = 1; mark <= 20; mark++) all.push(await put(FRAME, mark, 'disk'));
    expect(env.fs.openPaths.size).toBe(20);
    await segments.syncLiving();
    expect(env.fs.openPaths.size).toBe(4);
    for (let round = 0; round < 3; round++) {
      const marks = await Promise.all(all.map(({ segment }) => markAt(segment, 0)));
      expect(marks).toEqual(all.map((_, i) => i + 1));
      expect(env.fs.openPaths.size).toBeLessThanOrEqual(4);
    }
  });

  test('readers that come together share one opening', async () => {
    const { segment } = await put(FRAME, 6);
    const next = new Segments({ env, arena, directory: DIR, memoryWaitMsMax: 0 });
    const adopted = next.adopt(spaceOf({ segment: segment.id, offset: 0, length: FRAME }), 'os');
    const before = env.fs.opens;
    await Promise.all(Array.from({ length: 10 }, () => next.read(adopted, Buffer.alloc(8), 0)));
    expect(env.fs.opens - before).toBe(1);
  });

  test('a file that is missing is damage', async () => {
    const lost = segments.adopt(spaceOf({ segment: 77, offset: 0, length: 5 }), 'os');
    await expect(segments.read(lost, Buffer.alloc(5), 0)).rejects.toMatchObject({ code: 'data_corrupt' });
  });

  test('none is left open in the end', async () => {
    for (let mark = 1; mark <= 6; mark++) await put(FRAME, mark);
    await put(SMALL, 7);
    await segments.close();
    expect(env.fs.openPaths.size).toBe(0);
  });
});

describe('syncs', () => {
  test('cover what was written before, and those who come together share one', async () => {
    const { segment } = await put(SMALL, 1, 'disk');
    const gate = Promise.withResolvers<void>();
    env.fs.gate = (action) => (action === 'datasync' ? gate.promise : Promise.resolve());
    const first = segments.sync(segment);
    await settle();
    await put(SMALL, 2, 'disk');
    const others = [segments.sync(segment), segments.sync(segment), segments.sync(segment)];
    gate.resolve();
    await Promise.all([first, ...others]);
    expect(env.fs.syncs).toBe(2);
    const [{ current, durable }] = [...env.fs.files.values()];
    expect(durable.equals(current)).toBe(true);
    await segments.sync(segment);
    expect(env.fs.syncs).toBe(2);
  });
});

/** Names of the puts that live, by segment and offset. */
const commands = fc.array(
  fc.record({
    size: fc.oneof(fc.integer({ min: 1, max: FRAME / 4 }), fc.integer({ min: 1, max: 3 * FRAME })),
    level: fc.constantFrom<AckLevel>('memory', 'os', 'disk'),
    partition: fc.integer({ min: 1, max: 3 }),
    then: fc.constantFrom('keep', 'drop', 'cancel', 'drop oldest', 'move oldest', 'reclaim'),
  }),
  { maxLength: 60 },
);

test('whatever is put, moved, dropped and recycled, every live extent keeps its bytes', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const own = simEnv();
      const tier = new Arena({ clock: own.clock, memorySize: 16 * FRAME, frameSize: FRAME });
      const store = new Segments({ env: own, arena: tier, directory: DIR, memoryWaitMsMax: 0, openFilesMax: 2 });
      const live: { extent: SegmentExtent; mark: number }[] = [];
      let lsn = 0;
      for (const [i, { size, level, partition, then }] of sequence.entries()) {
        const reserving = store.reserve({ level, partition, length: size });
        await own.clock.advance(1);
        const reservation = await reserving.catch(() => null);
        const mark = 1 + (i % 250);
        if (reservation !== null) {
          reservation.bytes.fill(mark);
          await store.write(reservation, 0, size);
          if (then === 'cancel') store.cancel(reservation);
          else live.push({ extent: commit(store, reservation), mark });
        }
        const victim = then === 'drop' ? live.pop() : then === 'drop oldest' ? live.shift() : undefined;
        if (victim !== undefined) store.drop(victim.extent, ++lsn);
        const moved = then === 'move oldest' ? live.shift() : undefined;
        if (moved !== undefined) {
          if (moved.extent.place.segment.level !== 'memory') await move(store, moved.extent, ++lsn);
          live.push(moved);
        }
        if (then === 'reclaim') await store.reclaim(lsn);
        for (const { extent, mark: wanted } of live) await expectMarked(store, extent, wanted);
      }
    }),
    { seed: 9, numRuns: 60 },
  );
});
