/**
 * Histories of queue clients: what every process wrote down, one JSON line per invoke and per return.
 *
 *   {"at":..,"process":"train-1.0","call":7,"does":"claim","task":"train","request":"train-1.0-7","fields":[..],..}
 *   {"at":..,"process":"train-1.0","call":7,"outcome":"ok","token":"..","rows":[{"id":4,"attempt":1,"cells":{..}}],..}
 *   {"at":..,"process":"driver","note":"kill","of":"server"}
 *
 * `at` is microseconds of one monotonic clock that all processes share. Outcomes: ok; fail (certainly not applied);
 * unknown, which a call without a return is too. A call that repeats a request has the same `request`.
 *
 * Invariants: a line is written before its request is sent, and after its answer is complete; the last line of a
 * process that was killed may be torn, and is then no line.
 */

export interface Row {
  readonly id: number;
  /** Digests of values, by field. */
  readonly cells: Readonly<Record<string, string>>;
}

export interface PutRow extends Row {
  readonly tags?: Readonly<Record<string, string | number>>;
}

export interface GrantedRow extends Row {
  readonly attempt: number;
}

/** What a task asks for in all of its claims, and how often a row may come. */
export interface TaskRule {
  readonly fields: readonly string[];
  readonly attemptsMax?: number;
}

export interface Invoke {
  readonly at: number;
  readonly process: string;
  readonly call: number;
  readonly does:
    'declare' | 'put' | 'tag' | 'claim' | 'ack' | 'release' | 'renew' | 'requeue' | 'advance' | 'read' | 'look';
  readonly request?: string;
  readonly task?: string;
  /** The claim that is acked, released or renewed, also by a put. */
  readonly token?: string;
  readonly leaseMs?: number;
  /** Of a declaration. */
  readonly tasks?: Readonly<Record<string, TaskRule>>;
  /** The budget of rows from then on; null for none. */
  readonly rowsMax?: number | null;
  /** What a put or a tag writes. */
  readonly rows?: readonly PutRow[];
  /** Of a claim: groups of so many ids come whole. */
  readonly groupSize?: number;
  /** Of a claim: tags that its rows have. */
  readonly where?: Readonly<Record<string, string>>;
  /** Of a claim: rows whose version is older are not granted, and may be passed for good. */
  readonly staleness?: number;
  /** Of a claim: name, number and part of a shared batch. */
  readonly batch?: string;
  /** Of an advance. */
  readonly version?: number;
}

export interface Return {
  readonly at: number;
  readonly process: string;
  readonly call: number;
  readonly outcome: 'ok' | 'fail' | 'unknown';
  readonly code?: string;
  /** Of a claim that granted nothing. */
  readonly end?: 'timed_out' | 'drained';
  /** Of a part of a shared batch that granted nothing, for good. */
  readonly isEmpty?: boolean;
  readonly token?: string;
  readonly leaseMs?: number;
  /** Of a claim or a read. */
  readonly rows?: readonly GrantedRow[] | readonly Row[];
  /** Of a look at one task: rows that it will not be given any more. */
  readonly over?: readonly number[];
}

export interface Note {
  readonly at: number;
  readonly process: string;
  readonly note: 'kill' | 'start';
  readonly of: string;
}

export type Line = Invoke | Return | Note;

export interface Call {
  readonly invoke: Invoke;
  readonly answer: Return | null;
}

export interface History {
  readonly calls: readonly Call[];
  readonly notes: readonly Note[];
}

/** When a call was over: never, for all that is known, when nothing came back. */
export function endOf({ answer }: Call): number {
  return answer === null || answer.outcome === 'unknown' ? Infinity : answer.at;
}

export function outcomeOf({ answer }: Call): Return['outcome'] {
  return answer?.outcome ?? 'unknown';
}

/** The lines of one process; what a kill cut off is left out. */
export function parseLines(text: string): Line[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

/** Joins invokes with their returns, in the order of the invokes. */
export function joinLines(lines: readonly Line[]): History {
  const answers = new Map<string, Return>();
  const keyOf = ({ process, call }: Invoke | Return): string => `${process} ${call}`;
  for (const line of lines) if ('outcome' in line) answers.set(keyOf(line), line);
  const invokes = lines.filter((line) => 'does' in line).sort((a, b) => a.at - b.at);
  return {
    calls: invokes.map((invoke) => ({ invoke, answer: answers.get(keyOf(invoke)) ?? null })),
    notes: lines.filter((line) => 'note' in line),
  };
}
