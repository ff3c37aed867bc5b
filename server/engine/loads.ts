/**
 * Loads of saved partitions, all or nothing.
 *
 *   open -> stage: a hidden partition for each -> puts of its rows -> commit: restore each queue, adopt all -> done
 *     `---- close, end of the lease, or the next start: the hidden partitions are dropped
 *
 *   commit   each queue made, and compared with the rows that were put, in slices | its puts made durable |
 *            restore events, in parts, with the last of which a staged partition has its queue |
 *            one adopt event: names given, partitions of these names dropped
 *
 * Invariants: before the adopt event nobody sees anything of a load, afterwards all of it is there, durably; from the
 * commit on no put changes what it compares; a commit that is asked for again is answered as it was, until the lease
 * ends. The lease stands still while a state is taken or the load is committed.
 */
import { limits, type AckLevel } from '@transfer-queue/core/protocol';
import { loadCore, type Core } from '@transfer-queue/core/wasm';
import { nextTurn, type Env, type Timer } from '../env/env.ts';
import { inSlices, LOOKS, type Steps } from '../env/slice.ts';
import { StoreError } from '../errors.ts';
import { FormatError } from '../journal/bytes.ts';
import type { AdoptEvent, JournalEvent, PartitionSettings } from '../journal/events.ts';
import type { Journal } from '../journal/journal.ts';
import { machine } from '../queue/machine.ts';
import { hasRoom } from '../queue/room.ts';
import { createBitmaps } from '../queue/wasm_bitmaps.ts';
import type { Partition } from '../store/partition.ts';
import { decodeState } from './saved_state.ts';
import { stagingName } from './staging.ts';
import type { NodeState, Restored } from './state.ts';
import type { StateRoom } from './state_room.ts';

/** Bytes of a state in one event. */
const PART_SIZE = 1 << 18;

/** What is needed of a node. */
interface LoadingNode {
  readonly parts: {
    readonly env: Env;
    readonly core: Core;
    readonly state: NodeState;
    readonly journal: Journal;
    readonly epoch: number;
  };
  readonly checkpoints: { admit(): Promise<void> };
  readonly states: StateRoom;
  checkRoom(): void;
  journalRoom(level: AckLevel): Promise<void> | null;
  makeDurable(): Promise<void>;
  commit(
    event: JournalEvent,
    level: AckLevel,
  ): { readonly lsn: number; readonly rows: number; readonly commit: Promise<unknown> };
}

export interface Loaded {
  readonly lsn: number;
  readonly rows: number;
}

/** A state on its way in. */
export interface StateSource {
  readonly size: number;
  /** Asked for once there is room. */
  readonly receive: () => Promise<Buffer>;
}

interface Staged {
  readonly partition: Partition;
  readonly bytes: Buffer;
  /** Gives the room of the bytes back. */
  readonly give: () => void;
}

interface Load {
  leaseMs: number;
  timer: Timer;
  /** Stages and commits that are under way. */
  working: number;
  /** By the names that they are for. */
  readonly staged: Map<string, Staged>;
  /** What was asked for: the checksum of the state, and the name of the hidden partition. */
  readonly asked: Map<string, { readonly checksum: string; readonly staging: Promise<string> }>;
  /** How many hidden partitions were asked for. */
  stagings: number;
  outcome: Promise<Loaded> | null;
}

/** A state that is here, with its room. */
interface Arrived extends Pick<Staged, 'bytes' | 'give'> {
  readonly load: string;
  readonly found: Load;
  readonly name: string;
}

export class Loads {
  readonly #node: LoadingNode;
  readonly #loads = new Map<string, Load>();
  #count = 0;

  constructor(node: LoadingNode) {
    this.#node = node;
  }

  open(leaseMs: number): { load: string; lease_ms: number } {
    if (this.#loads.size >= limits.loadsMax) throw new StoreError('too_many_loads', { open: this.#loads.size });
    const load = `${this.#node.parts.epoch}-${++this.#count}`;
    const timer = this.#expiry(load, leaseMs);
    this.#loads.set(load, {
      leaseMs,
      timer,
      working: 0,
      staged: new Map(),
      asked: new Map(),
      stagings: 0,
      outcome: null,
    });
    return { load, lease_ms: leaseMs };
  }

  renew(load: string, leaseMs: number): { lease_ms: number } {
    const found = this.#load(load);
    found.leaseMs = leaseMs;
    if (found.working === 0) this.#startLease(load, found);
    return { lease_ms: leaseMs };
  }

  /** Takes the state of a partition, the same again once; says the name to put its rows to. */
  async stage(load: string, name: string, { size, receive }: StateSource): Promise<string> {
    const found = this.#open(load);
    const give = this.#takeRoom(found, size);
    return this.#working(load, found, async () => {
      try {
        return await this.#stageOnce({ load, found, name, bytes: await receive(), give });
      } finally {
        if (found.staged.get(name)?.give !== give) give();
      }
    });
  }

  /** The states of one load must have room together. */
  #takeRoom({ staged }: Load, size: number): () => void {
    const { states } = this.#node;
    const bytes = [...staged.values()].reduce((sum, one) => sum + one.bytes.length, size);
    if (bytes > states.sizeMax) {
      const reason = 'the states of one load have states_bytes_max together; load fewer partitions at a time';
      throw new StoreError('body_too_large', { bytes, limit: states.sizeMax, reason });
    }
    return states.take(size);
  }

  #stageOnce(arrived: Arrived): Promise<string> {
    const { load, name, bytes } = arrived;
    const found = this.#open(load);
    const checksum = checksumOf(bytes);
    const known = found.asked.get(name);
    if (known?.checksum === checksum) return known.staging;
    if (known !== undefined) throw new StoreError('load_invalid', { partition: name, reason: 'it was staged before' });
    const staging = this.#stage(arrived, stagingName(load, found.stagings++));
    found.asked.set(name, { checksum, staging });
    // What was refused may be asked for again.
    staging.catch(() => found.asked.delete(name));
    return staging;
  }

  async #stage({ load, found, name, bytes, give }: Arrived, staging: string): Promise<string> {
    const { state } = this.#node.parts;
    const { fields, groupSize, ack } = await this.#node.states.alone(() => this.#check(name, bytes));
    for (let room = this.#node.journalRoom('os'); room !== null; room = this.#node.journalRoom('os')) await room;
    this.#open(load);
    if (state.store.partitionCount >= limits.partitionsMax)
      throw new StoreError('too_many_partitions', { limit: limits.partitionsMax });
    this.#node.checkRoom();
    // Budgets and rules come with the state: they are for those who use the partition.
    const declared = { name: staging, fields, open: false, groupSize, ack };
    const event = { type: 'declare', partition: state.store.partitionNext, settings: declared } as const;
    const { commit } = this.#node.commit(event, ack);
    found.staged.set(name, { partition: state.store.partition(staging)!, bytes, give });
    await commit;
    return staging;
  }

  commit(load: string, { replace }: { readonly replace: boolean }): Promise<Loaded> {
    const found = this.#load(load);
    found.outcome ??= this.#begin(load, found, replace);
    return found.outcome;
  }

  /** Refuses a put to a staged partition once its load is committed. */
  checkPut(partition: Partition): void {
    for (const [load, { outcome, staged }] of this.#loads) {
      if (outcome === null) continue;
      for (const one of staged.values()) if (one.partition === partition) throw committed(load);
    }
  }

  async close(load: string): Promise<void> {
    const found = this.#load(load);
    await found.outcome?.catch(() => undefined);
    await this.#end(load, found);
  }

  /** The process ends: what is staged is dropped by the next start. */
  stop(): void {
    for (const { timer } of this.#loads.values()) timer.cancel();
    this.#loads.clear();
  }

  /** What is refused here may be asked for again. */
  #begin(load: string, found: Load, replace: boolean): Promise<Loaded> {
    const staged = [...found.staged];
    if (staged.length === 0) throw new StoreError('load_invalid', { load, reason: 'nothing was staged' });
    this.#pairs(staged, replace);
    return this.#working(load, found, () => this.#commit(found, replace));
  }

  async #commit(found: Load, replace: boolean): Promise<Loaded> {
    const staged = [...found.staged];
    for (const [name, one] of staged) await this.#node.states.alone(() => this.#restore(name, one));
    const pairs = this.#pairs(staged, replace);
    const { lsn, rows, commit } = this.#node.commit({ type: 'adopt', pairs }, 'disk');
    forget(found.staged);
    await commit;
    return { lsn, rows };
  }

  /** What is to be adopted, as the partitions are now. */
  #pairs(staged: readonly (readonly [string, Staged])[], replace: boolean): AdoptEvent['pairs'] {
    const { store } = this.#node.parts.state;
    return staged.map(([name, { partition }]) => {
      const replaced = store.partition(name)?.id ?? 0;
      if (replaced !== 0 && !replace) throw new StoreError('partition_exists', { partition: name });
      return { partition: partition.id, name, replaced };
    });
  }

  /** Gives a staged partition its queue, once its rows are right and durable: they must not be lost without it. */
  async #restore(name: string, { partition, bytes }: Staged): Promise<void> {
    const node = this.#node;
    const { state, journal } = node.parts;
    const restored = await this.#make(name, partition, bytes);
    const commits: Promise<unknown>[] = [];
    let isGiven = false;
    try {
      await this.#compare(name, partition, restored);
      if (partition.lsn > journal.durableLsn) await node.makeDurable();
      for (let at = 0; !isGiven; at += PART_SIZE) {
        await this.#ready();
        const part = bytes.subarray(at, at + PART_SIZE);
        isGiven = at + PART_SIZE >= bytes.length;
        if (isGiven) state.prepare(restored);
        const event = { type: 'restore', partition: partition.id, last: isGiven, bytes: part } as const;
        commits.push(node.commit(event, 'os').commit);
      }
    } finally {
      if (!isGiven) machine.drop(restored.queue);
    }
    await Promise.all(commits);
  }

  /** The queue of a state, in the memory of the node: as the last part of the state would make it. */
  #make(name: string, partition: Partition, bytes: Buffer): Promise<Restored> {
    const { state, env } = this.#node.parts;
    const { slots, tasks } = state.queue(partition);
    const ofPage = 1 + partition.fields.length + tasks.size;
    const checkRoom = (): void => {
      if (!hasRoom(slots, LOOKS * ofPage)) throw new StoreError('memory_full', { partition: name });
    };
    return valid(name, inSlices(state.restored(partition, bytes), env.clock, checkRoom));
  }

  /** Waits for room. */
  async #ready(): Promise<void> {
    const node = this.#node;
    await nextTurn(node.parts.env.clock);
    for (;;) {
      await node.checkpoints.admit();
      const room = node.journalRoom('os');
      if (room === null) break;
      await room;
    }
    node.checkRoom();
  }

  async #compare(name: string, partition: Partition, { queue }: Restored): Promise<void> {
    const { state, env } = this.#node.parts;
    const id = await inSlices(machine.findOtherRow(queue, state.queue(partition)), env.clock);
    if (id === undefined) return;
    const reason = 'the rows that were put are not those of the state';
    throw new StoreError('load_invalid', { partition: name, id, reason });
  }

  /** Throws unless a queue can be made of the state; says its settings. The memory of the node is not touched. */
  #check(name: string, bytes: Buffer): Promise<PartitionSettings> {
    const { core, env } = this.#node.parts;
    const steps = function* (): Steps<PartitionSettings> {
      const state = yield* decodeState(core, bytes);
      yield* machine.queueOfState(state, { partition: 0, bitmaps: createBitmaps(loadCore()) });
      return state.settings;
    };
    return valid(name, inSlices(steps(), env.clock));
  }

  /** One that may still change. */
  #open(load: string): Load {
    const found = this.#load(load);
    if (found.outcome !== null) throw committed(load);
    return found;
  }

  #load(load: string): Load {
    const found = this.#loads.get(load);
    if (found === undefined) throw unknownLoad(load);
    return found;
  }

  /** The lease is the time that the client takes: it begins anew when the work for it is done. */
  async #working<Result>(load: string, found: Load, work: () => Promise<Result>): Promise<Result> {
    found.working++;
    found.timer.cancel();
    try {
      return await work();
    } finally {
      found.working--;
      if (found.working === 0 && this.#loads.get(load) === found) this.#startLease(load, found);
    }
  }

  #startLease(load: string, found: Load): void {
    found.timer.cancel();
    found.timer = this.#expiry(load, found.leaseMs);
  }

  #expiry(load: string, leaseMs: number): Timer {
    return this.#node.parts.env.clock.after(leaseMs, () => {
      const found = this.#loads.get(load);
      if (found === undefined) return;
      const { log } = this.#node.parts.env;
      this.#end(load, found).catch((error: unknown) => log.warn({ err: error, load }, 'a load that expired remains'));
    });
  }

  async #end(load: string, { timer, staged }: Load): Promise<void> {
    timer.cancel();
    this.#loads.delete(load);
    const left = [...staged.values()].filter(({ partition }) => !partition.dropped);
    const commits = left.map(
      ({ partition }) => this.#node.commit({ type: 'drop', partition: partition.id }, 'os').commit,
    );
    forget(staged);
    await Promise.all(commits);
  }
}

function forget(staged: Map<string, Staged>): void {
  for (const { give } of staged.values()) give();
  staged.clear();
}

/** The work on a state, with its refusals as those of a load. */
function valid<Result>(partition: string, work: Promise<Result>): Promise<Result> {
  return work.catch((error: unknown) => {
    if (!(error instanceof FormatError)) throw error;
    throw new StoreError('load_invalid', { partition, reason: error.message });
  });
}

/** The last bytes of a state, which was checked against them. */
function checksumOf(bytes: Buffer): string {
  return bytes.subarray(-8).toString('hex');
}

function unknownLoad(load: string): StoreError {
  return new StoreError('load_unknown', { load });
}

function committed(load: string): StoreError {
  return new StoreError('load_invalid', { load, reason: 'it was committed' });
}
