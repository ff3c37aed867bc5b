/**
 * What `tq top` shows: the partitions of a server with how far each field is produced and each task has come, and how
 * fast. Rates are made of two samples, so that the server keeps none.
 *
 *   done of a task = rows that ever came - lag - dead letters        lag = ready + leased + incomplete
 *
 * Invariant: what the server does not know is null, never 0.
 */
import type { Clock } from '../env/env.ts';
import type { PartitionAnswer, TaskAnswer } from './answers.ts';
import type { Server } from './server.ts';

export interface Sample {
  readonly atMs: number;
  readonly partitions: readonly PartitionAnswer[];
  readonly gauges: ReadonlyMap<string, number>;
}

export interface TopField {
  readonly field: string;
  readonly rows: number;
  /** Of the rows of the partition; 1 for none. */
  readonly share: number;
}

export interface TopTask extends Pick<TaskAnswer, 'ready' | 'leased' | 'consumed' | 'incomplete' | 'dead' | 'skipped'> {
  readonly task: string;
  readonly claims: number;
  /** Rows that it is not done with. */
  readonly lag: number;
  readonly done_share: number;
  readonly leased_share: number;
  readonly rows_per_s: number | null;
}

export interface TopPartition extends Pick<
  PartitionAnswer,
  'rows' | 'rows_max' | 'bytes' | 'bytes_max' | 'version' | 'evicted' | 'sealed'
> {
  readonly partition: string;
  readonly waiters: number;
  readonly waiting_puts: number;
  readonly rows_per_s: number | null;
  readonly fields: readonly TopField[];
  readonly tasks: readonly TopTask[];
}

export interface Top {
  readonly rows: number;
  readonly bytes: number;
  readonly waiters: number | null;
  readonly connections: number | null;
  /** Bytes of memory that hold rows, and how many of them are in use. */
  readonly arena_bytes: number | null;
  readonly arena_held_bytes: number | null;
  readonly disk_bytes: number | null;
  readonly lsn: number | null;
  readonly durable_lsn: number | null;
  readonly partitions: readonly TopPartition[];
}

export async function takeSample(server: Server, clock: Clock): Promise<Sample> {
  const [{ partitions }, metrics] = await Promise.all([
    server.get<{ readonly partitions: readonly PartitionAnswer[] }>('/v1/partitions'),
    server.text('/metrics'),
  ]);
  return { atMs: clock.nowMs(), partitions, gauges: gaugesOf(metrics) };
}

/** The numbers without labels in a text of Prometheus. */
export function gaugesOf(metrics: string): Map<string, number> {
  return new Map(Array.from(metrics.matchAll(/^(\w+) (\S+)$/gm), ([, name, value]) => [name, Number(value)]));
}

/** `before` is null for the first sample; `wanted` names the partitions to show, none for all. */
export function topOf(sample: Sample, before: Sample | null, wanted: readonly string[] = []): Top {
  const shown = sample.partitions.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  const earlier = new Map(before?.partitions.map((partition) => [partition.name, partition]));
  const seconds = before === null ? 0 : (sample.atMs - before.atMs) / 1_000;
  const partitions = shown.map((partition) => partitionOf(partition, earlier.get(partition.name), seconds));
  const gauge = (name: string): number | null => sample.gauges.get(name) ?? null;
  return {
    rows: shown.reduce((sum, { rows }) => sum + rows, 0),
    bytes: shown.reduce((sum, { bytes }) => sum + bytes, 0),
    waiters: gauge('tq_waiters'),
    connections: gauge('tq_connections'),
    arena_bytes: gauge('tq_arena_bytes'),
    arena_held_bytes: gauge('tq_arena_held_bytes'),
    disk_bytes: gauge('tq_segment_bytes'),
    lsn: gauge('tq_lsn'),
    durable_lsn: gauge('tq_durable_lsn'),
    partitions: partitions.sort((a, b) => restOf(b) - restOf(a) || (a.partition < b.partition ? -1 : 1)),
  };
}

/** Partitions in which something is left to do come first. */
function restOf({ sealed, waiters, waiting_puts: puts, tasks }: TopPartition): number {
  return !sealed || waiters > 0 || puts > 0 || tasks.some(({ lag }) => lag > 0) ? 1 : 0;
}

function partitionOf(now: PartitionAnswer, before: PartitionAnswer | undefined, seconds: number): TopPartition {
  const { name, rows, rows_max, bytes, bytes_max, version, evicted, sealed, waiters, waiting_puts } = now;
  // Fewer rows than ever came before: it is another partition of the same name.
  const former = before !== undefined && before.rows_admitted <= now.rows_admitted ? before : undefined;
  return {
    partition: name,
    ...{ rows, rows_max, bytes, bytes_max, version, evicted, sealed, waiters, waiting_puts },
    rows_per_s: rateOf(now.rows_admitted, former?.rows_admitted, seconds),
    fields: Object.entries(now.field_rows).map(([field, count]) => ({
      field,
      rows: count,
      share: shareOf(count, rows),
    })),
    tasks: Object.keys(now.tasks).map((task) => taskOf(task, now, former, seconds)),
  };
}

function taskOf(task: string, now: PartitionAnswer, before: PartitionAnswer | undefined, seconds: number): TopTask {
  const { ready, leased, consumed, incomplete, dead, skipped, claims } = now.tasks[task];
  const lag = lagOf(now.tasks[task]);
  const former = before?.tasks[task];
  return {
    ...{ task, ready, leased, consumed, incomplete, dead, skipped, claims, lag },
    done_share: shareOf(now.rows - lag - dead, now.rows),
    leased_share: now.rows === 0 ? 0 : leased / now.rows,
    rows_per_s: rateOf(doneOf(now, now.tasks[task]), former && doneOf(before, former), seconds),
  };
}

function lagOf({ ready, leased, incomplete }: TaskAnswer): number {
  return ready + leased + incomplete;
}

/** Counted from all rows that ever came, since consumed ones are deleted. */
function doneOf({ rows_admitted: admitted }: PartitionAnswer, task: TaskAnswer): number {
  return admitted - lagOf(task) - task.dead;
}

/** A task that was reset goes back: it does not consume less than nothing. */
function rateOf(now: number, before: number | undefined, seconds: number): number | null {
  return before === undefined || seconds <= 0 ? null : Math.max(0, now - before) / seconds;
}

function shareOf(part: number, whole: number): number {
  return whole === 0 ? 1 : Math.max(0, part) / whole;
}
