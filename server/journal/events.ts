/**
 * The events of the journal: every change of the store's state. How each is written is in event_codecs.ts.
 *
 * Live changes and recovery feed the same events to the same `apply`, so that what is not in an event does not survive
 * a restart.
 *
 * Invariant: a type number, once released, is never reused.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
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
}

export interface DeleteEvent {
  readonly type: 'delete';
  readonly partition: number;
  readonly requestId: string;
  readonly ids: Float64Array;
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
}

export interface ReleaseEvent {
  readonly type: 'release';
  readonly partition: number;
  readonly claim: number;
  readonly requestId: string;
  readonly reason: 'released' | 'expired';
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
  | RewriteEvent;

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
} as const satisfies Record<JournalEvent['type'], number>;
