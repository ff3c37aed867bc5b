/**
 * The state of one partition's queue, as one plain structure.
 *
 *   (row, task):   unclaimed --claim--> leased --ack--> consumed
 *                      ^                  |
 *                      +--release/expire--+      attempt + 1
 *
 *   row unclaimed:  taken 0                 row leased:    taken 1, holder = its claim
 *   row consumed:   taken 1, holder 0       row returned:  taken 0, holder = the expired claim, or 0 when given back
 *                                           dead letter:   taken 1, holder = the expired claim, or DEAD
 *
 * A row that comes back as often as its task allows attempts is a dead letter: it stays taken until it is queued anew.
 *
 * Invariants:
 * - `holder` is the truth about who may consume a row; the slots of a claim only say where to look;
 * - a claim is in `claims` while it is leased or may still be acked late, in `ended` afterwards (bounded, oldest go);
 * - `leases` holds the leased claims, `expired` the others in the order of their expiry, at most expiredRowsMax rows;
 * - no row in a page below `task.cursor` is unclaimed;
 * - claim numbers rise: the order of numbers is the order of grants.
 */
import type { PartitionSettings } from '../journal/events.ts';
import { createBatchTable, type BatchTable } from './batches.ts';
import type { Bitmaps } from './bitmaps.ts';
import { createChanges, type Arrival, type Changes } from './changes.ts';
import { createGroupClock, type GroupClock } from './draw/group_clock.ts';
import { EndedClaims, type Ended } from './ended_claims.ts';
import type { FilterTable } from './filter_use.ts';
import type { Page } from './page.ts';
import { createSlots, type Slots } from './slots.ts';
import type { ValueMemory } from './value_memory.ts';

/** How much of the past a queue remembers, so that late callers hear what happened. */
export const queueLimits = {
  /** Rows of expired claims that nobody was granted again; beyond it the oldest claim becomes stale. */
  expiredRowsMax: 262_144,
  /** Claims that ended; of older ones the queue says that it does not know them. */
  endedClaimsMax: 16_384,
} as const;
export type QueueLimits = { readonly [Name in keyof typeof queueLimits]: number };

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

export type EndedClaim = Ended<Task>;

export interface Task {
  readonly name: string;
  readonly index: number;
  leased: number;
  consumed: number;
  /** Rows that came back too often. */
  dead: number;
  /** Rows that it passed for good without a claim, since its beginning; as long as they live they count as consumed. */
  skipped: number;
  /** Number of the first page that may have unclaimed rows. */
  cursor: number;
  /** What the latest claim asked for. */
  readonly fields: readonly number[];
}

export interface PartitionQueue {
  readonly partition: number;
  readonly limits: QueueLimits;
  readonly slots: Slots;
  /** What the partition declares of its queue. */
  settings: QueueSettings;
  /** Pages in which rows may have been consumed by all declared tasks since they were looked at. */
  readonly releasable: Set<Page>;
  sealed: boolean;
  /** The current version of the policy, which its owner publishes. */
  version: number;
  /** Rows that ever came, those that are gone included. */
  rowsAdmitted: number;
  /** Rows that the retention removed. */
  evicted: number;
  /** When the rows came, while the retention asks for it. Replaced as a whole. */
  arrivals: readonly Arrival[];
  /** This and what follows is written in claim_table.ts only, but for the heap of leases. */
  readonly tasks: ReadonlyMap<string, Task>;
  readonly claims: ReadonlyMap<number, Claim>;
  readonly leases: Claim[];
  readonly expired: ReadonlySet<Claim>;
  readonly expiredRows: number;
  readonly ended: EndedClaims<Task>;
  /** Ids of deleted rows to the claims that held them, in the order of their tasks. */
  readonly orphans: ReadonlyMap<number, readonly Claim[]>;
  /** The order of the next end or expiry. */
  readonly orderNext: number;
  readonly changes: Changes;
  /** Written in batches.ts only. */
  readonly batches: BatchTable;
  readonly groupClock: GroupClock;
  /** Written in filters.ts only. */
  readonly filters: FilterTable;
}

/** As `PartitionSettings` has them. */
export type QueueSettings = Pick<PartitionSettings, 'tasks' | 'release' | 'numbers' | 'rowsMax' | 'pace' | 'retention'>;

export interface QueueOptions {
  readonly partition: number;
  readonly groupSize: number;
  readonly bitmaps: Bitmaps;
  /** Default: its own. */
  readonly values?: ValueMemory;
  readonly settings?: QueueSettings;
  readonly limits?: QueueLimits;
}

export function create(options: QueueOptions): PartitionQueue {
  return {
    partition: options.partition,
    limits: options.limits ?? queueLimits,
    slots: createSlots(options.groupSize, options.bitmaps, options.values),
    settings: options.settings ?? {},
    releasable: new Set(),
    sealed: false,
    version: 0,
    rowsAdmitted: 0,
    evicted: 0,
    arrivals: [],
    tasks: new Map(),
    claims: new Map(),
    leases: [],
    expired: new Set(),
    expiredRows: 0,
    ended: new EndedClaims(),
    orphans: new Map(),
    orderNext: 1,
    changes: createChanges(),
    batches: createBatchTable(),
    groupClock: createGroupClock(),
    filters: new Map(),
  };
}
