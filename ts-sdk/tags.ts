/**
 * Tags and numbers of rows, merged into them. They are listed by listing.ts.
 *
 *   a JSON patch per row, or one for all -> requests within the server's limits -> merged on the server
 *
 * Invariants: each request is merged whole or not at all, once, however often it is sent; nothing is read back to be
 * merged here.
 */
import { TAGS_COLUMN, type Limits } from '@transfer-queue/core/protocol';
import { toColumn } from './cells.ts';
import type { Json } from './column.ts';
import type { Rows } from './decode.ts';
import { toIds, type Ids } from './encode.ts';
import { catalogueError } from './errors.ts';
import { ID_JSON_SIZE_MAX, JSON_MARGIN, highestLsn, type JsonObject, type Target } from './target.ts';

/**
 * Tags of one row, or a patch of them: JSON values under names of letters, digits, `_` and `-`; at most 4 KiB as JSON
 * text. In a patch, null removes a tag.
 */
export type Tags = Readonly<Record<string, Json>>;

/** One patch for all rows, or one for each; null and undefined change nothing. */
export type TagPatches = Tags | readonly (Tags | null | undefined)[];

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
