/**
 * Snapshots as clients use them: a lease on the state of one LSN, so that many reads see the same rows.
 *
 *   open -> { snapshot, lsn } -> reads that name the LSN -> close, or expiry of the lease
 *
 * Any read may name an LSN: it is served when a snapshot holds that state, or when the partition did not change after
 * it. A read that began while the snapshot was open ends well. Snapshots end with the process.
 */
import { limits } from '@transfer-queue/core/protocol';
import type { Env, Timer } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import type { Journal } from '../journal/journal.ts';
import { isSaved, type Partition } from '../store/partition.ts';
import type { NodeState } from './state.ts';

/** What is needed of a node. */
interface SnapshotParts {
  readonly env: Env;
  readonly state: NodeState;
  readonly journal: Journal;
  readonly epoch: number;
}

interface Lease {
  readonly lsn: number;
  /** Whether the tree holds the records of the queues as of its LSN. */
  readonly hasState: boolean;
  /** Null until it was answered. */
  timer: Timer | null;
}

export class SnapshotLeases {
  readonly #parts: SnapshotParts;
  readonly #leases = new Map<string, Lease>();
  #count = 0;

  constructor(parts: SnapshotParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#leases.size;
  }

  list(): { readonly snapshot: string; readonly lsn: number }[] {
    return Array.from(this.#leases, ([snapshot, { lsn }]) => ({ snapshot, lsn }));
  }

  /** The state of now; the answer waits until all of it is with the operating system. */
  async open(leaseMs: number): Promise<{ snapshot: string; lsn: number; lease_ms: number }> {
    return this.answer(this.#hold(false), leaseMs);
  }

  /** As `open`, in the turn in which a checkpoint freezes the state. Its lease begins with `answer`. */
  holdState(): string {
    return this.#hold(true);
  }

  /** Begins the lease when the client can hear of it. */
  async answer(snapshot: string, leaseMs: number): Promise<{ snapshot: string; lsn: number; lease_ms: number }> {
    await this.#parts.journal.settled();
    return { snapshot, ...this.renew(snapshot, leaseMs) };
  }

  /** LSN of a snapshot that holds the state of the queues too. */
  stateLsn(snapshot: string): number {
    const { lsn, hasState } = this.#lease(snapshot);
    if (!hasState) throw new StoreError('lsn_unknown', { snapshot, reason: 'it was opened without state' });
    return lsn;
  }

  #hold(hasState: boolean): string {
    if (this.#leases.size >= limits.snapshotsMax) throw new StoreError('too_many_snapshots', { open: this.count });
    const { state, journal, epoch } = this.#parts;
    const { lsn } = journal;
    const snapshot = `${epoch}-${++this.#count}`;
    state.store.snapshots.open(lsn);
    this.#leases.set(snapshot, { lsn, hasState, timer: null });
    return snapshot;
  }

  renew(snapshot: string, leaseMs: number): { lsn: number; lease_ms: number } {
    const lease = this.#lease(snapshot);
    lease.timer?.cancel();
    lease.timer = this.#expiry(snapshot, leaseMs);
    return { lsn: lease.lsn, lease_ms: leaseMs };
  }

  close(snapshot: string): { lsn: number } {
    const { lsn, timer } = this.#lease(snapshot);
    timer?.cancel();
    this.#end(snapshot);
    return { lsn };
  }

  #lease(snapshot: string): Lease {
    const lease = this.#leases.get(snapshot);
    if (lease === undefined)
      throw new StoreError('lsn_unknown', { snapshot, reason: 'it was closed, or its lease expired' });
    return lease;
  }

  /** Lets go of all of them. */
  closeAll(): void {
    for (const [snapshot, { timer }] of this.#leases) {
      timer?.cancel();
      this.#end(snapshot);
    }
  }

  #expiry(snapshot: string, leaseMs: number): Timer {
    return this.#parts.env.clock.after(leaseMs, () => this.#end(snapshot));
  }

  #end(snapshot: string): void {
    const { lsn } = this.#leases.get(snapshot)!;
    this.#leases.delete(snapshot);
    this.#parts.state.store.snapshots.close(lsn);
  }
}

/**
 * How the index is asked for the state of an LSN in this turn: undefined when that is the state of now. Throws
 * `lsn_unknown`.
 */
export function lsnToRead({ journal, state }: SnapshotParts, partition: Partition, lsn: number): number | undefined {
  if (lsn > journal.lsn) throw new StoreError('lsn_unknown', { lsn, newest: journal.lsn, reason: 'it is yet to come' });
  if (partition.lsn <= lsn) return undefined;
  if (state.store.snapshots.has(lsn) && isSaved(partition)) return lsn;
  const reason = isSaved(partition) ? 'no snapshot holds it' : 'partitions of ack level memory have no snapshots';
  throw new StoreError('lsn_unknown', { lsn, partition: partition.settings.name, changed: partition.lsn, reason });
}
