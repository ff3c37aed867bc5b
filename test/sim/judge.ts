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
  const known = knownOf(history, crash);
  const { possible, required } = known;
  const scene: Scene = { ...known, crash, seen, report: (kind, what) => findings.push({ kind, what }) };
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

/** What the notes say of a crash, whatever a start from it shows. */
interface Known {
  readonly possible: readonly Note[];
  readonly required: ReadonlySet<Note>;
  /** By cell, in order: all notes that make or take it. */
  readonly cells: ReadonlyMap<string, readonly Note[]>;
  /** The last note that makes a cell so, by cell and value. */
  readonly makers: ReadonlyMap<string, ReadonlyMap<string, Note>>;
}

interface Scene extends Known {
  readonly crash: Crash;
  readonly seen: Observation;
  report(kind: FindingKind, what: string): void;
}

/** Of each history that is over, for its last moment: dozens of images of it are judged one after the other. */
const lastKnown = new WeakMap<History, { readonly crash: Crash; readonly known: Known }[]>();

function knownOf(history: History, crash: Crash): Known {
  const kept = (lastKnown.get(history) ?? []).filter((one) => one.crash.at === crash.at);
  let last = kept.find((one) => one.crash.kind === crash.kind);
  if (last === undefined) kept.push((last = { crash, known: knownAnew(history, crash) }));
  lastKnown.set(history, kept);
  return last.known;
}

function knownAnew(history: History, crash: Crash): Known {
  const possible = history.notes.filter((note) => isPossible(note, crash));
  const required = new Set(possible.filter((note) => isRequired(history, note, crash)));
  const cells = new Map<string, Note[]>();
  const makers = new Map<string, Map<string, Note>>();
  for (const note of possible) {
    for (const [cell, value] of note.cells) {
      entry(cells, cell, () => []).push(note);
      if (value !== null) entry(makers, cell, () => new Map<string, Note>()).set(value, note);
    }
  }
  for (const [cell, notes] of cells) cells.set(cell, inOrder(notes));
  return { possible, required, cells, makers };
}

function entry<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
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
function judgeCells({ seen, cells, required, report }: Scene): void {
  for (const [cell, ordered] of cells) {
    const last = ordered.findLastIndex((note) => required.has(note));
    const allowed = ordered.slice(Math.max(0, last)).map((note) => note.cells.get(cell) ?? null);
    if (last === -1) allowed.push(null);
    const value = seen.cells.get(cell) ?? null;
    if (allowed.includes(value)) continue;
    const what = `cell ${cell} shows ${brief(value)}, possible: ${allowed.map(brief).join(', ')}`;
    report(value === null || ordered.some((note) => note.cells.get(cell) === value) ? 'lost' : 'unexpected', what);
  }
  for (const [cell, value] of seen.cells) {
    if (!cells.has(cell)) report('unexpected', `cell ${cell} shows ${brief(value)}, never put`);
  }
}

/** A put is there as a whole: where one of its cells does not show it, a later note does. */
function judgeWhole({ seen, possible, makers, report }: Scene): void {
  for (const note of possible) {
    if (note.kind !== 'put' || !shows(seen, note)) continue;
    for (const cell of note.cells.keys()) {
      const value = seen.cells.get(cell);
      const maker = value === undefined ? undefined : makers.get(cell)?.get(value);
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
