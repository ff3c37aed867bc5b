/**
 * Rewriting: extents of which few rows still matter are written anew with those rows only, as puts by the server
 * itself.
 *
 *   survey all extents -> worst first: read (verify each block) -> rows that show it -> Arrow streams of those rows
 *   -> write -> datasync -> [one turn: rows ready, extent lives? -> event `rewrite`] ... -> the old extent dies
 *
 * Deleting one row in ten inside each put frees no extent, nor does compaction of segments see it: that is done here.
 *
 * Invariants: an event names bytes only after they were synced; a row that changed meanwhile keeps what it has now;
 * damaged extents are left alone; an extent keeps its ack level.
 */
import { SchemaCache, walkStream, type WalkedStream } from '@transfer-queue/core/arrow';
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { FsError, nextTurn, type Env } from '../env/env.ts';
import { invariant, StoreError } from '../errors.ts';
import type { RewriteEvent } from '../journal/events.ts';
import { CopyLanes, HEADROOM_SIZE } from '../segment/copy_lanes.ts';
import { isAt, type Place } from '../segment/segment.ts';
import type { Room, Segments } from '../segment/segments.ts';
import type { Damage } from '../store/damage.ts';
import type { LiveExtent, Partition } from '../store/partition.ts';
import { rewrittenStreams, type KeptRows, type RewrittenStream } from '../store/rewriting.ts';
import { isWasteful, Survey, SURVEY_PERIOD_MS } from '../store/survey.ts';
import { withoutTags } from '../store/tags_column.ts';
import type { Arena } from '../tier/arena.ts';
import { blockCount, blockSize } from '../tier/blocks.ts';
import { Pace } from '../tier/pace.ts';
import type { IdList } from './state.ts';

export const REWRITE_BYTES_PER_SECOND = 64 << 20;
/** Extents that are looked at between two turns of the event loop. */
const SURVEY_STEP = 1_024;
/** Larger extents are read into the arena, as their puts were. */
const SCRATCH_SIZE = 4 << 20;
const MEMORY_WAIT_MS = 1_000;

export interface ExtentRewriteOptions {
  readonly env: Env;
  readonly core: Core;
  readonly arena: Arena;
  readonly segments: Segments;
  readonly damage: Damage;
  readonly extents: () => Iterable<LiveExtent>;
  /** Rows that are there and that the index must load first; null when it need not. */
  readonly unready: (partition: Partition, lists: readonly IdList[]) => Float64Array | null;
  /** Makes the event happen in this turn; resolves when it is written. */
  readonly commit: (event: RewriteEvent) => Promise<unknown>;
  readonly bytesPerSecond?: number;
}

/** A stream that is written and synced, and that no event names yet. */
interface Written {
  readonly length: number;
  readonly batches: RewrittenStream['batches'];
  readonly blocks: Uint8Array;
  readonly room: Room;
}

export class ExtentRewrite {
  readonly #options: ExtentRewriteOptions;
  readonly #env: Env;
  readonly #segments: Segments;
  readonly #lanes: CopyLanes;
  readonly #pace: Pace;
  readonly #schemas = new SchemaCache();
  #running: Promise<void> | null = null;
  #nextSurveyMs = 0;
  #stopped = false;
  /** Extents that were written anew since the start, and the bytes that this freed. */
  rewrittenCount = 0;
  freedSize = 0;

  constructor(options: ExtentRewriteOptions) {
    const { env, segments, arena, bytesPerSecond = REWRITE_BYTES_PER_SECOND } = options;
    this.#options = options;
    this.#env = env;
    this.#segments = segments;
    this.#lanes = new CopyLanes(segments, arena.frameSize);
    this.#pace = new Pace({ clock: env.clock, bytesPerSecond });
  }

  /** Begins to work in the background when a survey is due. */
  tick(): void {
    const nowMs = this.#env.clock.nowMs();
    if (this.#running !== null || this.#stopped || nowMs < this.#nextSurveyMs) return;
    this.#nextSurveyMs = nowMs + SURVEY_PERIOD_MS;
    this.#running = this.#run()
      .catch((error: unknown) => this.#env.crash('the rewriting of extents failed', error))
      .finally(() => (this.#running = null));
  }

  /** Resolves when no work is under way; for tests. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pace.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    const survey = await this.#survey();
    const liveSize = survey.size - survey.deadSize;
    let { deadSize } = survey;
    try {
      for (const worn of survey.worst) {
        if (this.#stopped || !isWasteful({ liveSize, deadSize })) return;
        if (!(await this.#hasRoomFor(worn.extent.length - worn.deadSize))) return;
        if (await this.#rewrite(worn.extent)) deadSize -= worn.deadSize;
      }
    } catch (error) {
      if (!(error instanceof FsError || error instanceof StoreError)) throw error;
      this.#env.log.warn({ err: error }, 'extents are not written anew for a while: a file could not be used');
    } finally {
      this.#lanes.close();
    }
  }

  async #survey(): Promise<Survey> {
    const survey = new Survey();
    let left = SURVEY_STEP;
    for (const extent of this.#options.extents()) {
      survey.add(extent);
      if (--left > 0) continue;
      left = SURVEY_STEP;
      await nextTurn(this.#env.clock);
      if (this.#stopped) break;
    }
    return survey;
  }

  async #hasRoomFor(size: number): Promise<boolean> {
    const { files } = this.#segments;
    return (await files.freeBytes()) + files.recycledSize - size >= HEADROOM_SIZE;
  }

  /** Whether the extent was written anew. */
  async #rewrite(extent: LiveExtent): Promise<boolean> {
    const { place } = extent;
    const memory = await this.#memoryFor(extent.length);
    if (memory === null) return false;
    const written: Written[] = [];
    try {
      const walked = await this.#read(extent, place, memory.bytes);
      if (walked === null) return false;
      const old = { bytes: memory.bytes, walked };
      for (const stream of rewrittenStreams(extent, old, await keptRows(extent, walked))) {
        const one = await this.#write(extent, stream);
        if (one === null) return false;
        written.push(one);
      }
      await this.#env.fail('segment.copy');
      for (const segment of new Set(written.map(({ room }) => room.segment))) await this.#sync(segment);
      const newSize = written.reduce((sum, { length }) => sum + length, 0);
      for (let next = written.shift(); next !== undefined; next = written.shift()) {
        if (!(await this.#replace(extent, place, next))) return false;
      }
      this.rewrittenCount++;
      this.freedSize += extent.length - newSize;
      return true;
    } finally {
      memory.release();
      for (const { room } of written.reverse()) this.#segments.cancel(room);
    }
  }

  /** Memory for so many bytes, or null when others need it more. */
  async #memoryFor(size: number): Promise<{ bytes: Buffer; release(): void } | null> {
    const { arena } = this.#options;
    if (size <= SCRATCH_SIZE) return { bytes: Buffer.allocUnsafeSlow(size), release: () => undefined };
    const run = await arena.taken(size, MEMORY_WAIT_MS).catch((error: unknown) => {
      if (error instanceof StoreError && error.code === 'memory_full') return null;
      throw error;
    });
    return run === null ? null : { bytes: run.bytes.subarray(0, size), release: () => arena.release(run) };
  }

  /** Fills `bytes` with the extent; null when it is damaged, dies meanwhile, or the work is to end. */
  async #read(extent: LiveExtent, place: Place, bytes: Buffer): Promise<WalkedStream | null> {
    const { damage } = this.#options;
    for (let block = 0; block < blockCount(extent); block++) {
      const size = blockSize(extent, block);
      if (!(await this.#pace.take(size)) || !isAt(extent, place)) return null;
      const into = bytes.subarray(block * CHECKSUM_BLOCK_SIZE, block * CHECKSUM_BLOCK_SIZE + size);
      const kind = await damage.read(extent, block, into);
      if (kind === null) continue;
      await damage.report(extent, block, kind, 'move');
      return null;
    }
    const walked = walkStream(bytes, { schemas: this.#schemas });
    invariant(walked.ok, `extent ${extent.key} holds what its put brought`);
    return withoutTags(walked);
  }

  /** Null when the work is to end. */
  async #write(extent: LiveExtent, stream: RewrittenStream): Promise<Written | null> {
    const { bytes } = stream;
    const { level, partition } = extent;
    const room = await this.#lanes.reserve({ level, partition, length: bytes.length });
    const hasher = this.#options.core.bodyHasher();
    let isWhole = false;
    try {
      for (let from = 0; from < bytes.length; from += CHECKSUM_BLOCK_SIZE) {
        const piece = bytes.subarray(from, from + CHECKSUM_BLOCK_SIZE);
        if (!(await this.#pace.take(piece.length))) return null;
        hasher.update(piece);
        await this.#segments.writeAt(room, piece, from);
      }
      isWhole = true;
    } finally {
      if (!isWhole) this.#segments.cancel(room);
    }
    hasher.finish();
    return { length: bytes.length, batches: stream.batches, blocks: hasher.blocks, room };
  }

  /** Makes the rows show the new bytes, unless the extent is gone. Decides and commits in one turn. */
  async #replace(extent: LiveExtent, place: Place, written: Written): Promise<boolean> {
    const { unready, commit } = this.#options;
    const { length, batches, blocks, room } = written;
    const { partition } = extent;
    try {
      await this.#env.fail('segment.move');
      for (let ids = unready(partition, batches); ids !== null; ids = unready(partition, batches)) {
        await partition.index.load(ids);
      }
    } catch (error) {
      this.#segments.cancel(room);
      throw error;
    }
    if (this.#stopped || partition.dropped || !isAt(extent, place)) {
      this.#segments.cancel(room);
      return false;
    }
    const { segment, offset } = room;
    this.#segments.commit(room, length);
    await commit({
      type: 'rewrite',
      partition: partition.id,
      fromExtent: extent.key,
      extent: { segment: segment.id, offset, length, blocks },
      batches,
    });
    return true;
  }

  async #sync(segment: Room['segment']): Promise<void> {
    await this.#segments
      .sync(segment)
      .catch((error: unknown) => this.#env.crash('a sync of rewritten extents failed', error));
  }
}

/** The rows of each live batch that still show a cell of it. */
async function keptRows({ batches, partition }: LiveExtent, walked: WalkedStream): Promise<KeptRows[]> {
  const kept: KeptRows[] = [];
  for (const [place, batch] of batches.entries()) {
    if (batch === undefined) continue;
    const { ids } = walked.batches[place];
    const puts = await partition.index.lookup(ids);
    const ordinals: number[] = [];
    for (let row = 0; row < ids.length; row++) {
      for (let entry = puts.starts[row]; entry < puts.starts[row + 1]; entry++) {
        if (puts.batches[entry] === batch.number && puts.ordinals[entry] === row) ordinals.push(row);
      }
    }
    if (ordinals.length === 0) continue;
    const places = Float64Array.from(ordinals);
    kept.push({
      batch: batch.number,
      walked: walked.batches[place],
      ids: places.map((row) => ids[row]),
      ordinals: places,
    });
  }
  return kept;
}
