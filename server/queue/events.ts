/**
 * What the queue is told and what it answers: commands, decisions about them, and the journal's events of claims.
 *
 *   command --decide(queue, command, now)--> decision        reads only; the engine answers a refusal or a wait at once
 *   decision.grant / .event --journal--> event               the engine gives it an LSN
 *   event   --apply(queue, event, now)--> new state          the only writes; live and in replay alike
 *
 * Invariants: an event holds all that replay needs, and no clock reading: deadlines are made anew after a restart.
 */
import type { ErrorCode, StaleRule } from '@transfer-queue/core/protocol';
import type { BatchEvent, BatchPart } from '../journal/events.ts';
import type { Tags } from '../sampler/merge_tags.ts';
import type { VersionWindow } from '../sampler/window.ts';

export type { AckEvent, ClaimEvent, ReleaseEvent, RequeueEvent, ResetEvent, SkipEvent } from '../journal/events.ts';

/** A put, as far as the queue is concerned: these rows now have these fields. */
export interface Insert {
  readonly ids: Float64Array;
  readonly fields: readonly number[];
  /** None of the rows is there, and each comes once. Default: nobody knows. */
  readonly areNew?: boolean;
}

/** Which rows a claim asks for, and how many. */
export interface ClaimCommand {
  readonly task: string;
  readonly fields: readonly number[];
  readonly rowsMax: number;
  /** Fewer ready rows than this are a wait, except for the last rows of a sealed partition. */
  readonly rowsMin: number;
  /** Fewer will do by now: whatever there is. */
  readonly eager?: boolean;
  /** One of ours, or the name of a module's, which `choose` then is. */
  readonly sampler: string;
  readonly choose?: Choose;
  /** The number that the sampler goes by. */
  readonly by?: string;
  /** What chance goes by. */
  readonly seed?: number;
  /** A filter that the rows must pass, in its canonical text. */
  readonly where?: string;
  readonly tokens?: TokenBudget;
  readonly window?: WindowRule;
  readonly group?: GroupRule;
  /** Exactly these rows, instead of a sampler. */
  readonly ids?: Float64Array;
  readonly batch?: BatchAsk;
  readonly leaseMs: number;
  readonly autoAck: boolean;
  readonly requestId: string;
}

/** As many rows as have so many tokens, by their number `by`. */
export interface TokenBudget {
  readonly max: number;
  readonly by: string;
}

/** Rows that are fresh enough, by their number `by`. */
export interface WindowRule extends VersionWindow {
  readonly by: string;
  readonly onStale: StaleRule;
}

export interface GroupRule {
  /** The number that rows of one group share; undefined: the ids say it. */
  readonly by?: string;
  /** So many ready rows are a whole group once it did not change for `waitMs`. */
  readonly survivorsMin?: number;
  readonly waitMs: number;
}

/** One part of a batch that several askers share: the rows are drawn for all parts at once. */
export interface BatchAsk extends BatchPart {
  /** The number by which the parts are balanced; undefined: they have as many rows each. */
  readonly balanceBy?: string;
}

/** What a sampler module is given: ready rows in slot order, the oldest, a bounded number of them. */
export interface Candidates {
  readonly ids: Float64Array;
  /** Of each row, the one that this claim would be. */
  readonly attempts: Uint16Array;
  readonly rowsMax: number;
  readonly seed: number;
  /** The number `by` of the claim; undefined when it names none. */
  readonly by: string | undefined;
  /** A declared number of each row, NaN where it has none. */
  numbers(name: string): Float64Array;
  /** The tags of one row, with its numbers among them. */
  tags(place: number): Tags;
}

/** Places of the rows to take, in their order; undefined when the module failed. */
export type Choose = (candidates: Candidates) => ArrayLike<number> | undefined;

/**
 * Where the rows stand that a task has not consumed, dead letters apart:
 * incomplete = rows - consumed - leased - ready - dead - stale - filtered.
 */
export interface Counts {
  readonly ready: number;
  readonly leased: number;
  readonly incomplete: number;
  /** Dead letters; there when there are any. */
  readonly dead?: number;
  /** Rows that would be ready, but are too old for the window; there when one was asked for. */
  readonly stale?: number;
  /** Rows that would be ready, but do not pass the filter; there when one was asked for. */
  readonly filtered?: number;
}

/** Why a command can not be carried out: a code of the catalogue. */
export interface Refusal {
  readonly kind: 'refuse';
  readonly code: ErrorCode;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface GrantDecision {
  readonly kind: 'grant';
  readonly ids: Float64Array;
  readonly attempts: Uint16Array;
  /** Fewer rows than were asked for: they are the last ones. */
  readonly isPartial: boolean;
}

export type ClaimDecision =
  | GrantDecision
  /** The task must pass these rows first; then it can be decided anew. */
  | { readonly kind: 'skip'; readonly ids: Float64Array }
  /** `dueMs`: when it may be decided otherwise although nothing happens. */
  | { readonly kind: 'wait'; readonly dueMs: number }
  | { readonly kind: 'drained' }
  | Refusal;

export interface PartGrant {
  readonly part: number;
  readonly ids: Float64Array;
  readonly attempts: Uint16Array;
}

export type BatchDecision =
  /** The part was granted before; whether its rows can still be had the grant knows. */
  | { readonly kind: 'known'; readonly claim: number }
  /** The part has no rows, and all who ask for it hear so. */
  | { readonly kind: 'empty'; readonly outcome: BatchEvent['outcome'] }
  /** To be granted together. When parts of the batch are left without rows, `emptied` says that these are empty. */
  | {
      readonly kind: 'parts';
      readonly parts: readonly PartGrant[];
      readonly emptied: boolean;
      readonly isPartial: boolean;
    }
  | Exclude<ClaimDecision, GrantDecision>;

/** `already`: the same end came before, so the answer is yes and nothing is journaled. */
export type EndDecision<Event> =
  { readonly kind: 'event'; readonly event: Event } | { readonly kind: 'already' } | Refusal;

export type RenewDecision = { readonly kind: 'renewed'; readonly leaseMs: number } | Refusal;
