/**
 * A small engine around the queue: journals what was decided, applies it, and can crash. The tests put a machine with
 * a planted bug in the place of the real one.
 *
 *   journal  | committed: its answers were given ... | decided, but nobody was told ... |
 *   crash    keeps the first part and any prefix of the second, and replays it into a new queue; with `checkpoints`,
 *            into the queue as it was saved at the last commit
 */
import type { Bitmaps } from '../../../server/queue/bitmaps.ts';
import type {
  AckEvent,
  ClaimCommand,
  ClaimDecision,
  ClaimEvent,
  Counts,
  Machine,
  PartitionQueue,
  QueueLimits,
  QueueOptions,
  Refusal,
  QueueSettings,
  ReleaseEvent,
  RequeueEvent,
  ResetEvent,
  SkipEvent,
} from '../../../server/queue/machine.ts';
import { RecordStore } from './record_store.ts';

/** Fewer units than most events change. */
const SAVED_PER_EVENT = 2;

export interface InsertEvent {
  readonly type: 'insert';
  readonly ids: Float64Array;
  readonly fields: readonly number[];
  readonly ackClaim: number;
}

export interface DeleteEvent {
  readonly type: 'delete';
  readonly ids: Float64Array;
}

export type Journaled =
  | InsertEvent
  | DeleteEvent
  | ClaimEvent
  | AckEvent
  | ReleaseEvent
  | RequeueEvent
  | ResetEvent
  | SkipEvent
  | { readonly type: 'declare'; readonly settings: QueueSettings }
  | { readonly type: 'seal' };

export interface HarnessOptions {
  readonly machine: Machine;
  readonly groupSize: number;
  readonly bitmaps: Bitmaps;
  readonly settings?: QueueSettings;
  readonly limits?: QueueLimits;
  /** Changes are saved bit by bit, and all of them when the journal is committed. */
  readonly checkpoints?: boolean;
  /** Called after an event was applied live. */
  readonly onEvent?: (event: Journaled) => void;
}

export type Grant = { readonly kind: 'grant'; readonly event: ClaimEvent };
export type ClaimAnswer =
  | Grant
  | { readonly kind: 'wait'; readonly counts: Counts; readonly dueMs: number }
  | Exclude<ClaimDecision, { kind: 'grant' | 'skip' | 'wait' }>;
export type EndAnswer = 'ok' | 'already' | Refusal['code'];

export class Harness {
  readonly journal: Journaled[] = [];
  queue: PartitionQueue;
  committed = 0;
  now = 0;
  readonly #options: HarnessOptions;
  #store = new RecordStore();
  #checkpoint: { readonly store: RecordStore; readonly length: number; readonly settings: QueueSettings } | undefined;
  #claimNext = 1;

  constructor(options: HarnessOptions) {
    this.#options = options;
    this.queue = this.#create();
  }

  put(ids: readonly number[], fields: readonly number[], ackClaim = 0): EndAnswer {
    const { machine } = this.#options;
    const insert = { ids: Float64Array.from(ids), fields };
    const refusal = machine.decideInsert(this.queue, insert);
    if (refusal !== undefined) return refusal.code;
    if (ackClaim !== 0) {
      const decision = machine.decideAck(this.queue, { claim: ackClaim, requestId: '' });
      if (decision.kind === 'already') return 'already';
      if (decision.kind === 'refuse') return decision.code;
    }
    this.#journal({ type: 'insert', ...insert, ackClaim });
    return 'ok';
  }

  remove(ids: readonly number[]): void {
    this.#journal({ type: 'delete', ids: Float64Array.from(ids) });
  }

  seal(): void {
    this.#journal({ type: 'seal' });
  }

  declare(settings: QueueSettings): void {
    this.#journal({ type: 'declare', settings });
  }

  claim(command: ClaimCommand): ClaimAnswer {
    const { machine } = this.#options;
    const decision = machine.decideClaim(this.queue, command, this.now);
    if (decision.kind === 'skip') {
      this.#journal({ type: 'skip', partition: 1, task: command.task, fields: command.fields, ids: decision.ids });
      return this.claim(command);
    }
    if (decision.kind === 'wait') return { ...decision, counts: machine.countClaim(this.queue, command, this.now) };
    if (decision.kind !== 'grant') return decision;
    const { task, fields, leaseMs, autoAck, requestId } = command;
    const { ids, attempts } = decision;
    const granted = { task, claim: this.#claimNext, epoch: 1, fields, ids, attempts, leaseMs, autoAck };
    const event: ClaimEvent = { type: 'claim', partition: 1, requestId, ...granted };
    this.#journal(event);
    return { kind: 'grant', event };
  }

  ack(claim: number): EndAnswer {
    return this.#end(this.#options.machine.decideAck(this.queue, { claim, requestId: 'a' }));
  }

  release(claim: number, reason: 'released' | 'undelivered' = 'released'): EndAnswer {
    return this.#end(this.#options.machine.decideRelease(this.queue, { claim, requestId: 'r', reason }));
  }

  /** How many rows were dead letters. */
  requeue(task: string, ids: readonly number[]): number {
    return this.#journal({ type: 'requeue', partition: 1, task, ids: Float64Array.from(ids) });
  }

  /** How many rows the task had taken. */
  reset(task: string): number {
    return this.#journal({ type: 'reset', partition: 1, requestId: '', task });
  }

  /** How many rows were unclaimed. */
  skip(task: string, fields: readonly number[], ids: readonly number[]): number {
    return this.#journal({ type: 'skip', partition: 1, task, fields, ids: Float64Array.from(ids) });
  }

  /** The length of the renewed lease, or why not. */
  renew(claim: number, leaseMs: number): number | Refusal['code'] {
    const decision = this.#options.machine.decideRenew(this.queue, { claim, leaseMs });
    if (decision.kind === 'refuse') return decision.code;
    this.#options.machine.renewLease(this.queue, { claim, leaseMs: decision.leaseMs }, this.now);
    return decision.leaseMs;
  }

  /** Moves the clock and lets leases run out in their order; says which claims expired. */
  advance(ms: number): number[] {
    this.now += ms;
    const events = this.#options.machine.decideExpire(this.queue, this.now);
    for (const event of events) this.#journal(event);
    return events.map((event) => event.claim);
  }

  commit(): void {
    this.committed = this.journal.length;
    if (this.#options.checkpoints !== true) return;
    this.#store.saveAll(this.queue);
    const { settings } = this.queue;
    this.#checkpoint = { store: new RecordStore(this.#store.values), length: this.committed, settings };
  }

  /** Loses what was not committed, but for a part of it (0 to 1), and starts again. */
  crash(partKept: number): void {
    const { machine } = this.#options;
    this.journal.length = this.committed + Math.floor((this.journal.length - this.committed) * partKept);
    machine.drop(this.queue);
    this.#claimNext = 1 + this.journal.reduce((last, event) => (event.type === 'claim' ? event.claim : last), 0);
    this.#store = new RecordStore(this.#checkpoint?.store.values);
    const saved = this.#checkpoint;
    this.queue = saved === undefined ? this.#create() : this.#store.load(this.#queueOptions(saved.settings));
    for (const event of this.journal.slice(this.#checkpoint?.length ?? 0)) this.#apply(event, 0);
    machine.restartLeases(this.queue, this.now);
    this.commit();
  }

  /** Another engine at the same place of the same journal, with a queue of its own. */
  continuedOn(queue: PartitionQueue, claimNext = this.#claimNext): Harness {
    const other = new Harness(this.#options);
    other.queue = queue;
    other.journal.push(...this.journal);
    other.committed = this.committed;
    other.now = this.now;
    other.#claimNext = claimNext;
    return other;
  }

  /** A second queue made from the same journal. */
  replayed(): PartitionQueue {
    const live = this.queue;
    this.queue = this.#create();
    for (const event of this.journal) this.#apply(event, 0);
    const copy = this.queue;
    this.queue = live;
    return copy;
  }

  #create(): PartitionQueue {
    return this.#options.machine.create(this.#queueOptions());
  }

  #queueOptions(settings = this.#options.settings): QueueOptions {
    const { groupSize, bitmaps, limits } = this.#options;
    return { partition: 1, groupSize, bitmaps, settings, limits };
  }

  #end(decision: { kind: 'event'; event: AckEvent | ReleaseEvent } | { kind: 'already' } | Refusal): EndAnswer {
    if (decision.kind === 'refuse') return decision.code;
    if (decision.kind === 'already') return 'already';
    this.#journal(decision.event);
    return 'ok';
  }

  /** Says how many rows the event changed, if that is anybody's answer. */
  #journal(event: Journaled): number {
    this.journal.push(event);
    const rows = this.#apply(event, this.now);
    if (this.#options.checkpoints === true) this.#store.save(this.queue, SAVED_PER_EVENT);
    this.#options.onEvent?.(event);
    return rows;
  }

  #apply(event: Journaled, now: number): number {
    const { machine } = this.#options;
    const { queue } = this;
    switch (event.type) {
      case 'insert':
        if (event.ackClaim !== 0) {
          machine.applyAck(queue, { type: 'ack', partition: 1, claim: event.ackClaim, requestId: '' });
        }
        return machine.applyInsert(queue, event);
      case 'delete':
        return machine.applyDelete(queue, event.ids);
      case 'requeue':
        return machine.applyRequeue(queue, event);
      case 'reset':
        return machine.applyReset(queue, event).rows;
      case 'skip':
        return machine.applySkip(queue, event);
      case 'claim':
        this.#claimNext = event.claim + 1;
        machine.applyClaim(queue, event, now);
        return 0;
      case 'ack':
        machine.applyAck(queue, event);
        return 0;
      case 'release':
        machine.applyRelease(queue, event);
        return 0;
      case 'declare':
        machine.applyDeclare(queue, event.settings);
        return 0;
      case 'seal':
        machine.applySeal(queue);
        return 0;
    }
  }
}
