/**
 * Holds what a started node shows against what its clients were told before the crash. Shares no code with the server.
 *
 *   lost         an acknowledged put, delete, declaration or seal that did not stay; a row that a drain never grants;
 *                a row that is granted again after its ack
 *   duplicate    a row granted while an acknowledged lease on it lives; a retry that acted twice
 *   unexpected   what nobody put there: bytes, rows, partitions; a put of which only a part is there
 *   recovered    unacknowledged puts that are there, whole: allowed, counted
 */
import { cellOf, inOrder, isBefore, isPossible, isRequired, removes, wasOver } from './history.ts';
import type { Crash, History, Note } from './history.ts';

export type FindingKind = 'lost' | 'duplicate' | 'unexpected';

export interface Finding {
  readonly kind: FindingKind;
  readonly what: string;
}

/** Rows that a claim granted, and the values of the field that it asked for. */
export interface Granted {
  readonly ids: readonly number[];
  readonly values: readonly string[];
}

export interface SeenPartition {
  readonly sealed: boolean;
  /** What a claim got right after the start, while the leases of before lived. */
  readonly first: Granted;
  /** What claims got by the time that all leases had ended, the first one included; null when that was not tried. */
  readonly drained: ReadonlySet<number> | null;
}

/** What a started node shows. */
export interface Observation {
  readonly partitions: ReadonlyMap<string, SeenPartition>;
  readonly cells: ReadonlyMap<string, string>;
  /** LSNs that retries of acknowledged puts were answered with. */
  readonly retried: ReadonlyMap<Note, number>;
}

export interface Judgement {
  readonly findings: readonly Finding[];
  /** Puts without an answer that are there. */
  readonly recovered: number;
}

/** The field that claims ask for. */
export const CLAIMED_FIELD = 'a';

export function judge(history: History, crash: Crash, seen: Observation): Judgement {
  const findings: Finding[] = [];
  const possible = history.notes.filter((note) => isPossible(note, crash));
  const required = new Set(possible.filter((note) => isRequired(history, note, crash)));
  const scene: Scene = { crash, seen, possible, required, report: (kind, what) => findings.push({ kind, what }) };
  judgePartitions(scene);
  judgeCells(scene);
  judgeWhole(scene);
  for (const [partition, shown] of seen.partitions) judgeClaims(scene, partition, shown);
  for (const [note, lsn] of seen.retried) {
    if (required.has(note) && lsn !== note.lsn)
      scene.report('duplicate', `the retry of put ${note.lsn} was answered as ${lsn}`);
  }
  const recovered = possible.filter((note) => note.kind === 'put' && note.ended > crash.at && shows(seen, note));
  return { findings, recovered: recovered.length };
}

interface Scene {
  readonly crash: Crash;
  readonly seen: Observation;
  readonly possible: readonly Note[];
  readonly required: ReadonlySet<Note>;
  report(kind: FindingKind, what: string): void;
}

function judgePartitions({ seen, possible, required, report }: Scene): void {
  const names = possible.filter(({ kind }) => kind === 'declare' || kind === 'drop');
  for (const note of names) {
    if (!required.has(note) || names.some((one) => isAfter(one, note))) continue;
    const isThere = seen.partitions.has(note.partition);
    if (note.kind === 'declare' && !isThere) report('lost', `partition ${note.partition}`);
    if (note.kind === 'drop' && isThere) report('lost', `the drop of partition ${note.partition}`);
  }
  for (const [partition, { sealed }] of seen.partitions) {
    if (!names.some((one) => one.partition === partition)) report('unexpected', `partition ${partition}`);
    const seals = possible.filter((one) => one.kind === 'seal' && one.partition === partition);
    const stays = seals.some((one) => required.has(one) && !mayBeDropped(possible, one));
    if (stays && !sealed) report('lost', `the seal of ${partition}`);
    if (seals.length === 0 && sealed) report('unexpected', `a seal of ${partition}`);
  }
}

/** In the same partition, and not certainly before the other. */
function isAfter(one: Note, note: Note): boolean {
  return one !== note && one.partition === note.partition && !isBefore(one, note);
}

function mayBeDropped(possible: readonly Note[], note: Note): boolean {
  return possible.some((one) => one.kind === 'drop' && one.partition === note.partition && !wasOver(one, note));
}

/** A cell shows what the last required note made of it, or a later one. */
function judgeCells({ seen, possible, required, report }: Scene): void {
  const known = cellsOf(possible);
  for (const [cell, notes] of known) {
    const ordered = inOrder(notes);
    const last = ordered.findLastIndex((note) => required.has(note));
    const allowed = ordered.slice(Math.max(0, last)).map((note) => note.cells.get(cell) ?? null);
    if (last === -1) allowed.push(null);
    const value = seen.cells.get(cell) ?? null;
    if (allowed.includes(value)) continue;
    const what = `cell ${cell} shows ${brief(value)}, possible: ${allowed.map(brief).join(', ')}`;
    report(value === null || notes.some((note) => note.cells.get(cell) === value) ? 'lost' : 'unexpected', what);
  }
  for (const [cell, value] of seen.cells) {
    if (!known.has(cell)) report('unexpected', `cell ${cell} shows ${brief(value)}, never put`);
  }
}

/** All notes that make or take a cell, by cell. */
function cellsOf(possible: readonly Note[]): Map<string, Note[]> {
  const cells = new Map<string, Note[]>();
  for (const note of possible) {
    for (const cell of note.cells.keys()) {
      const notes = cells.get(cell);
      if (notes === undefined) cells.set(cell, [note]);
      else notes.push(note);
    }
  }
  return cells;
}

/** A put is there as a whole: where one of its cells does not show it, a later note does. */
function judgeWhole({ seen, possible, report }: Scene): void {
  const makers = new Map<string, Note>();
  for (const note of possible) {
    for (const [cell, value] of note.cells) if (value !== null) makers.set(`${cell} ${value}`, note);
  }
  for (const note of possible) {
    if (note.kind !== 'put' || !shows(seen, note)) continue;
    for (const cell of note.cells.keys()) {
      const value = seen.cells.get(cell);
      const maker = value === undefined ? undefined : makers.get(`${cell} ${value}`);
      const isLater = maker === undefined ? mayBeTaken(possible, note, cell) : maker === note || isAfter(maker, note);
      if (!isLater) report('unexpected', `put ${note.lsn} is there without its cell ${cell}`);
    }
  }
}

function mayBeTaken(possible: readonly Note[], note: Note, cell: string): boolean {
  return possible.some((one) => one.cells.get(cell) === null && isAfter(one, note));
}

function shows(seen: Observation, note: Note): boolean {
  for (const [cell, value] of note.cells) if (value !== null && seen.cells.get(cell) === value) return true;
  return false;
}

function judgeClaims(scene: Scene, partition: string, shown: SeenPartition): void {
  const { crash, seen, possible, required, report } = scene;
  for (const [place, id] of shown.first.ids.entries()) {
    const cell = cellOf(partition, id, CLAIMED_FIELD);
    if (seen.cells.get(cell) === shown.first.values[place]) continue;
    report('unexpected', `a claim shows ${brief(shown.first.values[place])} in ${cell}`);
  }
  const isStill = (note: Note, id: number): boolean =>
    !possible.some((one) => removes(one, partition, id) && !wasOver(one, note));
  // A row that was taken away since it was granted, or whose put was not safe, is another one when it is put again.
  const isSameRow = (grant: Note, id: number): boolean =>
    isStill(grant, id) &&
    [...required].some(
      (one) =>
        typeof one.cells.get(cellOf(partition, id, CLAIMED_FIELD)) === 'string' &&
        isBefore(one, grant) &&
        isStill(one, id),
    );
  const own = possible.filter((note) => note.partition === partition);
  const acks = own.filter((note) => isAck(note));
  for (const ack of acks) {
    if (!required.has(ack) && !(ack.kind === 'put' && shows(seen, ack))) continue;
    for (const id of ackedBy(ack)) {
      const isGranted = shown.drained?.has(id) ?? shown.first.ids.includes(id);
      if (isGranted && isSameRow(ack.claim ?? ack, id))
        report('lost', `row ${id} of ${partition} is granted again after its ack`);
    }
  }
  for (const claim of own) {
    if (claim.kind !== 'claim' || !required.has(claim) || hasEnded(possible, claim, crash)) continue;
    for (const id of claim.ids) {
      if (shown.first.ids.includes(id) && isSameRow(claim, id))
        report('duplicate', `row ${id} of ${partition} is granted while it is leased`);
    }
  }
  if (shown.drained === null) return;
  const acked = new Set(acks.flatMap((note) => ackedBy(note)));
  for (const cell of seen.cells.keys()) {
    const [of, id, field] = cell.split('/');
    if (of !== partition || field !== CLAIMED_FIELD || acked.has(Number(id)) || shown.drained.has(Number(id))) continue;
    report('lost', `row ${id} of ${partition} is never granted`);
  }
}

function isAck(note: Note): boolean {
  return note.kind === 'ack' || (note.kind === 'put' && note.claim !== null) || (note.kind === 'claim' && note.autoAck);
}

function ackedBy(note: Note): readonly number[] {
  return note.claim === null ? note.ids : note.claim.ids;
}

function hasEnded(possible: readonly Note[], claim: Note, { at }: Crash): boolean {
  return claim.expired <= at || possible.some((one) => one.claim === claim);
}

function brief(value: string | null): string {
  return value === null ? 'nothing' : `${value.slice(0, 30)} (${value.length})`;
}
