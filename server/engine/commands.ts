/** What the engine is asked for, in its own terms: names are resolved, defaults are filled in, JSON is gone. */
import type { FieldLayout } from '@transfer-queue/core/layout';
import type { AckLevel, Sampler } from '@transfer-queue/core/protocol';
import type { Located } from '../store/locate.ts';

export interface DeclareCommand {
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldLayout> | null;
  readonly open: boolean | null;
  readonly groupSize: number | null;
  readonly ack: AckLevel | null;
}

export interface PutCommand {
  readonly partition: string;
  readonly length: number;
  readonly requestId: string;
  readonly ack: AckLevel | null;
  readonly ifAbsent: boolean;
  /** Token of the claim that the put acks. */
  readonly claim: string | null;
  /** 8 bytes; null when only the tail says it, or nothing does. */
  readonly checksum: Uint8Array | null;
}

export type Selection =
  | { readonly by: 'ids'; readonly ids: Float64Array }
  | { readonly by: 'range'; readonly start: number; readonly end: number; readonly rowsMax: number }
  | { readonly by: 'newest'; readonly afterLsn: number };

export interface ReadCommand {
  readonly partition: string;
  readonly select: Selection;
  /** Null for all that the partition declares. */
  readonly fields: readonly string[] | null;
  readonly waitMs: number;
  /** The state to read; that of now without it. */
  readonly lsn?: number;
}

export interface ClaimTake {
  readonly partition: string;
  readonly task: string;
  readonly fields: readonly string[];
  readonly rowsMax: number;
  readonly rowsMin: number;
  readonly sampler: Sampler;
  readonly leaseMs: number;
  readonly waitMs: number;
  readonly autoAck: boolean;
  readonly requestId: string;
}

/** Tells a wait that nobody listens any more. */
export interface Caller {
  onClose(gone: () => void): void;
}

export interface RowsOutcome {
  readonly kind: 'rows';
  readonly located: Located;
  /** Of a range: the id that the next page starts with, null at the end. */
  readonly next: number | null;
}

export interface ClaimedOutcome {
  readonly kind: 'claimed';
  readonly located: Located;
  readonly token: string;
  readonly attempts: Uint16Array;
  readonly leaseMs: number;
}

export type WaitEnd =
  { readonly kind: 'timed_out'; readonly details: Readonly<Record<string, unknown>> } | { readonly kind: 'drained' };

export type ReadOutcome = RowsOutcome | WaitEnd;
export type ClaimOutcome = ClaimedOutcome | WaitEnd;
