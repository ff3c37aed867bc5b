/**
 * How this folder says no: inside, a thrown `ArrowRefused`; at its door, an `ArrowRefusal` value. Codes are those of
 * the protocol's catalogue. Any other exception that leaves this folder is a bug.
 */
import type { ErrorCode } from '../protocol.ts';

export type ArrowRefusalCode = Extract<
  ErrorCode,
  | 'arrow_malformed'
  | 'arrow_truncated'
  | 'dictionary_refused'
  | 'compression_refused'
  | 'nulls_refused'
  | 'type_unsupported'
  | 'layout_invalid'
  | 'index_id_invalid'
  | 'blob_invalid'
  | 'too_many_columns'
  | 'too_many_batches'
  | 'metadata_too_large'
  | 'nesting_too_deep'
  | 'name_invalid'
  | 'answer_too_large'
>;

export type RefusalDetails = Readonly<Record<string, string | number>>;

export interface ArrowRefusal {
  readonly ok: false;
  readonly code: ArrowRefusalCode;
  readonly message: string;
  readonly details: RefusalDetails;
}

export class ArrowRefused extends Error {
  readonly code: ArrowRefusalCode;
  readonly details: RefusalDetails;

  constructor(code: ArrowRefusalCode, message: string, details: RefusalDetails) {
    super(message);
    this.name = 'ArrowRefused';
    this.code = code;
    this.details = details;
  }
}

export function refuse(code: ArrowRefusalCode, message: string, details: RefusalDetails = {}): never {
  throw new ArrowRefused(code, message, details);
}

export function malformed(message: string, details: RefusalDetails = {}): never {
  throw new ArrowRefused('arrow_malformed', message, details);
}

/** Runs `work`; what it refuses comes back as a value. */
export function refusable<T>(work: () => T): T | ArrowRefusal {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ArrowRefused)) throw error;
    return { ok: false, code: error.code, message: error.message, details: error.details };
  }
}
