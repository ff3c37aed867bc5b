/**
 * What a check found: how much of each kind was looked at, and what is wrong with it.
 *
 * A problem means that something which was promised is not there, or that a start would not find it. A note means that
 * something is worth knowing, such as files that a crash left and a start removes.
 */

/** What is counted, in the order of the report. */
export const checked = {
  journalFiles: 'journal files',
  records: 'journal records',
  treeFiles: 'tree files',
  treeEntries: 'tree entries',
  start: 'events replayed',
  partitions: 'partitions',
  rows: 'rows',
  puts: 'puts of rows',
  batches: 'batches',
  extents: 'extents',
  segments: 'segments',
  otherFiles: 'other files',
} as const;
export type Checked = keyof typeof checked;

export interface Problem {
  readonly what: string;
  /** Relative to the data directory. */
  readonly file?: string;
  readonly offset?: number;
  readonly length?: number;
  readonly lsn?: number;
  readonly partition?: string;
  /** The first of them; `rowCount` says how many there are. */
  readonly rows?: readonly number[];
  readonly rowCount?: number;
  readonly fields?: readonly string[];
  readonly details?: Readonly<Record<string, unknown>>;
  readonly advice: string;
}

export interface Count {
  count: number;
  bytes: number;
  problems: number;
}

/** What to do when a start is refused. */
export const RESTORE = 'Nothing was changed. Look for disk errors, then restore the directory from a copy.';

/** Beyond so many problems of one kind the rest is only counted. */
const KEPT_MAX = 200;

export class Report {
  readonly counts = new Map<Checked, Count>();
  readonly problems: (Problem & { readonly of: Checked })[] = [];
  readonly notes: Problem[] = [];
  /** Why something could not be checked. */
  readonly unchecked: string[] = [];

  get isSound(): boolean {
    return [...this.counts.values()].every(({ problems }) => problems === 0) && this.unchecked.length === 0;
  }

  count(what: Checked): Count {
    let count = this.counts.get(what);
    if (count === undefined) {
      count = { count: 0, bytes: 0, problems: 0 };
      this.counts.set(what, count);
    }
    return count;
  }

  add(what: Checked, count: number, bytes = 0): void {
    const found = this.count(what);
    found.count += count;
    found.bytes += bytes;
  }

  problem(what: Checked, problem: Problem): void {
    const count = this.count(what);
    count.problems++;
    if (count.problems <= KEPT_MAX) this.problems.push({ of: what, ...problem });
  }

  note(note: Problem): void {
    this.notes.push(note);
  }
}
