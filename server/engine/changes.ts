/**
 * The latest changes of partitions that somebody watches, kept so that whoever asks again and again hears all of them.
 *
 *   first ask   begins a ring: changes from then on are kept
 *   later ask   what the ring has after the LSN asked for; `missed` says that there was more
 *
 * Invariants: of a partition that nobody watches nothing is kept; a ring has all changes after its `sinceLsn`; rings
 * hold at most `ringSizeMax` each and `sizeMax` together, of which the one that was asked for longest ago gives first;
 * a ring that nobody asks for ends with the first change after `keptMs`.
 */
import type { Clock } from '../env/env.ts';
import type { JournalEvent } from '../journal/events.ts';
import { changesOf, type Change } from './change_of.ts';
import type { NodeState } from './state.ts';

export const changesLimits = {
  ringSizeMax: 1 << 20,
  sizeMax: 16 << 20,
  /** Longer than a request waits, so that a ring outlives the pauses between two. */
  keptMs: 120_000,
} as const;
export type ChangesLimits = { readonly [Name in keyof typeof changesLimits]: number };

export interface ChangesOptions {
  readonly state: NodeState;
  readonly clock: Clock;
  readonly limits?: ChangesLimits;
}

/** What a change takes besides its ids, about. */
const CHANGE_SIZE = 256;
const ID_SIZE = 8;

/** The changes of one event: they have one LSN, and are told together. */
interface Entry {
  readonly lsn: number;
  readonly changes: readonly Change[];
  readonly size: number;
}

interface Ring {
  sinceLsn: number;
  /** LSNs rise. */
  entries: Entry[];
  size: number;
  askedMs: number;
}

export interface ChangesFound {
  readonly changes: readonly (Change & { readonly lsn: number })[];
  /** Up to here all was told, or is `missed`. */
  readonly lsn: number;
  readonly missed: boolean;
}

export class Changes {
  readonly #state: NodeState;
  readonly #clock: Clock;
  readonly #limits: ChangesLimits;
  /** By the number of the partition; the one asked for longest ago first. */
  readonly #rings = new Map<number, Ring>();
  #size = 0;

  constructor({ state, clock, limits = changesLimits }: ChangesOptions) {
    this.#state = state;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Bytes that all rings hold, about. */
  get size(): number {
    return this.#size;
  }

  /** Before the event is applied. */
  note(event: JournalEvent, lsn: number): void {
    if (!('partition' in event)) return;
    const ring = this.#rings.get(event.partition);
    if (ring === undefined) return;
    if (event.type === 'drop' || this.#clock.nowMs() - ring.askedMs > this.#limits.keptMs) {
      this.#end(event.partition, ring);
      return;
    }
    const partition = this.#state.store.partitionById(event.partition)!;
    const changes = changesOf(event, { partition, queue: this.#state.queue(partition) });
    if (changes.length === 0) return;
    const size = changes.reduce((sum, { ids }) => sum + CHANGE_SIZE + ID_SIZE * (ids?.length ?? 0), 0);
    ring.entries.push({ lsn, changes, size });
    this.#grow(ring, size);
    if (ring.size > this.#limits.ringSizeMax) this.#shrink(ring, this.#limits.ringSizeMax / 2);
    if (this.#size > this.#limits.sizeMax) this.#makeRoom(ring);
  }

  /** What came after an LSN (null: nothing, from now on), up to `max` changes or as many as the last event has. */
  after(partition: number, afterLsn: number | null, { now, max }: { now: number; max: number }): ChangesFound {
    const ring = this.#ask(partition, now);
    const missed = afterLsn !== null && (afterLsn < ring.sinceLsn || afterLsn > now);
    const from = afterLsn === null || afterLsn > now ? now : afterLsn;
    const changes: (Change & { readonly lsn: number })[] = [];
    for (let place = firstAfter(ring.entries, from); place < ring.entries.length; place++) {
      const { lsn, changes: some } = ring.entries[place];
      if (changes.length > 0 && changes.length + some.length > max) return { changes, lsn: lsn - 1, missed };
      changes.push(...some.map((change) => ({ lsn, ...change })));
    }
    return { changes, lsn: now, missed };
  }

  #ask(partition: number, now: number): Ring {
    const ring = this.#rings.get(partition) ?? { sinceLsn: now, entries: [], size: 0, askedMs: 0 };
    ring.askedMs = this.#clock.nowMs();
    this.#rings.delete(partition);
    this.#rings.set(partition, ring);
    return ring;
  }

  /** At the cost of others. To the half, so that it is not looked for at each change. */
  #makeRoom(ring: Ring): void {
    for (const other of this.#rings.values()) {
      if (this.#size <= this.#limits.sizeMax / 2) return;
      if (other !== ring) this.#shrink(other, 0);
    }
  }

  /** Forgets the oldest, until the ring holds no more than `size`. */
  #shrink(ring: Ring, size: number): void {
    let count = 0;
    for (let left = ring.size; left > size; count++) left -= ring.entries[count].size;
    if (count === 0) return;
    for (const entry of ring.entries.splice(0, count)) {
      ring.sinceLsn = entry.lsn;
      this.#grow(ring, -entry.size);
    }
  }

  #end(partition: number, ring: Ring): void {
    this.#grow(ring, -ring.size);
    this.#rings.delete(partition);
  }

  #grow(ring: Ring, size: number): void {
    ring.size += size;
    this.#size += size;
  }
}

function firstAfter(entries: readonly Entry[], lsn: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle].lsn <= lsn) low = middle + 1;
    else high = middle;
  }
  return low;
}
