/** Puts into segments without a store: bytes that are all one mark, registered as the store would. */
import { expect } from 'vitest';
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Segment, SegmentExtent } from '../../../server/segment/segment.ts';
import { Segments, type Reservation } from '../../../server/segment/segments.ts';
import { Arena } from '../../../server/tier/arena.ts';
import { simEnv, type SimEnv } from '../../support/sim_env.ts';

export const FRAME = 4_096;
export const FRAMES = 8;
export const SMALL = FRAME / 8;
export const DIR = '/data/segments';

export interface Put extends Reservation {
  readonly extent: SegmentExtent;
}

export interface SegmentWorld {
  readonly env: SimEnv;
  readonly arena: Arena;
  readonly segments: Segments;
}

export function newSegments(frameSize = FRAME): SegmentWorld {
  const env = simEnv();
  const arena = new Arena({ clock: env.clock, memorySize: FRAMES * frameSize, frameSize });
  const segments = new Segments({ env, arena, directory: DIR, memoryWaitMsMax: 1_000, openFilesMax: 4 });
  return { env, arena, segments };
}

/** A put of `length` bytes that are all `mark`. */
export async function putMarked(
  segments: Segments,
  place: { level: AckLevel; partition: number; length: number },
  mark: number,
): Promise<Put> {
  const reservation = await segments.reserve(place);
  reservation.bytes.fill(mark);
  await segments.write(reservation, 0, place.length);
  return { ...reservation, extent: commit(segments, reservation) };
}

export function commit(segments: Segments, reservation: Reservation): SegmentExtent {
  const { segment, offset, length } = reservation;
  segments.commit(reservation, length);
  return registered(segment, offset, length);
}

let keys = 0;

export function registered(segment: Segment, offset: number, length: number): SegmentExtent {
  const given = { place: { segment, offset }, length, blocks: Buffer.alloc(8), partition: { id: 1, bytes: 0 } };
  const extent = { key: ++keys, level: segment.level, ...given, inSegment: -1 };
  segment.extents.add(extent);
  return extent;
}

/** Moves an extent to a segment for copies, as compaction does. */
export async function move(segments: Segments, extent: SegmentExtent, lsn: number): Promise<void> {
  const { length, place } = extent;
  const target = await segments.openForCopies(place.segment.level, length);
  const room = segments.carve(target, length)!;
  const bytes = Buffer.alloc(length);
  await segments.read(place.segment, bytes, place.offset);
  await segments.writeAt(room, bytes, 0);
  segments.commit(room, length);
  segments.move(extent, room, lsn);
  segments.seal(target);
}

export function fileSizes({ fs }: SimEnv): number[] {
  return [...fs.files.values()].map((file) => file.current.length);
}

export async function markAt(segments: Segments, segment: Segment, offset: number): Promise<number> {
  const byte = Buffer.alloc(1);
  await segments.read(segment, byte, offset);
  return byte[0];
}

/** The bytes of an extent are its mark, in memory while it is there and in its file. */
export async function expectMarked(segments: Segments, extent: SegmentExtent, mark: number): Promise<void> {
  const { length, place } = extent;
  const { segment, offset } = place;
  const expected = Buffer.alloc(length, mark);
  if (segment.run !== null) expect(segment.run.bytes.subarray(offset, offset + length).equals(expected)).toBe(true);
  if (segment.level === 'memory') return;
  const bytes = Buffer.alloc(length);
  await segments.read(segment, bytes, offset);
  expect(bytes.equals(expected)).toBe(true);
}
