/**
 * All state of a node that events change, and the one function that changes it: `apply`, used live and in replay alike.
 *
 *   store    partitions, batches, extents        queues   slots, readiness, tasks, claims
 *   reads    what each live claim granted        requests what became of recent request ids
 *
 * Invariants: nothing here waits; an event is applied in the turn of the event loop in which the journal took it.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { ClaimEvent, JournalEvent } from '../journal/events.ts';
import { machine, type Bitmaps, type PartitionQueue } from '../queue/machine.ts';
import { locate, type Located } from '../store/locate.ts';
import type { Partition } from '../store/partition.ts';
import type { Store } from '../store/store.ts';
import { RequestTable } from './requests.ts';

/** What a live claim granted: the cells as they were then, whatever is put over them later. */
export interface Grant {
  readonly claim: number;
  readonly attempts: Uint16Array;
  readonly leaseMs: number;
  readonly located: Promise<Located>;
}

/** How an event reached the journal. `commit` settles when it is as safe as its level says. */
export interface Placed {
  readonly lsn: number;
  readonly level: AckLevel;
  readonly commit: Promise<unknown>;
  /** Monotonic time for new deadlines. */
  readonly now: number;
  /** Out of the journal, at start. */
  readonly replayed: boolean;
}

export class NodeState {
  readonly store: Store;
  readonly requests = new RequestTable();
  readonly #bitmaps: Bitmaps;
  readonly #queues = new Map<number, PartitionQueue>();
  readonly #grants = new Map<number, Grant>();
  /** The highest claim number seen. */
  claimLast = 0;

  constructor(options: { store: Store; bitmaps: Bitmaps }) {
    this.store = options.store;
    this.#bitmaps = options.bitmaps;
  }

  queue(partition: Partition): PartitionQueue {
    return this.#queues.get(partition.id)!;
  }

  queues(): IterableIterator<PartitionQueue> {
    return this.#queues.values();
  }

  queueById(partition: number): PartitionQueue | undefined {
    return this.#queues.get(partition);
  }

  grant(claim: number): Grant | undefined {
    return this.#grants.get(claim);
  }

  /** The lease of an automatically acked claim is over: nobody will ask for its rows again. */
  endGrant(claim: number): void {
    const grant = this.#grants.get(claim);
    this.#grants.delete(claim);
    // A lookup that failed holds nothing; whoever waits for the grant sees the failure.
    grant?.located.then(
      (located) => located.close(),
      () => undefined,
    );
  }

  /** Gives the memory of the bitmaps back; the state must not be used any more. */
  close(): void {
    for (const queue of this.#queues.values()) machine.drop(queue);
    this.#queues.clear();
  }

  /** Changes the state as the event says. Returns the number of rows that a delete removed or an insert brought. */
  apply(event: JournalEvent, placed: Placed): number {
    this.store.reach(placed.lsn);
    switch (event.type) {
      case 'descriptor':
        return 0;
      case 'declare':
        return this.#declare(this.store.applyDeclare(event, placed.lsn));
      case 'drop':
        return this.#drop(event);
      case 'insert':
        return this.#insert(event, placed);
      case 'delete':
        return this.#delete(event, placed);
      case 'claim':
        return this.#claim(event, placed);
      case 'ack':
        machine.applyAck(this.#queues.get(event.partition)!, event);
        this.endGrant(event.claim);
        return 0;
      case 'release':
        machine.applyRelease(this.#queues.get(event.partition)!, event);
        this.endGrant(event.claim);
        return 0;
      case 'seal':
        machine.applySeal(this.#queues.get(event.partition)!);
        return 0;
    }
  }

  #declare(partition: Partition): number {
    if (this.#queues.has(partition.id)) return 0;
    const { groupSize } = partition.settings;
    this.#queues.set(partition.id, machine.create({ partition: partition.id, groupSize, bitmaps: this.#bitmaps }));
    return 0;
  }

  #drop(event: Extract<JournalEvent, { type: 'drop' }>): number {
    const queue = this.#queues.get(event.partition)!;
    this.#queues.delete(event.partition);
    for (const claim of queue.claims.keys()) this.endGrant(claim);
    machine.drop(queue);
    this.store.applyDrop(event);
    return 0;
  }

  #insert(event: Extract<JournalEvent, { type: 'insert' }>, { lsn, level, commit }: Placed): number {
    const queue = this.#queues.get(event.partition)!;
    let rows = 0;
    // The ack goes first: a row that the put brings back anew makes the claim stale.
    if (event.ackClaim !== 0) {
      const { partition, requestId } = event;
      machine.applyAck(queue, { type: 'ack', partition, claim: event.ackClaim, requestId });
      this.endGrant(event.ackClaim);
    }
    this.store.applyInsert(event, { lsn, level });
    for (const batch of event.batches) {
      machine.applyInsert(queue, { ids: batch.ids, fields: batch.columns.map((column) => column.field) });
      rows += batch.rows;
    }
    this.requests.set(event.requestId, { kind: 'put', partition: event.partition, lsn, rows, commit });
    return rows;
  }

  #delete(event: Extract<JournalEvent, { type: 'delete' }>, { lsn, commit }: Placed): number {
    const partition = this.store.partitionById(event.partition)!;
    const rows = this.store.applyDelete(partition, event.ids, lsn).length;
    machine.applyDelete(this.#queues.get(event.partition)!, event.ids);
    this.requests.set(event.requestId, { kind: 'delete', partition: event.partition, lsn, rows, commit });
    return rows;
  }

  #claim(event: ClaimEvent, { now, commit, replayed }: Placed): number {
    const { partition: partitionId, claim, attempts, leaseMs, ids } = event;
    const partition = this.store.partitionById(partitionId)!;
    const fields = event.fields.map((field) => partition.fields[field]);
    machine.applyClaim(this.#queues.get(partitionId)!, event, now);
    if (!(event.autoAck && replayed)) {
      this.#grants.set(claim, { claim, attempts, leaseMs, located: locate(this.store, partition, { ids, fields }) });
    }
    this.claimLast = Math.max(this.claimLast, claim);
    this.requests.set(event.requestId, { kind: 'claim', partition: partitionId, claim, commit });
    return ids.length;
  }
}
