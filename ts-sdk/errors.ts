/**
 * What can go wrong, as typed errors: one class per kind, one code per reason.
 *
 *   TransferQueueError
 *     RetryLaterError      the same call may work after a pause; the SDK has tried as often as its policy allows
 *     FixRequestError      the call can never work as it is
 *     WaitForOthersError   others must act first: rows that are not there yet, a full disk
 *     GiveUpError          what was asked for is gone: a claim that went to another consumer, a drained partition
 *
 * Codes come from the catalogue of the protocol, and from the few things that only a client can see.
 */
import { errorKinds, errors as catalogue, type ErrorCode, type ErrorKind } from '@transfer-queue/core/protocol';

/** Reasons that never travel: the client finds them itself. Their status is 0. */
export const clientErrors = {
  connection_failed: {
    kind: 'retry',
    message: 'The server cannot be reached, or the connection broke before the answer was complete.',
  },
  deadline_exceeded: { kind: 'retry', message: 'The call did not end before its deadline.' },
  answer_invalid: {
    kind: 'retry',
    message: 'The answer is not what the protocol says; is this a Transfer-Queue server?',
  },
  keys_missing: { kind: 'wait', message: 'Some keys have no row, or one that lacks some of the fields.' },
  timed_out: { kind: 'wait', message: 'The rows were not there before the wait ended.' },
  drained: { kind: 'give_up', message: 'The partition is sealed and will never hold these rows.' },
  client_closed: { kind: 'fix_request', message: 'The client is closed.' },
  checkpoint_invalid: {
    kind: 'fix_request',
    message: 'The directory holds no whole checkpoint of a version that is read here.',
  },
  input_invalid: { kind: 'fix_request', message: 'The arguments of the call do not fit.' },
} as const satisfies Record<string, { readonly kind: ErrorKind; readonly message: string }>;

/** Every code that an error of this SDK can carry. */
export type TransferQueueErrorCode = ErrorCode | keyof typeof clientErrors;

/** A code of a later version of the protocol is a string that none of the others is. */
export type AnyErrorCode = TransferQueueErrorCode | (string & {});

interface ErrorParts {
  readonly code: AnyErrorCode;
  readonly kind: ErrorKind;
  readonly status: number;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/**
 * The base of all errors that the SDK throws, except the reason of an `AbortSignal`, which is thrown as it is.
 *
 * @example
 * ```ts
 * try {
 *   await train.get([7], { fields: ['response'] });
 * } catch (error) {
 *   if (!(error instanceof WaitForOthersError)) throw error; // rows_missing: not there yet
 * }
 * ```
 */
export class TransferQueueError extends Error {
  /** The reason, for programs: a code of the catalogue in docs/API.md or of {@link clientErrors}. */
  readonly code: AnyErrorCode;
  /** What to do about it. */
  readonly kind: ErrorKind;
  /** The HTTP status of the answer, or 0 when there was none. */
  readonly status: number;
  /** What else is known, by snake_case names: `missing`, `limit`, `field` and the like. */
  readonly details: Readonly<Record<string, unknown>>;
  /** The pause that the server asked for, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(parts: ErrorParts) {
    super(`${parts.message} [${parts.code}]`, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = new.target.name;
    this.code = parts.code;
    this.kind = parts.kind;
    this.status = parts.status;
    this.details = parts.details ?? {};
    this.retryAfterMs = parts.retryAfterMs;
  }
}

/** The same call may work after a pause; the SDK gave up after its own retries. */
export class RetryLaterError extends TransferQueueError {}
/** The call can never work as it is. */
export class FixRequestError extends TransferQueueError {}
/** Others must act first. */
export class WaitForOthersError extends TransferQueueError {}
/** What was asked for is gone for good. */
export class GiveUpError extends TransferQueueError {}

const classes = {
  retry: RetryLaterError,
  fix_request: FixRequestError,
  wait: WaitForOthersError,
  give_up: GiveUpError,
} as const;

/** An error that the client found itself. `what` says it for this case, in place of the general message. */
export function clientError(
  code: keyof typeof clientErrors,
  what?: string,
  more: { readonly details?: Readonly<Record<string, unknown>>; readonly cause?: unknown } = {},
): TransferQueueError {
  const { kind, message } = clientErrors[code];
  return new classes[kind]({ code, kind, status: 0, message: what ?? message, ...more });
}

/** An error of the catalogue that the client found itself, before the server could or in its answer. */
export function catalogueError(
  code: ErrorCode,
  what?: string,
  details?: Readonly<Record<string, unknown>>,
): TransferQueueError {
  const { kind, message } = catalogue[code];
  return new classes[kind]({ code, kind, status: 0, message: what ?? message, details });
}

interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

/** The typed error of an answer that is not 200. What stands between us and the server may answer without our JSON. */
export function answerError({ status, headers, bytes }: ErrorAnswer): TransferQueueError {
  const body = parseObject(bytes);
  const retryAfterMs = parseRetryAfter(headers['retry-after']);
  const { code, message, details } = body;
  if (typeof code !== 'string') return foreignError(status, body, retryAfterMs);
  // A code of a later version of the protocol still says its kind.
  const known = Object.hasOwn(catalogue, code) ? catalogue[code as ErrorCode] : undefined;
  const kind = known?.kind ?? errorKinds.find((name) => name === body.kind) ?? kindOfStatus(status);
  const text = typeof message === 'string' ? message : (known?.message ?? `An answer of status ${status}.`);
  return new classes[kind]({ code, kind, status, message: text, details: asObject(details), retryAfterMs });
}

function kindOfStatus(status: number): ErrorKind {
  return status === 429 || status >= 500 ? 'retry' : 'fix_request';
}

/** An answer without an error of ours, by a program in between. */
function foreignError(
  status: number,
  body: Readonly<Record<string, unknown>>,
  retryAfterMs: number | undefined,
): TransferQueueError {
  const kind = kindOfStatus(status);
  const message = `An answer of status ${status} without an error of this protocol; is this a Transfer-Queue server?`;
  return new classes[kind]({ code: 'answer_invalid', kind, status, message, details: body, retryAfterMs });
}

function parseRetryAfter(value: string | undefined): number | undefined {
  const seconds = value === undefined ? NaN : Number(value);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined;
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    return asObject(JSON.parse(new TextDecoder().decode(bytes)) as unknown);
  } catch {
    return {}; // Not JSON: the status alone has to say it.
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
