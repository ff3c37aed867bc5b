/**
 * The commit point of a node: events get their LSN and change the state in one turn of the event loop, and whoever
 * waits for the change is woken in the same turn. Also the clockwork around it: lease expiry, background syncs,
 * reclaiming.
 *
 *   decide (reads state) -> commit: journal.append + state.apply + wake -> answer when the commit's promise settles
 *
 * Invariants: nothing is awaited between a decision and its commit; answers wait for `Commit`, reads for `settled`.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import type { Env, Timer } from '../env/env.ts';
import { inSlices } from '../env/slice.ts';
import { StoreError } from '../errors.ts';
import type { JournalEvent } from '../journal/events.ts';
import { TICKS_PER_MS } from '../journal/format.ts';
import type { Commit, Journal } from '../journal/journal.ts';
import type { Reserve } from '../journal/reserve.ts';
import { machine } from '../queue/machine.ts';
import type { Records } from '../index/records.ts';
import type { Segments } from '../segment/segments.ts';
import type { Damage } from '../store/damage.ts';
import type { ExtentReader } from '../store/extents.ts';
import type { Partition } from '../store/partition.ts';
import type { Tree } from '../tree/api.ts';
import type { Arena } from '../tier/arena.ts';
import type { BlockCache } from '../tier/block_cache.ts';
import type { NodeState } from './state.ts';
import type { ClaimTokens } from './tokens.ts';
import { claimNumber } from './tokens.ts';
import type { NodeBudget } from './budget_room.ts';
import { BlobRelease } from './blob_release.ts';
import { Budgets } from './budgets.ts';
import { Changes } from './changes.ts';
import { Checkpoints, type CheckpointLimits } from './checkpoint.ts';
import { ExtentRewrite } from './extent_rewrite.ts';
import { Loads } from './loads.ts';
import { Retention } from './retention.ts';
import { RowRelease } from './row_release.ts';
import type { SamplerModules } from './sampler_modules.ts';
import { Scrub, type ScrubPosition } from './scrub.ts';
import { SegmentCompaction } from './segment_compaction.ts';
import { SnapshotLeases } from './snapshots.ts';
import { dropsOf, isStaging } from './staging.ts';
import { StateRoom } from './state_room.ts';
import { Waits } from './waits.ts';

/** The parts that a node is made of; `openNode` makes them. */
export interface NodeParts {
  readonly env: Env;
  readonly core: Core;
  readonly state: NodeState;
  readonly journal: Journal;
  readonly reserve: Reserve;
  readonly segments: Segments;
  readonly arena: Arena;
  readonly blocks: BlockCache;
  readonly reader: ExtentReader;
  readonly damage: Damage;
  readonly tokens: ClaimTokens;
  readonly tokenKey: Uint8Array;
  readonly epoch: number;
  readonly tree: Tree;
  readonly records: Records;
  /** LSN of the checkpoint that the node was opened from. */
  readonly checkpointLsn: number;
  readonly checkpointLimits: CheckpointLimits;
  /** Where the scrub was when that checkpoint was made. */
  readonly scrubPosition?: ScrubPosition;
  readonly syncIntervalMs: number;
  /** Bytes a second that the scrub reads. */
  readonly scrubRate: number;
  readonly budget: NodeBudget;
  readonly samplers: SamplerModules;
  readonly putBodySizeMax: number;
  readonly answerSizeMax: number;
}

type Take = (size: number) => Promise<boolean>;

export interface Committed {
  readonly lsn: number;
  readonly rows: number;
  readonly commit: Promise<Commit>;
}

export class Node {
  readonly parts: NodeParts;
  readonly waits: Waits;
  readonly changes: Changes;
  readonly budgets: Budgets;
  readonly retention: Retention;
  readonly release: RowRelease;
  readonly blobs: BlobRelease;
  readonly checkpoints: Checkpoints;
  readonly snapshots: SnapshotLeases;
  readonly states: StateRoom;
  readonly loads: Loads;
  readonly compaction: SegmentCompaction;
  readonly scrub: Scrub;
  readonly rewrite: ExtentRewrite;
  /** Files of the index that the last pass of the scrub found damaged. */
  damagedFiles: ReadonlySet<string> = new Set();
  #claimCounter = 0;
  #leaseTimer: Timer | null = null;
  #leaseTimerMs = Infinity;
  #tickTimer: Timer | null = null;
  #ticking: Promise<void> = Promise.resolve();
  /** Settles when all that was dropped is out of the segments. */
  #burial: Promise<unknown> = Promise.resolve();
  #stopping = false;
  #stopped = false;

  constructor(parts: NodeParts) {
    this.parts = parts;
    this.waits = new Waits({ state: parts.state, clock: parts.env.clock });
    this.changes = new Changes({ state: parts.state, clock: parts.env.clock });
    const {
      state,
      budget: nodeBudget,
      arena: { size: arenaSize },
    } = parts;
    this.budgets = new Budgets({ state, clock: parts.env.clock, node: nodeBudget, arenaSize });
    this.snapshots = new SnapshotLeases(parts);
    this.states = new StateRoom({ stateSizeMax: parts.putBodySizeMax });
    this.loads = new Loads(this);
    const { env, core, segments, damage, arena, scrubRate, scrubPosition: position } = parts;
    const commit = (event: JournalEvent): Promise<Commit> => this.commit(event, 'os').commit;
    this.compaction = new SegmentCompaction({ env, core, segments, damage, largeSize: arena.frameSize, commit });
    const targets = [{ verify: (take: Take) => this.#scrubTree(take) }];
    this.scrub = new Scrub({ env, segments, damage, bytesPerSecond: scrubRate, targets, position });
    this.checkpoints = this.#createCheckpoints();
    this.rewrite = new ExtentRewrite({
      ...{ env, core, arena, segments, damage, commit },
      extents: () => parts.state.store.extents(),
      unready: (partition, lists) => parts.state.unready(partition, lists),
    });
    this.retention = new Retention(this);
    this.release = new RowRelease(this);
    this.blobs = new BlobRelease(this);
    this.#tickLater();
    this.#armLeases();
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** The partition of a name, or `partition_unknown`. */
  partition(name: string): Partition {
    const partition = this.partitionToPut(name);
    if (isStaging(partition)) throw new StoreError('partition_unknown', { partition: name });
    return partition;
  }

  /** One of a load that is not committed takes puts, and nothing else. */
  partitionToPut(name: string): Partition {
    const partition = this.parts.state.store.partition(name);
    if (partition === undefined) throw new StoreError('partition_unknown', { partition: name });
    return partition;
  }

  /** Refuses what would add bytes while the disk is full. */
  checkRoom(): void {
    if (!this.parts.reserve.intact) throw new StoreError('disk_full');
  }

  /** Removes the files that are kept for recycling: others need the space now. */
  giveSpaceBack(): void {
    const { segments, env } = this.parts;
    segments.files.removeRecycled().catch((error: unknown) => env.log.warn({ err: error }, 'recycled files remain'));
  }

  /** Null while the journal has room for a long event of this level; else to be waited for before one asks again. */
  journalRoom(level: AckLevel): Promise<void> | null {
    return level === 'memory' ? null : this.parts.journal.room();
  }

  nextClaimNumber(): number {
    return claimNumber(this.parts.epoch, ++this.#claimCounter);
  }

  /** Makes an event happen. Call it in the turn of the decision; the answer waits for the promise. */
  commit(event: JournalEvent, level: AckLevel): Committed {
    const placed = this.#place(event, level);
    this.#wake(event);
    return placed;
  }

  /** As `commit`, for events of one decision. Nobody is woken before all of them happened and `noted` was told. */
  commitTogether<Noted>(events: readonly JournalEvent[], level: AckLevel, noted: (last: Committed) => Noted): Noted {
    const placed = events.map((event) => this.#place(event, level));
    const result = noted(placed[placed.length - 1]);
    for (const event of events) this.#wake(event);
    return result;
  }

  /** Refuses what waits and what still comes, so that connections can end. */
  refuseWaits(): void {
    this.#stopping = true;
    this.waits.refuseAll(new StoreError('shutting_down'));
    this.budgets.refuseAll(new StoreError('shutting_down'));
  }

  /** Makes everything durable and closes the files. */
  async stop(): Promise<void> {
    this.refuseWaits();
    this.#tickTimer?.cancel();
    this.#leaseTimer?.cancel();
    await this.#ticking;
    await this.#burial;
    await this.compaction.stop();
    await this.rewrite.stop();
    await this.scrub.stop();
    await this.retention.stop();
    await this.release.stop();
    await this.blobs.stop();
    if (this.checkpoints.isDue) await this.checkpoints.run();
    await this.checkpoints.idle();
    this.#stopped = true;
    this.snapshots.closeAll();
    this.loads.stop();
    await this.makeDurable();
    await this.parts.tree.close();
    await this.parts.journal.close();
    await this.parts.segments.close();
  }

  /** Syncs all that was acknowledged so far, then recycles what no power cut can bring back. */
  async makeDurable(): Promise<void> {
    const { journal, segments } = this.parts;
    await journal.makeDurable(() => segments.syncLiving());
    await segments.reclaim(journal.durableLsn);
  }

  /** For an answer that changes nothing: all that made it so is safe by then. Resolves to an LSN by which it was so. */
  async settledBy(level: AckLevel): Promise<number> {
    const { journal } = this.parts;
    const { lsn } = journal;
    await journal.settled(level);
    return lsn;
  }

  /** What the answer to a put waits for that may have been made at a weaker level before. */
  async settledAt(level: AckLevel, lsn: number): Promise<void> {
    const { journal } = this.parts;
    if (level === 'disk' && lsn > journal.durableLsn) await this.makeDurable();
    else await journal.settled();
  }

  async #scrubTree(take: Take): Promise<void> {
    const found = new Set<string>();
    await this.parts.tree.scrub(take, (file) => {
      found.add(file);
      if (!this.damagedFiles.has(file)) this.parts.env.log.error({ file }, 'a file of the index is damaged');
    });
    this.damagedFiles = found;
  }

  #place(event: JournalEvent, level: AckLevel): Committed {
    if (this.#stopped) throw new StoreError('shutting_down');
    const { journal, state, env } = this.parts;
    const { lsn, commit } = journal.append(event, level);
    const now = env.clock.nowMs();
    const wallMs = journal.timestamp / TICKS_PER_MS;
    const rows = this.#must(event, () => {
      this.changes.note(event, lsn);
      if (event.type === 'adopt') for (const drop of dropsOf(event)) this.changes.note(drop, lsn);
      return state.apply(event, { lsn, level, commit, now, wallMs, replayed: false });
    });
    if (event.type === 'drop' || event.type === 'adopt') this.#bury();
    return { lsn, rows, commit };
  }

  /** Takes what was dropped out of the segments: a part of it in this turn, the rest in later ones. */
  #bury(): void {
    const { state, env } = this.parts;
    const burial = inSlices(state.store.buryDropped(), env.clock).catch((error: unknown) =>
      env.crash('what was dropped could not be taken out of the segments', error),
    );
    this.#burial = Promise.all([this.#burial, burial]);
  }

  #wake(event: JournalEvent): void {
    if (event.type === 'adopt') for (const drop of dropsOf(event)) this.#wake(drop);
    this.#must(event, () => {
      this.waits.wake(event);
      this.budgets.wake(event);
      if ('partition' in event) this.release.notice(event.partition);
      if (event.type === 'claim') this.#armLease(machine.nextDeadline(this.parts.state.queueById(event.partition)!));
    });
  }

  /** The journal has the event: were it not applied, the state in memory would differ from what a start makes of it. */
  #must<T>(event: JournalEvent, apply: () => T): T {
    try {
      return apply();
    } catch (error) {
      return this.parts.env.crash(`a ${event.type} event could not be applied`, error);
    }
  }

  #createCheckpoints(): Checkpoints {
    const { env, state, tree, records, journal, epoch, tokenKey, checkpointLsn, checkpointLimits } = this.parts;
    return new Checkpoints(
      {
        ...{ env, state, tree, records, journal, epoch, tokenKey },
        limits: checkpointLimits,
        makeDurable: () => this.makeDurable(),
        commit: (lsn) => void this.commit({ type: 'checkpoint', lsn }, 'os'),
        scrubPosition: () => this.scrub.position,
      },
      checkpointLsn,
    );
  }

  #tickLater(): void {
    this.#tickTimer = this.parts.env.clock.after(this.parts.syncIntervalMs, () => {
      this.#ticking = this.#tick()
        .catch((error: unknown) => this.parts.env.crash('the background sync failed', error))
        .then(() => {
          if (!this.#stopping) this.#tickLater();
        });
    });
  }

  async #tick(): Promise<void> {
    const { journal, reserve, segments } = this.parts;
    if (journal.lsn > journal.durableLsn) await this.makeDurable();
    else await segments.reclaim(journal.durableLsn);
    if (!reserve.intact) await segments.files.removeRecycled();
    await reserve.restore();
    this.compaction.tick();
    this.rewrite.tick();
    this.scrub.tick();
    this.retention.tick();
    this.blobs.tick();
    if (this.checkpoints.isDue) void this.checkpoints.run();
  }

  #armLeases(): void {
    for (const queue of this.parts.state.queues()) this.#armLease(machine.nextDeadline(queue));
  }

  /** One timer stands at the earliest deadline of all leases. */
  #armLease(deadlineMs: number): void {
    if (deadlineMs >= this.#leaseTimerMs) return;
    this.#leaseTimer?.cancel();
    this.#leaseTimerMs = deadlineMs;
    const { clock } = this.parts.env;
    this.#leaseTimer = clock.after(Math.max(0, deadlineMs - clock.nowMs()), () => this.#expireLeases());
  }

  #expireLeases(): void {
    const { state, env } = this.parts;
    this.#leaseTimerMs = Infinity;
    for (const queue of [...state.queues()]) {
      const partition = state.store.partitionById(queue.partition)!;
      for (const event of machine.decideExpire(queue, env.clock.nowMs())) this.commit(event, partition.settings.ack);
    }
    this.#armLeases();
  }
}
