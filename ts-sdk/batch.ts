/** Batches: the rows of an answer, as Arrow IPC bytes, as typed columns and as a table of `apache-arrow`. */
import { ATTEMPT_COLUMN, TAGS_COLUMN } from '@transfer-queue/core/protocol';
import { tableFromIPC, type Table } from 'apache-arrow';
import { digestsOf, joinedSource, type BlobSource } from './blobs.ts';
import { joinColumns, type Column } from './column.ts';
import { decodeAnswer, type Rows } from './decode.ts';
import { encodeRows, pickRows } from './encode.ts';
import { catalogueError, clientError } from './errors.ts';
import type { Tags } from './tags.ts';

interface BatchParts {
  readonly lsn: number;
  readonly bytes?: Uint8Array;
  /** The tags of the rows, as JSON text. */
  readonly tags?: Column;
  readonly rowKeys?: readonly string[];
  /** Where the blobs are that the rows name. */
  readonly blobs?: BlobSource;
}

/**
 * Some rows with some of their fields. It can be put again as it is.
 *
 * @example
 * ```ts
 * const batch = await train.get([2, 1], { fields: ['reward'] });
 * batch.ids; // [2, 1]
 * batch.column('reward').values; // Float32Array [0.5, 0.25]
 * batch.table().numRows; // 2
 * ```
 */
export class Batch implements Rows {
  /** The ids of the rows, in the order asked for. */
  readonly ids: readonly number[];
  /** The fields by name, in the order asked for. */
  readonly columns: ReadonlyMap<string, Column>;
  /** The highest LSN among the cells of the batch. */
  readonly lsn: number;
  /** The key of each row, for rows that were read by key; else undefined. */
  readonly rowKeys: readonly string[] | undefined;
  readonly #tags: Column | undefined;
  #parsedTags: readonly Tags[] | undefined;
  /** @internal Where the blobs are that the rows name. */
  readonly blobSource: BlobSource | undefined;
  #bytes: Uint8Array | undefined;
  #table: Table | undefined;

  constructor(rows: Rows, { lsn, bytes, tags, rowKeys, blobs }: BatchParts) {
    this.ids = rows.ids;
    this.columns = rows.columns;
    this.lsn = lsn;
    this.rowKeys = rowKeys;
    this.#tags = tags;
    this.#bytes = bytes;
    this.blobSource = blobs;
  }

  /** The number of rows. */
  get rows(): number {
    return this.ids.length;
  }

  /** The names of the fields. */
  get fields(): string[] {
    return [...this.columns.keys()];
  }

  /**
   * The tags of each row, declared numbers included. Throws `input_invalid` unless `tq_tags` was among the fields asked
   * for.
   *
   * @example
   * ```ts
   * await train.tag([7], { status: 'judged' });
   * const batch = await train.get([7], { fields: ['reward', 'tq_tags'] });
   * batch.tags; // [{ status: 'judged' }]
   * ```
   */
  get tags(): readonly Tags[] {
    if (this.#tags === undefined)
      throw clientError('input_invalid', `The rows came without tags: ask for ${TAGS_COLUMN} among the fields.`);
    this.#parsedTags ??= Array.from(this.#tags, (text) => JSON.parse(text as string) as Tags);
    return this.#parsedTags;
  }

  /** @internal The same rows, which were asked for by these keys. */
  withKeys(rowKeys: readonly string[]): Batch {
    return new Batch(this, { lsn: this.lsn, bytes: this.#bytes, tags: this.#tags, rowKeys, blobs: this.blobSource });
  }

  /** @internal The columns, with that of the tags. */
  get columnsWithTags(): ReadonlyMap<string, Column> {
    return this.#tags === undefined ? this.columns : new Map([...this.columns, [TAGS_COLUMN, this.#tags]]);
  }

  /**
   * The batch as one Arrow IPC stream: `index_id`, then the fields, and `tq_tags` where it was asked for. What
   * came over the wire, where it came as one.
   */
  get bytes(): Uint8Array {
    this.#bytes ??= joinedBytes(encodeRows({ ids: this.ids, columns: this.columnsWithTags }));
    return this.#bytes;
  }

  /** The cells of one field, as views. Throws `field_unknown` when the batch does not hold the field. */
  column(field: string): Column {
    const column = this.columns.get(field);
    if (column === undefined)
      throw catalogueError('field_unknown', `The batch has no field ${field}; it has ${this.fields.join(', ')}.`);
    return column;
  }

  /**
   * The bytes of a field of layout blob, one per row; rows that share a blob get the same object. Each is fetched once.
   * Throws FixRequestError (`blob_missing`).
   *
   * @example
   * ```ts
   * const photos = await tq.partition('photos', { fields: { image: blob() }, groupSize: 2 });
   * const image = Uint8Array.of(1, 2, 3);
   * await photos.put({ image: [image, image] }, { ids: [0, 1] }); // sent and stored once
   * const [first, second] = await (await photos.get([0, 1])).blobs('image');
   * first === second; // true
   * ```
   */
  async blobs(field: string): Promise<Uint8Array[]> {
    const digests = digestsOf(this.column(field));
    if (this.blobSource === undefined && digests.length > 0)
      throw clientError('input_invalid', 'Nobody knows where the blobs of these rows are: they were not read.');
    const found = await this.blobSource?.(new Set(digests));
    return digests.map((digest) => found!.get(digest)!);
  }

  /** The batch as a table of `apache-arrow`, over the same bytes. */
  table(): Table {
    this.#table ??= tableFromIPC(this.bytes);
    return this.#table;
  }
}

function joinedBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** A part of a read: the rows at these positions of the call. */
export interface Part {
  readonly positions: ArrayLike<number>;
  readonly batch: Batch;
}

/** One batch of all parts, in the order of the call. A single part is the batch itself, uncopied. */
export function mergeParts(parts: readonly Part[], count: number): Batch {
  const [first] = parts;
  if (parts.length === 1) return first.batch;
  const lsn = Math.max(...parts.map((part) => part.batch.lsn));
  const columns = new Map<string, Column>();
  const sources = parts.map((part) => part.batch.columnsWithTags);
  for (const [name, { layout }] of sources[0]) {
    const cells = sources.map((source) => source.get(name));
    if (!cells.every((column) => column !== undefined))
      throw clientError('answer_invalid', `Not all nodes have answered with field ${name}.`);
    columns.set(name, joinColumns(cells, layout));
  }
  const ids = parts.flatMap((part) => part.batch.ids);
  const order = new Uint32Array(count);
  let row = 0;
  for (const { positions } of parts) for (let i = 0; i < positions.length; i++) order[positions[i]] = row++;
  const { rows, tags } = splitColumns(pickRows({ ids, columns }, order));
  return new Batch(rows, { lsn, tags, blobs: joinedSource(parts.map(({ batch }) => batch.blobSource)) });
}

/** The rows of an answer, and what is no field of theirs: their tags, and the attempts of a claim's rows. */
export interface AnswerRows {
  readonly rows: Rows;
  readonly attempts: Int32Array;
  readonly tags: Column | undefined;
}

export function readRows(bytes: Uint8Array): AnswerRows {
  return splitColumns(decodeAnswer(bytes));
}

function splitColumns({ ids, columns }: Rows): AnswerRows {
  const attempts = columns.get(ATTEMPT_COLUMN)?.values as Int32Array | undefined;
  const tags = columns.get(TAGS_COLUMN);
  const fields = new Map(columns);
  fields.delete(ATTEMPT_COLUMN);
  fields.delete(TAGS_COLUMN);
  return { rows: { ids, columns: fields }, attempts: attempts ?? new Int32Array(0), tags };
}
