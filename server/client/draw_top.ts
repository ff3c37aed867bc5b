/**
 * One frame of `tq top`, as lines that fit the screen.
 *
 *   progress   ██████▒▒░░░░   done, leased, still to come
 *
 * Invariant: no line is longer than the screen is wide, and there are no more than fit.
 */
import { tableOf, type Column } from '../inspect/print.ts';
import { countText, plural, sizeText } from '../inspect/words.ts';
import type { Top, TopField, TopPartition, TopTask } from './top.ts';

const BAR_WIDTH = 20;
/** Of one partition, those that most rows lack. */
const FIELDS_SHOWN_MAX = 12;
const INDENT = '  ';
const GAP = '   ';

export interface Frame {
  /** What is said above all: where, since when, or what is wrong. */
  readonly head: string;
  readonly columns: number;
  /** Infinity for a text that is read later. */
  readonly rows: number;
}

export function drawTop(top: Top, { head, columns, rows }: Frame): string[] {
  const lines = [head, nodeLine(top)];
  for (const partition of top.partitions) lines.push('', ...drawPartition(partition, columns));
  const shown = lines.length <= rows ? lines : lines.slice(0, rows - 1);
  const hidden = lines.length - shown.length;
  if (hidden > 0) shown.push(`... ${plural(hidden, 'more line')}: name the partitions that you want to see`);
  return shown.map((line) => (line.length <= columns ? line : line.slice(0, columns)));
}

function nodeLine(top: Top): string {
  const { partitions, rows, bytes, waiters, connections, lsn, durable_lsn: durable } = top;
  const held =
    top.arena_bytes === null || top.arena_held_bytes === null ? null : top.arena_held_bytes / top.arena_bytes;
  return [
    plural(partitions.length, 'partition'),
    plural(rows, 'row'),
    sizeText(bytes),
    ...(waiters === null ? [] : [plural(waiters, 'waiter')]),
    ...(connections === null ? [] : [plural(connections, 'connection')]),
    ...(held === null ? [] : [`arena ${percentText(held)} held`]),
    ...(top.disk_bytes === null ? [] : [`${sizeText(top.disk_bytes)} on disk`]),
    ...(lsn === null || durable === null ? [] : [`LSN ${countText(lsn)}, durable ${countText(durable)}`]),
  ].join(GAP);
}

function drawPartition(partition: TopPartition, columns: number): string[] {
  const { tasks, fields } = partition;
  const width = columns - INDENT.length;
  const lines = [...(tasks.length === 0 ? [] : linesOf(tableOf(taskColumns, tasks, width)))];
  if (fields.length > 0) lines.push(...linesOf(tableOf(fieldColumns, fieldsToShow(fields), width)));
  if (fields.length > FIELDS_SHOWN_MAX) lines.push(`... ${plural(fields.length - FIELDS_SHOWN_MAX, 'more field')}`);
  return [partitionLine(partition), ...lines.map((line) => `${INDENT}${line}`)];
}

function fieldsToShow(fields: readonly TopField[]): readonly TopField[] {
  if (fields.length <= FIELDS_SHOWN_MAX) return fields;
  return fields.toSorted((a, b) => a.rows - b.rows).slice(0, FIELDS_SHOWN_MAX);
}

function linesOf(table: string): string[] {
  return table.trimEnd().split('\n');
}

function partitionLine(partition: TopPartition): string {
  const { rows, rows_max: rowsMax, bytes, bytes_max: bytesMax, version, waiters, waiting_puts: puts } = partition;
  return [
    partition.partition,
    rowsMax === null ? plural(rows, 'row') : `${countText(rows)} of ${plural(rowsMax, 'row')}`,
    bytesMax === null ? sizeText(bytes) : `${sizeText(bytes)} of ${sizeText(bytesMax)}`,
    ...(partition.rows_per_s === null ? [] : [`+${rateText(partition.rows_per_s)} rows/s`]),
    ...(version > 0 ? [`version ${countText(version)}`] : []),
    ...(waiters > 0 ? [plural(waiters, 'waiter')] : []),
    ...(puts > 0 ? [`${plural(puts, 'put')} waiting for room`] : []),
    ...(partition.evicted > 0 ? [`${countText(partition.evicted)} evicted`] : []),
    ...(partition.sealed ? ['sealed'] : []),
  ].join(GAP);
}

const fieldColumns: readonly Column<TopField>[] = [
  { head: 'field', text: ({ field }) => field },
  { head: 'produced', text: ({ share }) => barOf(share, 0) },
  { head: '%', align: 'right', text: ({ share }) => percentText(share) },
  { head: 'rows', align: 'right', text: ({ rows }) => countText(rows) },
];

const count = (head: string, of: (task: TopTask) => number): Column<TopTask> => {
  return { head, align: 'right', text: (task) => countText(of(task)) };
};

const taskColumns: readonly Column<TopTask>[] = [
  { head: 'task', text: ({ task }) => task },
  { head: 'consumed', text: ({ done_share: done, leased_share: leased }) => barOf(done, leased) },
  { head: '%', align: 'right', text: ({ done_share: done }) => percentText(done) },
  count('lag', ({ lag }) => lag),
  count('ready', ({ ready }) => ready),
  count('leased', ({ leased }) => leased),
  count('claims', ({ claims }) => claims),
  count('incomplete', ({ incomplete }) => incomplete),
  count('dead', ({ dead }) => dead),
  count('skipped', ({ skipped }) => skipped),
  { head: 'rows/s', align: 'right', text: ({ rows_per_s: rate }) => (rate === null ? '' : rateText(rate)) },
];

/** Rounded down, so that a full bar means all. */
export function barOf(done: number, leased: number): string {
  const full = Math.floor(done * BAR_WIDTH);
  const held = Math.min(BAR_WIDTH - full, Math.ceil(leased * BAR_WIDTH));
  return '█'.repeat(full) + '▒'.repeat(held) + '░'.repeat(BAR_WIDTH - full - held);
}

function percentText(share: number): string {
  return `${Math.floor(100 * share)} %`;
}

function rateText(rate: number): string {
  return rate < 10 ? rate.toFixed(1) : countText(Math.round(rate));
}
