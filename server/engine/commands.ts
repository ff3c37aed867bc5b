/** What the engine is asked for, in its own terms: names are resolved, defaults are filled in, JSON is gone. */
import type { FieldLayout } from '@transfer-queue/core/layout';
import type { AckLevel, ReleaseRule } from '@transfer-queue/core/protocol';
import type { DeclaredTask, PartitionSettings } from '../journal/events.ts';
import type { BatchAsk, GroupRule, TokenBudget, WindowRule } from '../queue/events.ts';
import type { Located } from '../store/locate.ts';

export interface DeclareCommand {
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldLayout> | null;
  readonly open: boolean | null;
  readonly groupSize: number | null;
  readonly ack: AckLevel | null;
  readonly queue: QueueChange;
}

/** Changes of the settings of a queue; what is undefined stays, what is null goes. */
export interface QueueChange {
  readonly tasks?: readonly DeclaredTask[];
  readonly release?: ReleaseRule;
  readonly numbers?: readonly string[];
  readonly rowsMax?: number | null;
  readonly bytesMax?: number | null;
  readonly pace?: PartitionSettings['pace'] | null;
  readonly retention?: PartitionSettings['retention'] | null;
}

export interface PutCommand {
  readonly partition: string;
  readonly length: number;
  readonly requestId: string;
  readonly ack: AckLevel | null;
  readonly ifAbsent: boolean;
  /** How long new rows wait for room in a budget. */
  readonly waitMs: number;
  /** Token of the claim that the put acks. */
  readonly claim: string | null;
  /** 8 bytes; null when only the tail says it, or nothing does. */
  readonly checksum: Uint8Array | null;
}

export interface TagRows {
  readonly partition: string;
  /** Each once. */
  readonly ids: Float64Array;
  /** JSON texts of patches: one for all rows, or one for each. */
  readonly tags: readonly string[];
  readonly requestId: string;
}

export interface ListRows {
  readonly partition: string;
  /** Null for all. */
  readonly ids: Float64Array | null;
  /** Text of a filter. */
  readonly where: string | null;
  readonly ready: { readonly task: string; readonly fields: readonly string[] } | null;
  /** `next` of the page before, or 0. */
  readonly from: number;
  readonly rowsMax: number;
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
  /** One of ours, or of a module. */
  readonly sampler: string;
  /** The number that the sampler goes by. */
  readonly by?: string;
  readonly seed?: number;
  /** Text of a filter. */
  readonly where?: string;
  readonly tokens?: TokenBudget;
  readonly window?: WindowRule;
  readonly group?: GroupRule;
  /** Each once; instead of a sampler. */
  readonly ids?: Float64Array;
  readonly batch?: BatchAsk;
  /** Fewer rows than `rowsMin` will do when the time is over, and after `lingerMs`. */
  readonly partial?: boolean;
  readonly lingerMs?: number;
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
  /** Fewer rows than were asked for. */
  readonly isPartial: boolean;
}

export type WaitEnd =
  { readonly kind: 'timed_out'; readonly details: Readonly<Record<string, unknown>> } | { readonly kind: 'drained' };

export type ReadOutcome = RowsOutcome | WaitEnd;
export type ClaimOutcome = ClaimedOutcome | WaitEnd;
