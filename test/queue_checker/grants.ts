/**
 * What each answer shows: the values that it may show, whole groups, rows that pass the filter and the window, the same
 * answer for the same request and for the same part of a batch (I5, I7).
 */
import { cellKey, leaseEndMs, msOf, tagKey, wasReleased, type Book, type Grant } from './book.ts';
import { endOf, outcomeOf, type Call, type GrantedRow, type Return } from './history.ts';
import type { Findings } from './findings.ts';
import { possibleValues } from './writes.ts';

export function judgeAnswers(book: Book, findings: Findings): void {
  const current = newestVersion(book);
  for (const call of book.calls) {
    const { does } = call.invoke;
    if (call.answer?.rows === undefined) continue;
    judgeCells(book, call, findings);
    if (does === 'claim') judgeRule(book, call, current(book.grants.get(call.answer.token!)!.at), findings);
  }
  for (const tries of book.requests) {
    // Whoever asks again for a part of a batch gets it under a new token once its lease ended.
    if (tries[0].invoke.does === 'claim' && tries[0].invoke.batch === undefined) judgeTries(tries, findings);
  }
  judgeBatches(book, findings);
}

function judgeCells(book: Book, { invoke, answer }: Call, findings: Findings): void {
  // A claim that is asked for again shows what it showed.
  const from = book.grants.get(answer!.token ?? '')?.at ?? invoke.at;
  const needed = invoke.does === 'claim' ? book.tasks.get(invoke.task!)!.fields : [];
  for (const { id, cells } of answer!.rows!) {
    for (const field of new Set([...needed, ...Object.keys(cells)])) {
      const possible = possibleValues(book.writes.get(cellKey(id, field)) ?? [], from, answer!.at);
      const shown = cells[field];
      if (shown === undefined) findings.add('unexpected', `row ${id} of ${invoke.task}: ${field} is missing`);
      else if (!possible.includes(shown)) findings.add('unexpected', `row ${id}: ${field} shows ${shown}`);
    }
  }
}

/** The version that was current for sure at a moment. */
function newestVersion({ calls }: Book): (at: number) => number {
  const advances = calls.filter((call) => call.invoke.does === 'advance' && outcomeOf(call) === 'ok');
  return (at) => Math.max(0, ...advances.filter((call) => endOf(call) < at).map(({ invoke }) => invoke.version!));
}

function judgeRule(book: Book, { invoke, answer }: Call, current: number, findings: Findings): void {
  const { groupSize = 1, where = {}, staleness = Infinity, task } = invoke;
  const rows = answer!.rows as readonly GrantedRow[];
  const from = book.grants.get(answer!.token!)!.at;
  const ids = new Set(rows.map(({ id }) => id));
  if (ids.size < rows.length) findings.add('duplicated', `a grant of ${task} has a row twice`);
  for (const id of ids) {
    const first = id - (id % groupSize);
    const siblings = Array.from({ length: groupSize }, (_, place) => first + place);
    if (!siblings.every((sibling) => ids.has(sibling)))
      findings.add('unexpected', `${task}: the group of ${id} is split`);
    const tagsOf = (name: string): (string | undefined)[] =>
      possibleValues(book.writes.get(tagKey(id, name)) ?? [], from, answer!.at);
    for (const [name, value] of Object.entries(where)) {
      if (!tagsOf(name).includes(value))
        findings.add('unexpected', `${task}: row ${id} does not pass ${name} ${value}`);
    }
    const isFresh = staleness === Infinity || tagsOf('version').some((one) => Number(one) >= current - staleness);
    if (!isFresh) findings.add('unexpected', `${task}: row ${id} is too old for version ${current}`);
  }
}

function describe({ token, rows = [] }: Return): string {
  const shown = (rows as readonly GrantedRow[]).map(({ id, attempt, cells }) => [id, attempt, cells]);
  return `${token} ${JSON.stringify(shown)}`;
}

/** I7: tries of one request that are answered have the same answer. */
function judgeTries(tries: readonly Call[], findings: Findings): void {
  const answers = new Set(
    tries.filter(({ answer }) => answer?.rows !== undefined).map(({ answer }) => describe(answer!)),
  );
  if (answers.size > 1) findings.add('duplicated', `request ${tries[0].invoke.request} has ${answers.size} answers`);
}

/**
 * All who ask for a part of a batch hear of the same claim as long as its lease runs and once it is acked; or all of
 * them that it is empty.
 */
function judgeBatches(book: Book, findings: Findings): void {
  const heard = new Map<string, Grant[]>();
  const empty = new Set<string>();
  for (const grant of book.grants.values()) {
    const { batch, task } = grant.claim;
    if (batch === undefined) continue;
    const part = `batch ${batch} of ${task}`;
    heard.set(part, [...(heard.get(part) ?? []), grant]);
  }
  for (const { invoke, answer } of book.calls) {
    const isEmpty = answer?.isEmpty === true || answer?.end === 'drained';
    if (invoke.batch !== undefined && isEmpty) empty.add(`batch ${invoke.batch} of ${invoke.task}`);
  }
  for (const [part, grants] of heard) {
    if (empty.has(part)) findings.add('unexpected', `${part} is empty for some, not for others`);
    grants.sort((a, b) => a.ended - b.ended);
    for (const [place, grant] of grants.slice(1).entries()) {
      const before = grants[place];
      const isOver = wasReleased(book, before, grant.ended) || leaseEndMs(before) <= msOf(grant.ended);
      if (!isOver) findings.add('unexpected', `${part} is different for two who asked`);
    }
  }
}
