/** Errors as values of the catalogue in core/protocol.ts: a code, and details that say where and what. */
import { errors, type ErrorCode } from '@transfer-queue/core/protocol';

export type ErrorDetails = Readonly<Record<string, unknown>>;

/** A refusal that a caller sees. Anything else that is thrown is a bug and answers `internal`. */
export class StoreError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    super(`${code}: ${errors[code].message}`);
    this.name = 'StoreError';
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return errors[this.code].status;
  }
}

/** The data directory cannot be opened without losing what it promised to keep. */
export class RecoveryError extends Error {
  readonly details: ErrorDetails;

  constructor(message: string, details: ErrorDetails) {
    super(message);
    this.name = 'RecoveryError';
    this.details = details;
  }
}

/** A broken invariant of ours; the process must not go on with it. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InvariantError';
  }
}

export function invariant(holds: boolean, message: string): asserts holds {
  if (!holds) throw new InvariantError(message);
}

/** The JSON body of a refusal, the same on every route. */
export function errorBody(code: ErrorCode, details: ErrorDetails = {}): string {
  return JSON.stringify({ code, kind: errors[code].kind, message: errors[code].message, details });
}
