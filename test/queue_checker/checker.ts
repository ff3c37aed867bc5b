/**
 * The checker of queue histories. It reads nothing but histories: what clients asked for and what they were answered.
 *
 * lost, duplicated and unexpected must be 0. A run that ended in a full drain is `final`: then all that was put has
 * been read back, and each task was given each of its rows.
 */
import { acksOf, keepBook, tagKey, type Book } from './book.ts';
import { judgeClaims, unheardClaims } from './claims.ts';
import { Findings, type Counters } from './findings.ts';
import { judgeAnswers } from './grants.ts';
import { endOf, outcomeOf, type Call, type History } from './history.ts';
import { possibleValues, writeOf } from './writes.ts';

export interface Report {
  readonly counters: Counters;
  readonly violations: readonly string[];
  /** Why the run proves nothing. */
  readonly voids: readonly string[];
}

export interface Asked {
  /** Whether the history ends with a read of all rows after a full drain. */
  readonly final: boolean;
  /** Processes of which at least one must have been killed. */
  readonly kills?: readonly string[];
}

export function check(history: History, asked: Asked): Report {
  const book = keepBook(history);
  const findings = new Findings();
  count(book, findings.counters);
  judgeClaims(book, findings);
  judgeAnswers(book, findings);
  judgeLooks(book, findings);
  judgeBudget(book, findings);
  if (asked.final) judgeEnd(book, findings);
  return { counters: findings.counters, violations: findings.violations, voids: voidsOf(history, book, asked) };
}

function count({ requests, calls, grants }: Book, counters: Counters): void {
  for (const tries of requests) {
    counters.attempted++;
    const write = writeOf(tries);
    if (write === null) counters.failed++;
    else if (write.isSure) counters.acked++;
    else counters.unknown++;
  }
  for (const { invoke, answer } of calls) {
    const ends = invoke.does === 'ack' || (invoke.does === 'put' && invoke.token !== undefined);
    if (ends && answer?.outcome === 'ok') counters.acks_ok++;
    if (ends && answer?.code === 'claim_stale') counters.acks_stale++;
  }
  for (const { rows } of grants.values()) counters.granted += rows.length;
}

/** Rows that a task was said to be done with are not given to it later, unless they are queued anew. */
function judgeLooks({ calls, deliveries }: Book, findings: Findings): void {
  const last = new Map<string, number>();
  for (const [task, rows] of deliveries) {
    for (const [id, all] of rows) last.set(`${id} ${task}`, Math.max(...all.map(({ grant }) => grant.at)));
  }
  for (const { invoke, answer } of calls) {
    if (invoke.does !== 'look' || answer === null) continue;
    const { task } = invoke;
    const isAnew = calls.some((call) => call.invoke.does === 'requeue' && call.invoke.task === task);
    for (const id of isAnew ? [] : (answer.over ?? [])) {
      if ((last.get(`${id} ${task}`) ?? 0) > answer.at)
        findings.add('lost', `row ${id} of ${task}: granted after its end`);
    }
  }
}

/** Puts are refused for a budget only when it has no room for their rows, and are never let in beyond it. */
function judgeBudget({ calls, requests }: Book, findings: Findings): void {
  const [first, lifted] = calls.filter(({ invoke }) => invoke.rowsMax !== undefined);
  const rowsMax = first?.invoke.rowsMax ?? null;
  if (rowsMax === null) return;
  const until = lifted?.invoke.at ?? Infinity;
  const puts = requests.filter(([{ invoke }]) => invoke.does === 'put' && invoke.at < until);
  const writes = puts.map((tries) => ({ write: writeOf(tries), rows: tries[0].invoke.rows! }));
  const sure = new Set(writes.filter(({ write }) => write?.isSure).flatMap(({ rows }) => rows.map(({ id }) => id)));
  if (sure.size > rowsMax) findings.add('unexpected', `${sure.size} rows in a budget of ${rowsMax}`);
  for (const { invoke, answer } of puts.flat()) {
    if (answer?.code !== 'over_budget') continue;
    // A put that comes to nothing may have held room for a while.
    const other = puts.filter((tries) => tries.some((one) => one.invoke.at <= answer.at && holds(one, invoke.at)));
    const most = new Set(
      [...other.map(([one]) => one.invoke), invoke].flatMap(({ rows }) => rows!.map(({ id }) => id)),
    );
    if (most.size > rowsMax) continue;
    findings.add('unexpected', `over budget although ${most.size} of ${rowsMax} rows are there at most`);
  }
}

/** Whether a put may have rows, or held room for them after a moment. */
function holds(put: Call, after: number): boolean {
  return outcomeOf(put) !== 'fail' || put.answer!.at >= after;
}

/** After the drain every row is where its acks say. */
function judgeEnd(book: Book, findings: Findings): void {
  const reads = book.calls.filter((call) => call.invoke.does === 'read' && outcomeOf(call) === 'ok');
  const from = Math.max(0, ...book.calls.filter(({ invoke }) => invoke.does !== 'read').map(({ invoke }) => invoke.at));
  const shown = new Map(reads.flatMap(({ answer }) => answer!.rows!.map((row) => [row.id, row.cells] as const)));
  for (const [key, writes] of book.writes) {
    const [id, field] = key.split('/');
    if (field === undefined) continue;
    const digest = shown.get(Number(id))?.[field];
    if (!possibleValues(writes, from, Infinity).includes(digest)) findings.add('lost', `${key} shows ${digest}`);
    if (digest !== undefined && writes.some(({ value, isSure }) => value === digest && !isSure))
      findings.counters.recovered++;
  }
  for (const task of book.tasks.keys()) judgeTaskEnd(book, task, shown, findings);
}

function judgeTaskEnd(
  book: Book,
  task: string,
  shown: ReadonlyMap<number, Readonly<Record<string, string>>>,
  findings: Findings,
): void {
  const { fields, attemptsMax = Infinity } = book.tasks.get(task)!;
  const unheard = unheardClaims(book, task).length;
  const oldest = oldestKept(book, task);
  for (const [id, cells] of shown) {
    if (!fields.every((field) => field in cells)) continue;
    const all = book.deliveries.get(task)!.get(id) ?? [];
    const isDead = all.length + unheard >= attemptsMax;
    if (isDead || all.some(({ grant }) => acksOf(book, grant).length > 0)) continue;
    const versions = book.writes.get(tagKey(id, 'version')) ?? [];
    if (versions.some(({ value }) => Number(value) < oldest)) findings.counters.skipped++;
    else findings.add('lost', `row ${id} of ${task} was ${all.length === 0 ? 'never granted' : 'never acked'}`);
  }
}

/** Versions from here on no window of the task can have passed. */
function oldestKept({ calls }: Book, task: string): number {
  const advances = calls.filter(({ invoke }) => invoke.does === 'advance').map(({ invoke }) => invoke.version!);
  const windows = calls.filter(({ invoke }) => invoke.task === task && invoke.staleness !== undefined);
  if (windows.length === 0) return -Infinity;
  return Math.max(0, ...advances) - Math.min(...windows.map(({ invoke }) => invoke.staleness!));
}

function voidsOf({ notes }: History, { tasks, calls }: Book, { final, kills = [] }: Asked): string[] {
  const voids: string[] = [];
  for (const kind of kills) {
    if (!notes.some(({ note, of }) => note === 'kill' && of.startsWith(kind))) voids.push(`no ${kind} was killed`);
  }
  if (!final) return voids;
  for (const task of tasks.keys()) {
    const drained = calls.some((call) => call.invoke.task === task && call.answer?.end === 'drained');
    if (!drained) voids.push(`${task} was not drained`);
  }
  if (!calls.some((call) => call.invoke.does === 'read' && endOf(call) < Infinity)) voids.push('nothing was read back');
  return voids;
}
