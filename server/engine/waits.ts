/**
 * Everything that waits: parked claims and parked reads. A commit wakes those that it may satisfy, in the same turn;
 * each has a deadline, and a caller that goes away leaves no trace.
 *
 * Invariants: a waiter ends exactly once (served, timed out, refused or abandoned); at most `limits.waitersMax` wait.
 */
import { limits } from '@transfer-queue/core/protocol';
import type { Clock, Timer } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import type { InsertEvent, JournalEvent } from '../journal/events.ts';
import type { ClaimCommand } from '../queue/events.ts';
import { keepFilter, letFilterGo, useFilter } from '../queue/filters.ts';
import { machine } from '../queue/machine.ts';
import {
  addNewestWaiter,
  addReadWaiter,
  createNewestWaiters,
  createReadWaiters,
  removeNewestWaiter,
  removeReadWaiter,
  wakeNewest,
  wakeReads,
  type NewestWaiters,
  type ReadWaiters,
} from '../queue/read_waiters.ts';
import {
  addClaimWaiter,
  createClaimWaiters,
  hasLine,
  removeClaimWaiter,
  wakeAfter,
  wakeLine,
  type ClaimWaiters,
} from '../queue/waiters.ts';
import type { Partition } from '../store/partition.ts';
import type { Caller } from './commands.ts';
import type { NodeState } from './state.ts';

interface Waiter {
  /** Serves the waiter if it can be served now. */
  attempt(): boolean;
  refuse(error: StoreError): void;
}

export interface ParkedClaim extends Waiter {
  readonly command: ClaimCommand;
  /** When an attempt may succeed although nothing happens, as the latest one saw it; Infinity: never. */
  readonly dueMs: number;
}

/** Tries a parked claim again when it is due. */
interface Alarm {
  readonly dueMs: number;
  readonly timer: Timer;
}

export interface ParkedRead extends Waiter {
  readonly ids: Float64Array;
  readonly fields: readonly number[];
}

export interface ParkedNewest extends Waiter {
  readonly fields: readonly number[];
}

/** How a wait ends when nothing serves it. */
export interface WaitLimit {
  readonly waitMs: number;
  readonly caller: Caller;
  onTimeout(): void;
}

/** How a waiter leaves the books, what to do once it left of its own accord, and what to do at any end. */
interface Exit {
  readonly leave: () => void;
  readonly left?: () => void;
  readonly ended?: () => void;
}

interface PartitionWaits {
  readonly claims: ClaimWaiters<ParkedClaim>;
  readonly reads: ReadWaiters<ParkedRead>;
  readonly newest: NewestWaiters<ParkedNewest>;
  /** For any change. */
  readonly watches: Set<Waiter>;
  /** All of them, with what ends their waiting from outside. */
  readonly leave: Map<Waiter, Exit>;
}

export class Waits {
  readonly #state: NodeState;
  readonly #clock: Clock;
  readonly #partitions = new Map<number, PartitionWaits>();
  readonly #timers = new Map<Waiter, Timer>();
  readonly #alarms = new Map<Waiter, Alarm>();
  /** Why nobody may wait any more. */
  #closed: StoreError | null = null;

  constructor(options: { state: NodeState; clock: Clock }) {
    this.#state = options.state;
    this.#clock = options.clock;
  }

  get count(): number {
    return this.#timers.size;
  }

  countOf(partition: Partition): number {
    return this.#partitions.get(partition.id)?.leave.size ?? 0;
  }

  /** Whether others wait for the same rows: who comes later queues behind them. */
  hasLine(partition: Partition, command: ClaimCommand): boolean {
    const waits = this.#partitions.get(partition.id);
    return waits !== undefined && hasLine(waits.claims, { command });
  }

  parkClaim(partition: Partition, claim: ParkedClaim, limit: WaitLimit): void {
    const waits = this.#admit(partition);
    const letGo = this.#keepFilter(partition, claim.command);
    addClaimWaiter(waits.claims, claim);
    const leave = (): void => removeClaimWaiter(waits.claims, claim);
    const left = (): void => wakeLine(waits.claims, claim, this.#serveClaims(waits));
    this.#hold(waits, claim, limit, { leave, left, ended: letGo });
    this.#alarm(waits, claim);
  }

  /** The caller has seen in this turn that a row is missing. */
  parkRead(partition: Partition, read: ParkedRead, limit: WaitLimit): void {
    const waits = this.#admit(partition);
    addReadWaiter(waits.reads, read, this.#rowHas(partition.id));
    this.#hold(waits, read, limit, { leave: () => removeReadWaiter(waits.reads, read) });
  }

  parkNewest(partition: Partition, newest: ParkedNewest, limit: WaitLimit): void {
    const waits = this.#admit(partition);
    addNewestWaiter(waits.newest, newest);
    this.#hold(waits, newest, limit, { leave: () => removeNewestWaiter(waits.newest, newest) });
  }

  parkWatch(partition: Partition, watch: Waiter, limit: WaitLimit): void {
    const waits = this.#admit(partition);
    waits.watches.add(watch);
    this.#hold(waits, watch, limit, { leave: () => waits.watches.delete(watch) });
  }

  /** Wakes whom an event may satisfy. */
  wake(event: JournalEvent): void {
    if (!('partition' in event) || event.type === 'move' || event.type === 'rewrite') return;
    const waits = this.#partitions.get(event.partition);
    if (waits === undefined) return;
    if (event.type === 'drop') {
      this.#refuse(waits, new StoreError('partition_unknown', { dropped: true }));
      this.#partitions.delete(event.partition);
      return;
    }
    if (event.type === 'insert') this.#wakeReads(event, waits);
    if (event.type === 'seal' || event.type === 'delete') this.#wakeHopelessReads(event.partition, waits);
    const serve = this.#serve(waits);
    wakeAfter(waits.claims, this.#state.queueById(event.partition)!, event, this.#serveClaims(waits));
    for (const watch of waits.watches) if (serve(watch)) waits.watches.delete(watch);
  }

  /** Refuses those who wait and those who still come. */
  refuseAll(error: StoreError): void {
    this.#closed = error;
    for (const waits of this.#partitions.values()) this.#refuse(waits, error);
  }

  #wakeReads({ partition, batches }: InsertEvent, waits: PartitionWaits): void {
    const has = this.#rowHas(partition);
    for (const { ids, columns } of batches) {
      wakeReads(waits.reads, ids, has, (read) => this.#wakeRead(partition, waits, read));
      const fields = columns.map((column) => column.field);
      wakeNewest(waits.newest, fields, this.#serve(waits));
    }
  }

  /** Rows that are not there in a sealed partition never come. */
  #wakeHopelessReads(partition: number, waits: PartitionWaits): void {
    if (!this.#state.queueById(partition)!.sealed) return;
    for (const read of [...waits.reads.watched.keys()]) this.#wakeRead(partition, waits, read);
  }

  /** Takes the read out and puts it back when a row that was there has gone since. */
  #wakeRead(partition: number, waits: PartitionWaits, read: ParkedRead): void {
    removeReadWaiter(waits.reads, read);
    if (read.attempt()) this.#end(waits, read);
    else addReadWaiter(waits.reads, read, this.#rowHas(partition));
  }

  #rowHas(partition: number): (id: number, fields: readonly number[]) => boolean {
    const queue = this.#state.queueById(partition)!;
    return (id, fields) => machine.rowHas(queue, id, fields);
  }

  #serve(waits: PartitionWaits): (waiter: Waiter) => boolean {
    return (waiter) => {
      if (!waiter.attempt()) return false;
      this.#end(waits, waiter);
      return true;
    };
  }

  #serveClaims(waits: PartitionWaits): (claim: ParkedClaim) => boolean {
    const serve = this.#serve(waits);
    return (claim) => {
      if (serve(claim)) return true;
      this.#alarm(waits, claim);
      return false;
    };
  }

  /** Tries the line of the claim when its head is due. */
  #alarm(waits: PartitionWaits, claim: ParkedClaim): void {
    const { dueMs } = claim;
    const alarm = this.#alarms.get(claim);
    if (dueMs === (alarm?.dueMs ?? Infinity)) return;
    alarm?.timer.cancel();
    this.#alarms.delete(claim);
    if (dueMs === Infinity) return;
    const timer = this.#clock.after(Math.max(0, dueMs - this.#clock.nowMs()), () => {
      this.#alarms.delete(claim);
      wakeLine(waits.claims, claim, this.#serveClaims(waits));
    });
    this.#alarms.set(claim, { dueMs, timer });
  }

  /** The filter of a claim stays in use as long as it waits; returns what lets it go. */
  #keepFilter(partition: Partition, { where }: ClaimCommand): (() => void) | undefined {
    if (where === undefined) return undefined;
    const use = useFilter(this.#state.queue(partition), where);
    if ('code' in use) throw new StoreError(use.code, use.details);
    keepFilter(use);
    return () => letFilterGo(use);
  }

  #admit(partition: Partition): PartitionWaits {
    if (this.#closed !== null) throw this.#closed;
    if (this.count >= limits.waitersMax) throw new StoreError('too_many_waiters', { waiters: this.count });
    let waits = this.#partitions.get(partition.id);
    if (waits === undefined) {
      waits = {
        claims: createClaimWaiters(),
        reads: createReadWaiters(),
        newest: createNewestWaiters(),
        watches: new Set(),
        leave: new Map(),
      };
      this.#partitions.set(partition.id, waits);
    }
    return waits;
  }

  #hold(waits: PartitionWaits, waiter: Waiter, limit: WaitLimit, exit: Exit): void {
    const giveUp = (how: () => void): void => {
      if (!this.#timers.has(waiter)) return;
      this.#end(waits, waiter);
      exit.leave();
      how();
      exit.left?.();
    };
    // What is left of a time-out may still be taken, before those behind are tried.
    const timer = this.#clock.after(limit.waitMs, () => giveUp(() => limit.onTimeout()));
    this.#timers.set(waiter, timer);
    waits.leave.set(waiter, exit);
    limit.caller.onClose(() => giveUp(() => undefined));
  }

  #end(waits: PartitionWaits, waiter: Waiter): void {
    this.#timers.get(waiter)?.cancel();
    this.#timers.delete(waiter);
    this.#alarms.get(waiter)?.timer.cancel();
    this.#alarms.delete(waiter);
    waits.leave.get(waiter)?.ended?.();
    waits.leave.delete(waiter);
  }

  #refuse(waits: PartitionWaits, error: StoreError): void {
    for (const [waiter, { leave }] of [...waits.leave]) {
      this.#end(waits, waiter);
      leave();
      waiter.refuse(error);
    }
  }
}
