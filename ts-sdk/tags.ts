/**
 * Tags and numbers of rows: merged into them, and listed.
 *
 *   tag    a JSON patch per row, or one for all -> requests within the server's limits -> merged on the server
 *   list   where, ready for a task, or by ids   -> page by page                        -> Listing
 *
 * Invariants: each request is merged whole or not at all, once, however often it is sent; nothing is read back to be
 * merged here.
 */
import { TAGS_COLUMN, type Limits } from '@transfer-queue/core/protocol';
import { toColumn } from './cells.ts';
import type { Json } from './column.ts';
import type { Rows } from './decode.ts';
import { toIds, type Ids } from './encode.ts';
import { catalogueError, clientError } from './errors.ts';
import type { CallOptions } from './options.ts';
import { ID_JSON_SIZE_MAX, JSON_MARGIN, highestLsn, listIn, type JsonObject, type Target } from './target.ts';
import type { Wire } from './wire.ts';

/**
 * Tags of one row, or a patch of them: JSON values under names of letters, digits, `_` and `-`; at most 4 KiB as JSON
 * text. In a patch, null removes a tag.
 */
export type Tags = Readonly<Record<string, Json>>;

/** One patch for all rows, or one for each; null and undefined change nothing. */
export type TagPatches = Tags | readonly (Tags | null | undefined)[];

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

/** Rows without their fields, in the order of their coming. */
export interface Listing {
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
}

/** Nothing is merged. */
const NO_PATCH = '';

/** Merges tags into those of rows. Resolves to the highest LSN. */
export async function tagRows(target: Target, ids: Ids, tags: TagPatches, signal?: AbortSignal): Promise<number> {
  const { wire, partition, groupSize } = target;
  const all = toIds(ids);
  const texts = patchTexts(tags, all.length);
  const limits = await wire.limits(signal);
  const answers = await wire.eachShare({ ids: all, groupSize, signal }, async ({ node, positions }) => {
    const sent: JsonObject[] = [];
    for (const part of partsOf(positions, texts, limits)) {
      // One patch for all rows is sent once.
      const isOne = part.every((at) => texts[at] === texts[part[0]]);
      const patches = isOne ? patchAt(tags, part[0]) : Array.from(part, (at) => patchAt(tags, at));
      const json = { ids: Array.from(part, (at) => all[at]), tags: patches };
      sent.push(await wire.sendForJson({ url: node.url, route: 'tag', names: { partition }, json, signal }));
    }
    return sent;
  });
  return highestLsn(answers.flat());
}

/** Positions that fit into one request. */
function* partsOf(positions: Uint32Array, texts: readonly string[], limits: Limits): Generator<Uint32Array> {
  const room = limits.jsonBodyBytesMax - JSON_MARGIN;
  let start = 0;
  let size = 0;
  for (let at = 0; at < positions.length; at++) {
    // An empty patch is sent as {}.
    const needed = ID_JSON_SIZE_MAX + Math.max(2, utf8.encode(texts[positions[at]]).length) + 1;
    if (at > start && (size + needed > room || at - start === limits.listRowsMax)) {
      yield positions.subarray(start, at);
      start = at;
      size = 0;
    }
    size += needed;
  }
  if (positions.length > start) yield positions.subarray(start);
}

const utf8 = new TextEncoder();

function patchAt(tags: TagPatches, row: number): Tags {
  return (isList(tags) ? tags[row] : tags) ?? {};
}

/** The JSON text of each row's patch; NO_PATCH where there is none. Throws FixRequestError when they do not fit. */
export function patchTexts(tags: TagPatches, rows: number): string[] {
  if (!isList(tags)) return new Array<string>(rows).fill(textOf(tags));
  if (tags.length === rows)
    return tags.map((patch) => (patch === null || patch === undefined ? NO_PATCH : textOf(patch)));
  throw catalogueError('field_mismatch', `There are tags for ${tags.length} rows where there are ${rows} ids.`);
}

/** JSON would make null of numbers that it has no text for, and would drop what is no value at all. */
function textOf(tags: Tags): string {
  const isObject = typeof tags === 'object' && tags !== null && !Array.isArray(tags);
  if (!isObject) throw catalogueError('tags_invalid', 'The tags of a row are an object.');
  return JSON.stringify(tags, (name, value: unknown) => {
    const isValue = typeof value === 'number' ? Number.isFinite(value) : VALUES.includes(typeof value);
    if (!isValue) throw catalogueError('tags_invalid', `Tags are JSON values, which ${name}: ${String(value)} is not.`);
    return value;
  });
}

const VALUES: readonly string[] = ['string', 'boolean', 'object'];

function isList(tags: TagPatches): tags is Exclude<TagPatches, Tags> {
  return Array.isArray(tags);
}

/** The rows of a put with a column of their patches. */
export function withTags(rows: Rows, tags: TagPatches): Rows {
  const texts = patchTexts(tags, rows.ids.length);
  const column = toColumn(TAGS_COLUMN, texts, { layout: { layout: 'text' }, rows: texts.length });
  return { ids: rows.ids, columns: new Map([...rows.columns, [TAGS_COLUMN, column]]) };
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
  const numbers: Record<string, Float64Array> = {};
  const columns = pages.map((page) => (page.numbers ?? {}) as JsonObject);
  for (const name of Object.keys(columns[0] ?? {})) {
    const values = columns.flatMap((column) => listIn<number | null>(column, name));
    numbers[name] = Float64Array.from(values.slice(0, rowsMax), (value) => value ?? NaN);
  }
  const hasAttempts = pages[0]?.attempts !== undefined;
  return {
    ids: joined<number>('ids'),
    tags: joined<Tags>('tags'),
    numbers,
    attempts: hasAttempts ? Int32Array.from(joined<number>('attempts')) : undefined,
  };
}
