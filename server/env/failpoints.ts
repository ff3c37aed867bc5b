/**
 * The failpoints: places where a test may pause, fail or end the process. All of them are named here, and nowhere else.
 *
 * `await env.fail('journal.write')` is inert unless a test armed the point. A point stands only where awaiting is
 * allowed: never between a decision and its commit.
 */
export const failpoints = [
  'journal.write',
  'journal.written',
  'journal.sync',
  'journal.synced',
  'journal.roll',
  'journal.roll.header',
  'journal.roll.syncdir',
  'journal.remove',
  'journal.remove.syncdir',
  'recover.truncate',
  'recover.sync',
  'recover.unlink',
  'recover.syncdir',
  'reserve.give_way',
  'reserve.restore',
  'segment.create',
  'segment.create.syncdir',
  'segment.open',
  'segment.write',
  'segment.sync',
  'segment.recycle',
  'segment.remove',
  'segment.copy',
  'segment.move',
  'scrub.block',
  'checkpoint.gather',
  'checkpoint.freeze',
  'checkpoint.flush',
  'checkpoint.trim',
  'tree.sst.create',
  'tree.sst.write',
  'tree.sst.sync',
  'tree.sst.syncdir',
  'tree.sst.unlink',
  'tree.manifest.write',
  'tree.manifest.sync',
  'tree.manifest.rename',
  'tree.manifest.syncdir',
  'tree.flush.begin',
  'tree.flush.step',
  'tree.compaction.begin',
  'tree.compaction.step',
  'tree.compaction.install',
] as const;

export type Failpoint = (typeof failpoints)[number];

/** What an armed point does on its `pass`-th pass, once: the process ends, waits, or goes on with an EIO. */
export type Arming =
  | { readonly action: 'pause' | 'exit' | 'throw'; readonly pass: number }
  | { readonly action: 'delay'; readonly pass: number; readonly ms: number };

/** What `Env.fail` is when nothing is armed. */
export function inert(): null {
  return null;
}
