/**
 * What claims draw once more, as plain objects without any thought of speed. It is written from the rules at the top of
 * server/queue/draw/claim.ts and its neighbours, and shares no code with them.
 */
import type { ClaimCommand } from '../../../server/queue/machine.ts';
import { chanceOf } from '../../vectors/random.ts';

export interface Tagged {
  readonly ok?: boolean | null;
  readonly length?: number | null;
  readonly priority?: number | null;
  readonly version?: number | null;
  readonly of?: number | null;
}

interface Row {
  readonly id: number;
  readonly fields: Set<number>;
  tags: Tagged;
  state: 'unclaimed' | 'leased' | 'consumed';
  returns: number;
}

export type Drawn =
  | { kind: 'grant'; ids: number[]; attempts: number[]; isPartial: boolean }
  | { kind: 'skip'; ids: number[] }
  | { kind: 'wait' | 'drained' }
  | { kind: 'refuse'; code: string };

export class DrawModel {
  readonly groupSize: number;
  readonly claims = new Map<number, Row[]>();
  /** How many filters claims can use: others keep the rest. */
  readonly filtersMax: number;
  version = 0;
  sealed = false;
  /** In the order of their arrival. */
  #groups: { readonly group: number; readonly rows: Map<number, Row> }[] = [];

  constructor(groupSize: number, filtersMax: number) {
    this.groupSize = groupSize;
    this.filtersMax = filtersMax;
  }

  /** In slot order. */
  rows(): Row[] {
    return this.#groups.flatMap(({ rows }) => [...rows.values()].sort((a, b) => a.id - b.id));
  }

  put(ids: readonly number[], fields: readonly number[]): void {
    for (const id of ids) {
      const group = Math.floor(id / this.groupSize);
      let entry = this.#groups.find((each) => each.group === group);
      if (entry === undefined) this.#groups.push((entry = { group, rows: new Map() }));
      const row: Row = entry.rows.get(id) ?? { id, fields: new Set(), tags: {}, state: 'unclaimed', returns: 0 };
      entry.rows.set(id, row);
      for (const field of fields) row.fields.add(field);
    }
  }

  tag(ids: readonly number[], tags: Tagged): void {
    for (const row of this.#those(ids)) row.tags = { ...row.tags, ...tags };
  }

  claim(claim: number, ids: readonly number[]): void {
    const rows = this.#those(ids);
    for (const row of rows) row.state = 'leased';
    this.claims.set(claim, rows);
  }

  end(claim: number, how: 'ack' | 'release'): void {
    for (const row of this.claims.get(claim)!) {
      row.state = how === 'ack' ? 'consumed' : 'unclaimed';
      if (how === 'release') row.returns += 1;
    }
    this.claims.delete(claim);
  }

  skip(ids: readonly number[]): void {
    for (const row of this.#those(ids)) row.state = 'consumed';
  }

  /** A group without rows is forgotten: coming again it is a new one. */
  remove(ids: readonly number[]): void {
    for (const { rows } of this.#groups) for (const id of ids) rows.delete(id);
    this.#groups = this.#groups.filter(({ rows }) => rows.size > 0);
  }

  expectClaim(command: ClaimCommand): Drawn {
    const { sampler, window, rowsMax, rowsMin, tokens } = command;
    const unit = sampler === 'group' ? this.groupSize : 1;
    if (rowsMax < unit) return { kind: 'refuse', code: 'group_too_large' };
    const filters = (command.where === undefined ? 0 : 1) + (window === undefined ? 0 : 1);
    if (filters > this.filtersMax) return { kind: 'refuse', code: 'too_many_filters' };
    const ready = this.rows().filter((row) => this.#isReady(row, command));
    const oldest = Math.max(window?.minVersion ?? -Infinity, this.version - (window?.maxStaleness ?? Infinity));
    const isStale = ({ tags: { version } }: Row): boolean => typeof version === 'number' && version < oldest;
    const stale = inOrder(ready, command.ids).filter(isStale);
    if (window?.onStale === 'skip' && stale.length > 0) return { kind: 'skip', ids: idsOf(stale) };
    const fresh = window === undefined ? ready : ready.filter(({ tags }) => (tags.version ?? -Infinity) >= oldest);
    const { units, late } = this.#units(fresh, command);
    if (late.length > 0) return { kind: 'skip', ids: idsOf(late) };
    let taken = units.slice(0, Math.floor(rowsMax / unit));
    let isFull = false;
    if (tokens !== undefined) {
      const cut = fitting(taken, tokens.max);
      if (cut === 0 && taken.length > 0) return { kind: 'refuse', code: 'row_over_budget' };
      const sum = taken.slice(0, cut).reduce((total, each) => total + sumOf(each), 0);
      isFull = cut < taken.length || cut * unit >= rowsMax || sum >= tokens.max;
      taken = taken.slice(0, cut);
    }
    const rows = taken.flat();
    const isPartial = taken.length < Math.max(1, Math.floor(rowsMin / unit)) && !isFull;
    const open = this.rows().filter(({ state }) => state !== 'consumed');
    if (isPartial && !(rows.length > 0 && (command.eager === true || (this.sealed && rows.length === open.length)))) {
      if (this.sealed && open.length === 0) return { kind: 'drained' };
      const never = this.sealed && command.group?.survivorsMin !== undefined ? this.#neverReady(command) : [];
      return never.length > 0 ? { kind: 'skip', ids: idsOf(never) } : { kind: 'wait' };
    }
    return { kind: 'grant', ids: idsOf(rows), attempts: rows.map(({ returns }) => returns + 1), isPartial };
  }

  #isReady({ state, fields, tags, id }: Row, command: ClaimCommand): boolean {
    if (command.ids?.includes(id) === false) return false;
    if (command.where !== undefined && tags.ok !== true) return false;
    return state === 'unclaimed' && command.fields.every((field) => fields.has(field));
  }

  #units(rows: readonly Row[], command: ClaimCommand): { units: Row[][]; late: Row[] } {
    const { sampler, group, rowsMax, ids, seed = 0 } = command;
    if (ids !== undefined) return { units: inOrder(rows, ids).map((row) => [row]), late: [] };
    const byKey = (keyOf: (row: Row) => number): { units: Row[][]; late: Row[] } => {
      const order = rows.toSorted((a, b) => (keyOf(a) === keyOf(b) ? 0 : keyOf(b) - keyOf(a)));
      return { units: order.map((row) => [row]), late: [] };
    };
    const priority = ({ tags }: Row): number => tags.priority ?? 0;
    const keyOf = (row: Row): number => Math.log(chanceOf(seed, row.id)) / priority(row);
    if (sampler === 'priority') return byKey(priority);
    if (sampler === 'weighted') return byKey((row) => (priority(row) > 0 ? keyOf(row) : -Infinity));
    if (sampler !== 'group') return { units: rows.map((row) => [row]), late: [] };
    return group?.by === undefined
      ? this.#runs(rows, group?.survivorsMin, rowsMax)
      : this.#byNumber(rows, group.survivorsMin, rowsMax);
  }

  #runs(rows: readonly Row[], survivorsMin: number | undefined, rowsMax: number): { units: Row[][]; late: Row[] } {
    const units: Row[][] = [];
    const late: Row[] = [];
    for (const { group, rows: all } of this.#groups) {
      if (survivorsMin !== undefined && units.length === Math.floor(rowsMax / this.groupSize)) break;
      const ready = rows.filter(({ id }) => Math.floor(id / this.groupSize) === group);
      if (ready.length === this.groupSize) units.push(ready);
      else if (survivorsMin !== undefined && ready.length > 0) {
        const states = [...all.values()].map(({ state }) => state);
        if (states.includes('consumed')) late.push(...ready);
        else if (!states.includes('leased') && ready.length >= survivorsMin) units.push(ready);
      }
    }
    return { units, late };
  }

  #byNumber(rows: readonly Row[], survivorsMin: number | undefined, rowsMax: number): { units: Row[][]; late: Row[] } {
    const units: Row[][] = [];
    const late: Row[] = [];
    const open = new Map<number, Row[]>();
    for (const row of rows) {
      const { of } = row.tags;
      if (typeof of !== 'number') continue;
      const siblings = [...(open.get(of) ?? []), row];
      if (siblings.length < this.groupSize) open.set(of, siblings);
      else {
        open.delete(of);
        units.push(siblings);
        if (units.length === Math.floor(rowsMax / this.groupSize)) break;
      }
    }
    if (survivorsMin === undefined) return { units, late };
    for (const of of open.keys()) {
      const ready = rows.filter(({ tags }) => tags.of === of);
      const states = this.rows().flatMap(({ tags, state }) => (tags.of === of ? state : []));
      if (ready.length >= this.groupSize) continue;
      if (states.includes('consumed')) late.push(...ready);
      else if (!states.includes('leased') && ready.length >= survivorsMin) units.push(ready);
    }
    const slots = this.rows();
    const lastOf = (unit: readonly Row[]): number => slots.indexOf(unit.at(-1)!);
    return { units: units.sort((one, other) => lastOf(one) - lastOf(other)), late };
  }

  /** Rows of groups of which others were consumed. */
  #neverReady({ group }: ClaimCommand): Row[] {
    const groupOf = ({ id, tags }: Row): number | null | undefined =>
      group?.by === undefined ? Math.floor(id / this.groupSize) : tags.of;
    const all = this.rows();
    const free = all.filter(({ state }) => state === 'unclaimed');
    const begun = new Set(all.filter(({ state }) => state === 'consumed').map(groupOf));
    const groups = [...new Set(free.map(groupOf))].filter((each) => typeof each === 'number' && begun.has(each));
    return groups.flatMap((each) => {
      const rows = free.filter((row) => groupOf(row) === each);
      return rows.length < this.groupSize ? rows : [];
    });
  }

  #those(ids: readonly number[]): Row[] {
    return this.rows().filter(({ id }) => ids.includes(id));
  }
}

function idsOf(rows: readonly Row[]): number[] {
  return rows.map(({ id }) => id);
}

function sumOf(unit: readonly Row[]): number {
  return unit.reduce((sum, { tags }) => sum + (tags.length ?? NaN), 0);
}

/** As the ids that were asked for say it. */
function inOrder(rows: readonly Row[], ids: Float64Array | undefined): Row[] {
  return ids === undefined ? [...rows] : Array.from(ids).flatMap((id) => rows.filter((row) => row.id === id));
}

/** How many units, from the first on, have so many tokens together. */
function fitting(units: readonly Row[][], tokensMax: number): number {
  let tokens = 0;
  for (const [count, unit] of units.entries()) {
    tokens += sumOf(unit);
    if (!(tokens <= tokensMax)) return count;
  }
  return units.length;
}
