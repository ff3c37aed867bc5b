/**
 * The one sentence that says why a row, or its bytes, are still there. The first of these that is true:
 *
 *   deleted: claims, then snapshots     dead letters     tasks that have not consumed it     no declared task
 *   consumed by all: about to go, kept by the retention, kept for ever
 */
/** A task that has not consumed the row. */
export interface HeldTask {
  readonly task: string;
  /** The partition declares it: what it has not consumed is not removed. */
  readonly declared: boolean;
  readonly state: 'unclaimed' | 'leased' | 'dead';
  /** How often the row came back to it. */
  readonly returns: number;
}

/** A claim that may consume the row, or that was granted its bytes. */
export interface HeldClaim {
  readonly claim: number;
  readonly task: string | null;
  readonly state: 'leased' | 'expired' | 'ended';
  /** Of its lease; null when that is over. */
  readonly left_ms: number | null;
  /** It keeps the bytes as they were granted, for retries. */
  readonly granted: boolean;
}

export interface HeldSnapshot {
  readonly snapshot: string;
  readonly lsn: number;
}

/** What becomes of rows that every declared task has consumed. */
export interface HeldRule {
  readonly release: string;
  readonly retention: { readonly rows_max?: number; readonly age_ms_max?: number } | null;
}

export interface HeldFacts extends HeldRule {
  readonly there: boolean;
  readonly tasks: readonly HeldTask[];
  readonly claims: readonly HeldClaim[];
  readonly snapshots: readonly HeldSnapshot[];
  /** The declared tasks, by name. */
  readonly declared: readonly string[];
  /** The retention allows no longer that it stays. */
  readonly overdue: boolean;
}

export function explain(facts: HeldFacts): string {
  if (!facts.there) return explainDeleted(facts);
  const { tasks, declared } = facts;
  const waiting = tasks.filter((task) => task.declared);
  const dead = waiting.filter(({ state }) => state === 'dead').map(({ task }) => task);
  if (dead.length > 0) {
    return `It is a dead letter of ${listed('task', dead)}: it stays until it is requeued or deleted.`;
  }
  if (waiting.length > 0) {
    return `${capital(
      listed(
        'declared task',
        waiting.map((task) => named(task, facts.claims)),
      ),
    )} must consume it first.`;
  }
  if (declared.length === 0) {
    return 'The partition declares no tasks, so that the server never deletes rows by itself: delete it.';
  }
  return explainConsumed(facts);
}

function explainDeleted({ claims, snapshots }: HeldFacts): string {
  const holders = [
    ...(claims.length > 0
      ? [
          listed(
            'claim',
            claims.map(({ claim }) => String(claim)),
          ),
        ]
      : []),
    ...(snapshots.length > 0
      ? [
          listed(
            'snapshot',
            snapshots.map(({ snapshot }) => snapshot),
          ),
        ]
      : []),
  ];
  return `It was deleted, but its bytes are kept for ${holders.join(' and ')}.`;
}

function explainConsumed({ release, retention, overdue }: HeldFacts): string {
  const all = 'Every declared task has consumed it';
  if (release === 'consumed') return `${all}: it is about to be deleted.`;
  if (retention === null) return `${all}, but the partition neither releases nor evicts such rows: delete it.`;
  if (overdue) return `${all}: the retention is about to evict it.`;
  const { rows_max: rows, age_ms_max: ms } = retention;
  const kept = [
    ...(rows === undefined ? [] : [`while the partition has at most ${rows} rows`]),
    ...(ms === undefined ? [] : [`until it is ${ms} ms old`]),
  ];
  return `${all}, but the retention keeps it ${kept.join(' and ')}.`;
}

/** A task, and how far it is. */
function named({ task, state }: HeldTask, claims: readonly HeldClaim[]): string {
  const claim = claims.find((one) => one.task === task && one.state === 'leased');
  if (state !== 'leased' || claim === undefined) return `${task} (${state})`;
  return `${task} (leased by claim ${claim.claim} for another ${claim.left_ms} ms)`;
}

/** `task a`, or `tasks a, b`. */
function listed(what: string, names: readonly string[]): string {
  return `${what}${names.length > 1 ? 's' : ''} ${names.join(', ')}`;
}

function capital(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}
