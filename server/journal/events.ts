/**
 * The events of the journal: every change of the store's state. How each is written is in event_codecs.ts.
 *
 * Live changes and recovery feed the same events to the same `apply`, so that what is not in an event does not survive
 * a restart.
 *
 * Invariant: a type number, once released, is never reused.
 */
import type { AckLevel, ReleaseRule } from '@transfer-queue/core/protocol';
import type { FieldLayout } from '@transfer-queue/core/layout';

/** First event of each run of the process: which format, which run, since which boot of the machine. */
export interface DescriptorEvent {
  readonly type: 'descriptor';
  readonly formatVersion: number;
  readonly epoch: number;
  readonly bootId: string;
  /** Key of the claim tokens' MAC, made when the directory is. */
  readonly tokenKey: Uint8Array;
  /** LSNs of the puts that this run left out, since a crash of the machine took their bytes: they never come back. */
  readonly voided: Float64Array;
}

/** A partition's whole declaration. Fields are numbered by their place in the list and only ever added. */
export interface PartitionSettings {
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly layout: FieldLayout }[];
  readonly open: boolean;
  readonly groupSize: number;
  readonly ack: AckLevel;
  /** Tasks that consume each row. */
  readonly tasks?: readonly DeclaredTask[];
  readonly release?: ReleaseRule;
  /** Tags that are numbers, by their place in the list, which only grows. */
  readonly numbers?: readonly string[];
  readonly rowsMax?: number;
  readonly bytesMax?: number;
  readonly pace?: { readonly rowsPerVersion: number; readonly maxAhead: number };
  readonly retention?: { readonly rowsMax?: number; readonly ageMsMax?: number };
}

export interface DeclaredTask {
  readonly name: string;
  /** After so many attempts a row is a dead letter; undefined: never. */
  readonly maxAttempts?: number;
}

export interface DeclareEvent {
  readonly type: 'declare';
  readonly partition: number;
  readonly settings: PartitionSettings;
}

export interface DropEvent {
  readonly type: 'drop';
  readonly partition: number;
}

/** Where a put's bytes lie: the whole body, verbatim, with the xxh64 of each of its 1 MiB blocks. */
export interface Extent {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly blocks: Uint8Array;
}

/** The blobs that the cells of a put name in one field. */
export interface BlobColumn {
  readonly field: number;
  /** Each once: SHA-256 in hexadecimal. */
  readonly digests: readonly string[];
  /** For each row of all batches the place of its digest. */
  readonly places: Uint32Array;
}

/** One record batch inside an extent. `regions` are (offset, length) pairs relative to the extent. */
export interface BatchColumns {
  readonly rows: number;
  readonly ids: Float64Array;
  readonly columns: readonly { readonly field: number; readonly regions: readonly number[] }[];
}

export interface AckEvent {
  readonly type: 'ack';
  readonly partition: number;
  readonly claim: number;
  readonly requestId: string;
}

export interface InsertEvent {
  readonly type: 'insert';
  readonly partition: number;
  readonly requestId: string;
  readonly extent: Extent;
  readonly batches: readonly BatchColumns[];
  /** The claim that this put acks, of the same partition; 0 for none. */
  readonly ackClaim: number;
  /** For each row of all batches the JSON text of a patch of its tags, or ''; undefined: none has any. */
  readonly tags?: readonly string[];
  /** For each field of layout blob that it brings; undefined: there are none. */
  readonly blobs?: readonly BlobColumn[];
}

export interface DeleteEvent {
  readonly type: 'delete';
  readonly partition: number;
  readonly requestId: string;
  readonly ids: Float64Array;
  /** Asked for, or by the server itself: consumed by all declared tasks, or evicted. Default asked. */
  readonly reason?: 'asked' | 'released' | 'evicted';
}

/** One part of a batch that several askers share. */
export interface BatchPart {
  readonly name: string;
  readonly number: number;
  readonly part: number;
  readonly parts: number;
}

export interface ClaimEvent {
  readonly type: 'claim';
  readonly partition: number;
  readonly requestId: string;
  readonly task: string;
  readonly claim: number;
  readonly epoch: number;
  readonly fields: readonly number[];
  readonly ids: Float64Array;
  readonly attempts: Uint16Array;
  readonly leaseMs: number;
  readonly autoAck: boolean;
  readonly batch?: BatchPart;
}

/** A shared batch that is empty: all its askers hear the same. */
export interface BatchEvent {
  readonly type: 'batch';
  readonly partition: number;
  readonly task: string;
  readonly name: string;
  readonly number: number;
  readonly parts: number;
  readonly outcome: 'timed_out' | 'drained';
}

/** Dead letters of a task become unclaimed. */
export interface RequeueEvent {
  readonly type: 'requeue';
  readonly partition: number;
  readonly task: string;
  readonly ids: Float64Array;
}

/** A task begins anew with all rows. */
export interface ResetEvent {
  readonly type: 'reset';
  readonly partition: number;
  readonly requestId: string;
  readonly task: string;
}

/** A task passes rows for good: too old for its window, or late siblings of a group that it was given without them. */
export interface SkipEvent {
  readonly type: 'skip';
  readonly partition: number;
  readonly task: string;
  readonly fields: readonly number[];
  readonly ids: Float64Array;
}

export interface TagEvent {
  readonly type: 'tag';
  readonly partition: number;
  readonly requestId: string;
  readonly ids: Float64Array;
  /** JSON texts of patches: one for all rows, or one for each. */
  readonly tags: readonly string[];
}

/** The current version of the policy. */
export interface AdvanceEvent {
  readonly type: 'advance';
  readonly partition: number;
  readonly version: number;
}

export interface ReleaseEvent {
  readonly type: 'release';
  readonly partition: number;
  readonly claim: number;
  readonly requestId: string;
  /** `undelivered`: the consumer never got the rows, so that the attempt does not count. */
  readonly reason: 'released' | 'expired' | 'undelivered';
}

export interface SealEvent {
  readonly type: 'seal';
  readonly partition: number;
}

/** The state up to `lsn` is in the tree: a start replays what came after it. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly lsn: number;
}

/** The bytes of a live extent were copied: they lie at another place from now on. */
export interface MoveEvent {
  readonly type: 'move';
  readonly partition: number;
  /** LSN of the extent's insert. */
  readonly extent: number;
  readonly segment: number;
  readonly offset: number;
  readonly fromSegment: number;
  readonly fromOffset: number;
}

/** One batch of a rewrite: the rows that still showed the old batch, in their order in the new one. */
export interface RewrittenBatch {
  /** Number of the old batch. */
  readonly batch: number;
  readonly ids: Float64Array;
  /** Places of the rows in the old batch. */
  readonly ordinals: Float64Array;
  readonly columns: BatchColumns['columns'];
}

/** An extent with few rows that matter was written anew with those only. */
export interface RewriteEvent {
  readonly type: 'rewrite';
  readonly partition: number;
  /** LSN of the old extent's insert. */
  readonly fromExtent: number;
  readonly extent: Extent;
  readonly batches: readonly RewrittenBatch[];
}

/** A part of the saved state of a partition (engine/saved_state.ts); with the last one the partition takes it on. */
export interface RestoreEvent {
  readonly type: 'restore';
  readonly partition: number;
  readonly last: boolean;
  readonly bytes: Uint8Array;
}

/** Partitions that a load brought get their names, all at once. */
export interface AdoptEvent {
  readonly type: 'adopt';
  readonly pairs: readonly {
    readonly partition: number;
    readonly name: string;
    /** The partition that had the name, which is dropped; 0 for none. */
    readonly replaced: number;
  }[];
}

export type JournalEvent =
  | DescriptorEvent
  | DeclareEvent
  | DropEvent
  | InsertEvent
  | DeleteEvent
  | ClaimEvent
  | AckEvent
  | ReleaseEvent
  | SealEvent
  | CheckpointEvent
  | MoveEvent
  | RewriteEvent
  | BatchEvent
  | RequeueEvent
  | ResetEvent
  | SkipEvent
  | TagEvent
  | AdvanceEvent
  | RestoreEvent
  | AdoptEvent;

/** Type numbers in the record header. */
export const eventTypes = {
  descriptor: 1,
  declare: 2,
  drop: 3,
  insert: 4,
  delete: 5,
  claim: 6,
  ack: 7,
  release: 8,
  seal: 9,
  checkpoint: 10,
  move: 11,
  rewrite: 12,
  batch: 13,
  requeue: 14,
  reset: 15,
  skip: 16,
  tag: 17,
  advance: 18,
  restore: 20,
  adopt: 21,
} as const satisfies Record<JournalEvent['type'], number>;
