/** Waits for what happens in simulated time, where nobody else moves the clock. */
import { settle } from '../support/sim_env.ts';

/** Turns of the event loop, by twenty, in which anything ends that waits for nothing but the disk. */
const PATIENCE = 50;
export const WAIT_MS = 250;
/** What is not over after so many waits never will be. */
const WAITS_MAX = 1_000;

/**
 * Resolves as the promise does. When that takes long, time has to pass, for a pace or for memory that comes free:
 * `passTime` lets it, or returns null once there is nothing to wait for any more.
 */
export async function patiently<T>(promise: Promise<T>, passTime: () => Promise<void> | null): Promise<T | null> {
  let isOver = false;
  const over = promise.finally(() => (isOver = true));
  for (let round = 0; round < PATIENCE && !isOver; round++) await Promise.race([over, settle()]);
  for (let wait = 0; wait < WAITS_MAX && !isOver; wait++) {
    const passed = passTime();
    if (passed === null) return null;
    await passed;
  }
  if (!isOver) throw new Error(`what was begun is not over after ${WAITS_MAX * WAIT_MS} ms`);
  return over;
}
