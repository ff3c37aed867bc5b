/**
 * The state of one partition's queue, as one plain structure.
 *
 *   (row, task):   unclaimed --claim--> leased --ack--> consumed
 *                      ^                  |
 *                      +--release/expire--+      attempt + 1
 *
 *   row unclaimed:  taken 0                 row leased:    taken 1, holder = its claim
 *   row consumed:   taken 1, holder 0       row returned:  taken 0, holder = the expired claim, or 0 when given back
 *
 * Invariants:
 * - `holder` is the truth about who may consume a row; the slots of a claim only say where to look;
 * - a claim is in `claims` while it is leased or may still be acked late, in `ended` afterwards (bounded, oldest go);
 * - `leases` holds the leased claims, `expired` the others in the order of their expiry, at most expiredRowsMax rows;
 * - no row in a page below `task.cursor` is unclaimed;
 * - claim numbers rise: the order of numbers is the order of grants.
 */
import type { Bitmaps } from './bitmaps.ts';
import { createChanges, type Changes } from './changes.ts';
import { Fifo } from './fifo.ts';
import { createSlots, type Slots } from './slots.ts';

/** How much of the past a queue remembers, so that late callers hear what happened. */
export const queueLimits = {
  /** Rows of expired claims that nobody was granted again; beyond it the oldest claim becomes stale. */
  expiredRowsMax: 262_144,
  /** Claims that ended; of older ones the queue says that it does not know them. */
  endedClaimsMax: 16_384,
} as const;
export type QueueLimits = { readonly [Name in keyof typeof queueLimits]: number };

export type ClaimEnd = 'acked' | 'released' | 'stale';

export interface Claim {
  readonly claim: number;
  readonly task: Task;
  readonly requestId: string;
  /** Of the rows granted, rising. */
  readonly slots: Float64Array;
  readonly leaseMs: number;
  deadlineMs: number;
  /** Place in the heap of leases; -1 once the lease expired. */
  heapAt: number;
  /** Deleted rows that it held: if one is put again, the claim is about a row that is gone. Empty when it is stale. */
  readonly orphans: readonly number[];
  /** A deleted row of it came back as a new one: it can not be acked any more. */
  readonly stale: boolean;
  /** Of its expiry among all ends and expiries; 0 while it is leased. */
  readonly order: number;
}

export interface EndedClaim {
  readonly how: ClaimEnd;
  readonly task: Task;
  /** Of its end among all ends and expiries. */
  readonly order: number;
}

export interface Task {
  readonly name: string;
  readonly index: number;
  leased: number;
  consumed: number;
  /** Number of the first page that may have unclaimed rows. */
  cursor: number;
  /** What the latest claim asked for. */
  readonly fields: readonly number[];
  /** Leased claims in the order of their grants. */
  readonly claims: Map<number, Claim>;
}

export interface PartitionQueue {
  readonly partition: number;
  readonly limits: QueueLimits;
  readonly slots: Slots;
  sealed: boolean;
  /** This and what follows is written in claim_table.ts only, but for the heap of leases. */
  readonly tasks: ReadonlyMap<string, Task>;
  readonly claims: ReadonlyMap<number, Claim>;
  readonly leases: Claim[];
  readonly expired: ReadonlySet<Claim>;
  readonly expiredRows: number;
  readonly ended: ReadonlyMap<number, EndedClaim>;
  /** The claims in `ended`, oldest first: a Map finds its first key only behind the places of all that it deleted. */
  readonly endedOrder: Fifo;
  /** Ids of deleted rows to the claims that held them, in the order of their tasks. */
  readonly orphans: ReadonlyMap<number, readonly Claim[]>;
  /** The order of the next end or expiry. */
  readonly orderNext: number;
  readonly changes: Changes;
}

export interface QueueOptions {
  readonly partition: number;
  readonly groupSize: number;
  readonly bitmaps: Bitmaps;
  readonly limits?: QueueLimits;
}

export function create(options: QueueOptions): PartitionQueue {
  return {
    partition: options.partition,
    limits: options.limits ?? queueLimits,
    slots: createSlots(options.groupSize, options.bitmaps),
    sealed: false,
    tasks: new Map(),
    claims: new Map(),
    leases: [],
    expired: new Set(),
    expiredRows: 0,
    ended: new Map(),
    endedOrder: new Fifo(),
    orphans: new Map(),
    orderNext: 1,
    changes: createChanges(),
  };
}
