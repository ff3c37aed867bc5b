/** What a server says of a partition: settings, counts, tasks; with several nodes, the sums over them. */
import { parseLayout, type FieldLayout } from '@transfer-queue/core/layout';
import type { AckLevel, ReleaseRule } from '@transfer-queue/core/protocol';
import { clientError } from './errors.ts';
import { camelKeys } from './names.ts';
import type { Pace, Retention, TaskSettings } from './policies.ts';

/** Where a task stands in a partition, in rows. */
export interface TaskStats {
  /** Rows that it could claim now. */
  readonly ready: number;
  /** Rows that consumers hold now. */
  readonly leased: number;
  readonly consumed: number;
  /** Rows that still lack fields that the task asks for. */
  readonly incomplete: number;
  /** Dead letters: rows that came back `maxAttempts` times. */
  readonly dead: number;
  /** Rows that were passed over: too old for a window, or late siblings of a group. */
  readonly skipped: number;
  /** Claims that are held now. */
  readonly claims: number;
}

/** What a server knows of a partition; with several nodes, the sums over them. */
export interface PartitionStats {
  readonly name: string;
  readonly fields: Readonly<Record<string, FieldLayout>>;
  readonly groupSize: number;
  readonly ack: AckLevel;
  readonly open: boolean;
  readonly declaredTasks: Readonly<Record<string, TaskSettings>>;
  readonly release: ReleaseRule;
  readonly numbers: readonly string[];
  readonly rowsMax: number | null;
  readonly bytesMax: number | null;
  readonly pace: Pace | null;
  readonly retention: Retention | null;
  readonly sealed: boolean;
  readonly rows: number;
  /** Rows that ever came, which the pace counts. */
  readonly rowsAdmitted: number;
  /** Rows that retention has deleted. */
  readonly evicted: number;
  /** The version that was published last. */
  readonly version: number;
  /** Requests that wait for rows. */
  readonly waiters: number;
  /** Puts that wait for room. */
  readonly waitingPuts: number;
  readonly bytes: number;
  /** The LSN of the last change. */
  readonly lsn: number;
  /** Rows that have the field, per field. */
  readonly fieldRows: Readonly<Record<string, number>>;
  readonly tasks: Readonly<Record<string, TaskStats>>;
}

/** Reads the JSON of a partition. */
export function parseStats(json: Readonly<Record<string, unknown>>): PartitionStats {
  const stats = camelKeys(json) as unknown as PartitionStats;
  const fields: Record<string, FieldLayout> = {};
  for (const [field, value] of Object.entries(stats.fields ?? {})) {
    const layout = parseLayout(value);
    if (typeof layout === 'string')
      throw clientError('answer_invalid', `The layout of field ${field} is not understood: ${layout}.`);
    fields[field] = layout;
  }
  const tasks = Object.entries(stats.declaredTasks ?? {}).map(([name, task]) => [name, camelKeys({ ...task })]);
  return {
    ...stats,
    fields,
    declaredTasks: Object.fromEntries(tasks) as Record<string, TaskSettings>,
    pace: stats.pace && (camelKeys({ ...stats.pace }) as unknown as Pace),
    retention: stats.retention && camelKeys({ ...stats.retention }),
  };
}

const SUMMED = ['rows', 'bytes', 'rowsAdmitted', 'evicted', 'waiters', 'waitingPuts'] as const;
const HIGHEST = ['lsn', 'version'] as const;

/** One partition over all nodes. */
export function sumStats(nodes: readonly PartitionStats[]): PartitionStats {
  return nodes.reduce((sum, stats) => ({
    ...sum,
    fields: { ...sum.fields, ...stats.fields },
    sealed: sum.sealed && stats.sealed,
    ...Object.fromEntries(SUMMED.map((name) => [name, sum[name] + stats[name]])),
    ...Object.fromEntries(HIGHEST.map((name) => [name, Math.max(sum[name], stats[name])])),
    fieldRows: mergeWith(sum.fieldRows, stats.fieldRows, (a, b) => a + b),
    tasks: mergeWith(sum.tasks, stats.tasks, (a, b) => sumCounts([a, b])),
  }));
}

/** Objects of numbers under the same names, added up by name. */
export function sumCounts<T extends { readonly [K in keyof T]: number }>(counts: readonly T[]): T {
  return counts.reduce((sum, one) => mergeWith<number>(sum, one, (a, b) => a + b) as unknown as T);
}

function mergeWith<T>(
  a: Readonly<Record<string, T>>,
  b: Readonly<Record<string, T>>,
  merge: (a: T, b: T) => T,
): Record<string, T> {
  const merged: Record<string, T> = { ...a };
  for (const [key, value] of Object.entries(b)) merged[key] = Object.hasOwn(a, key) ? merge(a[key], value) : value;
  return merged;
}
