/**
 * What the clients of a simulated node asked for, and what they were told: all that the judge knows.
 *
 * Times are op indexes: how many changes the disk had seen. A note that began at or before a crash may have happened;
 * one that also ended before it, with an answer, must have, if its level promises that. A run of the node is a
 * **life**; the notes of a life before the present one keep what had to be there when it ended.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';

export type Outcome = 'unknown' | 'ok' | 'refused';

export interface Note {
  /** `seen`: cells as a start found them; they stay so. */
  readonly kind: 'declare' | 'drop' | 'put' | 'delete' | 'seal' | 'claim' | 'ack' | 'release' | 'seen';
  readonly partition: string;
  readonly level: AckLevel;
  readonly life: number;
  readonly begun: number;
  /** When the answer came; Infinity without one. */
  ended: number;
  /** The same two, as they were in its own life: they order its notes. */
  readonly sent: number;
  answered: number;
  outcome: Outcome;
  /** The event's LSN, or a bound above it; Infinity while nobody knows it. */
  lsn: number;
  /** The same, or a bound below it. */
  lsnMin: number;
  /** What it makes of cells; null takes one away. */
  readonly cells: ReadonlyMap<string, string | null>;
  /** Rows that a delete, claim, ack or release concerns. */
  ids: readonly number[];
  readonly requestId: string;
  /** The claim that an ack, a release or a put with an ack ends. */
  readonly claim: Note | null;
  /** Of a claim: acked by the grant itself. */
  readonly autoAck: boolean;
  token: string;
  /** Of a claim: op index from which its lease may have ended. */
  expired: number;
  deadlineMs: number;
  /** Of an earlier life: what had to survive its end. */
  survives: { readonly kill: boolean; readonly power: boolean } | null;
}

export function newNote(given: Pick<Note, 'kind' | 'partition' | 'level' | 'life' | 'begun'> & Partial<Note>): Note {
  return {
    sent: given.begun,
    ended: Infinity,
    answered: Infinity,
    outcome: 'unknown',
    lsn: Infinity,
    lsnMin: Infinity,
    cells: new Map(),
    ids: [],
    requestId: '',
    claim: null,
    autoAck: false,
    token: '',
    expired: Infinity,
    deadlineMs: Infinity,
    survives: null,
    ...given,
  };
}

/** A run of a node as its disk and its clients saw it. */
export interface History {
  readonly life: number;
  readonly notes: readonly Note[];
  /** Op index at which the node was open. */
  readonly openedAt: number;
  /** By op index, rising: the LSN up to which the node said that everything is durable. */
  readonly durable: readonly { readonly at: number; readonly lsn: number }[];
}

/** The moment of a crash, as the judge sees it. */
export interface Crash {
  readonly kind: 'kill' | 'power';
  readonly at: number;
}

/** Whether it may be there after the crash. Level `memory` never is. */
export function isPossible(note: Note, { at }: Crash): boolean {
  return note.begun <= at && note.outcome !== 'refused' && note.level !== 'memory';
}

/** Whether it must have happened: its client was told so, and its level survives such a crash. */
export function isRequired(history: History, note: Note, crash: Crash): boolean {
  if (note.survives !== null) return crash.at >= history.openedAt ? note.survives.kill : note.survives[crash.kind];
  if (note.begun > crash.at || note.ended > crash.at || note.outcome !== 'ok') return false;
  return crash.kind === 'kill' || note.level === 'disk' || note.lsn <= durableLsn(history, crash.at);
}

function durableLsn({ durable }: History, at: number): number {
  return durable.findLast((one) => one.at <= at)?.lsn ?? 0;
}

/** Notes by the order in which the node took them; those whose place nobody knows come last. */
export function inOrder(notes: readonly Note[]): Note[] {
  return [...notes].sort((a, b) => (isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0));
}

/** For sure, as far as they have places. */
export function isBefore(a: Note, b: Note): boolean {
  return a.life === b.life ? a.lsn < b.lsnMin : a.life < b.life;
}

/** Whether the first had ended when the second began. */
export function wasOver(first: Note, second: Note): boolean {
  return first.life === second.life ? first.answered <= second.sent : first.life < second.life;
}

export function cellOf(partition: string, id: number, field: string): string {
  return `${partition}/${id}/${field}`;
}

/** Whether a note takes the row away, or may have. */
export function removes(note: Note, partition: string, id: number): boolean {
  if (note.partition !== partition) return false;
  return note.kind === 'drop' || (note.kind === 'delete' && note.ids.includes(id));
}

/** The notes as the life after the crash begins with them. */
export function carried(history: History, crash: Crash): Note[] {
  const made = new Map<Note, Note>();
  for (const note of history.notes) {
    if (!isPossible(note, crash)) continue;
    const power = isRequired(history, note, { ...crash, kind: 'power' });
    const kill = crash.kind === 'kill' ? isRequired(history, note, crash) : power;
    const isOver = note.ended <= crash.at;
    made.set(note, {
      ...note,
      begun: 0,
      ended: isOver ? 0 : Infinity,
      outcome: isOver ? note.outcome : 'unknown',
      claim: note.claim === null ? null : made.get(note.claim)!,
      expired: note.expired <= crash.at ? 0 : Infinity,
      survives: { kill, power },
    });
  }
  return [...made.values()];
}
