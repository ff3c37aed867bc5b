/**
 * Opens a data directory: takes its lock, loads the state of the last checkpoint, replays the journal from there,
 * checks what a crash of the machine may have lost, and makes a node of it.
 *
 *   DIR/lock.sock   DIR/reserve   DIR/tree/   DIR/journal/*.tqj   DIR/segments/*.seg
 *
 *   bytes of an insert that lives              outcome   reason
 *   at or below the durable watermark          trust     they were synced; reads verify them
 *   same boot of the machine                   trust     the page cache survives a killed process
 *   above it, other boot, bytes are right      keep
 *   above it, other boot, level os, wrong      void      the put was promised to survive a crash of the process only
 *   above it, other boot, level disk, wrong    refuse    they were synced before the journal named them: corruption
 *
 * A void put is left out as a whole, with the ack that it carried: as if it had never come. Events that name its rows
 * are applied to what is there. Acknowledged `disk` puts after it stay, which a cut would have taken with it. The
 * descriptor names the void puts, so that later starts leave them out too, whatever lies at their place by then.
 *
 * Invariants: no request is served before this is done; what is decided here is durable before the first new event.
 */
import type { LsmMemory } from '@transfer-queue/core/lsm';
import type { Core } from '@transfer-queue/core/wasm';
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Env } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import { FORMAT_VERSION } from '../journal/format.ts';
import { Journal } from '../journal/journal.ts';
import { readJournal, RecoveryError, type JournalEnd, type Visitor } from '../journal/recover.ts';
import type { JournalStart } from '../journal/scan.ts';
import { Reserve } from '../journal/reserve.ts';
import { machine } from '../queue/machine.ts';
import { createBitmaps } from '../queue/wasm_bitmaps.ts';
import { Records } from '../index/records.ts';
import { Segments } from '../segment/segments.ts';
import { Damage } from '../store/damage.ts';
import { ExtentReader } from '../store/extents.ts';
import type { LiveExtent } from '../store/partition.ts';
import { Store } from '../store/store.ts';
import { Arena } from '../tier/arena.ts';
import { BlockCache } from '../tier/block_cache.ts';
import type { Tree } from '../tree/api.ts';
import { openTree } from '../tree/tree.ts';
import type { NodeBudget } from './budget_room.ts';
import { checkpointLimits, type CheckpointLimits, type CheckpointMark } from './checkpoint.ts';
import { Node } from './node.ts';
import { Replay } from './replay.ts';
import { loadState } from './saved.ts';
import type { SamplerModules } from './sampler_modules.ts';
import { NodeState } from './state.ts';
import { removeStaged } from './staging.ts';
import { ClaimTokens } from './tokens.ts';
import { writeUnsyncedAgain } from './write_again.ts';

export interface NodeOptions {
  readonly env: Env;
  readonly core: Core;
  readonly directory: string;
  readonly memorySize: number;
  readonly frameSize: number;
  readonly blockCacheSize: number;
  readonly syncIntervalMs: number;
  /** Bytes a second that the scrub reads; `SCRUB_RATE` without it. */
  readonly scrubRate?: number;
  readonly memoryWaitMsMax: number;
  /** Budgets of all partitions together; none without it. */
  readonly budget?: NodeBudget;
  /** Samplers that modules brought. */
  readonly samplers?: SamplerModules;
  readonly putBodySizeMax: number;
  readonly answerSizeMax: number;
  /** Memory for blocks of the index that came from disk. */
  readonly indexCacheSize: number;
  /** What a node that is gone worked in; fresh memory without it. */
  readonly memory?: NodeMemory;
  /** When checkpoints are due, where it differs from `checkpointLimits`. */
  readonly checkpoints?: Partial<CheckpointLimits>;
}

/** The memory of a node that is not part of its heap. */
export interface NodeMemory {
  readonly arena: ArrayBuffer;
  readonly tree: LsmMemory;
}

export interface OpenedNode {
  readonly node: Node;
  readonly recovery: Recovery;
  close(): Promise<void>;
}

/** What recovery did, for the log and the metrics. */
export interface Recovery {
  readonly events: number;
  readonly partitions: number;
  readonly cut: JournalEnd['cut'];
  /** LSNs of the puts that were left out. */
  readonly voided: readonly number[];
}

const TOKEN_KEY_SIZE = 32;
const SCRUB_RATE = 20 << 20;
/** A memtable takes half of what the cache of the index does, within these bounds. */
const MEMTABLE_SIZE_MIN = 1 << 20;
const MEMTABLE_SIZE_MAX = 32 << 20;

/** Rejects with a `RecoveryError`, or an `FsError` of code `ELOCKED`. */
export async function openNode(options: NodeOptions): Promise<OpenedNode> {
  const { env, core, directory } = options;
  for (const folder of ['', '/journal', '/segments', '/tree']) await env.fs.makeDirectory(`${directory}${folder}`);
  const lock = await env.fs.lock(directory);
  try {
    const { clock } = env;
    const { memorySize, frameSize, memory } = options;
    const arena = new Arena({ clock, memorySize, frameSize, memory: memory?.arena });
    const blocks = new BlockCache({ arena, core, size: options.blockCacheSize });
    const tree = await openTree({ env, directory: `${directory}/tree`, memory: memory?.tree, ...treeSizes(options) });
    const replay = await replayUntilSound(options, arena, tree);
    const { segments, state, end, lost, mark } = replay;
    const damage = new Damage({ env, core, segments, source: state.store });
    const reader = new ExtentReader({ segments, arena, blocks, damage });
    const reserve = new Reserve({ env, directory });
    await reserve.find();
    const tokenKey = replay.tokenKey ?? env.rng.bytes(TOKEN_KEY_SIZE);
    const epoch = replay.epoch + 1;
    const journal = new Journal({
      ...{ env, core, reserve },
      directory: `${directory}/journal`,
      position: { ...end, epoch },
      file: end.file,
    });
    const descriptor = {
      type: 'descriptor',
      formatVersion: FORMAT_VERSION,
      epoch,
      bootId: env.fs.bootId(),
      tokenKey,
      voided: Float64Array.from(lost),
    } as const;
    if (replay.bootId === env.fs.bootId()) {
      await writeUnsyncedAgain({ env, core, directory: `${directory}/journal`, end, segments, store: state.store });
    }
    await doubtSegmentsAfter(replay, end.watermark);
    await journal.append(descriptor, 'disk').commit;
    await journal.makeDurable(() => segments.syncLiving());
    await segments.removeStrays();
    await reserve.restore();
    for (const queue of state.queues()) machine.restartLeases(queue, clock.nowMs());
    const node = new Node({
      ...{ env, core, state, journal, reserve, segments, arena, blocks, reader, damage, epoch, tokenKey, tree },
      records: replay.records,
      tokens: new ClaimTokens(tokenKey),
      checkpointLsn: mark?.lsn ?? 0,
      scrubPosition: mark?.scrub,
      checkpointLimits: { ...checkpointLimits, memtableSize: treeSizes(options).memtableSize, ...options.checkpoints },
      syncIntervalMs: options.syncIntervalMs,
      scrubRate: options.scrubRate ?? SCRUB_RATE,
      budget: options.budget ?? { rowsMax: 0, bytesMax: 0 },
      samplers: options.samplers ?? new Map(),
      putBodySizeMax: options.putBodySizeMax,
      answerSizeMax: options.answerSizeMax,
    });
    await removeStaged(node);
    const recovery = { events: end.events, partitions: state.store.partitionCount, cut: end.cut, voided: lost };
    return { node, recovery, close: () => node.stop().finally(() => lock.release()) };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function treeSizes({ indexCacheSize }: NodeOptions): { memtableSize: number; cacheSize: number } {
  const memtableSize = Math.min(Math.max(Math.floor(indexCacheSize / 2), MEMTABLE_SIZE_MIN), MEMTABLE_SIZE_MAX);
  return { memtableSize, cacheSize: indexCacheSize };
}

interface Replayed {
  readonly segments: Segments;
  readonly state: NodeState;
  readonly records: Records;
  /** The checkpoint that the replay began from. */
  readonly mark: CheckpointMark | null;
  readonly end: JournalEnd;
  readonly epoch: number;
  readonly tokenKey: Uint8Array | null;
  readonly bootId: string;
  /** Puts that an earlier start left out and this replay did not, so that it ended there. */
  readonly lostBefore: readonly number[];
}

/** Replays, checks the bytes that are in doubt, and replays without the puts whose bytes were lost, until none is. */
async function replayUntilSound(
  options: NodeOptions,
  arena: Arena,
  tree: Tree,
): Promise<Replayed & { lost: readonly number[] }> {
  const voided = new Set<number>();
  const lost: number[] = [];
  let cut: JournalEnd['cut'] = null;
  for (;;) {
    const replay = await replayJournal(options, { arena, tree }, voided);
    cut ??= replay.end.cut;
    const { lostBefore } = replay;
    const lostNow = lostBefore.length > 0 ? [] : await lostPuts(options, replay);
    if (lostBefore.length + lostNow.length === 0) return { ...replay, end: { ...replay.end, cut }, lost };
    for (const lsn of [...lostBefore, ...lostNow]) voided.add(lsn);
    lost.push(...lostNow);
    if (lostNow.length > 0) {
      options.env.log.warn({ lsns: lostNow }, 'puts are left out: the machine crashed before their bytes were synced');
    }
    replay.state.close();
    await replay.end.file?.close();
    await replay.segments.close();
    tree.discard();
  }
}

async function replayJournal(
  options: NodeOptions,
  { arena, tree }: { arena: Arena; tree: Tree },
  voided: ReadonlySet<number>,
): Promise<Replayed> {
  const { env, core, directory } = options;
  const segments = new Segments({
    env,
    arena,
    directory: `${directory}/segments`,
    memoryWaitMsMax: options.memoryWaitMsMax,
  });
  const segmentFiles = await segments.files.list();
  const state = new NodeState({ core, store: new Store({ segments, tree }), bitmaps: createBitmaps(core) });
  const records = new Records(tree);
  await loadState(state, records);
  const mark = tree.checkpoint as CheckpointMark | null;
  if (mark !== null && mark.formatVersion !== FORMAT_VERSION)
    throw new RecoveryError('the data directory has another format version', { version: mark.formatVersion });
  const run = {
    epoch: mark?.epoch ?? 0,
    tokenKey: (mark === null ? null : Buffer.from(mark.tokenKey, 'hex')) as Uint8Array | null,
    lostBefore: [] as number[],
  };
  const replay = new Replay({ state, segments, isLossy: voided.size > 0 });
  const visitor: Visitor = {
    visit(event, header) {
      if (run.lostBefore.length > 0) return;
      if (event.type === 'descriptor') {
        run.epoch = event.epoch;
        run.tokenKey = event.tokenKey;
        run.lostBefore = [...event.voided].filter((lsn) => !voided.has(lsn));
        return;
      }
      if (!voided.has(header.lsn)) return replay.visit(event, header);
    },
    // One by one it is known of each put whether it is left out.
    takesRuns: (partition) => voided.size === 0 && run.lostBefore.length === 0 && replay.takesRuns(partition),
    visitRun: (inserts) => replay.visitRun(inserts),
  };
  const from = mark === null ? undefined : startOf(mark);
  const end = await readJournal({ env, core, directory: `${directory}/journal`, visitor, from });
  state.endReplay();
  if (end.events === 0 && mark === null && segmentFiles.length > 0)
    throw new RecoveryError('there are segments, but no journal that names them', { directory });
  return { segments, state, records, mark, end, bootId: end.bootId, ...run };
}

function startOf({ journalFile, lsn, bootId, timestamp }: CheckpointMark): JournalStart {
  return { file: journalFile, lsn, bootId, timestamp };
}

/** LSNs of the live puts above the watermark whose bytes did not reach the disk before the machine went down. */
async function lostPuts(options: NodeOptions, replay: Replayed): Promise<number[]> {
  const { env, core } = options;
  if (replay.bootId === '' || replay.bootId === env.fs.bootId()) return [];
  const lost: number[] = [];
  for (const extent of replay.state.store.extentsAfter(replay.end.watermark)) {
    if (await isIntact(core, replay.segments, extent).catch(isMissing)) continue;
    if (extent.level === 'disk') {
      throw new RecoveryError('the bytes of a put of ack level disk are damaged', {
        lsn: extent.key,
        segment: extent.place.segment.id,
      });
    }
    lost.push(extent.key);
  }
  return lost;
}

/** A run that was killed may not have synced the segments of its last puts: the next sync is to take them along. */
async function doubtSegmentsAfter({ segments, state }: Replayed, lsn: number): Promise<void> {
  for (const segment of new Set(state.store.extentsAfter(lsn).map(({ place }) => place.segment))) {
    await segments.doubt(segment).catch((error: unknown) => {
      throw new RecoveryError('a segment cannot be opened', { segment: segment.id, why: String(error) });
    });
  }
}

/** A file that is gone holds no bytes; anything else that keeps us from reading is no reason to leave puts out. */
function isMissing(error: unknown): false {
  if (error instanceof StoreError && error.code === 'data_corrupt') return false;
  throw error;
}

async function isIntact(core: Core, segments: Segments, extent: LiveExtent): Promise<boolean> {
  const block = Buffer.allocUnsafeSlow(Math.min(CHECKSUM_BLOCK_SIZE, extent.length));
  const hash = Buffer.alloc(8);
  for (let from = 0; from < extent.length; from += CHECKSUM_BLOCK_SIZE) {
    const bytes = block.subarray(0, Math.min(CHECKSUM_BLOCK_SIZE, extent.length - from));
    if ((await segments.read(extent.place.segment, bytes, extent.place.offset + from)) < bytes.length) return false;
    core.xxh64Into(bytes, hash);
    if (!hash.equals(extent.blocks.subarray((from / CHECKSUM_BLOCK_SIZE) * 8, (from / CHECKSUM_BLOCK_SIZE) * 8 + 8)))
      return false;
  }
  return true;
}
