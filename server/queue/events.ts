/**
 * What the queue is told and what it answers: commands, decisions about them, and the journal's events of claims.
 *
 *   command --decide(queue, command, now)--> decision        reads only; the engine answers a refusal or a wait at once
 *   decision.grant / .event --journal--> event               the engine gives it an LSN
 *   event   --apply(queue, event, now)--> new state          the only writes; live and in replay alike
 *
 * Invariants: an event holds all that replay needs, and no clock reading: deadlines are made anew after a restart.
 */
import type { ErrorCode, Sampler } from '@transfer-queue/core/protocol';

export type { AckEvent, ClaimEvent, ReleaseEvent } from '../journal/events.ts';

/** A put, as far as the queue is concerned: these rows now have these fields. */
export interface Insert {
  readonly ids: Float64Array;
  readonly fields: readonly number[];
}

export interface ClaimCommand {
  readonly task: string;
  readonly fields: readonly number[];
  readonly rowsMax: number;
  /** Fewer ready rows than this are a wait, except for the last rows of a sealed partition. */
  readonly rowsMin: number;
  readonly sampler: Sampler;
  readonly leaseMs: number;
  readonly autoAck: boolean;
  readonly requestId: string;
}

/** Where the rows stand that a task has not consumed; incomplete = rows - consumed - leased - ready. */
export interface Counts {
  readonly ready: number;
  readonly leased: number;
  readonly incomplete: number;
}

/** Why a command can not be carried out: a code of the catalogue. */
export interface Refusal {
  readonly kind: 'refuse';
  readonly code: ErrorCode;
}

export type ClaimDecision =
  | { readonly kind: 'grant'; readonly ids: Float64Array; readonly attempts: Uint16Array }
  | { readonly kind: 'wait'; readonly counts: Counts }
  | { readonly kind: 'drained' }
  | Refusal;

/** `already`: the same end came before, so the answer is yes and nothing is journaled. */
export type EndDecision<Event> =
  { readonly kind: 'event'; readonly event: Event } | { readonly kind: 'already' } | Refusal;

export type RenewDecision = { readonly kind: 'renewed'; readonly leaseMs: number } | Refusal;
