/** Counts of rows, for those who wait and those who watch: where the rows stand that a task has not consumed. */
import type { ClaimCommand, Counts } from '../events.ts';
import { slotOf } from '../slots.ts';
import type { PartitionQueue, Task } from '../state.ts';
import { countOpen } from './claim.ts';
import { findGroups } from './groups.ts';
import { eachOpenPage, type Wanted } from './pages.ts';
import { readyOf } from './rows.ts';
import { seek, type Sought } from './sought.ts';
import { staleRows } from './window.ts';

/** For a task that reads these fields. */
export function countRows(queue: PartitionQueue, task: Task | undefined, fields: readonly number[]): Counts {
  return countsOf(queue, task, countReady(queue, { task, fields, filters: [] }));
}

/** For a claim that got nothing; a claim that would be refused has the counts of its task. */
export function countClaim(queue: PartitionQueue, command: ClaimCommand, now: number): Counts {
  const sought = seek(queue, command);
  if ('code' in sought) return countRows(queue, queue.tasks.get(command.task), command.fields);
  const { task, window } = sought;
  if (command.ids !== undefined) return countIds(queue, sought, command.ids);
  const ready = command.sampler === 'group' ? countGrouped(queue, sought, now) : countReady(queue, sought);
  const stale = staleRows(queue, sought, Infinity).length;
  const unfiltered = command.where === undefined ? 0 : countReady(queue, { ...sought, filters: [] });
  const where = sought.filters.filter((use) => use !== window?.use);
  const filtered = command.where === undefined ? 0 : unfiltered - countReady(queue, { ...sought, filters: where });
  return {
    ...countsOf(queue, task, ready, stale + filtered),
    ...(window !== undefined && { stale }),
    ...(command.where !== undefined && { filtered }),
  };
}

function countsOf(queue: PartitionQueue, task: Task | undefined, ready: number, others = 0): Counts {
  const { leased = 0, dead = 0 } = task ?? {};
  const incomplete = countOpen(queue, { task }) - leased - ready - others;
  return { ready, leased, incomplete, ...(dead > 0 && { dead }) };
}

function countReady(queue: PartitionQueue, wanted: Wanted): number {
  const { slots } = queue;
  let ready = 0;
  eachOpenPage(queue, wanted, (page, present, taken) => {
    ready += slots.bitmaps.countReady(present, taken, page.runs * slots.groupSize);
    return true;
  });
  return ready;
}

/** Rows of whole groups. */
function countGrouped(queue: PartitionQueue, sought: Sought, now: number): number {
  const { survivorsMin, waitMs = 0 } = sought.command.group ?? {};
  const search = { number: sought.groupBy, groupsMax: Infinity, survivorsMin, waitMs, now };
  return findGroups(queue, sought, search).rows.length;
}

/** Of rows that were asked for by their ids: those ready, those that the task has, and the others that are there. */
function countIds(queue: PartitionQueue, sought: Sought, ids: Float64Array): Counts {
  const { task } = sought;
  const there = ids.filter((id) => slotOf(queue.slots, id) >= 0);
  const open = readyOf(queue, { task, fields: [], filters: [] }, there).length;
  const ready = readyOf(queue, sought, there).length;
  return { ready, leased: there.length - open, incomplete: open - ready };
}
