/**
 * What a partition declares about its queue: tasks, numbers, budgets, retention. Later declarations add to it and
 * change it; tasks and numbers are never taken back, since rows know them by their places in the lists.
 */
import { limits } from '@transfer-queue/core/protocol';
import { StoreError } from '../errors.ts';
import type { DeclaredTask, PartitionSettings } from '../journal/events.ts';
import type { QueueChange } from './commands.ts';

/** The settings with the change; the very same object when it changes nothing. */
export function changeQueueSettings(known: PartitionSettings, change: QueueChange): PartitionSettings {
  const { tasks = [], numbers = [], ...others } = change;
  const settings = { ...known, ...addTasks(known, tasks), ...addNumbers(known, numbers) };
  for (const [name, value] of Object.entries(others)) {
    if (value === null) delete (settings as Record<string, unknown>)[name];
    else if (value !== undefined) Object.assign(settings, { [name]: value });
  }
  checkTogether(settings);
  return JSON.stringify(settings) === JSON.stringify(known) ? known : settings;
}

function addTasks(known: PartitionSettings, changed: readonly DeclaredTask[]): Pick<PartitionSettings, 'tasks'> {
  if (changed.length === 0) return {};
  checkTaskCount(changed);
  const tasks = [...(known.tasks ?? [])];
  for (const task of changed) {
    const place = tasks.findIndex(({ name }) => name === task.name);
    if (place < 0) tasks.push(task);
    else tasks[place] = { ...tasks[place], ...task };
  }
  checkTaskCount(tasks);
  return { tasks };
}

function checkTaskCount(tasks: readonly DeclaredTask[]): void {
  const limit = limits.tasksPerPartitionMax;
  if (tasks.length > limit) throw new StoreError('too_many_tasks', { tasks: tasks.length, limit });
}

function addNumbers(known: PartitionSettings, changed: readonly string[]): Pick<PartitionSettings, 'numbers'> {
  if (changed.length === 0) return {};
  const numbers = [...new Set([...(known.numbers ?? []), ...changed])];
  const limit = limits.numbersPerPartitionMax;
  if (numbers.length > limit) throw new StoreError('json_invalid', { at: '/numbers', reason: `more than ${limit}` });
  return { numbers };
}

/** Rows are deleted by the server only when somebody said who needs them. */
function checkTogether({ tasks, release, retention, rowsMax, pace, numbers }: PartitionSettings): void {
  const refuse = (at: string, reason: string): never => {
    throw new StoreError('json_invalid', { at, reason });
  };
  const declared = tasks !== undefined && tasks.length > 0;
  if (release === 'consumed' && !declared) refuse('/release', 'needs tasks: rows go when all of them consumed them');
  if (retention !== undefined && !declared) refuse('/retention', 'needs tasks: unconsumed rows are never evicted');
  const kept = release === 'consumed' || retention?.ageMsMax !== undefined ? undefined : retention?.rowsMax;
  if (kept !== undefined && rowsMax !== undefined && kept >= rowsMax) {
    refuse('/retention/rows_max', 'leaves no room in the budget of rows: it must be less than rows_max');
  }
  if (pace !== undefined && !Number.isSafeInteger((pace.maxAhead + 1) * pace.rowsPerVersion)) {
    refuse('/pace', 'admits more than 2^53 rows');
  }
  if (numbers?.some((name) => name.startsWith('tq_'))) refuse('/numbers', 'names that begin with tq_ are reserved');
}
