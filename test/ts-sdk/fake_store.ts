/**
 * What the fake server keeps and does: partitions, rows and claims in memory, by the routes of core/protocol.ts.
 *
 * It knows nothing of disks and is not a model of the server; what a client may rely on is in core/protocol.ts.
 */
import { EventEmitter, once } from 'node:events';
import { errors, limits, type ErrorCode, type RouteName } from '@transfer-queue/core/protocol';
import { sameLayout, type FieldLayout } from '@transfer-queue/core/layout';
import { Column, joinColumns, sliceRows } from '../../ts-sdk/column.ts';
import { decodeInput } from '../../ts-sdk/decode.ts';
import { encodeRows } from '../../ts-sdk/encode.ts';
import { FakeSnapshots } from './fake_snapshots.ts';

interface Cell {
  readonly column: Column;
  readonly lsn: number;
}

export interface FakePartition {
  readonly name: string;
  fields: Record<string, FieldLayout>;
  readonly open: boolean;
  readonly groupSize: number;
  readonly ack: string;
  sealed: boolean;
  readonly rows: Map<number, Map<string, Cell>>;
  readonly consumed: Map<string, Set<number>>;
  readonly attempts: Map<string, Map<number, number>>;
}

export interface FakeClaim {
  readonly partition: FakePartition;
  readonly task: string;
  readonly ids: number[];
  state: 'held' | 'acked' | 'released' | 'stale';
  renewals: number;
}

export class Refusal extends Error {
  readonly code: ErrorCode;
  readonly details: object;
  constructor(code: ErrorCode, details: object = {}) {
    super(code);
    this.code = code;
    this.details = details;
  }
}

export interface FakeAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

export interface ActCall {
  readonly names: Record<string, string>;
  readonly query: URLSearchParams;
  readonly body: Uint8Array;
  /** The connection has closed. */
  readonly gone: Promise<unknown>;
}

export class FakeStore {
  readonly claims = new Map<string, FakeClaim>();
  readonly partitions = new Map<string, FakePartition>();
  readonly snapshots = new FakeSnapshots();
  readonly limits: Record<string, number> = {};
  nodes: { id: string; url: string }[] = [];
  #lsn = 0;
  readonly #changes = new EventEmitter().setMaxListeners(0);

  /** Lets those who wait look again. */
  wake(): void {
    this.#changes.emit('change');
  }

  async act(route: RouteName, call: ActCall): Promise<FakeAnswer> {
    const { names } = call;
    const json = (): Record<string, unknown> =>
      JSON.parse(new TextDecoder().decode(call.body)) as Record<string, unknown>;
    switch (route) {
      case 'limits':
        return jsonAnswer({
          ...Object.fromEntries(Object.entries(limits).map(([k, v]) => [snake(k), v])),
          ...this.limits,
        });
      case 'cluster':
        return jsonAnswer({ epoch: 1, shards: 64, nodes: this.nodes });
      case 'partitions':
        return jsonAnswer({ partitions: [...this.partitions.values()].map((p) => this.#stats(p)) });
      case 'declare':
        return this.#declare(names.partition, json());
      case 'partition':
        return jsonAnswer(this.#stats(this.#partition(names.partition)));
      case 'drop':
        this.#partition(names.partition);
        this.partitions.delete(names.partition);
        return jsonAnswer({ lsn: ++this.#lsn });
      case 'seal':
        this.#partition(names.partition).sealed = true;
        this.#changes.emit('change');
        return jsonAnswer({ lsn: ++this.#lsn });
      case 'put':
        return this.#put(this.#partition(names.partition), call);
      case 'read':
        return this.#read(this.#partition(names.partition, json().lsn), json(), call.gone);
      case 'delete': {
        const { rows } = this.#partition(names.partition);
        const deleted = (json().ids as number[]).filter((id) => rows.delete(id)).length;
        return jsonAnswer({ lsn: ++this.#lsn, deleted });
      }
      case 'claim':
        return this.#claim(this.#partition(names.partition), json(), call.gone);
      case 'ack':
      case 'release':
      case 'renew':
        return this.#endClaim(route, names.claim);
      case 'openSnapshot':
        return jsonAnswer(this.snapshots.open(++this.#lsn, this.partitions, Number(json().lease_ms)));
      case 'renewSnapshot':
        return orGone(this.snapshots.renew(names.snapshot, Number(json().lease_ms)));
      case 'closeSnapshot':
        return orGone(this.snapshots.close(names.snapshot));
      default:
        throw new Refusal('route_unknown');
    }
  }

  #declare(name: string, json: Record<string, unknown>): FakeAnswer {
    const known = this.partitions.get(name);
    const fields = (json.fields ?? {}) as Record<string, FieldLayout>;
    if (known !== undefined) {
      if (json.group_size !== undefined && json.group_size !== known.groupSize) throw new Refusal('partition_conflict');
      known.fields = { ...known.fields, ...fields };
      return jsonAnswer({ ...this.#stats(known), created: false });
    }
    const partition: FakePartition = {
      name,
      fields,
      open: (json.open as boolean | undefined) ?? json.fields === undefined,
      groupSize: (json.group_size as number | undefined) ?? 1,
      ack: (json.ack as string | undefined) ?? 'os',
      sealed: false,
      rows: new Map(),
      consumed: new Map(),
      attempts: new Map(),
    };
    this.partitions.set(name, partition);
    return jsonAnswer({ ...this.#stats(partition), created: true });
  }

  #put(partition: FakePartition, { body, query }: ActCall): FakeAnswer {
    const decoded = decodeInput(body.slice());
    if (!('ids' in decoded)) throw new Refusal('dictionary_refused');
    const { ids, columns } = decoded;
    if (new Set(ids).size !== ids.length) throw new Refusal('ids_duplicate');
    if (ids.length > (this.limits.put_rows_max ?? Infinity)) throw new Refusal('too_many_rows');
    for (const [field, { layout }] of columns) {
      const declared = partition.fields[field];
      if (declared === undefined && !partition.open) throw new Refusal('field_unknown', { field });
      if (declared !== undefined && !sameLayout(declared, layout)) throw new Refusal('field_mismatch', { field });
    }
    if (partition.sealed && ids.some((id) => !partition.rows.has(id))) throw new Refusal('partition_sealed');
    const exists = ids.some((id) => [...columns.keys()].some((field) => partition.rows.get(id)?.has(field)));
    if (query.get('if_absent') === '1' && exists) throw new Refusal('rows_exist');
    const token = query.get('claim');
    if (token !== null) this.#endClaim('ack', token);
    const lsn = ++this.#lsn;
    for (const [row, id] of ids.entries()) {
      const cells = partition.rows.get(id) ?? new Map<string, Cell>();
      for (const [field, column] of columns) {
        partition.fields[field] ??= column.layout;
        cells.set(field, { column: sliceRows(column, row, row + 1), lsn });
      }
      partition.rows.set(id, cells);
    }
    this.#changes.emit('change');
    return jsonAnswer({ lsn, rows: ids.length, ack: query.get('ack') ?? partition.ack });
  }

  async #read(partition: FakePartition, json: Record<string, unknown>, gone: Promise<unknown>): Promise<FakeAnswer> {
    const fields = (json.fields as string[] | undefined) ?? Object.keys(partition.fields);
    for (const field of fields) if (!(field in partition.fields)) throw new Refusal('field_unknown', { field });
    const has = (id: number): boolean => fields.every((field) => partition.rows.get(id)?.has(field));
    const lsnOf = (id: number): number =>
      Math.max(0, ...fields.map((field) => partition.rows.get(id)?.get(field)?.lsn ?? 0));
    if (json.range !== undefined) {
      const { start, end, rows_max: rowsMax } = json.range as { start: number; end: number; rows_max: number };
      const ids = [...partition.rows.keys()].filter((id) => id >= start && id < end && has(id)).sort((a, b) => a - b);
      const next: Record<string, string> = ids.length > rowsMax ? { 'tq-next': String(ids[rowsMax]) } : {};
      return this.#rows(partition, ids.slice(0, rowsMax), fields, next);
    }
    const ready = (): number[] | undefined => {
      if (json.newest === undefined) return (json.ids as number[]).every(has) ? (json.ids as number[]) : undefined;
      const { after_lsn: after = 0 } = json.newest as { after_lsn?: number };
      const ids = [...partition.rows.keys()]
        .filter((id) => has(id) && lsnOf(id) > after)
        .sort((a, b) => lsnOf(b) - lsnOf(a));
      return ids.length === 0 ? undefined : ids.slice(0, 1);
    };
    const ids = await this.#waitFor(ready, { waitMs: Number(json.wait_ms ?? 0), gone, isOver: () => partition.sealed });
    if (ids !== undefined) return this.#rows(partition, ids, fields, {});
    const missing = ((json.ids ?? []) as number[]).filter((id) => !has(id));
    if (partition.sealed && Number(json.wait_ms ?? 0) > 0) return outcomeAnswer('drained', { missing: missing.length });
    if (Number(json.wait_ms ?? 0) > 0) return outcomeAnswer('timed_out', { missing: missing.length });
    throw new Refusal('rows_missing', { missing: missing.slice(0, 10), missing_count: missing.length });
  }

  async #claim(partition: FakePartition, json: Record<string, unknown>, gone: Promise<unknown>): Promise<FakeAnswer> {
    const { task, fields, rows_max: rowsMax } = json as { task: string; fields: string[]; rows_max: number };
    const rowsMin = (json.rows_min as number | undefined) ?? rowsMax;
    const consumed = partition.consumed.get(task) ?? new Set<number>();
    partition.consumed.set(task, consumed);
    const leased = (): Set<number> =>
      new Set(
        [...this.claims.values()]
          .filter((c) => c.partition === partition && c.task === task && c.state === 'held')
          .flatMap((c) => c.ids),
      );
    const isReady = (id: number): boolean => fields.every((field) => partition.rows.get(id)?.has(field));
    const ready = (): number[] => {
      const held = leased();
      return [...partition.rows.keys()].filter((id) => isReady(id) && !consumed.has(id) && !held.has(id));
    };
    const granted = (): number[] | undefined => {
      const ids = ready();
      const enough = ids.length >= rowsMin || (partition.sealed && ids.length > 0 && leased().size === 0);
      return enough ? ids.slice(0, rowsMax) : undefined;
    };
    const isDrained = (): boolean => partition.sealed && [...partition.rows.keys()].every((id) => consumed.has(id));
    const ids = await this.#waitFor(granted, { waitMs: Number(json.wait_ms ?? 0), gone, isOver: isDrained });
    if (ids === undefined) {
      if (isDrained()) return outcomeAnswer('drained', {});
      const incomplete = [...partition.rows.keys()].filter((id) => !isReady(id)).length;
      return outcomeAnswer('timed_out', { ready: ready().length, leased: leased().size, incomplete });
    }
    const token = `c-${this.claims.size + 1}`;
    const state = json.auto_ack === true ? 'acked' : 'held';
    if (state === 'acked') for (const id of ids) consumed.add(id);
    this.claims.set(token, { partition, task, ids, state, renewals: 0 });
    const counts = partition.attempts.get(task) ?? new Map<number, number>();
    partition.attempts.set(task, counts);
    for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
    const attempts = new Column({
      layout: { layout: 'scalar', dtype: 'int32' },
      rows: ids.length,
      values: Int32Array.from(ids, (id) => counts.get(id) ?? 0),
    });
    const leaseMs = String((json.lease_ms as number | undefined) ?? 30_000);
    return this.#rows(partition, ids, fields, { 'tq-claim': token, 'tq-lease-ms': leaseMs }, attempts);
  }

  #endClaim(route: 'ack' | 'release' | 'renew', token: string): FakeAnswer {
    const claim = this.claims.get(token);
    if (claim === undefined) throw new Refusal('claim_unknown');
    if (claim.state === 'stale' || (claim.state === 'released' && route !== 'release'))
      throw new Refusal('claim_stale');
    if (route === 'renew') {
      claim.renewals++;
      return jsonAnswer({ lease_ms: 1 });
    }
    if (route === 'ack') for (const id of claim.ids) claim.partition.consumed.get(claim.task)?.add(id);
    claim.state = route === 'ack' ? 'acked' : 'released';
    this.#changes.emit('change');
    return jsonAnswer({ lsn: ++this.#lsn });
  }

  /** The lease of a claim runs out and its rows go to another consumer. */
  makeStale(token: string): void {
    const claim = this.claims.get(token);
    if (claim !== undefined) claim.state = 'stale';
    this.#changes.emit('change');
  }

  async #waitFor<T>(
    probe: () => T | undefined,
    { waitMs, gone, isOver }: { waitMs: number; gone: Promise<unknown>; isOver: () => boolean },
  ): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<'over'>((resolve) => {
      timer = setTimeout(() => resolve('over'), waitMs);
    });
    try {
      for (;;) {
        const found = probe();
        if (found !== undefined || waitMs === 0 || isOver()) return found;
        const change = once(this.#changes, 'change');
        if ((await Promise.race([change, timedOut, gone.then(() => 'over')])) === 'over') return probe();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #rows(
    partition: FakePartition,
    ids: number[],
    fields: string[],
    headers: Record<string, string>,
    attempts?: Column,
  ): FakeAnswer {
    if (ids.length > (this.limits.answer_rows_max ?? Infinity))
      throw new Refusal('answer_too_large', { rows: ids.length });
    if (ids.length > (this.limits.read_rows_max ?? Infinity)) throw new Refusal('too_many_rows');
    const columns = new Map<string, Column>(attempts === undefined ? [] : [['tq_attempt', attempts]]);
    let lsn = 0;
    for (const field of fields) {
      const cells = ids.map((id) => partition.rows.get(id)!.get(field)!);
      columns.set(
        field,
        joinColumns(
          cells.map((cell) => cell.column),
          partition.fields[field],
        ),
      );
      for (const cell of cells) lsn = Math.max(lsn, cell.lsn);
    }
    const all = { 'tq-outcome': 'rows', 'tq-rows': String(ids.length), 'tq-lsn': String(lsn), ...headers };
    const body = new Uint8Array(Buffer.concat(encodeRows({ ids, columns })));
    return { status: 200, headers: { 'content-type': 'application/vnd.apache.arrow.stream', ...all }, body };
  }

  #partition(name: string, lsn?: unknown): FakePartition {
    const past = lsn === undefined ? undefined : this.snapshots.at(name, Number(lsn));
    if (lsn !== undefined && past === undefined) throw new Refusal('lsn_unknown', { lsn });
    const partition = past ?? this.partitions.get(name);
    if (partition === undefined) throw new Refusal('partition_unknown', { partition: name });
    return partition;
  }

  #stats(partition: FakePartition): object {
    const { name, fields, groupSize, ack, open, sealed, rows, consumed } = partition;
    const cells = [...rows.values()];
    const fieldRows = Object.keys(fields).map((field) => [field, cells.filter((row) => row.has(field)).length]);
    const tasks = [...consumed].map(([task, ids]) => {
      const held = [...this.claims.values()].filter((c) => c.task === task && c.state === 'held');
      return [task, { leased: held.flatMap((c) => c.ids).length, consumed: ids.size, claims: held.length }];
    });
    const common = {
      name,
      fields,
      group_size: groupSize,
      ack,
      open,
      sealed,
      rows: rows.size,
      bytes: 0,
      lsn: this.#lsn,
    };
    return {
      ...common,
      field_rows: Object.fromEntries(fieldRows) as object,
      tasks: Object.fromEntries(tasks) as object,
    };
  }
}

export function jsonAnswer(json: object, status = 200, headers: Record<string, string> = {}): FakeAnswer {
  const body = new TextEncoder().encode(JSON.stringify(json));
  return { status, headers: { 'content-type': 'application/json', ...headers }, body };
}

function orGone(json: object | undefined): FakeAnswer {
  if (json === undefined) throw new Refusal('lsn_unknown');
  return jsonAnswer(json);
}

function outcomeAnswer(outcome: string, counts: object): FakeAnswer {
  return jsonAnswer({ outcome, ...counts }, 200, { 'tq-outcome': outcome });
}

export function refusal(code: ErrorCode, details: object = {}): FakeAnswer {
  const { kind, status, message } = errors[code];
  return jsonAnswer({ code, kind, message, details }, status);
}

function snake(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
