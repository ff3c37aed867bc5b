/**
 * The claim protocol once more, as plain objects without any thought of speed: what the queue must answer.
 *
 * It is written from the rules in server/queue/state.ts and decide.ts, and shares no code with them.
 */
import type { ClaimCommand, Counts } from '../../../server/queue/machine.ts';
import type { EndAnswer, Journaled } from './harness.ts';

interface Cell {
  state: 'unclaimed' | 'leased' | 'consumed';
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
  /** In the order of their arrival. */
  #groups: { group: number; rows: (Row | undefined)[] }[] = [];

  constructor(groupSize: number) {
    this.groupSize = groupSize;
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
    const unconsumed = states.filter((state) => state !== 'consumed').length;
    const last = this.sealed && ready.length > 0 && ready.length === unconsumed;
    if (ready.length < Math.max(1, Math.floor(rowsMin / unit)) * unit && !last) {
      if (this.sealed && unconsumed === 0) return { kind: 'drained' };
      return { kind: 'wait', counts: { ready: ready.length, leased, incomplete: unconsumed - leased - ready.length } };
    }
    const rows = ready.slice(0, Math.floor(rowsMax / unit) * unit);
    return { kind: 'grant', rows: rows.map((row) => ({ id: row.id, attempt: this.cell(row, task).returns + 1 })) };
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
    if (event.type === 'release') {
      const claim = this.claims.get(event.claim)!;
      if (claim.state === 'leased') {
        for (const { cell } of this.#held(event.claim))
          Object.assign(cell, { state: 'unclaimed', returns: cell.returns + 1 });
      }
      claim.state = event.reason;
      if (event.reason === 'released') this.#end(event.claim, 'released');
      else if (claim.broken) this.#end(event.claim, 'stale');
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
