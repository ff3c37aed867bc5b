/**
 * Admission: whether a put of new rows may come in now, and who waits until it may. Which budgets there are is in
 * budget_room.ts.
 *
 *   put --no room--> line of its partition --something was freed--> room is given to the head --> commit
 *                         `-- all its rows came by other puts --> it asks for no room any more --> commit
 *
 * A put whose rows are all there is never held up here: consumers wait for what it brings, and room comes from
 * consumers.
 *
 * Invariants: lines are served in the order of arrival; a put that the node has no room for holds up later ones of all
 * partitions, one that its partition has no room for only those behind it; a waiting put ends exactly once (room,
 * time-out, refusal); what waiting puts hold is bounded.
 */
import { limits } from '@transfer-queue/core/protocol';
import type { Clock, Timer } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import type { JournalEvent } from '../journal/events.ts';
import { machine } from '../queue/machine.ts';
import { knownRows } from '../queue/presence.ts';
import {
  addReadWaiter,
  createReadWaiters,
  removeReadWaiter,
  wakeReads,
  type ReadWaiters,
} from '../queue/read_waiters.ts';
import type { Partition } from '../store/partition.ts';
import {
  findLack,
  GivenRoom,
  isBounded,
  isHopeless,
  isNodeBounded,
  overBudget,
  type Lack,
  type NodeBudget,
} from './budget_room.ts';
import type { Caller } from './commands.ts';
import { NodeTotals, type Room } from './node_totals.ts';
import type { NodeState } from './state.ts';
import { WaitingBytes, type HoldingPut } from './waiting_bytes.ts';

/** A put as far as budgets are concerned. */
export interface AskingPut extends HoldingPut {
  readonly partition: Partition;
  readonly ids: Float64Array;
  /** Monotonic time at which it gives up; not in the future: it does not wait. */
  readonly deadlineMs: number;
  readonly caller: Caller;
}

interface Waiting {
  readonly put: AskingPut;
  /** Of its arrival among all. */
  readonly order: number;
  /** As a read waiter it watches that its rows are there, whatever their fields. */
  readonly ids: Float64Array;
  readonly fields: readonly number[];
  readonly timer: Timer;
  readonly resolve: () => void;
  readonly reject: (error: StoreError) => void;
  /** New rows that it brings, as counted when so many rows had come to the partition. */
  rows: number;
  admitted: number;
}

interface Line {
  readonly partition: Partition;
  /** In the order of arrival. */
  readonly waiting: Set<Waiting>;
  readonly rows: ReadWaiters<Waiting>;
}

const NO_FIELDS: readonly number[] = [];
/** Waiting puts may hold this part of the arena, or as many bytes on disk. */
const WAITING_PART = 1 / 4;
const HOPELESS = { reason: 'the put exceeds the whole budget' };

export class Budgets {
  readonly #state: NodeState;
  readonly #clock: Clock;
  readonly #node: NodeBudget;
  readonly #totals: NodeTotals;
  readonly #bytes: WaitingBytes;
  /** By partition; those that somebody waits in. */
  readonly #lines = new Map<number, Line>();
  readonly #given = new GivenRoom<AskingPut>();
  /** Lines whose head may have room by now, or waits for the node. */
  readonly #due = new Set<Line>();
  /** The node had no room for the first of them, when it was asked last. */
  #nodeFull = false;
  #scheduled = false;
  #count = 0;
  #orderNext = 1;
  /** Why nobody may wait any more. */
  #closed: StoreError | null = null;

  constructor(options: { state: NodeState; clock: Clock; node: NodeBudget; arenaSize: number }) {
    this.#state = options.state;
    this.#clock = options.clock;
    this.#node = options.node;
    this.#bytes = new WaitingBytes(Math.floor(options.arenaSize * WAITING_PART));
    this.#totals = new NodeTotals(options.state);
    options.state.store.onFree = ({ id }) => {
      if (isNodeBounded(this.#node)) this.#totals.noteFreed(id);
      this.#serveSoon(id);
    };
  }

  /** Puts that wait. */
  get count(): number {
    return this.#count;
  }

  countOf(partition: Partition): number {
    return this.#lines.get(partition.id)?.waiting.size ?? 0;
  }

  /** Null when the put may be committed in this turn; else what it waits for. Throws or rejects with `over_budget`. */
  obstacle(put: AskingPut): Promise<void> | null {
    const { partition, size } = put;
    if (partition.dropped || !isBounded(partition, this.#node)) return null;
    const rows = this.#rowsNew(put);
    if (rows === 0 || rows <= this.#given.to(put).rows) return null;
    this.end(put);
    const lack = this.#lack(partition, { rows, size });
    if (lack !== null && isHopeless(lack)) throw overBudget(partition, lack, HOPELESS);
    if (lack === null && !this.#lines.has(partition.id) && !this.#nodeFull) return null;
    return this.#park(put, { rows, lack });
  }

  /** The put is committed in this turn, or came to nothing. */
  end(put: AskingPut): void {
    if (this.#given.takeBack(put)) this.#serveSoon(put.partition.id);
  }

  /** An event was applied. Bytes that it frees are told of by the store. */
  wake(event: JournalEvent): void {
    if (isNodeBounded(this.#node)) this.#totals.note(event);
    if (this.#count === 0 || !('partition' in event)) return;
    const line = this.#lines.get(event.partition);
    switch (event.type) {
      case 'delete':
      case 'declare':
      case 'advance':
      case 'skip':
        return this.#serveSoon(event.partition);
      case 'insert':
        if (line !== undefined) this.#wakeComplete(line, event.batches);
        return;
      case 'seal':
        if (line !== undefined) this.#refuse(line, new StoreError('partition_sealed', nameOf(line)));
        return;
      case 'drop':
        if (line !== undefined)
          this.#refuse(line, new StoreError('partition_unknown', { ...nameOf(line), dropped: true }));
        return this.#serveSoon(event.partition);
      default:
        return;
    }
  }

  /** Refuses those who wait and those who still come. */
  refuseAll(error: StoreError): void {
    this.#closed = error;
    for (const line of [...this.#lines.values()]) this.#refuse(line, error);
  }

  #rowsNew({ partition, ids }: AskingPut): number {
    const known = knownRows(this.#state.queue(partition), ids);
    let rows = ids.length;
    if (known !== null) for (const one of known) rows -= one;
    return rows;
  }

  #lack(partition: Partition, asked: Room): Lack | null {
    return findLack(
      { state: this.#state, node: this.#node, totals: this.#totals, partition, given: this.#given },
      asked,
    );
  }

  #park(put: AskingPut, { rows, lack }: { rows: number; lack: Lack | null }): Promise<void> {
    if (this.#closed !== null) throw this.#closed;
    const { partition, deadlineMs, caller } = put;
    const nowMs = this.#clock.nowMs();
    const waiting = this.countOf(partition);
    if (deadlineMs <= nowMs) throw overBudget(partition, lack, { waiting });
    if (this.#count >= limits.waitersMax) throw new StoreError('too_many_waiters', { waiters: this.#count });
    if (!this.#bytes.hasRoom(put)) {
      throw overBudget(partition, lack, { waiting, reason: 'the puts that wait hold as many bytes as they may' });
    }
    return new Promise((resolve, reject) => {
      const giveUp = (error: () => StoreError): void => {
        if (!this.#leave(one)) return;
        reject(error());
        this.#serveSoon(partition.id);
      };
      const timer = this.#clock.after(deadlineMs - nowMs, () => giveUp(() => this.#timedOut(put)));
      const admitted = this.#admitted(partition);
      const watch = { ids: put.ids, fields: NO_FIELDS };
      const one = { put, order: this.#orderNext++, ...watch, rows, admitted, timer, resolve, reject };
      this.#enter(one);
      if (lack === null || lack.of === 'node') this.#serveSoon(partition.id);
      caller.onClose(() => giveUp(() => new StoreError('request_timeout', { reason: 'the caller went away' })));
    });
  }

  #timedOut(put: AskingPut): StoreError {
    const { partition, size } = put;
    const lack = this.#lack(partition, { rows: this.#rowsNew(put), size });
    return overBudget(partition, lack, { waiting: this.countOf(partition) });
  }

  #enter(one: Waiting): void {
    const { partition } = one.put;
    let line = this.#lines.get(partition.id);
    if (line === undefined) {
      line = { partition, waiting: new Set(), rows: createReadWaiters() };
      this.#lines.set(partition.id, line);
    }
    line.waiting.add(one);
    addReadWaiter(line.rows, one, this.#rowIs(partition));
    this.#bytes.add(one.put);
    this.#count++;
  }

  /** False when it left before. */
  #leave(one: Waiting): boolean {
    const line = this.#lines.get(one.put.partition.id);
    if (line === undefined || !line.waiting.delete(one)) return false;
    one.timer.cancel();
    removeReadWaiter(line.rows, one);
    this.#bytes.remove(one.put);
    this.#count--;
    if (line.waiting.size > 0) return true;
    this.#lines.delete(line.partition.id);
    this.#due.delete(line);
    if (this.#due.size === 0) this.#nodeFull = false;
    return true;
  }

  #rowIs(partition: Partition): (id: number) => boolean {
    const queue = this.#state.queue(partition);
    return (id) => machine.rowHas(queue, id, NO_FIELDS);
  }

  /** Others brought rows of a put that waits: it may need no room any more, wherever it stands. */
  #wakeComplete(line: Line, batches: readonly { readonly ids: Float64Array }[]): void {
    const rowIs = this.#rowIs(line.partition);
    for (const { ids } of batches) {
      wakeReads(line.rows, ids, rowIs, (one) => {
        this.#leave(one);
        one.resolve();
      });
    }
    // The put behind it may be next now.
    this.#serveSoon(line.partition.id);
  }

  /** Once for all that this turn frees, in the partition and in the node. */
  #serveSoon(partitionId: number): void {
    const line = this.#lines.get(partitionId);
    if (line !== undefined) this.#due.add(line);
    if (this.#due.size === 0 || this.#scheduled) return;
    this.#scheduled = true;
    void Promise.resolve().then(() => this.#serveDue());
  }

  /** Whoever came first goes first; one that waits for the node holds up all that came later. */
  #serveDue(): void {
    this.#scheduled = false;
    this.#nodeFull = false;
    while (this.#due.size > 0 && !this.#nodeFull) {
      let first: Line | null = null;
      for (const line of this.#due) if (first === null || orderOf(line) < orderOf(first)) first = line;
      this.#nodeFull = this.#serveHead(first!) === 'node_full';
    }
  }

  /** Gives room to the head of a due line. */
  #serveHead(line: Line): 'served' | 'waits' | 'node_full' {
    const { partition } = line;
    const [one] = line.waiting;
    const { size } = one.put;
    // Counting its rows takes a while: only when it may come to something else than before.
    if (one.admitted !== this.#admitted(partition)) this.#countRows(one);
    let lack = this.#lack(partition, { rows: one.rows, size });
    if (lack === null) {
      this.#countRows(one);
      lack = one.rows === 0 ? null : this.#lack(partition, { rows: one.rows, size });
    }
    if (lack?.of === 'node' && !isHopeless(lack)) return 'node_full';
    if (lack !== null && !isHopeless(lack)) {
      this.#due.delete(line);
      return 'waits';
    }
    this.#leave(one);
    if (lack !== null) {
      one.reject(overBudget(partition, lack, HOPELESS));
      return 'served';
    }
    if (one.rows > 0) this.#given.give(one.put, { rows: one.rows, size });
    one.resolve();
    return 'served';
  }

  #countRows(one: Waiting): void {
    one.rows = this.#rowsNew(one.put);
    one.admitted = this.#admitted(one.put.partition);
  }

  /** Rows that ever came to the partition. */
  #admitted(partition: Partition): number {
    return this.#state.queue(partition).rowsAdmitted;
  }

  #refuse(line: Line, error: StoreError): void {
    for (const one of [...line.waiting]) {
      this.#leave(one);
      one.reject(error);
    }
  }
}

function orderOf({ waiting }: Line): number {
  const [head] = waiting;
  return head.order;
}

function nameOf({ partition }: Line): { partition: string } {
  return { partition: partition.settings.name };
}
