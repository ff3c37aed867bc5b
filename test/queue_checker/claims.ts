/**
 * The claim invariants, judged row by row: each delivery follows from the one before it.
 *
 *   I1 one effective ack   I2 leases do not overlap, attempts rise   I3 nothing after an effective ack
 *   I6 an ack is effective if and only if its token was the current one
 */
import { acksOf, batchOf, leaseEndMs, msOf, wasReleased, type Book, type Delivery, type Grant } from './book.ts';
import { outcomeOf, type Call, type Invoke } from './history.ts';
import type { Findings } from './findings.ts';

/** Tokens whose ack took place for sure: it was answered, or what it put with it was seen. */
export function effectiveTokens(book: Book): Set<string> {
  const shown = new Set<string>();
  for (const { answer } of book.calls) {
    for (const row of answer?.rows ?? []) for (const digest of Object.values(row.cells)) shown.add(digest);
  }
  const effective = new Set<string>();
  for (const grant of book.grants.values()) {
    for (const call of acksOf(book, grant)) {
      const wasSeen = (call.invoke.rows ?? []).some(({ cells }) => Object.values(cells).some((one) => shown.has(one)));
      if (outcomeOf(call) === 'ok' || wasSeen) effective.add(grant.token);
    }
  }
  return effective;
}

/** Claims of a task that may have granted rows of which nobody heard: their own, or other parts of their batch. */
export function unheardClaims(book: Book, task: string): Call[] {
  const claims = book.requests.filter(([{ invoke }]) => invoke.does === 'claim' && invoke.task === task);
  const unheard = claims.filter(
    (tries) =>
      tries.every(({ answer }) => answer?.rows === undefined) &&
      tries.some((call) => outcomeOf(call) === 'unknown' || call.answer?.code === 'claim_stale'),
  );
  const batches = new Map<string, Call>();
  for (const [first] of claims) {
    const batch = batchOf(first.invoke);
    if (batch !== undefined && !batches.has(batch)) batches.set(batch, first);
  }
  return [...unheard.map(([first]) => first), ...batches.values()];
}

export function judgeClaims(book: Book, findings: Findings): void {
  const effective = effectiveTokens(book);
  for (const [task, rows] of book.deliveries) {
    const unheard = unheardClaims(book, task);
    const requeues = book.calls.filter(({ invoke }) => invoke.does === 'requeue' && invoke.task === task);
    for (const [id, deliveries] of rows) {
      const ordered = inOrder(deliveries, requeues);
      const where = `row ${id} of ${task}`;
      judgeOrder({ book, where, ordered, unheard, requeues, attemptsMax: book.tasks.get(task)!.attemptsMax }, findings);
      judgeAcks({ where, ordered, effective }, findings);
    }
  }
  judgeStaleAcks(book, findings);
}

/** By attempts, which begin anew when dead letters are queued anew. */
function inOrder(deliveries: readonly Delivery[], requeues: readonly Call[]): Delivery[] {
  const eraOf = ({ grant }: Delivery): number => requeues.filter(({ invoke }) => invoke.at < grant.ended).length;
  return [...deliveries].sort((a, b) => eraOf(a) - eraOf(b) || a.attempt - b.attempt);
}

interface RowHistory {
  readonly book: Book;
  readonly where: string;
  readonly ordered: readonly Delivery[];
  readonly unheard: readonly Call[];
  readonly requeues: readonly Call[];
  readonly attemptsMax: number | undefined;
}

function judgeOrder(row: RowHistory, findings: Findings): void {
  const { book, where, ordered, unheard, requeues, attemptsMax = Infinity } = row;
  let missing = 0;
  for (const [place, next] of ordered.entries()) {
    const { grant, attempt } = next;
    if (attempt > attemptsMax) findings.add('unexpected', `${where}: attempt ${attempt} of a dead letter`);
    const before = place === 0 ? undefined : ordered[place - 1];
    const isAnew =
      before !== undefined &&
      attempt <= before.attempt &&
      attemptsMax < Infinity &&
      requeues.some(({ invoke }) => invoke.at < grant.ended);
    if (before !== undefined) {
      findings.counters.redelivered++;
      if (attempt <= before.attempt && !isAnew) findings.add('duplicated', `${where}: attempt ${attempt} twice`);
      const isOver = wasReleased(book, before.grant, grant.ended) || leaseEndMs(before.grant) <= msOf(grant.ended);
      if (!isOver) findings.add('duplicated', `${where}: attempt ${attempt} while another lease ran`);
    }
    missing += Math.max(0, attempt - (before?.attempt ?? 0) - 1 + (isAnew ? attemptsMax : 0));
    const explained = unheard.filter(({ invoke }) => invoke.at < grant.ended).length;
    if (missing > explained) {
      findings.add('duplicated', `${where}: ${missing} attempts before attempt ${attempt} that nobody made`);
    }
  }
}

function judgeAcks(
  row: { where: string; ordered: readonly Delivery[]; effective: ReadonlySet<string> },
  findings: Findings,
): void {
  const { where, ordered, effective } = row;
  const acked = ordered.filter(({ grant }) => effective.has(grant.token));
  if (acked.length > 1) findings.add('duplicated', `${where}: ${acked.length} effective acks`);
  const [first] = acked;
  const later = ordered.slice(ordered.indexOf(first) + 1).filter(({ grant }) => !effective.has(grant.token));
  if (acked.length > 0 && later.length > 0) findings.add('lost', `${where}: granted after an effective ack`);
}

/** A token may be refused as stale only if one of its rows went elsewhere, or its claim was ended otherwise. */
function judgeStaleAcks(book: Book, findings: Findings): void {
  for (const { invoke, answer } of book.calls) {
    const { token, does, request } = invoke;
    if (token === undefined || answer?.code !== 'claim_stale' || does === 'renew') continue;
    const grant = book.grants.get(token);
    const isTry = (one: Invoke): boolean => request !== undefined && one.does === does && one.request === request;
    const ends = (book.ends.get(token) ?? []).map((end) => end.invoke);
    const isEnded = ends.some((one) => one.at < answer.at && one !== invoke && !isTry(one));
    if (grant === undefined || isEnded || wentElsewhere(book, grant)) continue;
    const ids = grant.rows.map(({ id }) => id).join();
    findings.add('unexpected', `the ${does} of ${ids} of ${grant.task} is stale for no reason`);
  }
}

function wentElsewhere(book: Book, grant: Grant): boolean {
  if (unheardClaims(book, grant.task).length > 0) return true;
  const skips = book.calls.some(({ invoke }) => invoke.task === grant.task && invoke.staleness !== undefined);
  const rows = book.deliveries.get(grant.task)!;
  return skips || grant.rows.some(({ id }) => rows.get(id)!.length > 1);
}
