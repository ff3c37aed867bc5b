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
  applyAdvance,
  applyBatch,
  applyClaim,
  applyDeclare,
  applyDelete,
  applyInsert,
  applyRelease,
  applyRequeue,
  applyReset,
  applySeal,
  applySkip,
  createQueue,
  drop,
  nextDeadline,
  renewLease,
  restartLeases,
} from './apply.ts';
import { noteArrivals } from './arrivals.ts';
import { applyBlobs } from './blobs.ts';
import { idsOfClaim } from './claim_ids.ts';
import { decideAck, decideExpire, decideInsert, decideRelease, decideRenew } from './decide.ts';
import { decideBatch, isDrawn } from './draw/batch.ts';
import { decideClaim } from './draw/claim.ts';
import { countClaim, countRows } from './draw/counts.ts';
import { touchRows } from './draw/group_clock.ts';
import { warmClaim, warmList } from './draw/warm.ts';
import { deadLetters, isDeadLetter } from './dead_letters.ts';
import { useFilter } from './filters.ts';
import { listRows } from './list.ts';
import { findNoNumber } from './numbers.ts';
import { newestRow, rowHas, rowStatus } from './rows.ts';
import { loadQueue, loadSteps } from './load.ts';
import { dirtyCount, saveDirty } from './saved.ts';
import { leaseList, stats } from './stats.ts';
import { draftTags } from './tag_drafts.ts';
import { applyTags, decideTags } from './tags.ts';
import { tagsOfRow } from './values.ts';
import { findOtherRow, queueOfState, rowsBySet, takePlace, wholeRecords } from './whole.ts';

export const machine = {
  create: createQueue,
  drop,
  decideInsert,
  decideClaim,
  decideBatch,
  warmClaim,
  warmList,
  isDrawn,
  decideAck,
  decideRelease,
  decideRenew,
  decideExpire,
  applyDeclare,
  applyAdvance,
  applyBatch,
  applyInsert,
  applyBlobs,
  applyDelete,
  applyClaim,
  applyAck,
  applyRelease,
  applyRequeue,
  applyReset,
  applySkip,
  applySeal,
  draftTags,
  decideTags,
  applyTags,
  touchRows,
  findNoNumber,
  useFilter,
  listRows,
  tagsOfRow,
  noteArrivals,
  renewLease,
  restartLeases,
  nextDeadline,
  countRows,
  countClaim,
  newestRow,
  rowHas,
  rowStatus,
  stats,
  leaseList,
  idsOfClaim,
  deadLetters,
  isDeadLetter,
  dirtyCount,
  saveDirty,
  loadQueue,
  loadSteps,
  wholeRecords,
  queueOfState,
  takePlace,
  rowsBySet,
  findOtherRow,
} as const;
export type Machine = typeof machine;

export type { Bitmaps } from './bitmaps.ts';
export type * from './events.ts';
export {
  queueLimits,
  type PartitionQueue,
  type QueueLimits,
  type QueueOptions,
  type QueueSettings,
  type Task,
} from './state.ts';
export type { ListCommand, RowList } from './list.ts';
export type { RowStatus, RowTaskStatus } from './rows.ts';
export type { QueueRecord } from './saved.ts';
export type { WholeRecord } from './whole.ts';
export type { Reset } from './apply.ts';
export type { DeadLetters } from './dead_letters.ts';
export type { TagChange, TagDrafts } from './tag_drafts.ts';
export { ValueMemory } from './value_memory.ts';
export type { LeaseStatus, QueueStats, TaskStats } from './stats.ts';
