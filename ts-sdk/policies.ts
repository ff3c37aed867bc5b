/**
 * What a partition declares of its queue, and how a claim draws rows: the words of both, as plain data.
 *
 *   declared   TaskSettings, Pace, Retention           of a partition, by `client.partition`
 *   drawn      Window, Tokens, Group, SharedBatch      of a claim
 *
 * Invariant: what is left out is not sent, so that the server's defaults hold.
 */
import type { FieldLayout } from '@transfer-queue/core/layout';
import type { AckLevel, ReleaseRule, StaleRule } from '@transfer-queue/core/protocol';
import { snakeKeys } from './names.ts';

/** A declared task: a consumer group whose consumption the partition waits for. */
export interface TaskSettings {
  /**
   * A row that comes back for the last of so many attempts is a dead letter of the task: it is not given out again
   * until `partition.requeue`. Default: rows come back without an end.
   */
  readonly maxAttempts?: number;
}

/**
 * How far producers may be ahead: `(version + maxAhead + 1) * rowsPerVersion` rows are admitted in all. So no rollout
 * is begun that would be too old when it is trained. The version rises by `partition.advance`. Rows that a task skipped
 * do not count: others may come in their place.
 */
export interface Pace {
  /** Rows that one version of the policy is trained on. */
  readonly rowsPerVersion: number;
  /** Versions that producers may be ahead; 0 is on-policy. */
  readonly maxAhead: number;
}

/** Which rows are evicted: only those that every declared task consumed, the oldest first. */
export interface Retention {
  /** Consumed rows that are kept. */
  readonly rowsMax?: number;
  /** How long a consumed row is kept after it came, in milliseconds. */
  readonly ageMsMax?: number;
}

/** How a partition is declared. */
export interface PartitionSettings {
  /** Field layouts by name. Declared with fields, a partition takes no others; without, the first put declares them. */
  readonly fields?: Readonly<Record<string, FieldLayout>>;
  /** Whether further fields may be declared by puts. Default: true without fields. */
  readonly open?: boolean;
  /** Rows of one prompt: rows with the same floor(id / groupSize) are siblings. Default 1. */
  readonly groupSize?: number;
  /** How far a put must be before it is acknowledged. Default `os`. */
  readonly ack?: AckLevel;
  /**
   * Tasks that consume each row, as names or with settings. Others may claim too, but no row waits for them. Later
   * declarations add to them.
   */
  readonly tasks?: readonly string[] | Readonly<Record<string, TaskSettings>>;
  /** `consumed` deletes rows that all declared tasks consumed. Default `never`. */
  readonly release?: ReleaseRule;
  /**
   * Names of tags that are numbers, which samplers, windows and token budgets go by. Later declarations add to them.
   */
  readonly numbers?: readonly string[];
  /**
   * Budget of rows. A put of new rows beyond it waits, or throws `over_budget`; no row is ever dropped for it. `null`
   * takes it back, as it does for the next three. Default: none.
   */
  readonly rowsMax?: number | null;
  /** Budget of stored bytes. Default: none. */
  readonly bytesMax?: number | null;
  /** How far producers may be ahead. Default: without an end. */
  readonly pace?: Pace | null;
  /** Which consumed rows are evicted. Default: none. */
  readonly retention?: Retention | null;
}

/**
 * Which rows are fresh enough: those of version >= max(minVersion, current - maxStaleness), judged when rows are
 * drawn. The current version is the one of `partition.advance`. Rows without a version are not drawn.
 */
export interface Window {
  /** The lowest version. Default: any. */
  readonly minVersion?: number;
  /** How many versions a row may be behind the current one. Default: any number. */
  readonly maxStaleness?: number;
  /** The declared number that is a row's version. Default `version`. */
  readonly by?: string;
  /**
   * What becomes of rows that are too old: `keep` (default) leaves them, for other windows; `skip` ends them for the
   * task, and counts them as `skipped`.
   */
  readonly onStale?: StaleRule;
}

/** As many rows, in the order of the sampler, as have so many tokens together; groups are kept whole. */
export interface Tokens {
  /** Tokens of a batch, at most. */
  readonly max: number;
  /** The declared number that is a row's count of tokens. Default `length`. */
  readonly by?: string;
}

/** How the sampler `group` finds groups, and when one is whole. */
export interface Group {
  /**
   * A declared number: rows with the same one are a group, wherever their ids are. Default: rows with the same
   * floor(id / groupSize).
   */
  readonly by?: string;
  /**
   * A group with so many ready rows counts as whole once it did not change for `waitMs`: the others failed. Those that
   * come later are passed over. Default: all of its rows.
   */
  readonly survivorsMin?: number;
  /** See `survivorsMin`; in milliseconds. Default 0. */
  readonly waitMs?: number;
}

/**
 * A batch that several processes draw together: all who ask for the same part of it get the same rows, under one
 * claim. Who asks first draws `batchSize` rows for all parts. Equal askers get equal answers, also at the same time,
 * also when the first one died, also where no row came in time. So all ranks of a training job see the same steps.
 */
export interface SharedBatch {
  /** Of the job, for example. Each name has its own numbers. */
  readonly name: string;
  /** Which batch, from 0; `consume` counts on from there. Default 0. */
  readonly number?: number;
  /** Which part this process takes, from 0: its data-parallel rank. Default 0. */
  readonly part?: number;
  /** How many parts there are; each has rows of its own, as many as the others. Default 1. */
  readonly parts?: number;
  /** A declared number, such as a length, whose sums parts are balanced by, in place of equal counts. */
  readonly balanceBy?: string;
}

/** The declaration as JSON. What is undefined is left out, null stays. */
export function declarationJson(settings: PartitionSettings): object {
  const { tasks, pace, retention, fields, ...others } = settings;
  return {
    ...snakeKeys(others),
    fields,
    tasks: tasks === undefined ? undefined : tasksJson(tasks),
    pace: pace && snakeKeys(pace),
    retention: retention && snakeKeys(retention),
  };
}

function tasksJson(tasks: NonNullable<PartitionSettings['tasks']>): object {
  const declared = isNames(tasks) ? tasks.map((name) => [name, {}] as const) : Object.entries(tasks);
  return Object.fromEntries(declared.map(([name, task]) => [name, snakeKeys(task)]));
}

function isNames(tasks: NonNullable<PartitionSettings['tasks']>): tasks is readonly string[] {
  return Array.isArray(tasks);
}
