/**
 * A claim command with its names looked up: the task, the places of its numbers, its filters. Refuses names that the
 * partition does not know.
 */
import { defaults, limits } from '@transfer-queue/core/protocol';
import type { ClaimCommand, Refusal, WindowRule } from '../events.ts';
import type { FilterUse, WindowAsk } from '../filter_use.ts';
import { useFilters } from '../filters.ts';
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
export interface Window extends WindowAsk {
  readonly use: FilterUse;
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
  const { where, window: rule } = command;
  const asks: (string | WindowAsk)[] = [];
  if (where !== undefined) asks.push(where);
  if (hasBounds(rule)) asks.push({ number: places.versionBy, rule });
  const filters = useFilters(queue, asks);
  if ('code' in filters) return filters;
  const window = hasBounds(rule)
    ? { use: filters[filters.length - 1], number: places.versionBy, rule, skips: rule.onStale === 'skip' }
    : undefined;
  return { command, task, fields: command.fields, filters, window, unitSize, ...places };
}

/** The number that orders the rows; a module looks its numbers up by itself. */
function byOf({ sampler, by }: ClaimCommand): string | undefined {
  if (sampler === 'priority') return by ?? defaults.priorityBy;
  return sampler === 'weighted' ? (by ?? defaults.weightBy) : undefined;
}

/** Without bounds every row is in the window, and it is none. */
function hasBounds(rule: WindowRule | undefined): rule is WindowRule {
  return rule !== undefined && (rule.minVersion !== undefined || rule.maxStaleness !== undefined);
}
