/** The pace of background work. */
import { expect, test } from 'vitest';
import { Pace } from '../../../server/tier/pace.ts';
import { SimClock } from '../../support/sim_env.ts';

/** Milliseconds until `count` pieces of `size` bytes were let go. */
async function timeOf(pace: Pace, clock: SimClock, count: number, size: number): Promise<number> {
  const startMs = clock.nowMs();
  for (let i = 0; i < count; i++) {
    let isFree = false;
    void pace.take(size).then(() => (isFree = true));
    await clock.advance(0);
    while (!isFree) await clock.advance(1);
  }
  return clock.nowMs() - startMs;
}

test('lets go of so many bytes a second, in pieces of any size', async () => {
  for (const size of [500, 10_000, 300_000]) {
    const clock = new SimClock();
    const pace = new Pace({ clock, bytesPerSecond: 1_000_000 });
    const count = 600_000 / size;
    const ms = await timeOf(pace, clock, count, size);
    expect(ms).toBeGreaterThanOrEqual(490);
    expect(ms).toBeLessThanOrEqual(610);
  }
});

test('what was not used for long is forfeited', async () => {
  const clock = new SimClock();
  const pace = new Pace({ clock, bytesPerSecond: 1_000_000 });
  await clock.advance(60_000);
  expect(await timeOf(pace, clock, 30, 10_000)).toBeGreaterThanOrEqual(190);
});

test('a stop lets go of who waits, with the word to end, and of who still comes', async () => {
  const clock = new SimClock();
  const pace = new Pace({ clock, bytesPerSecond: 1_000 });
  const waiting = pace.take(1_000_000);
  pace.stop();
  expect(await waiting).toBe(false);
  expect(await pace.take(1)).toBe(false);
});
