/**
 * What the store knows of a partition: its declaration, its batches and the index of its rows.
 *
 *   partition -> index: id -> (batch, ordinal)...      batch -> extent -> segment
 *
 * A batch is one record batch of a put: it names, per field, where the buffers lie inside the extent. It lives while a
 * row shows one of its cells; an extent lives while one of its batches does, or a reader holds it.
 */
import type { FieldLayout } from '@transfer-queue/core/layout';
import { limits, type AckLevel } from '@transfer-queue/core/protocol';
import type { PartitionSettings } from '../journal/events.ts';
import type { RowIndex } from '../index/row_index.ts';
import { Bag, NOWHERE } from '../segment/bag.ts';
import type { Place, Segment, SegmentExtent } from '../segment/segment.ts';
import type { CellPlaces } from './cell_places.ts';

export interface Field {
  readonly id: number;
  readonly name: string;
  readonly layout: FieldLayout;
  /** LSN of its declaration, or a later one that a start found. */
  readonly lsn: number;
}

/** What an extent is from its insert on. */
export interface ExtentContent {
  readonly key: number;
  readonly place: Place;
  readonly length: number;
  readonly blocks: Uint8Array;
  readonly level: AckLevel;
  /** How many batches the put had. */
  readonly batchCount: number;
}

const HASH_SIZE = 8;

/** There are as many of these as puts whose rows live: what one takes in memory, and to be collected, counts. */
export class LiveExtent implements SegmentExtent {
  readonly key: number;
  readonly partition: Partition;
  readonly length: number;
  readonly level: AckLevel;
  /** Batches that live. */
  refs = 0;
  /** The tree has a record of it. */
  saved = false;
  /** Numbers of the batches whose `rowsLive` has a record of its own. */
  savedCounts: Set<number> | null = null;
  inSegment = NOWHERE;
  inPartition = NOWHERE;
  inUnsaved = NOWHERE;
  #segment: Segment;
  #offset: number;
  /** The hash of an only block, which most have, as two words: an array of 8 bytes takes 200. */
  readonly #hashLow: number;
  readonly #hashHigh: number;
  readonly #hashes: Uint8Array | null;
  /** The only batch, which most have, or all of them. */
  #batches: StoredBatch | undefined | (StoredBatch | undefined)[];
  /** The only batch while it is not made: of most puts that a start replays nobody asks for it. */
  #unmadeRows = 0;
  #unmadeCells: CellPlaces | null = null;

  constructor(partition: Partition, content: ExtentContent) {
    const { blocks, place, batchCount } = content;
    this.key = content.key;
    this.partition = partition;
    this.length = content.length;
    this.level = content.level;
    this.#segment = place.segment;
    this.#offset = place.offset;
    const isOne = blocks.length === HASH_SIZE;
    this.#hashLow = isOne ? wordAt(blocks, 0) : 0;
    this.#hashHigh = isOne ? wordAt(blocks, 4) : 0;
    this.#hashes = isOne ? null : blocks;
    this.#batches = batchCount === 1 ? undefined : new Array<StoredBatch | undefined>(batchCount);
  }

  get place(): Place {
    return { segment: this.#segment, offset: this.#offset };
  }

  set place({ segment, offset }: Place) {
    this.#segment = segment;
    this.#offset = offset;
  }

  get blocks(): Uint8Array {
    if (this.#hashes !== null) return this.#hashes;
    return bytesOf(this.#hashLow, this.#hashHigh);
  }

  /** By place in the put; undefined for one that is dead. */
  get batches(): readonly (StoredBatch | undefined)[] {
    return Array.isArray(this.#batches) ? this.#batches : [this.batch(0)];
  }

  batch(place: number): StoredBatch | undefined {
    if (Array.isArray(this.#batches)) return this.#batches[place];
    if (place > 0) return undefined;
    if (this.#unmadeCells !== null) {
      const rows = this.#unmadeRows;
      this.#batches = new StoredBatch(this, 0, { lsn: this.key, rows, rowsLive: rows, cells: this.#unmadeCells });
      this.#unmadeCells = null;
    }
    return this.#batches;
  }

  addBatch(place: number, content: BatchContent): void {
    this.refs++;
    if (Array.isArray(this.#batches)) {
      this.#batches[place] = new StoredBatch(this, place, content);
    } else if (content.lsn === this.key && content.rowsLive === content.rows) {
      this.#unmadeRows = content.rows;
      this.#unmadeCells = content.cells;
    } else {
      this.#batches = new StoredBatch(this, 0, content);
    }
  }

  /** It is dead. */
  removeBatch(place: number): void {
    this.refs--;
    this.#unmadeCells = null;
    if (Array.isArray(this.#batches)) this.#batches[place] = undefined;
    else this.#batches = undefined;
  }
}

export class ExtentsOfPartition extends Bag<LiveExtent> {
  protected placeOf(extent: LiveExtent): number {
    return extent.inPartition;
  }

  protected setPlace(extent: LiveExtent, place: number): void {
    extent.inPartition = place;
  }
}

export class UnsavedExtents extends Bag<LiveExtent> {
  protected placeOf(extent: LiveExtent): number {
    return extent.inUnsaved;
  }

  protected setPlace(extent: LiveExtent, place: number): void {
    extent.inUnsaved = place;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

/** Written byte by byte: a view of words would take a buffer of its own, outside of the heap. */
function bytesOf(low: number, high: number): Uint8Array {
  const bytes = new Uint8Array(HASH_SIZE);
  for (let i = 0; i < 4; i++) {
    bytes[i] = low >>> (8 * i);
    bytes[4 + i] = high >>> (8 * i);
  }
  return bytes;
}

export interface BatchContent {
  /** LSN of the put that brought the rows. */
  readonly lsn: number;
  readonly rows: number;
  readonly rowsLive: number;
  readonly cells: CellPlaces;
}

export class StoredBatch {
  readonly extent: LiveExtent;
  /** In the put. */
  readonly place: number;
  /** LSN of the put that brought the rows; older than the extent's after a rewrite. */
  readonly lsn: number;
  readonly rows: number;
  readonly cells: CellPlaces;
  /** Rows that show a cell of it. */
  rowsLive: number;
  /** Readers, claims and snapshots that still need its bytes. */
  pins = 0;

  constructor(extent: LiveExtent, place: number, { lsn, rows, rowsLive, cells }: BatchContent) {
    this.extent = extent;
    this.place = place;
    this.lsn = lsn;
    this.rows = rows;
    this.cells = cells;
    this.rowsLive = rowsLive;
  }

  /** `batchNumber(lsn of the extent, place in the put)`. */
  get number(): number {
    return batchNumber(this.extent.key, this.place);
  }

  /** By field id: (offset, length) pairs relative to the extent; undefined for a field that the batch lacks. */
  get regions(): CellPlaces['regions'] {
    return this.cells.regions;
  }
}

export interface Partition {
  readonly id: number;
  settings: PartitionSettings;
  fields: readonly Field[];
  fieldsByName: ReadonlyMap<string, Field>;
  readonly index: RowIndex;
  readonly extents: ExtentsOfPartition;
  /** LSN of the last change. */
  lsn: number;
  /** Bytes of the extents that live. */
  bytes: number;
  dropped: boolean;
}

/** Rows of a `memory` partition vanish with the process: nothing of them is saved. */
export function isSaved(partition: Partition): boolean {
  return partition.settings.ack !== 'memory';
}

/** A batch is numbered by the LSN of its insert and its place in the put, so that a number never comes twice. */
export function batchNumber(lsn: number, place: number): number {
  return lsn * limits.putBatchesMax + place;
}

export function placeOfBatch(number: number): number {
  return number % limits.putBatchesMax;
}

/** LSN of the insert that brought a batch. */
export function lsnOfBatch(number: number): number {
  return Math.floor(number / limits.putBatchesMax);
}

/** The fields of a declaration of this LSN; those that were there `before` stay as they are. */
export function fieldsOf(
  settings: PartitionSettings,
  { lsn, before }: { lsn: number; before: readonly Field[] },
): { fields: readonly Field[]; fieldsByName: ReadonlyMap<string, Field> } {
  const fields = settings.fields.map(({ name, layout }, id) => before[id] ?? { id, name, layout, lsn });
  return { fields, fieldsByName: new Map(fields.map((field) => [field.name, field])) };
}
