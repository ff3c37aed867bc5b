/** What a check finds: counters of the whole history, and violations in words. */

export interface Counters {
  attempted: number;
  acked: number;
  failed: number;
  unknown: number;
  /** Rows given to tasks, each time. */
  granted: number;
  acks_ok: number;
  acks_stale: number;
  lost: number;
  duplicated: number;
  unexpected: number;
  /** Puts without an answer that turned out to be there. */
  recovered: number;
  redelivered: number;
  /** Rows that a version window passed. */
  skipped: number;
}

export type Kind = 'lost' | 'duplicated' | 'unexpected';

const VIOLATIONS_KEPT = 20;

export class Findings {
  readonly counters: Counters = {
    attempted: 0,
    acked: 0,
    failed: 0,
    unknown: 0,
    granted: 0,
    acks_ok: 0,
    acks_stale: 0,
    lost: 0,
    duplicated: 0,
    unexpected: 0,
    recovered: 0,
    redelivered: 0,
    skipped: 0,
  };
  readonly violations: string[] = [];

  add(kind: Kind, what: string): void {
    this.counters[kind]++;
    if (this.violations.length < VIOLATIONS_KEPT) this.violations.push(`${kind}: ${what}`);
  }
}
