/**
 * The queue's door: one object of pure functions over a PartitionQueue.
 *
 *   decide*(queue, command[, now])    reads and says what would happen
 *   apply*(queue, event[, now])       makes it happen, live and in replay
 *   saveDirty(queue, ...)             hands over records of what changed; loadQueue makes a queue of all records
 *
 * The caller journals between the two and awaits nothing there.
 */
import {
  applyAck,
  applyClaim,
  applyDelete,
  applyInsert,
  applyRelease,
  applySeal,
  drop,
  nextDeadline,
  renewLease,
  restartLeases,
} from './apply.ts';
import { countRows, decideAck, decideClaim, decideExpire, decideInsert, decideRelease, decideRenew } from './decide.ts';
import { newestRow, rowHas, rowStatus } from './rows.ts';
import { dirtyCount, loadQueue, saveDirty } from './saved.ts';
import { create } from './state.ts';
import { stats } from './stats.ts';

export const machine = {
  create,
  drop,
  decideInsert,
  decideClaim,
  decideAck,
  decideRelease,
  decideRenew,
  decideExpire,
  applyInsert,
  applyDelete,
  applyClaim,
  applyAck,
  applyRelease,
  applySeal,
  renewLease,
  restartLeases,
  nextDeadline,
  countRows,
  newestRow,
  rowHas,
  rowStatus,
  stats,
  dirtyCount,
  saveDirty,
  loadQueue,
} as const;
export type Machine = typeof machine;

export type { Bitmaps } from './bitmaps.ts';
export type * from './events.ts';
export { queueLimits, type PartitionQueue, type QueueLimits, type QueueOptions } from './state.ts';
export type { RowStatus, RowTaskStatus } from './rows.ts';
export type { QueueRecord } from './saved.ts';
export type { QueueStats, TaskStats } from './stats.ts';
