/**
 * A claim command with its names looked up: the task, the places of its numbers, its filters. Refuses names that the
 * partition does not know.
 */
import { defaults, limits } from '@transfer-queue/core/protocol';
import { oldestIn } from '../../sampler/window.ts';
import type { ClaimCommand, Refusal, WindowRule } from '../events.ts';
import type { FilterUse } from '../filter_use.ts';
import { useFilter, versionFilter } from '../filters.ts';
import { numberIndex } from '../numbers.ts';
import type { PartitionQueue } from '../state.ts';
import type { Wanted } from './pages.ts';

export interface Sought extends Wanted {
  readonly command: ClaimCommand;
  readonly window: Window | undefined;
  /** Places of the numbers that the command names; -1 for one that it does not need. */
  readonly by: number;
  readonly tokensBy: number;
  readonly groupBy: number;
  readonly balanceBy: number;
  /** Rows of a unit: of a whole group, or 1. */
  readonly unitSize: number;
}

/** Its filter is one of `filters`. */
export interface Window {
  readonly use: FilterUse;
  /** The place of the number that is the version. */
  readonly number: number;
  readonly oldest: number;
  /** The task passes stale rows for good. */
  readonly skips: boolean;
}

export function seek(queue: PartitionQueue, command: ClaimCommand): Sought | Refusal {
  const task = queue.tasks.get(command.task);
  if (task === undefined && queue.tasks.size >= limits.tasksPerPartitionMax) {
    return { kind: 'refuse', code: 'too_many_tasks' };
  }
  const unitSize = command.sampler === 'group' ? queue.slots.groupSize : 1;
  if (command.rowsMax < unitSize) {
    return { kind: 'refuse', code: 'group_too_large', details: { group_size: unitSize, rows_max: command.rowsMax } };
  }
  let unknown: string | undefined;
  const placeOf = (name: string | undefined): number => {
    const place = name === undefined ? -1 : numberIndex(queue, name);
    if (place < 0) unknown ??= name;
    return place;
  };
  const places = {
    by: placeOf(byOf(command)),
    tokensBy: placeOf(command.tokens?.by),
    groupBy: placeOf(command.group?.by),
    balanceBy: placeOf(command.batch?.balanceBy),
    versionBy: placeOf(hasBounds(command.window) ? command.window.by : undefined),
  };
  if (unknown !== undefined) return { kind: 'refuse', code: 'number_unknown', details: { number: unknown } };
  const where = command.where === undefined ? undefined : useFilter(queue, command.where);
  if (isRefusal(where)) return where;
  const window = windowOf(queue, command.window, places.versionBy);
  if (isRefusal(window)) return window;
  const filters: FilterUse[] = [];
  if (where !== undefined) filters.push(where);
  if (window !== undefined) filters.push(window.use);
  return { command, task, fields: command.fields, filters, window, unitSize, ...places };
}

/** The number that orders the rows; a module looks its numbers up by itself. */
function byOf({ sampler, by }: ClaimCommand): string | undefined {
  if (sampler === 'priority') return by ?? defaults.priorityBy;
  return sampler === 'weighted' ? (by ?? defaults.weightBy) : undefined;
}

/** Without bounds every row is in the window, and it is none. */
function windowOf(queue: PartitionQueue, rule: WindowRule | undefined, number: number): Window | Refusal | undefined {
  if (!hasBounds(rule)) return undefined;
  const oldest = oldestIn(rule, queue.version);
  const use = versionFilter(queue, number, oldest);
  return isRefusal(use) ? use : { use, number, oldest, skips: rule.onStale === 'skip' };
}

function hasBounds(rule: WindowRule | undefined): rule is WindowRule {
  return rule !== undefined && (rule.minVersion !== undefined || rule.maxStaleness !== undefined);
}

function isRefusal(found: object | undefined): found is Refusal {
  return found !== undefined && 'code' in found;
}
