/**
 * The failpoints: places where a test may pause, fail or end the process. All of them are named here, and nowhere else.
 *
 * `await env.fail('journal.write')` is inert unless a test armed the point. A point stands only where awaiting is
 * allowed: never between a decision and its commit.
 */
export const failpoints = ['journal.write', 'journal.sync', 'journal.roll'] as const;

export type Failpoint = (typeof failpoints)[number];

/** What `Env.fail` is when nothing is armed. */
export function inert(): null {
  return null;
}
