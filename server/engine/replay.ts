/**
 * Feeds the events of the journal to the state, in their order. Plain puts that follow each other come as runs, which
 * are applied at once: that costs less than one by one. Rows that are there, or come twice, make the puts of a run
 * apply one by one all the same.
 */
import type { ClaimEvent, InsertEvent, JournalEvent, MoveEvent, RewriteEvent } from '../journal/events.ts';
import { TICKS_PER_MS, type RecordHeader } from '../journal/format.ts';
import type { InsertRun } from '../journal/insert_run.ts';
import type { Visitor } from '../journal/recover.ts';
import { machine, type PartitionQueue } from '../queue/machine.ts';
import { areNew } from '../queue/presence.ts';
import { spaceOf } from '../segment/segment.ts';
import type { Segments } from '../segment/segments.ts';
import { spaceOfRun } from '../store/extent_run.ts';
import type { Partition } from '../store/partition.ts';
import type { NodeState, IdList, Placed } from './state.ts';

type Header = Pick<RecordHeader, 'lsn' | 'level' | 'timestamp'>;

const DONE = Promise.resolve();

export class Replay implements Visitor {
  readonly #state: NodeState;
  readonly #segments: Segments;
  readonly #isLossy: boolean;

  /** `isLossy`: puts were left out, whose rows other events name. */
  constructor(options: { state: NodeState; segments: Segments; isLossy: boolean }) {
    this.#state = options.state;
    this.#segments = options.segments;
    this.#isLossy = options.isLossy;
  }

  /** When rows came matters to a partition that keeps them for a time. */
  takesRuns(partition: number): boolean {
    const queue = this.#state.queueById(partition);
    return queue !== undefined && queue.settings.retention?.ageMsMax === undefined;
  }

  /** A promise when it takes more than this turn: until it is settled no other event may come. */
  visitRun(run: InsertRun): void | Promise<void> {
    if (!areNew(this.#state.queueById(run.partition)!, run.ids)) return this.#oneByOne(run);
    this.#segments.adopt(spaceOfRun(run), run.level);
    this.#state.applyInsertRun(run, placedBy({ lsn: run.lsnLast, level: run.level, timestamp: run.timestamp }));
  }

  async #oneByOne(run: InsertRun): Promise<void> {
    const { level, timestamp } = run;
    for (const { event, lsn } of run.events()) await this.visit(event, { lsn, level, timestamp });
  }

  /** Rows that the event puts again or deletes may lie on disk; then it takes more than this turn, as `visitRun`. */
  visit(event: JournalEvent, header: Header): void | Promise<void> {
    const possible = this.#isLossy ? withoutLost(this.#state, event) : event;
    if (possible === null) return;
    const lists = rowsOf(possible);
    const partition = lists === null ? undefined : this.#state.store.partitionById((possible as InsertEvent).partition);
    if (lists === null || partition === undefined || this.#state.unready(partition, lists) === null) {
      return this.#apply(possible, header);
    }
    return loadAll(this.#state, partition, lists).then(() => this.#apply(possible, header));
  }

  #apply(event: JournalEvent, header: Header): void {
    if (event.type === 'insert') this.#segments.adopt(spaceOf(event.extent), header.level);
    if (event.type === 'move' || event.type === 'rewrite') adoptCopy(this.#state, this.#segments, event);
    this.#state.apply(event, placedBy(header));
  }
}

function placedBy({ lsn, level, timestamp }: Header): Placed {
  return { lsn, level, commit: DONE, now: 0, wallMs: timestamp / TICKS_PER_MS, replayed: true };
}

async function loadAll(state: NodeState, partition: Partition, lists: readonly IdList[]): Promise<void> {
  for (let ids = state.unready(partition, lists); ids !== null; ids = state.unready(partition, lists)) {
    await partition.index.load(ids);
  }
}

/** The rows that an event needs in memory if they are there. */
function rowsOf(event: JournalEvent): readonly IdList[] | null {
  if (event.type === 'insert' || event.type === 'rewrite') return event.batches;
  return event.type === 'delete' ? [event] : null;
}

/** A copy of an extent that died before is forgotten with it. */
function adoptCopy(state: NodeState, segments: Segments, event: MoveEvent | RewriteEvent): void {
  const { store } = state;
  if (event.type === 'rewrite') {
    const old = store.extent(event.fromExtent);
    if (old !== undefined) segments.adopt(spaceOf(event.extent), old.level);
    return;
  }
  const extent = store.extentOf(event);
  const { segment, offset } = event;
  if (extent !== undefined) segments.adopt(spaceOf({ segment, offset, length: extent.length }), extent.level);
}

/** What is left of an event when rows that it names, or the claim that it ends, were lost with a void put. */
function withoutLost(state: NodeState, event: JournalEvent): JournalEvent | null {
  if (event.type === 'claim') return claimOfPresent(state, event);
  if (event.type === 'ack' || event.type === 'release') {
    return state.queueById(event.partition)?.claims.has(event.claim) === true ? event : null;
  }
  if (event.type === 'insert' && event.ackClaim !== 0) {
    const there = state.queueById(event.partition)?.claims.has(event.ackClaim) === true;
    return there ? event : { ...event, ackClaim: 0 };
  }
  return event;
}

/** Without some of its earlier claims a row may be a dead letter by now that was queued anew before this claim. */
function canClaim(queue: PartitionQueue, { task, fields }: ClaimEvent, id: number): boolean {
  const standing = machine.rowStatus(queue, id)?.tasks.find((each) => each.task === task);
  return machine.rowHas(queue, id, fields) && (standing === undefined || standing.state === 'unclaimed');
}

function claimOfPresent(state: NodeState, event: ClaimEvent): ClaimEvent | null {
  const queue = state.queueById(event.partition);
  if (queue === undefined) return null;
  const places = Array.from(event.ids.keys()).filter((place) => canClaim(queue, event, event.ids[place]));
  if (places.length === 0) return null;
  const ids = Float64Array.from(places, (place) => event.ids[place]);
  return { ...event, ids, attempts: Uint16Array.from(places, (place) => event.attempts[place]) };
}
