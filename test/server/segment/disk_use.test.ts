/** Copies of extents, and what segments take of the disk. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Segment } from '../../../server/segment/segment.ts';
import { spaceOf } from '../../../server/segment/segment.ts';
import { Segments } from '../../../server/segment/segments.ts';
import { Arena } from '../../../server/tier/arena.ts';
import { settle, type SimEnv } from '../../support/sim_env.ts';
import * as puts from './puts.ts';
import { DIR, FRAME, move, registered, SMALL, type Put } from './puts.ts';

let env: SimEnv;
let arena: Arena;
let segments: Segments;

beforeEach(() => ({ env, arena, segments } = puts.newSegments()));

function put(length: number, mark: number, level: AckLevel = 'os', partition = 1): Promise<Put> {
  return puts.putMarked(segments, { level, partition, length }, mark);
}

function drop({ extent }: Put, lsn: number): void {
  segments.drop(extent, lsn);
}

const fileSizes = (): number[] => puts.fileSizes(env);
const markAt = (segment: Segment, offset: number): Promise<number> => puts.markAt(segments, segment, offset);

describe('copies', () => {
  test('take the extent over: the old segment is dead, the new one is live', async () => {
    const one = await put(FRAME, 5);
    await move(segments, one.extent, 7);
    expect(one.segment).toMatchObject({ live: 0, liveSize: 0, killedLsn: 7 });
    const { segment, offset } = one.extent.place;
    expect(segment).toMatchObject({ live: 1, liveSize: FRAME, sealed: true, run: null });
    expect(await markAt(segment, offset)).toBe(5);
    await segments.reclaim(6);
    expect(segments.get(one.segment.id)).toBe(one.segment);
    await segments.reclaim(7);
    expect(segments.get(one.segment.id)).toBeUndefined();
    drop(one, 8);
    await segments.reclaim(8);
    expect(segments.get(segment.id)).toBeUndefined();
  });

  test('take no memory of the arena, and no more than fits', async () => {
    const held = arena.heldSize;
    const target = await segments.openForCopies('os', FRAME);
    expect(segments.carve(target, FRAME - 64)).not.toBeNull();
    expect(segments.carve(target, 65)).toBeNull();
    expect(segments.carve(target, 64)).toMatchObject({ offset: FRAME - 64 });
    segments.seal(target);
    expect(segments.carve(target, 0)).toBeNull();
    expect(arena.heldSize).toBe(held);
    expect((await segments.openForCopies('disk', 5 * FRAME)).capacity).toBe(5 * FRAME);
  });

  test('a reader that began before the segment died keeps its file', async () => {
    const one = await put(FRAME, 5);
    const gate = Promise.withResolvers<void>();
    env.fs.gate = (action) => (action === 'read' ? gate.promise : Promise.resolve());
    const reading = markAt(one.segment, 0);
    await settle();
    drop(one, 1);
    await segments.reclaim(1);
    const next = await put(FRAME, 6);
    expect(next.segment.id).not.toBe(one.segment.id);
    gate.resolve();
    expect(await reading).toBe(5);
    await segments.reclaim(1);
    expect(segments.get(one.segment.id)).toBeUndefined();
  });
});

describe('disk use', () => {
  test('counts what lives, what is dead and what waits to be used again', async () => {
    const large = await put(4 * FRAME, 1);
    const small = await put(100, 2);
    await put(500, 3, 'memory');
    const use = { size: 4 * FRAME + 100, liveSize: 4 * FRAME + 128, deadSize: 0, recycledSize: 0 };
    expect(segments.diskUse()).toEqual(use);
    drop(large, 3);
    expect(segments.diskUse()).toEqual({ size: 100, liveSize: 128, deadSize: 4 * FRAME, recycledSize: 0 });
    await segments.reclaim(3);
    expect(segments.diskUse()).toEqual({ size: 100, liveSize: 128, deadSize: 0, recycledSize: 4 * FRAME });
    drop(small, 4);
    expect(segments.diskUse()).toMatchObject({ size: 100, liveSize: 0 });
    await env.clock.advance(10_000);
    expect(segments.diskUse()).toMatchObject({ recycledSize: 0 });
  });

  test('a file that was a larger segment is cut at the end of the new one', async () => {
    const big = 64 * FRAME;
    const wide = new Arena({ clock: env.clock, memorySize: 4 * big, frameSize: big });
    segments = new Segments({ env, arena: wide, directory: DIR, memoryWaitMsMax: 0 });
    const first = await put(big, 1);
    drop(first, 1);
    await segments.reclaim(1);
    const second = await put(FRAME, 2);
    expect(second.segment).toMatchObject({ id: first.segment.id, fileSize: big });
    expect(fileSizes()).toEqual([big]);
    await put(big / 4, 3);
    for (let i = 0; i < 3; i++) await put(big / 4, 4, 'os', i + 2);
    expect(second.segment.sealed).toBe(true);
    await segments.reclaim(1);
    expect(second.segment.fileSize).toBe(second.segment.end);
    expect(fileSizes()[0]).toBe(second.segment.end);
    expect(await markAt(second.segment, 0)).toBe(2);
  });

  test('a start learns what files hold behind the last live extent, and cuts it off', async () => {
    const whole = await put(3 * FRAME, 1);
    env.fs.files.get(`${DIR}/0000000001.seg`)!.current = Buffer.alloc(100 * FRAME, 1);
    const next = new Segments({ env, arena, directory: DIR, memoryWaitMsMax: 0 });
    await next.files.list();
    const adopted = next.adopt(spaceOf({ segment: whole.segment.id, offset: 0, length: 3 * FRAME }), 'os');
    registered(adopted, 0, 3 * FRAME);
    await next.removeStrays();
    await next.reclaim(0);
    expect(fileSizes()).toEqual([3 * FRAME]);
    expect(next.diskUse().size).toBe(3 * FRAME);
  });

  test('a tail that cannot be cut stays, and nothing else happens', async () => {
    const next = new Segments({ env, arena, directory: DIR, memoryWaitMsMax: 0 });
    const lost = next.adopt(spaceOf({ segment: 9, offset: 0, length: FRAME }), 'os');
    registered(lost, 0, FRAME);
    await next.reclaim(0);
    expect(lost.fileSize).toBe(FRAME);
  });

  test('lanes that nobody uses and that hold mostly dead bytes are sealed, others are not', async () => {
    const dead = [await put(SMALL, 1), await put(SMALL, 1), await put(SMALL, 1)];
    const live = await put(SMALL, 1, 'disk');
    for (const one of dead) drop(one, 1);
    segments.sealMostlyDead(1_000);
    expect(dead[0].segment.sealed).toBe(false);
    await env.clock.advance(1_000);
    segments.sealMostlyDead(1_000);
    expect(dead[0].segment.sealed).toBe(true);
    expect(live.segment.sealed).toBe(false);
    expect((await put(SMALL, 2)).segment).not.toBe(dead[0].segment);
  });
});

test('what a start found of the segment that had a file before never cuts the one that has it now', async () => {
  const whole = await put(6 * FRAME, 7);
  const next = new Segments({ env, arena, directory: DIR, memoryWaitMsMax: 0 });
  await next.files.list();
  // The checkpoint knows a short extent in this file. It died, the file was recycled, the journal names a longer one.
  const before = next.adopt(spaceOf({ segment: whole.segment.id, offset: 0, length: SMALL }), 'os');
  next.drop(registered(before, 0, SMALL), 1);
  const now = next.adopt(spaceOf({ segment: whole.segment.id, offset: 0, length: 6 * FRAME }), 'os');
  registered(now, 0, 6 * FRAME);
  await next.removeStrays();
  await next.reclaim(10);
  expect(fileSizes()).toEqual([6 * FRAME]);
  expect(await puts.markAt(next, now, 5 * FRAME)).toBe(7);
});
