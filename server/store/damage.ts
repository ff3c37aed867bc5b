/**
 * Damage: blocks of live extents whose bytes cannot be read or fail their checksum, and which rows and fields they
 * hold.
 *
 *   found by a read, the scrub or a move -> repairers, the first that has good bytes -> restored
 *                                        `-> none has -> bad: kept here, logged once, never served
 *
 * What a block touches is computed from the regions of its extent's batches:
 *
 *   extent   | schema | head | offsets | values ........ | head | values ... |
 *                              ########                                             all rows of the batch
 *                                            ######                                 ragged: all rows of the batch
 *                                                                    ######         dense: the rows that lie there
 *
 * Invariants: bytes that a repairer offers are verified before they are written; the extent of a block that is listed
 * is live.
 */
import { rowStride, type FieldLayout } from '@transfer-queue/core/layout';
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { FsError, type Env } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import type { Segments } from '../segment/segments.ts';
import { isAt, type SegmentExtent } from '../segment/segment.ts';
import { blockSize, isIntact } from '../tier/blocks.ts';
import type { LiveExtent, StoredBatch } from './partition.ts';

/** More blocks than this are counted, and neither listed nor logged: the disk is gone. */
const LISTED_MAX = 4_096;
/** Ids of a row range that are named; the rest is counted. */
const IDS_NAMED_MAX = 16;
const OFFSET_SIZE = 4;

export type DamageKind = 'checksum' | 'unreadable' | 'missing';
export type FoundBy = 'read' | 'scrub' | 'move';

/** Rows `[first, end)` of a batch, by ordinal, whose cells of a field a block holds or may hold. */
export interface DamagedCells {
  readonly batch: StoredBatch;
  readonly field: string;
  readonly first: number;
  readonly end: number;
}

export interface DamagedBlock {
  readonly extent: SegmentExtent;
  readonly block: number;
  readonly kind: DamageKind;
  readonly foundBy: FoundBy;
  readonly foundMs: number;
  readonly partition: string;
  readonly segment: number;
  /** Of the block in its segment. */
  readonly offset: number;
  readonly length: number;
  readonly cells: readonly DamagedCells[];
}

/** Offers the bytes of a block from elsewhere, or null when it has none. */
export type Repairer = (extent: SegmentExtent, block: number) => Promise<Uint8Array | null>;

/** What damage asks of the store. */
export interface DamageSource {
  extent(key: number): LiveExtent | undefined;
  rowsOfBatch(batch: StoredBatch): Promise<{ readonly ids: Float64Array; readonly ordinals: Float64Array }>;
}

/** What an error of reading a block says about its bytes; null when it says nothing about them. */
export function damageKind(error: unknown): DamageKind | null {
  if (error instanceof FsError) return error.code === 'EIO' ? 'unreadable' : null;
  if (!(error instanceof StoreError) || error.code !== 'data_corrupt') return null;
  return error.details.reason === undefined ? 'checksum' : 'missing';
}

export class Damage {
  readonly #env: Env;
  readonly #core: Core;
  readonly #segments: Segments;
  readonly #source: DamageSource;
  readonly #repairers: readonly Repairer[];
  readonly #listed = new Map<string, DamagedBlock>();
  readonly #repairing = new Map<string, Promise<'restored' | 'bad'>>();
  /** Blocks that were found damaged, and those of them that were restored, since the start. */
  foundCount = 0;
  restoredCount = 0;

  constructor(options: {
    env: Env;
    core: Core;
    segments: Segments;
    source: DamageSource;
    repairers?: readonly Repairer[];
  }) {
    this.#env = options.env;
    this.#core = options.core;
    this.#segments = options.segments;
    this.#source = options.source;
    this.#repairers = options.repairers ?? [];
  }

  /** Reads a block from the disk, not from a cache; what is wrong with it, or null when it is as its writer sent it. */
  async read(extent: SegmentExtent, block: number, into: Uint8Array): Promise<DamageKind | null> {
    const { segment, offset } = extent.place;
    try {
      const count = await this.#segments.read(segment, into, offset + block * CHECKSUM_BLOCK_SIZE);
      return isIntact(this.#core, extent, block, into.subarray(0, count)) ? null : 'checksum';
    } catch (error) {
      const kind = damageKind(error);
      if (kind === null) throw error;
      return kind;
    }
  }

  /** The bad blocks of extents that live. */
  all(): DamagedBlock[] {
    for (const [name, { extent }] of this.#listed) {
      if (!isAt(extent, extent.place)) this.#listed.delete(name);
    }
    return [...this.#listed.values()];
  }

  /** A block was found damaged. Restores it when someone has its bytes. */
  async report(extent: SegmentExtent, block: number, kind: DamageKind, foundBy: FoundBy): Promise<'restored' | 'bad'> {
    const name = nameOf(extent, block);
    let repairing = this.#repairing.get(name);
    if (repairing === undefined) {
      if (!this.#listed.has(name)) this.#found(extent, block, kind, foundBy);
      repairing = this.repair(extent, block).finally(() => this.#repairing.delete(name));
      this.#repairing.set(name, repairing);
    }
    return repairing;
  }

  /** Asks who may have the bytes of a block, in order, and writes them to its place. */
  async repair(extent: SegmentExtent, block: number): Promise<'restored' | 'bad'> {
    for (const repairer of this.#repairers) {
      const { place } = extent;
      const bytes = await repairer(extent, block);
      if (bytes === null || !isIntact(this.#core, extent, block, bytes)) continue;
      if (!isAt(extent, place)) return 'restored';
      await this.#segments.repair(place, bytes, block * CHECKSUM_BLOCK_SIZE);
      if ((await this.read(extent, block, Buffer.allocUnsafeSlow(bytes.length))) !== null) continue;
      this.restoredCount++;
      this.forget(extent, block);
      this.#env.log.warn({ ...where(extent, block) }, 'damaged bytes were restored');
      return 'restored';
    }
    return 'bad';
  }

  /** The block was read and is good: the disk gave it after all. */
  forget(extent: SegmentExtent, block: number): void {
    if (this.#listed.size > 0) this.#listed.delete(nameOf(extent, block));
  }

  /** The refusal of a read that needs a bad block. */
  refusal(extent: SegmentExtent, block: number): StoreError {
    const listed = this.#listed.get(nameOf(extent, block));
    return new StoreError('data_corrupt', listed === undefined ? where(extent, block) : details(listed));
  }

  /** What people are told of a bad block: with the ids of the rows that still show a cell in it. */
  async describe(damaged: DamagedBlock): Promise<Record<string, unknown>> {
    const cells: Record<string, unknown>[] = [];
    for (const { batch, field, first, end } of damaged.cells) {
      const { ids, ordinals } = await this.#source.rowsOfBatch(batch);
      const hit = ids.filter((_, i) => ordinals[i] >= first && ordinals[i] < end);
      if (hit.length > 0) cells.push({ field, rows: hit.length, ids: [...hit.slice(0, IDS_NAMED_MAX)] });
    }
    const { foundBy, foundMs } = damaged;
    return { ...details(damaged), found_by: foundBy, found_ms: foundMs, cells };
  }

  #found(extent: SegmentExtent, block: number, kind: DamageKind, foundBy: FoundBy): void {
    this.foundCount++;
    if (this.#listed.size >= LISTED_MAX && this.all().length >= LISTED_MAX) return;
    const live = this.#source.extent(extent.key);
    if (live === undefined) return;
    const damaged: DamagedBlock = {
      ...{ extent, block, kind, foundBy },
      ...where(extent, block),
      foundMs: this.#env.clock.wallMs(),
      partition: live.partition.settings.name,
      cells: cellsOf(live, block),
    };
    this.#listed.set(nameOf(extent, block), damaged);
    this.#env.log.error({ ...details(damaged), found_by: foundBy }, 'stored bytes are damaged: they are not served');
  }
}

function nameOf({ key }: SegmentExtent, block: number): string {
  return `${key}:${block}`;
}

function where(extent: SegmentExtent, block: number): { segment: number; offset: number; length: number } {
  const { segment, offset } = extent.place;
  return { segment: segment.id, offset: offset + block * CHECKSUM_BLOCK_SIZE, length: blockSize(extent, block) };
}

function details({ partition, segment, offset, length, kind, cells }: DamagedBlock): Record<string, unknown> {
  const rows = cells.map(({ batch, field, first, end }) => ({
    lsn: batch.lsn,
    field,
    first_row: first,
    rows: end - first,
  }));
  return { partition, segment, offset, length, reason: kind, cells: rows };
}

/** The cells of each live batch that a block of their extent touches. */
function cellsOf({ partition, batches }: LiveExtent, block: number): DamagedCells[] {
  const from = block * CHECKSUM_BLOCK_SIZE;
  const cells: DamagedCells[] = [];
  for (const batch of batches) {
    for (const { id, name, layout } of partition.fields) {
      const regions = batch?.regions[id];
      if (batch === undefined || regions === undefined) continue;
      const rows = touchedRows({ layout, regions, rows: batch.rows }, from, from + CHECKSUM_BLOCK_SIZE);
      if (rows !== null) cells.push({ batch, field: name, ...rows });
    }
  }
  return cells;
}

interface Column {
  readonly layout: FieldLayout;
  readonly regions: readonly number[];
  readonly rows: number;
}

/** The rows whose bytes lie in `[from, to)` of the extent; all of them where rows cannot be told apart. */
export function touchedRows(
  { layout, regions, rows }: Column,
  from: number,
  to: number,
): { first: number; end: number } | null {
  let first = rows;
  let end = 0;
  for (const [part, stride] of stridesOf(layout).entries()) {
    const start = Math.max(from, regions[2 * part]) - regions[2 * part];
    const stop = Math.min(to, regions[2 * part] + regions[2 * part + 1]) - regions[2 * part];
    if (start >= stop) continue;
    first = Math.min(first, stride === 0 ? 0 : Math.floor(start / stride));
    end = Math.max(end, stride === 0 ? rows : Math.min(rows, Math.ceil(stop / stride)));
  }
  return first < end ? { first, end } : null;
}

/** Bytes of a row in each part of a stored column; 0 where one row's bytes cannot be told from another's. */
function stridesOf(layout: FieldLayout): number[] {
  if (layout.layout === 'dense' || layout.layout === 'scalar') return [rowStride(layout)];
  const isTensor = layout.layout === 'ragged' && layout.shape !== undefined;
  return isTensor ? [0, 0, OFFSET_SIZE * layout.shape.length] : [0, 0];
}
