/**
 * A history in order: writes by cell, grants by row and task, and what became of each token.
 *
 * A grant is what one token stands for; tries of one request, and askers of one part of a batch, hear of the same.
 */
import { outcomeOf, type Call, type GrantedRow, type History, type Invoke, type TaskRule } from './history.ts';
import { writeOf, type Write } from './writes.ts';

export interface Grant {
  readonly token: string;
  readonly task: string;
  readonly rows: readonly GrantedRow[];
  readonly claim: Invoke;
  /** The first invoke of those who heard of it, or of a try before that nobody answered: it may be as old as that. */
  at: number;
  /** The first answer of those who heard of it. */
  ended: number;
  leaseMs: number;
  /** Ends of the lease by its renewals, at the earliest. */
  renewedToMs: number;
}

/** A grant of one row. */
export interface Delivery {
  readonly grant: Grant;
  readonly attempt: number;
  readonly cells: Readonly<Record<string, string>>;
}

export interface Book {
  readonly tasks: ReadonlyMap<string, TaskRule>;
  /** Of cells, by `id/field`, and of tags, by `id#name`. */
  readonly writes: ReadonlyMap<string, readonly Write[]>;
  readonly grants: ReadonlyMap<string, Grant>;
  /** By task, by row. */
  readonly deliveries: ReadonlyMap<string, ReadonlyMap<number, readonly Delivery[]>>;
  /** All tries of each request. */
  readonly requests: readonly (readonly Call[])[];
  /** Acks, puts with an ack and releases that may have been applied, by token. */
  readonly ends: ReadonlyMap<string, readonly Call[]>;
  readonly calls: readonly Call[];
}

export const cellKey = (id: number, field: string): string => `${id}/${field}`;
export const tagKey = (id: number, name: string): string => `${id}#${name}`;
export const msOf = (at: number): number => Math.floor(at / 1_000);

/** Calls by request; those without one stand alone. */
function requestsOf(calls: readonly Call[]): Call[][] {
  const requests = new Map<string, Call[]>();
  for (const call of calls) {
    const { does, request, process, call: number } = call.invoke;
    const key = request === undefined ? `${process} ${number}` : `${does} ${request}`;
    const tries = requests.get(key);
    if (tries === undefined) requests.set(key, [call]);
    else tries.push(call);
  }
  return [...requests.values()];
}

export function keepBook({ calls }: History): Book {
  const requests = requestsOf(calls);
  const tasks = new Map<string, TaskRule>();
  for (const { invoke } of calls) {
    for (const [name, rule] of Object.entries(invoke.tasks ?? {})) tasks.set(name, rule);
  }
  const grants = grantsOf(calls, requests);
  const deliveries = new Map([...tasks.keys()].map((task) => [task, new Map<number, Delivery[]>()]));
  for (const grant of grants.values()) {
    const rows = deliveries.get(grant.task)!;
    for (const { id, attempt, cells } of grant.rows) {
      rows.set(id, [...(rows.get(id) ?? []), { grant, attempt, cells }]);
    }
  }
  return { tasks, writes: writesOf(requests), grants, deliveries, requests, ends: endsOf(calls), calls };
}

function writesOf(requests: readonly (readonly Call[])[]): Map<string, Write[]> {
  const writes = new Map<string, Write[]>();
  const add = (key: string, write: Write): void => void writes.set(key, [...(writes.get(key) ?? []), write]);
  for (const tries of requests) {
    const write = writeOf(tries);
    if (write === null) continue;
    for (const { id, cells, tags = {} } of tries[0].invoke.rows ?? []) {
      for (const [field, value] of Object.entries(cells)) add(cellKey(id, field), { ...write, value });
      for (const [name, value] of Object.entries(tags)) add(tagKey(id, name), { ...write, value: String(value) });
    }
  }
  return writes;
}

/** Name and number of a shared batch, whose parts are all drawn when the first of them is asked for. */
export function batchOf({ batch, task }: Invoke): string | undefined {
  return batch === undefined ? undefined : `${task} ${batch.slice(0, batch.lastIndexOf('/'))}`;
}

function grantsOf(calls: readonly Call[], requests: readonly (readonly Call[])[]): Map<string, Grant> {
  const grants = new Map<string, Grant>();
  const drawnAt = new Map<string, number>();
  for (const { invoke } of calls) {
    const batch = invoke.does === 'claim' ? batchOf(invoke) : undefined;
    if (batch !== undefined && !drawnAt.has(batch)) drawnAt.set(batch, invoke.at);
  }
  const claims = requests.flatMap((tries) => tries.map((call) => ({ ...call, first: tries[0].invoke })));
  for (const { invoke, answer, first } of claims) {
    if (invoke.does !== 'claim' || answer?.token === undefined) continue;
    const { token, rows = [], leaseMs = 0 } = answer;
    const batch = batchOf(invoke);
    const at = batch === undefined ? first.at : drawnAt.get(batch)!;
    const grant = grants.get(token);
    if (grant === undefined) {
      const heard = { at, ended: answer.at, leaseMs, renewedToMs: 0 };
      grants.set(token, { token, task: invoke.task!, rows: rows as GrantedRow[], claim: invoke, ...heard });
      continue;
    }
    grant.at = Math.min(grant.at, at);
    grant.ended = Math.min(grant.ended, answer.at);
  }
  for (const call of calls) {
    const { does, token = '', at } = call.invoke;
    const grant = grants.get(token);
    if (does !== 'renew' || grant === undefined || outcomeOf(call) !== 'ok') continue;
    grant.renewedToMs = Math.max(grant.renewedToMs, msOf(at) + call.answer!.leaseMs!);
  }
  return grants;
}

/** The earliest moment, in ms, at which the lease of a grant can have run out. */
export function leaseEndMs(grant: Grant): number {
  return Math.max(msOf(grant.at) + grant.leaseMs, grant.renewedToMs);
}

function endsOf(calls: readonly Call[]): Map<string, Call[]> {
  const ends = new Map<string, Call[]>();
  for (const call of calls) {
    const { does, token } = call.invoke;
    if (token === undefined || does === 'renew' || outcomeOf(call) === 'fail') continue;
    ends.set(token, [...(ends.get(token) ?? []), call]);
  }
  return ends;
}

/** Whether the consumer gave the rows back, before this moment. */
export function wasReleased(book: Book, { token }: Grant, before: number): boolean {
  return (book.ends.get(token) ?? []).some(({ invoke }) => invoke.does === 'release' && invoke.at < before);
}

/** Acks of a token, for sure or perhaps: alone, or with a put. */
export function acksOf(book: Book, { token }: Grant): Call[] {
  return (book.ends.get(token) ?? []).filter(({ invoke }) => invoke.does !== 'release');
}
