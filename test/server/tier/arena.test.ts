/** The arena against a model of frames: who may be evicted, who is, and who waits for how long. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Arena, type Run } from '../../../server/tier/arena.ts';
import { settle, SimClock } from '../../support/sim_env.ts';

const FRAME = 4_096;
const FRAMES = 8;

function arenaOf(clock = new SimClock()): Arena {
  return new Arena({ clock, memorySize: FRAMES * FRAME + 100, frameSize: FRAME });
}

/** A run that was cached at once; `evicted` gets its name when it goes. */
function cached(arena: Arena, frames: number, name = '', evicted: string[] = []): Run {
  const run = arena.take(frames * FRAME)!;
  arena.cache(run, () => void evicted.push(name));
  return run;
}

interface Held {
  readonly run: Run;
  state: 'held' | 'cached' | 'released';
  pins: number;
  evicted: boolean;
}

const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('take' as const), size: fc.integer({ min: 0, max: 4 * FRAME }) }),
    fc.record({ kind: fc.constantFrom('cache', 'release', 'pin', 'unpin', 'hold'), which: fc.nat(30) }),
  ),
  { maxLength: 80 },
);

test('runs never overlap, held and pinned ones stay, and a take fails only when no range is left', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const arena = arenaOf();
      const all: Held[] = [];
      const there = (): Held[] => all.filter((one) => !one.evicted);
      const blocks = (one: Held): boolean => one.state === 'held' || one.pins > 0;
      for (const step of sequence) {
        const of = (wanted: (one: Held) => boolean): Held | undefined => {
          const fitting = there().filter(wanted);
          return 'which' in step ? fitting[step.which % fitting.length] : undefined;
        };
        if (step.kind === 'take') take(arena, step.size, all, blocks);
        else if (step.kind === 'cache')
          cache(
            arena,
            of(({ state }) => state === 'held'),
          );
        else if (step.kind === 'hold')
          hold(
            arena,
            of((one) => one.state === 'cached'),
          );
        else if (step.kind === 'release')
          release(
            arena,
            of(({ state }) => state !== 'released'),
          );
        else if (step.kind === 'pin')
          pin(
            arena,
            of((one) => one.state !== 'released'),
          );
        else
          unpin(
            arena,
            of(({ pins }) => pins > 0),
          );
        const heldFrames = there()
          .filter(blocks)
          .reduce((sum, { run }) => sum + run.count, 0);
        expect(arena.heldSize).toBe(heldFrames * FRAME);
        expect(
          there()
            .filter(blocks)
            .every(({ run }) => run.bytes.every((byte) => byte === run.bytes[0])),
        ).toBe(true);
      }
    }),
    { seed: 4, numRuns: 200 },
  );
});

let mark = 0;

function take(arena: Arena, size: number, all: Held[], blocks: (one: Held) => boolean): void {
  const before = all.filter((one) => !one.evicted);
  const run = arena.take(size);
  const count = Math.max(1, Math.ceil(size / FRAME));
  const blocked = new Set(before.filter(blocks).flatMap(framesOf));
  const isRoom = Array.from({ length: FRAMES - count + 1 }, (_, first) => first).some((first) =>
    Array.from({ length: count }, (_, i) => first + i).every((frame) => !blocked.has(frame)),
  );
  expect(run !== null).toBe(isRoom);
  if (run === null) return;
  expect(run.bytes.length).toBe(count * FRAME);
  for (const one of before) {
    const overlaps = framesOf(one).some((frame) => frame >= run.first && frame < run.first + run.count);
    if (one.state === 'cached') expect(one.evicted).toBe(overlaps);
    else if (overlaps) one.evicted = true;
    expect(overlaps && blocks(one)).toBe(false);
  }
  run.bytes.fill(++mark % 251);
  all.push({ run, state: 'held', pins: 0, evicted: false });
}

function framesOf({ run }: Held): number[] {
  return Array.from({ length: run.count }, (_, i) => run.first + i);
}

function cache(arena: Arena, one: Held | undefined): void {
  if (one === undefined) return;
  one.state = 'cached';
  arena.cache(one.run, () => {
    one.evicted = true;
  });
}

function hold(arena: Arena, one: Held | undefined): void {
  if (one === undefined) return;
  one.state = 'held';
  arena.hold(one.run);
}

function release(arena: Arena, one: Held | undefined): void {
  if (one === undefined) return;
  one.state = 'released';
  arena.release(one.run);
  if (one.pins === 0) one.evicted = true;
}

function pin(arena: Arena, one: Held | undefined): void {
  if (one === undefined) return;
  one.pins++;
  arena.pin(one.run);
}

function unpin(arena: Arena, one: Held | undefined): void {
  if (one === undefined) return;
  one.pins--;
  arena.unpin(one.run);
  if (one.pins === 0 && one.state === 'released') one.evicted = true;
}

describe('eviction', () => {
  test('takes the run that was cached first, and free frames before any', () => {
    const arena = arenaOf();
    const evicted: string[] = [];
    for (const name of ['a', 'b', 'c']) cached(arena, 2, name, evicted);
    arena.take(2 * FRAME);
    expect(evicted).toEqual([]);
    arena.take(FRAME);
    arena.take(FRAME);
    expect(evicted).toEqual(['a']);
    arena.take(3 * FRAME);
    expect(evicted).toEqual(['a', 'b', 'c']);
  });

  test('passes over a pinned run, and over one that is held again', () => {
    const arena = arenaOf();
    const evicted: string[] = [];
    const runs = ['a', 'b', 'c', 'd'].map((name) => cached(arena, 2, name, evicted));
    arena.pin(runs[0]);
    arena.hold(runs[1]);
    arena.take(2 * FRAME);
    expect(evicted).toEqual(['c']);
    arena.unpin(runs[0]);
    arena.cache(runs[1], () => void evicted.push('b again'));
    arena.take(2 * FRAME);
    expect(evicted).toEqual(['c', 'a']);
  });

  test('a released run keeps its bytes while a reader holds it', () => {
    const arena = arenaOf();
    const run = cached(arena, 8);
    run.bytes.fill(7);
    arena.pin(run);
    arena.release(run);
    expect(arena.take(FRAME)).toBeNull();
    expect(run.bytes[8 * FRAME - 1]).toBe(7);
    arena.unpin(run);
    expect(arena.take(8 * FRAME)).not.toBeNull();
  });
});

describe('waiting for memory', () => {
  const refusal = { code: 'memory_full', details: { bytes: FRAME, memory_bytes: FRAMES * FRAME } };

  test('is served in the order of asking, also behind a larger one', async () => {
    const arena = arenaOf();
    const held = Array.from({ length: 4 }, () => arena.take(2 * FRAME)!);
    const served: string[] = [];
    void arena.taken(4 * FRAME, 1_000).then(() => served.push('large'));
    void arena.taken(FRAME, 1_000).then(() => served.push('small'));
    arena.release(held[0]);
    await settle();
    expect(served).toEqual([]);
    arena.cache(held[1], () => undefined);
    await settle();
    expect(served).toEqual(['large']);
    arena.pin(held[2]);
    arena.cache(held[2], () => undefined);
    await settle();
    expect(served).toEqual(['large']);
    arena.unpin(held[2]);
    await settle();
    expect(served).toEqual(['large', 'small']);
  });

  test('ends with memory_full at its deadline, which lets those behind go on', async () => {
    const clock = new SimClock();
    const arena = arenaOf(clock);
    const held = Array.from({ length: 8 }, () => arena.take(FRAME)!);
    const large = arena.taken(3 * FRAME, 500).catch((error: unknown) => error);
    const small = arena.taken(FRAME, 800);
    const late = arena.taken(FRAME, 900).catch((error: unknown) => error);
    arena.release(held[3]);
    await clock.advance(499);
    expect(await Promise.race([small, Promise.resolve('waits')])).toBe('waits');
    await clock.advance(1);
    expect(await large).toMatchObject({ ...refusal, details: { bytes: 3 * FRAME } });
    expect((await small).first).toBe(3);
    await clock.advance(1_000);
    expect(await late).toMatchObject(refusal);
    arena.release(held[0]);
    expect(arena.take(FRAME)).not.toBeNull();
  });

  test('nobody overtakes those who wait', async () => {
    const arena = arenaOf();
    const held = Array.from({ length: 8 }, () => arena.take(FRAME)!);
    void arena.taken(2 * FRAME, 1_000);
    arena.release(held[0]);
    const second = arena.taken(FRAME, 1_000);
    expect(await Promise.race([second, settle().then(() => 'waits')])).toBe('waits');
  });

  test('ends at once when too many wait already', async () => {
    const arena = arenaOf();
    arena.take(8 * FRAME);
    const waiting = Array.from({ length: 4_096 }, () => arena.taken(FRAME, 1_000));
    await expect(arena.taken(FRAME, 1_000)).rejects.toMatchObject(refusal);
    expect(waiting).toHaveLength(4_096);
  });
});

test('a touch of its pages writes to free frames alone, also where they were taken since it began', async () => {
  const { buffer: memory } = new Uint8Array(FRAMES * FRAME).fill(9);
  const arena = new Arena({ clock: new SimClock(), memorySize: FRAMES * FRAME, frameSize: FRAME, memory });
  const before = arena.take(3 * FRAME)!;
  arena.touchInBackground(FRAME);
  const since = arena.take(2 * FRAME)!;
  await settle();
  const first = Array.from({ length: FRAMES }, (_, frame) => new Uint8Array(memory)[frame * FRAME]);
  expect([before.first, since.first]).toEqual([0, 3]);
  expect(first).toEqual([9, 9, 9, 9, 9, 0, 0, 0]);
});
