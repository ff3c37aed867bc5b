/**
 * Feeds the events of the journal to the state, in their order. Puts that follow each other are gathered and applied at
 * once, which costs less than one by one.
 *
 *   insert insert insert | claim | insert insert | ...        a run ends with any other event, and when it is long
 *
 * A put that carries more than rows, or is of another kind than the one before, is no part of the run; rows that are
 * there, or come twice, make its puts apply one by one.
 */
import { sameColumns } from '../journal/columns.ts';
import type { ClaimEvent, InsertEvent, JournalEvent, MoveEvent, RewriteEvent } from '../journal/events.ts';
import { TICKS_PER_MS, type RecordHeader } from '../journal/format.ts';
import { machine, type PartitionQueue } from '../queue/machine.ts';
import { areNew } from '../queue/presence.ts';
import type { Segments } from '../segment/segments.ts';
import { idsOfInserts, runOfMany, type PlacedInsert } from '../store/insert_run.ts';
import type { Partition } from '../store/partition.ts';
import type { NodeState, IdList, Placed } from './state.ts';

type Header = Pick<RecordHeader, 'lsn' | 'level' | 'timestamp'>;

/** A part of the garbage of a replay lives as long as a run does. */
const RUN_LENGTH_MAX = 128;

const DONE = Promise.resolve();

export class Replay {
  readonly #state: NodeState;
  readonly #segments: Segments;
  readonly #isLossy: boolean;
  #inserts: PlacedInsert[] = [];
  /** Of the last of them. */
  #header: Header = { lsn: 0, level: 'os', timestamp: 0 };

  /** `isLossy`: puts were left out, whose rows other events name. */
  constructor(options: { state: NodeState; segments: Segments; isLossy: boolean }) {
    this.#state = options.state;
    this.#segments = options.segments;
    this.#isLossy = options.isLossy;
  }

  /** A promise when it takes more than this turn: until it is settled no other event may come. */
  visit(event: JournalEvent, header: Header): void | Promise<void> {
    if (event.type === 'insert' && this.#isPlain(event)) {
      if (this.#inserts.length > 0 && !this.#goesOn(event, header)) {
        const ended = this.end();
        if (ended !== undefined) return ended.then(() => this.visit(event, header));
      }
      this.#inserts.push({ event, lsn: header.lsn });
      this.#header = header;
      return;
    }
    const ended = this.end();
    return ended === undefined ? this.#alone(event, header) : ended.then(() => this.#alone(event, header));
  }

  /** Applies what was gathered. */
  end(): void | Promise<void> {
    const inserts = this.#inserts;
    if (inserts.length === 0) return;
    this.#inserts = [];
    const { level } = this.#header;
    const ids = idsOfInserts(inserts);
    if (!areNew(this.#state.queueById(inserts[0].event.partition)!, ids)) return this.#oneByOne(inserts, this.#header);
    for (const { event } of inserts) this.#segments.adopt(event.extent, level);
    this.#state.applyInserts(runOfMany(inserts, ids, level), placedBy(this.#header));
  }

  /** Whether the put is nothing but rows. */
  #isPlain({ partition, batches, ackClaim, tags, blobs }: InsertEvent): boolean {
    if (ackClaim !== 0 || tags !== undefined || blobs !== undefined || batches.length !== 1) return false;
    // When rows came matters to a partition that keeps them for a time.
    const queue = this.#state.queueById(partition);
    return batches[0].rows > 0 && queue !== undefined && queue.settings.retention?.ageMsMax === undefined;
  }

  #goesOn({ partition, batches }: InsertEvent, { level }: Header): boolean {
    const { event } = this.#inserts[0];
    return (
      partition === event.partition &&
      level === this.#header.level &&
      this.#inserts.length < RUN_LENGTH_MAX &&
      sameColumns(batches[0].columns, event.batches[0].columns)
    );
  }

  async #oneByOne(inserts: readonly PlacedInsert[], { level, timestamp }: Header): Promise<void> {
    for (const { event, lsn } of inserts) await this.#alone(event, { lsn, level, timestamp });
  }

  /** Rows that the event puts again or deletes may lie on disk; then it takes more than this turn. */
  #alone(event: JournalEvent, header: Header): void | Promise<void> {
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
    if (event.type === 'insert') this.#segments.adopt(event.extent, header.level);
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
    if (old !== undefined) segments.adopt(event.extent, old.level);
    return;
  }
  const extent = store.extentOf(event);
  const { segment, offset } = event;
  if (extent !== undefined) segments.adopt({ segment, offset, length: extent.length }, extent.level);
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
