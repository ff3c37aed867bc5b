/**
 * All state of a node that events change, and the one function that changes it: `apply`, used live and in replay alike.
 *
 *   store    partitions, batches, extents        queues   slots, readiness, tasks, claims
 *   grants   what each live claim granted        requests what became of recent request ids
 *
 * Invariants: nothing here waits; an event is applied in the turn of the event loop in which the journal took it. Rows
 * that an event puts again or deletes are ready by then (`unready` says which are not).
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { atOnce, type Steps } from '../env/slice.ts';
import type { SavedRecord } from '../index/records.ts';
import type {
  AdoptEvent,
  ClaimEvent,
  InsertEvent,
  JournalEvent,
  PartitionSettings,
  RequeueEvent,
  ResetEvent,
  RestoreEvent,
  TagEvent,
} from '../journal/events.ts';
import type { InsertRun } from '../journal/insert_run.ts';
import {
  machine,
  ValueMemory,
  type Bitmaps,
  type PartitionQueue,
  type QueueOptions,
  type TagDrafts,
} from '../queue/machine.ts';
import { knownRows, presentRows } from '../queue/presence.ts';
import { locate, type Located } from '../store/locate.ts';
import { isSaved, type Partition } from '../store/partition.ts';
import type { Store } from '../store/store.ts';
import { blobsName } from './blob_partitions.ts';
import { Grants } from './grants.ts';
import { RequestTable } from './requests.ts';
import { decodeState } from './saved_state.ts';
import { StagedStates } from './staged_states.ts';

/** How an event reached the journal. `commit` settles when it is as safe as its level says. */
export interface Placed {
  readonly lsn: number;
  readonly level: AckLevel;
  readonly commit: Promise<unknown>;
  /** Monotonic time for new deadlines. */
  readonly now: number;
  /** The wall clock of the event, as the journal has it. */
  readonly wallMs: number;
  /** Out of the journal, at start. */
  readonly replayed: boolean;
}

/** Something about rows: a batch of a put, a delete. */
export interface IdList {
  readonly ids: Float64Array;
}

/** What a saved state makes of a partition. */
export interface Restored {
  readonly settings: PartitionSettings;
  readonly queue: PartitionQueue;
}

export class NodeState {
  readonly store: Store;
  readonly requests = new RequestTable();
  readonly grants = new Grants();
  readonly staged = new StagedStates();
  readonly #core: Core;
  readonly #bitmaps: Bitmaps;
  readonly #values = new ValueMemory();
  readonly #queues = new Map<number, PartitionQueue>();
  #prepared: Restored | null = null;
  #drafts: TagDrafts | undefined;
  /** Events that were applied. */
  #events = 0;
  /** What `#knownRows` was asked last: a put asks before its commit, and in it. */
  #asked: { ids: Float64Array; events: number; known: Uint8Array | null } | null = null;
  /** Which rows of a put are there, by place: those are about to show other puts than they do. One for all puts. */
  readonly #known = ({ id }: Partition, ids: Float64Array): Uint8Array | null => {
    const known = this.#knownRows(this.#queues.get(id)!, ids, this.#events - 1);
    this.#asked = null;
    if (known !== null) this.#rowsChange(id);
    return known;
  };

  constructor(options: { core: Core; store: Store; bitmaps: Bitmaps }) {
    this.#core = options.core;
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

  /** Takes in the queue of a partition, from its records. */
  loadQueue(partition: number, records: Iterable<SavedRecord>): void {
    this.#queues.set(partition, machine.loadQueue(this.#queueOptions(this.store.partitionById(partition)!), records));
  }

  /** Partitions without records of their queue have an empty one. */
  addMissingQueues(): void {
    for (const partition of this.store.partitions()) if (!this.#queues.has(partition.id)) this.#declare(partition, 0);
  }

  /** Rows that are there and that the index must load before they are put again or removed; null when it need not. */
  unready(partition: Partition, lists: readonly IdList[]): Float64Array | null {
    if (partition.dropped) return null;
    const queue = this.queue(partition);
    for (let i = 0; i < lists.length; i++) {
      const known = this.#knownRows(queue, lists[i].ids, this.#events);
      if (known === null) continue;
      const ids = presentRows(queue, lists[i].ids, known);
      if (!partition.index.ready(ids)) return ids;
    }
    return null;
  }

  /** Which rows of the queue are there after so many events, none of which is behind us but the one under way. */
  #knownRows(queue: PartitionQueue, ids: Float64Array, events: number): Uint8Array | null {
    const asked = this.#asked;
    if (asked !== null && asked.ids === ids && asked.events === events) return asked.known;
    const known = knownRows(queue, ids);
    this.#asked = { ids, events, known };
    return known;
  }

  /** The journal was read to its end. */
  endReplay(): void {
    this.grants.locateAllLate();
  }

  /** Gives the memory of the bitmaps back; the state must not be used any more. */
  close(): void {
    for (const queue of this.#queues.values()) machine.drop(queue);
    this.#queues.clear();
  }

  /** Changes the state as the event says. Returns the number of rows that a delete removed or an insert brought. */
  apply(event: JournalEvent, placed: Placed): number {
    const rows = this.#apply(event, placed);
    // A replay has no turns to share; otherwise the node takes its time.
    if (placed.replayed && (event.type === 'drop' || event.type === 'adopt')) atOnce(this.store.buryDropped());
    return rows;
  }

  #apply(event: JournalEvent, placed: Placed): number {
    this.#events++;
    this.store.reach(placed.lsn);
    switch (event.type) {
      case 'descriptor':
      case 'checkpoint':
        return 0;
      case 'move':
        this.store.applyMove(event);
        return 0;
      case 'rewrite':
        this.#rowsChange(event.partition);
        this.store.applyRewrite(event, placed.lsn);
        return 0;
      case 'declare':
        return this.#declare(this.store.applyDeclare(event, placed.lsn), placed.wallMs);
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
        this.grants.end(event.partition, event.claim);
        return 0;
      case 'release':
        machine.applyRelease(this.#queues.get(event.partition)!, event);
        this.grants.end(event.partition, event.claim);
        return 0;
      case 'seal':
        machine.applySeal(this.#queues.get(event.partition)!);
        return 0;
      case 'requeue':
        return this.#requeue(event);
      case 'reset':
        return this.#reset(event, placed);
      case 'skip':
        return machine.applySkip(this.#queues.get(event.partition)!, event);
      case 'tag':
        return this.#tag(event, placed);
      case 'batch':
        machine.applyBatch(this.#queues.get(event.partition)!, event);
        return 0;
      case 'advance':
        machine.applyAdvance(this.#queues.get(event.partition)!, event);
        return 0;
      case 'restore':
        return this.#restore(event, placed);
      case 'adopt':
        return this.#adopt(event, placed);
    }
  }

  #declare(partition: Partition, wallMs: number): number {
    const { id, settings } = partition;
    const queue = this.#queues.get(id);
    if (queue !== undefined) {
      machine.applyDeclare(queue, settings);
      machine.noteArrivals(queue, wallMs);
    } else {
      this.#queues.set(id, machine.create(this.#queueOptions(partition)));
    }
    return 0;
  }

  #queueOptions({ id, settings }: Partition): QueueOptions {
    return { partition: id, groupSize: settings.groupSize, settings, bitmaps: this.#bitmaps, values: this.#values };
  }

  /** What a state makes of a staged partition: nothing changes yet. Throws a `FormatError`. */
  *restored({ id, settings: { name } }: Partition, bytes: Buffer): Steps<Restored> {
    const { settings: saved, records } = yield* decodeState(this.#core, bytes);
    const settings = { ...saved, name };
    const place = { partition: id, bitmaps: this.#bitmaps, values: this.#values };
    return { settings, queue: yield* machine.queueOfState({ settings, records }, place) };
  }

  /** The last part of the state follows in this turn, and needs to make nothing. */
  prepare(restored: Restored): void {
    this.#prepared = restored;
  }

  /** The event with the texts of these drafts follows in this turn, and needs to read none. */
  prepareTags(drafts: TagDrafts | undefined): void {
    this.#drafts = drafts;
  }

  #takeDrafts(): TagDrafts | undefined {
    const drafts = this.#drafts;
    this.#drafts = undefined;
    return drafts;
  }

  /** With its last part, a staged partition takes on the settings and the queue that were saved. */
  #restore(event: RestoreEvent, { lsn, now }: Placed): number {
    const parts = this.staged.add(event);
    if (parts === null) return 0;
    const known = this.store.partitionById(event.partition)!;
    const prepared = this.#prepared?.queue.partition === known.id ? this.#prepared : null;
    const { settings, queue } = prepared ?? atOnce(this.restored(known, Buffer.concat(parts)));
    this.#prepared = null;
    const { id } = this.store.applyDeclare({ type: 'declare', partition: known.id, settings }, lsn);
    machine.takePlace(queue, this.#queues.get(id)!);
    machine.restartLeases(queue, now);
    this.#queues.set(id, queue);
    return 0;
  }

  /** Returns the number of rows of the partitions that came. */
  #adopt({ pairs }: AdoptEvent, { lsn }: Placed): number {
    let rows = 0;
    for (const { partition, name, replaced } of pairs) {
      if (replaced !== 0) this.#drop({ type: 'drop', partition: replaced });
      this.store.applyRename(partition, name, lsn);
      rows += this.#queues.get(partition)!.slots.rows;
    }
    return rows;
  }

  #drop(event: Extract<JournalEvent, { type: 'drop' }>): number {
    const queue = this.#queues.get(event.partition)!;
    this.#queues.delete(event.partition);
    for (const claim of queue.claims.keys()) this.grants.end(event.partition, claim);
    this.staged.forget(event.partition);
    machine.drop(queue);
    this.store.applyDrop(event);
    const blobs = this.store.partition(blobsName(event.partition));
    return blobs === undefined ? 0 : this.#drop({ type: 'drop', partition: blobs.id });
  }

  /** Earlier versions journaled it, in parts, also when the partition was dropped between two of them. */
  #requeue(event: RequeueEvent): number {
    const queue = this.#queues.get(event.partition);
    return queue === undefined ? 0 : machine.applyRequeue(queue, event);
  }

  #reset({ partition, requestId, task }: ResetEvent, { lsn, commit }: Placed): number {
    const { rows, claims } = machine.applyReset(this.#queues.get(partition)!, { task });
    for (const claim of claims) this.grants.end(partition, claim);
    const outcome = { kind: 'reset', partition, lsn, rows, commit } as const;
    this.requests.set(requestId, outcome, !isSaved(this.store.partitionById(partition)!));
    return rows;
  }

  #insert(event: InsertEvent, { lsn, level, commit, now, wallMs }: Placed): number {
    const { partition, requestId, batches, ackClaim, tags, blobs = [] } = event;
    const queue = this.#queues.get(partition)!;
    // The ack goes first: a row that the put brings back anew makes the claim stale.
    if (ackClaim !== 0) {
      machine.applyAck(queue, { type: 'ack', partition, claim: ackClaim, requestId });
      this.grants.end(partition, ackClaim);
    }
    this.store.applyInsert(event, { lsn, level }, this.#known);
    const drafts = this.#takeDrafts();
    let rows = 0;
    for (const { ids, columns } of batches) {
      machine.applyInsert(queue, { ids, fields: this.store.cellPlaces.of(columns).fields }, now);
      if (tags !== undefined) machine.applyTags(queue, { ids, tags, from: rows, drafts });
      for (const column of blobs) machine.applyBlobs(queue, ids, column, rows);
      rows += ids.length;
    }
    machine.noteArrivals(queue, wallMs);
    this.requests.set(requestId, { kind: 'put', partition, lsn, rows, commit }, level === 'memory');
    return rows;
  }

  /** Puts of a replay, of a partition that need not know when rows came; the rows are all new, each another. */
  applyInsertRun(run: InsertRun, { commit, now }: Placed): void {
    const { partition, lsns, rows, requestIds } = run;
    this.store.reach(run.lsnLast);
    this.store.applyInsertRun(run);
    const { fields } = this.store.cellPlaces.of(run.columns);
    machine.applyInsert(this.#queues.get(partition)!, { ids: run.ids, fields, areNew: true }, now);
    for (let put = 0; put < run.count; put++) {
      if (requestIds[put] === '') continue;
      this.requests.set(requestIds[put], { kind: 'put', partition, lsn: lsns[put], rows: rows[put], commit }, false);
    }
  }

  #delete(event: Extract<JournalEvent, { type: 'delete' }>, { lsn, commit }: Placed): number {
    const partition = this.store.partitionById(event.partition)!;
    const queue = this.#queues.get(event.partition)!;
    const present = presentRows(queue, event.ids);
    this.#rowsChange(event.partition);
    this.store.applyDelete(partition, present, lsn);
    const rows = machine.applyDelete(queue, event.ids, event.reason);
    const outcome = { kind: 'delete', partition: event.partition, lsn, rows, commit } as const;
    this.requests.set(event.requestId, outcome, !isSaved(partition));
    return rows;
  }

  #tag(event: TagEvent, { lsn, commit, now }: Placed): number {
    const queue = this.#queues.get(event.partition)!;
    const rows = machine.applyTags(queue, { ...event, drafts: this.#takeDrafts() });
    machine.touchRows(queue, event.ids, now);
    const outcome = { kind: 'tag', partition: event.partition, lsn, rows, commit } as const;
    this.requests.set(event.requestId, outcome, !isSaved(this.store.partitionById(event.partition)!));
    return rows;
  }

  /** Rows that are there are about to show other puts than they do. */
  #rowsChange(partition: number): void {
    if (this.store.partitionById(partition) !== undefined) this.grants.locateLate(partition);
  }

  #claim(event: ClaimEvent, { now, commit, replayed }: Placed): number {
    const { partition: partitionId, claim, attempts, leaseMs, ids } = event;
    const partition = this.store.partitionById(partitionId)!;
    const fields = event.fields.map((field) => partition.fields[field]);
    machine.applyClaim(this.#queues.get(partitionId)!, event, now);
    const volatile = event.autoAck;
    const locateCells = (): Promise<Located> => locate(this.store, partition, { ids, fields });
    if (!replayed) this.grants.add({ claim, partition, attempts, leaseMs, volatile, located: locateCells() });
    else if (!volatile) this.grants.addLate({ claim, partition, attempts, leaseMs, volatile, locate: locateCells });
    const outcome = { kind: 'claim', partition: partitionId, claim, commit } as const;
    this.requests.set(event.requestId, outcome, !isSaved(partition));
    return ids.length;
  }
}
