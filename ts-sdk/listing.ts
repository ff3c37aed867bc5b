/**
 * Lists of rows: their ids, tags and numbers, without their fields.
 *
 *   list   where, ready for a task, or by ids   -> page by page                        -> Listing
 *
 * A listing as a table, the same one that Python gives (test/vectors/listing.json):
 *
 *   index_id     int64
 *   tags         utf8      JSON text, in ASCII
 *   attempts     int32     if the list is of a task's ready rows
 *   each number  float64   null where a row has none
 */
import { INDEX_COLUMN } from '@transfer-queue/core/protocol';
import {
  Field,
  Float64,
  Int32,
  Int64,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  makeData,
  type Data,
} from 'apache-arrow';
import { toColumn } from './cells.ts';
import { toIds, type Ids } from './encode.ts';
import { catalogueError, clientError } from './errors.ts';
import type { CallOptions } from './options.ts';
import type { Tags } from './tags.ts';
import { listIn, type JsonObject, type Target } from './target.ts';
import type { Wire } from './wire.ts';

/** Which rows to list. */
export interface ListOptions extends CallOptions {
  /** Only these, as far as they are there. Default: all. */
  readonly ids?: Ids;
  /** Only those of a filter over tags and numbers: `status == "finished" and reward > 0.5`. */
  readonly where?: string;
  /** Only those that this task could claim now, with `fields`. */
  readonly task?: string;
  /** The fields that rows must have for the task. */
  readonly fields?: readonly string[];
  /** At most so many, the oldest ones. Default: all. */
  readonly rowsMax?: number;
}

/** What a listing is made of. */
interface ListingParts {
  readonly ids: readonly number[];
  readonly tags: readonly Tags[];
  readonly numbers: Readonly<Record<string, Float64Array>>;
  readonly attempts: Int32Array | undefined;
}

/** Rows without their fields, in the order of their coming. */
export class Listing {
  readonly ids: readonly number[];
  /** The tags of each row; declared numbers are not among them. */
  readonly tags: readonly Tags[];
  /** Declared numbers by name: one for each row, NaN where it has none. */
  readonly numbers: Readonly<Record<string, Float64Array>>;
  /**
   * Which attempt the next one of the task is at each row, 1 being the first; undefined unless the list is of a task's
   * ready rows.
   */
  readonly attempts: Int32Array | undefined;

  /** @internal Use `partition.list()`. */
  constructor({ ids, tags, numbers, attempts }: ListingParts) {
    this.ids = ids;
    this.tags = tags;
    this.numbers = numbers;
    this.attempts = attempts;
  }

  /**
   * The listing as a table of `apache-arrow`, one row for each, with the columns that Python's `Listing.arrow()` has:
   * `index_id` (Int64), `tags` (Utf8: their JSON text, in ASCII), `attempts` (Int32) unless it is undefined, and the
   * numbers (Float64), null where a row has none. The numbers are views, the rest is copied.
   *
   * Throws FixRequestError (`name_invalid`: a number is called `index_id`, `tags` or `attempts` as another column, and
   * tables of `apache-arrow` cannot hold both; take it from `numbers`).
   *
   * @example
   * ```ts
   * const rewards = await tq.partition('rewards', { fields: { answer: text() }, numbers: ['reward'] });
   * await rewards.put({ answer: ['a', 'b', 'c'] }, { ids: [4, 5, 6], tags: [{ reward: 0.25 }, { reward: 0.75 }, {}] });
   * const table = (await rewards.list({ task: 'best', fields: ['answer'] })).table();
   * table.schema.names; // ['index_id', 'tags', 'attempts', 'reward']
   * table.getChild('reward')?.toJSON(); // [0.25, 0.75, null]
   * ```
   */
  table(): Table {
    const columns = this.#columns();
    const schema = new Schema(columns.map(([name, { type }]) => new Field(name, type, true)));
    const children = columns.map(([, data]) => data);
    const rows = makeData({ type: new Struct(schema.fields), length: this.ids.length, nullCount: 0, children });
    return new Table(schema, [new RecordBatch(schema, rows)]);
  }

  #columns(): [name: string, data: Data][] {
    const { ids, tags, numbers, attempts } = this;
    const columns: [string, Data][] = [
      [INDEX_COLUMN, makeData({ type: new Int64(), length: ids.length, data: BigInt64Array.from(ids, BigInt) })],
      ['tags', textData(tags.map(asciiJson))],
    ];
    if (attempts !== undefined)
      columns.push(['attempts', makeData({ type: new Int32(), length: ids.length, data: attempts })]);
    const taken = new Set(columns.map(([name]) => name));
    for (const [name, values] of Object.entries(numbers)) {
      if (taken.has(name))
        throw catalogueError('name_invalid', `Number ${name} has the name of another column; take it from numbers.`);
      columns.push([name, numberData(values)]);
    }
    return columns;
  }
}

/** JSON text as Python writes it. */
function asciiJson(tags: Tags): string {
  return JSON.stringify(tags).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function textData(texts: readonly string[]): Data<Utf8> {
  const { values, offsets } = toColumn('tags', texts, { layout: { layout: 'text' }, rows: texts.length });
  return makeData({ type: new Utf8(), length: texts.length, valueOffsets: offsets, data: values as Uint8Array });
}

function numberData(values: Float64Array): Data<Float64> {
  const nullBitmap = new Uint8Array(Math.ceil(values.length / 8));
  let nullCount = 0;
  for (let row = 0; row < values.length; row++) {
    if (Number.isNaN(values[row])) nullCount += 1;
    else nullBitmap[Math.floor(row / 8)] |= 1 << (row % 8);
  }
  return makeData({ type: new Float64(), length: values.length, nullCount, nullBitmap, data: values });
}

/** The rows of all pages and nodes. */
export async function listRows(target: Target, options: ListOptions): Promise<Listing> {
  const { wire, partition, groupSize } = target;
  const { ids, where, task, fields, rowsMax = Infinity, signal } = options;
  if ((task === undefined) !== (fields === undefined))
    throw clientError('input_invalid', 'The ready rows of a task are those that have the fields: give both.');
  const { listRowsMax } = await wire.limits(signal);
  const json = { where, ready: task === undefined ? undefined : { task, fields } };
  const pages = (url: string, chosen?: readonly number[]): Promise<JsonObject[]> =>
    listPages(wire, { url, partition, json: { ...json, ids: chosen }, listRowsMax, rowsMax, signal });
  if (ids === undefined) {
    const found = await wire.onNodes(signal, (nodes) => Promise.all(nodes.map(({ url }) => pages(url))));
    return joinPages(found.flat(), rowsMax);
  }
  const all = toIds(ids);
  const found = await wire.eachShare({ ids: all, groupSize, signal }, async ({ node, positions }) => {
    const shares: JsonObject[] = [];
    for (let at = 0; at < positions.length; at += listRowsMax) {
      const some = Array.from(positions.subarray(at, at + listRowsMax), (position) => all[position]);
      shares.push(...(await pages(node.url, some)));
    }
    return shares;
  });
  return joinPages(found.flat(), rowsMax);
}

interface PagesCall {
  readonly url: string;
  readonly partition: string;
  readonly json: object;
  readonly listRowsMax: number;
  readonly rowsMax: number;
  readonly signal: AbortSignal | undefined;
}

/** The pages of one node, until there are `rowsMax` rows. */
async function listPages(wire: Wire, call: PagesCall): Promise<JsonObject[]> {
  const { url, partition, listRowsMax, rowsMax, signal } = call;
  const pages: JsonObject[] = [];
  let after: unknown;
  for (let left = rowsMax; left > 0;) {
    const json = { ...call.json, after, rows_max: Math.min(left, listRowsMax) };
    const page = await wire.sendForJson({ url, route: 'list', names: { partition }, json, signal });
    pages.push(page);
    left -= listIn(page, 'ids').length;
    after = page.next ?? undefined;
    if (after === undefined) break;
  }
  return pages;
}

function joinPages(pages: readonly JsonObject[], rowsMax: number): Listing {
  const joined = <T>(name: string): T[] => pages.flatMap((page) => listIn<T>(page, name)).slice(0, rowsMax);
  const columns = pages.map((page) => (page.numbers ?? {}) as JsonObject);
  const numbers = Object.keys(columns[0] ?? {}).map((name): [string, Float64Array] => {
    const values = columns.flatMap((column) => listIn<number | null>(column, name));
    return [name, Float64Array.from(values.slice(0, rowsMax), (value) => value ?? NaN)];
  });
  const hasAttempts = pages[0]?.attempts !== undefined;
  return new Listing({
    ids: joined<number>('ids'),
    tags: joined<Tags>('tags'),
    numbers: Object.fromEntries(numbers),
    attempts: hasAttempts ? Int32Array.from(joined<number>('attempts')) : undefined,
  });
}
