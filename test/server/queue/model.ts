/**
 * The claim protocol once more, as plain objects without any thought of speed: what the queue must answer.
 *
 * It is written from the rules in server/queue/state.ts and decide.ts, and shares no code with them.
 */
import type { ClaimCommand, Counts, QueueSettings } from '../../../server/queue/machine.ts';
import type { EndAnswer, Journaled } from './harness.ts';

interface Cell {
  state: 'unclaimed' | 'leased' | 'consumed' | 'dead';
  holder: number;
  returns: number;
}

interface Row {
  readonly id: number;
  readonly fields: Set<number>;
  readonly tasks: Map<string, Cell>;
}

interface Claim {
  readonly task: string;
  readonly ids: readonly number[];
  readonly leaseMs: number;
  readonly orphans: Set<number>;
  deadlineMs: number;
  state: 'leased' | 'expired' | 'acked' | 'released' | 'stale';
  /** Leased, but one of its rows was deleted and came back as a new one. */
  broken: boolean;
}

export type Expected =
  | { kind: 'grant'; rows: { id: number; attempt: number }[] }
  | { kind: 'wait'; counts: Counts }
  | { kind: 'drained' }
  | { kind: 'refuse' };

export class Model {
  readonly groupSize: number;
  readonly claims = new Map<number, Claim>();
  sealed = false;
  settings: QueueSettings;
  readonly skipped = new Map<string, number>();
  /** In the order of their arrival. */
  #groups: { group: number; rows: (Row | undefined)[] }[] = [];

  constructor(groupSize: number, settings: QueueSettings) {
    this.groupSize = groupSize;
    this.settings = settings;
  }

  row(id: number): Row | undefined {
    const group = Math.floor(id / this.groupSize);
    return this.#groups.find((each) => each.group === group)?.rows[id % this.groupSize];
  }

  rows(): Row[] {
    return this.#groups.flatMap((each) => each.rows.filter((row) => row !== undefined));
  }

  cell(row: Row, task: string): Cell {
    let cell = row.tasks.get(task);
    if (cell === undefined) row.tasks.set(task, (cell = { state: 'unclaimed', holder: 0, returns: 0 }));
    return cell;
  }

  expectClaim({ task, fields, rowsMax, rowsMin, sampler }: ClaimCommand): Expected {
    const unit = sampler === 'group' ? this.groupSize : 1;
    if (rowsMax < unit) return { kind: 'refuse' };
    const isReady = (row: Row | undefined): boolean =>
      row !== undefined && this.cell(row, task).state === 'unclaimed' && fields.every((field) => row.fields.has(field));
    const ready = this.#groups
      .flatMap(({ rows }) => (unit > 1 && !rows.every(isReady) ? [] : rows.filter(isReady)))
      .map((row) => row!);

    const states = this.rows().map((row) => this.cell(row, task).state);
    const leased = states.filter((state) => state === 'leased').length;
    const unconsumed = states.filter((state) => state !== 'consumed' && state !== 'dead').length;
    const last = this.sealed && ready.length > 0 && ready.length === unconsumed;
    if (ready.length < Math.max(1, Math.floor(rowsMin / unit)) * unit && !last) {
      if (this.sealed && unconsumed === 0) return { kind: 'drained' };
      const dead = states.filter((state) => state === 'dead').length;
      const counts = { ready: ready.length, leased, incomplete: unconsumed - leased - ready.length };
      return { kind: 'wait', counts: dead === 0 ? counts : { ...counts, dead } };
    }
    const rows = ready.slice(0, Math.floor(rowsMax / unit) * unit);
    return { kind: 'grant', rows: rows.map((row) => ({ id: row.id, attempt: this.cell(row, task).returns + 1 })) };
  }

  /** The rows of the task in this state, of all or of some. */
  idsIn(state: Cell['state'], task: string, ids?: readonly number[]): number[] {
    const rows = this.rows().filter((row) => this.cell(row, task).state === state);
    return rows.map((row) => row.id).filter((id) => ids === undefined || ids.includes(id));
  }

  expectPut(ids: readonly number[], ackClaim: number): EndAnswer {
    if (this.sealed && ids.some((id) => this.row(id) === undefined)) return 'partition_sealed';
    return ackClaim === 0 ? 'ok' : this.expectAck(ackClaim);
  }

  expectAck(number: number): EndAnswer {
    return this.#expectEnd(number, 'acked');
  }

  expectRelease(number: number): EndAnswer {
    return this.#expectEnd(number, 'released');
  }

  expectRenew(number: number, leaseMs: number): number | EndAnswer {
    const claim = this.claims.get(number);
    if (claim === undefined) return 'claim_unknown';
    return claim.state === 'leased' && !claim.broken ? Math.min(leaseMs, claim.leaseMs) : 'claim_stale';
  }

  expectExpired(now: number): number[] {
    return [...this.claims]
      .filter(([, claim]) => claim.state === 'leased' && claim.deadlineMs <= now)
      .sort(([a, one], [b, other]) => one.deadlineMs - other.deadlineMs || a - b)
      .map(([number]) => number);
  }

  renew(number: number, leaseMs: number, now: number): void {
    this.claims.get(number)!.deadlineMs = now + leaseMs;
  }

  restart(now: number): void {
    for (const claim of this.claims.values()) claim.deadlineMs = now + claim.leaseMs;
  }

  apply(event: Journaled, now: number): void {
    if (event.type === 'seal') this.sealed = true;
    if (event.type === 'delete') for (const id of event.ids) this.#delete(id);
    if (event.type === 'ack') this.#ack(event.claim);
    if (event.type === 'insert') {
      if (event.ackClaim !== 0) this.#ack(event.ackClaim);
      for (const id of event.ids) this.#insert(id, event.fields);
    }
    if (event.type === 'release') this.#release(event.claim, event.reason);
    if (event.type === 'declare') this.settings = event.settings;
    if (event.type === 'requeue') {
      for (const id of this.idsIn('dead', event.task, [...event.ids])) {
        Object.assign(this.cell(this.row(id)!, event.task), { state: 'unclaimed', returns: 0 });
      }
    }
    if (event.type === 'skip') {
      for (const id of this.idsIn('unclaimed', event.task, [...event.ids])) {
        const cell = this.cell(this.row(id)!, event.task);
        if (cell.holder !== 0) this.#end(cell.holder, 'stale');
        cell.state = 'consumed';
        this.skipped.set(event.task, (this.skipped.get(event.task) ?? 0) + 1);
      }
    }
    if (event.type === 'reset') {
      for (const [number, claim] of this.claims) {
        if (claim.task === event.task && ['leased', 'expired'].includes(claim.state)) this.#end(number, 'stale');
      }
      for (const row of this.rows()) row.tasks.delete(event.task);
      this.skipped.delete(event.task);
    }
    if (event.type === 'claim') {
      const { task, leaseMs, claim } = event;
      const ids = [...event.ids];
      const deadlineMs = now + leaseMs;
      this.claims.set(claim, { task, ids, leaseMs, orphans: new Set(), deadlineMs, state: 'leased', broken: false });
      for (const id of ids) {
        const cell = this.cell(this.row(id)!, task);
        if (cell.holder !== 0) this.#end(cell.holder, 'stale');
        Object.assign(cell, { state: 'leased', holder: claim });
      }
      if (event.autoAck) this.#ack(claim);
    }
  }

  #release(number: number, reason: 'released' | 'expired' | 'undelivered'): void {
    const claim = this.claims.get(number)!;
    const attemptsMax = this.settings.tasks?.find((task) => task.name === claim.task)?.maxAttempts ?? Infinity;
    if (claim.state === 'leased') {
      for (const { cell } of this.#held(number)) {
        if (reason !== 'undelivered') cell.returns += 1;
        cell.state = reason !== 'undelivered' && cell.returns >= attemptsMax ? 'dead' : 'unclaimed';
      }
    }
    if (reason !== 'expired') this.#end(number, 'released');
    else if (claim.broken) this.#end(number, 'stale');
    else claim.state = 'expired';
  }

  #insert(id: number, fields: readonly number[]): void {
    const group = Math.floor(id / this.groupSize);
    let entry = this.#groups.find((each) => each.group === group);
    if (entry === undefined) {
      entry = { group, rows: Array.from<Row | undefined>({ length: this.groupSize }) };
      this.#groups.push(entry);
    }
    const row = (entry.rows[id % this.groupSize] ??= { id, fields: new Set(), tasks: new Map() });
    for (const field of fields) row.fields.add(field);
    for (const [number, claim] of this.claims) {
      if (!claim.orphans.delete(id)) continue;
      if (claim.state === 'leased') claim.broken = true;
      if (claim.state === 'expired') this.#end(number, 'stale');
    }
  }

  #delete(id: number): void {
    const row = this.row(id);
    if (row === undefined) return;
    for (const cell of row.tasks.values()) if (cell.holder !== 0) this.claims.get(cell.holder)!.orphans.add(id);
    const entry = this.#groups.find((each) => each.rows.includes(row))!;
    entry.rows[id % this.groupSize] = undefined;
    if (entry.rows.every((each) => each === undefined)) this.#groups = this.#groups.filter((each) => each !== entry);
  }

  #ack(number: number): void {
    for (const { cell } of this.#held(number)) cell.state = 'consumed';
    this.#end(number, 'acked');
  }

  #end(number: number, state: 'acked' | 'released' | 'stale'): void {
    for (const { cell } of this.#held(number)) cell.holder = 0;
    this.claims.get(number)!.state = state;
  }

  #held(number: number): { cell: Cell }[] {
    const { task } = this.claims.get(number)!;
    return this.rows()
      .map((row) => ({ cell: this.cell(row, task) }))
      .filter(({ cell }) => cell.holder === number);
  }

  #expectEnd(number: number, wanted: 'acked' | 'released'): EndAnswer {
    const claim = this.claims.get(number);
    if (claim === undefined) return 'claim_unknown';
    if (claim.state === wanted) return 'already';
    if (claim.state === 'expired' || (claim.state === 'leased' && (wanted === 'released' || !claim.broken)))
      return 'ok';
    return 'claim_stale';
  }
}
