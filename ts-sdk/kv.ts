/**
 * The key-value door: rows by string keys, on the same rows as all else.
 *
 *   key -> 53 low bits of xxh64 of its UTF-8 = id of the row; the row's tag `tq_key` holds the key itself
 *
 * Invariants: a key never finds the row of another one with the same hash: what is read or deleted by key has that key
 * in its tag, and a put of the other key is refused with `key_collision`; a key that is missing is an error, unless the
 * caller says that it may be.
 */
import { ID_END, KEY_TAG, TAGS_COLUMN } from '@transfer-queue/core/protocol';
import type { Batch } from './batch.ts';
import type { MatrixInput } from './cells.ts';
import type { Cell, Json, Matrix } from './column.ts';
import { core } from './core.ts';
import type { PutData } from './encode.ts';
import { TransferQueueError, catalogueError, clientError } from './errors.ts';
import { listRows, type Listing } from './listing.ts';
import type { CallOptions, WaitOptions } from './options.ts';
import type { PutOptions, PutResult } from './put.ts';
import { readIds } from './read.ts';
import type { Target } from './target.ts';
import type { TagPatches, Tags } from './tags.ts';

/** How to put rows by key: as for `put`, without ids and claims. */
export type KvPutOptions = Omit<PutOptions, 'ids' | 'claim' | 'tags'> & {
  /** Merged into the tags of the row, see `tag`. */
  readonly tags?: Tags;
};

export type KvBatchPutOptions = Omit<PutOptions, 'ids' | 'claim'>;

export interface KvGetOptions extends WaitOptions {
  /** The fields, in the order wanted. Default: all fields of the partition. */
  readonly fields?: readonly string[];
}

export interface KvBatchGetOptions extends KvGetOptions {
  /**
   * `raise` (default), or `drop` to leave out keys that have no row, or one that lacks fields; not with `waitMs`.
   */
  readonly missing?: 'raise' | 'drop';
}

export interface KvListOptions extends CallOptions {
  /** Only rows of a filter over tags and numbers: `status == "finished" and reward > 0.5`. */
  readonly where?: string;
}

/** Keys that an error names. */
const KEYS_SHOWN_MAX = 10;
/** What has no UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const utf8 = new TextEncoder();

/**
 * The row id of a key: the 53 low bits of the xxh64 of its UTF-8 bytes, in every language. Throws FixRequestError
 * (`input_invalid`) unless it is a string of valid Unicode, one character at least.
 *
 * @example
 * ```ts
 * keyId('prompt-7/0'); // 7897639791963416
 * ```
 */
export function keyId(key: string): number {
  if (typeof key !== 'string' || key === '' || LONE_SURROGATE.test(key))
    throw clientError('input_invalid', `A key is a string of valid Unicode and not empty, not ${JSON.stringify(key)}.`);
  return Number(core().xxh64(utf8.encode(key)) & BigInt(ID_END - 1));
}

/** How the door puts: what `Partition.put` does. */
type Putter = (data: PutData, options: PutOptions) => Promise<PutResult>;

export function kvPut(
  put: Putter,
  key: string,
  values: Readonly<Record<string, MatrixInput>>,
  options: KvPutOptions,
): Promise<PutResult> {
  const columns = Object.fromEntries(Object.entries(values).map(([field, value]) => [field, [value]]));
  return kvBatchPut(put, [key], columns, options);
}

export async function kvBatchPut(
  put: Putter,
  keys: readonly string[],
  data: PutData,
  { tags = {}, ...options }: KvBatchPutOptions,
): Promise<PutResult> {
  return put(data, { ...options, ids: distinctIds(keys), tags: tagsWithKeys(keys, tags) });
}

function tagsWithKeys(keys: readonly string[], tags: TagPatches): Tags[] {
  const isList = Array.isArray(tags);
  if (isList && tags.length !== keys.length)
    throw catalogueError(
      'field_mismatch',
      `There are tags for ${tags.length} rows where there are ${keys.length} keys.`,
    );
  return keys.map((key, row) => ({ ...((isList ? tags[row] : tags) as Tags | undefined), [KEY_TAG]: key }));
}

/** The ids of keys of one put, which would otherwise fail without naming the keys. */
function distinctIds(keys: readonly string[]): number[] {
  const owners = new Map<number, string>();
  return keys.map((key) => {
    const id = keyId(key);
    const other = owners.get(id);
    if (other === key) throw catalogueError('ids_duplicate', 'A put takes each key once.', { key });
    if (other !== undefined) throw catalogueError('key_collision', undefined, { keys: [other, key] });
    owners.set(id, key);
    return id;
  });
}

export async function kvGet(
  target: Target,
  key: string,
  options: KvGetOptions,
): Promise<Record<string, Matrix | Cell>> {
  const batch = await kvBatchGet(target, [key], options);
  return Object.fromEntries(Array.from(batch.columns, ([field, column]) => [field, column.matrix(0)]));
}

export async function kvBatchGet(
  target: Target,
  keys: readonly string[],
  { missing = 'raise', ...options }: KvBatchGetOptions,
): Promise<Batch> {
  const { waitMs = 0, signal } = options;
  if (missing !== 'raise' && (missing !== 'drop' || waitMs > 0))
    throw clientError('input_invalid', "missing is 'raise' or, without a wait, 'drop'.");
  const ids = keys.map(keyId);
  // The tags of the same state tell whose rows they are.
  const fields = [...(options.fields ?? (await target.fields(signal))), TAGS_COLUMN];
  if (missing === 'drop') return getWhatIsThere(target, keys, { fields, signal });
  let batch: Batch;
  try {
    batch = await readIds(target, ids, { ...options, fields });
  } catch (error) {
    if (!isMissing(error)) throw error;
    const lacking = new Set(error.details.missing as readonly number[] | undefined);
    const shown = keys.filter((_, row) => lacking.has(ids[row]));
    throw keysMissing(shown, Number(error.details.missing_count ?? shown.length));
  }
  const { tags } = batch;
  const others = keys.filter((key, row) => tags[row][KEY_TAG] !== key);
  if (others.length > 0) throw keysMissing(others, others.length);
  return batch.withKeys(keys);
}

/** Rows that lack some of the fields, or were deleted just now, are left out by the first of them that errors name. */
async function getWhatIsThere(
  target: Target,
  keys: readonly string[],
  options: { readonly fields: readonly string[]; readonly signal: AbortSignal | undefined },
): Promise<Batch> {
  let there = await ownedKeys(target, keys, options.signal);
  for (;;) {
    const ids = there.map(keyId);
    try {
      return (await readIds(target, ids, options)).withKeys(there);
    } catch (error) {
      if (!isMissing(error)) throw error;
      const lacking = new Set(error.details.missing as readonly number[] | undefined);
      const left = there.filter((_, row) => !lacking.has(ids[row]));
      if (left.length === there.length) throw error;
      there = left;
    }
  }
}

export async function kvList(target: Target, { where, signal }: KvListOptions): Promise<Map<string, Tags>> {
  const listing = await listKeyed(target, where, signal);
  return new Map(listing.tags.map((tags, row) => [tags[KEY_TAG] as string, allTags(listing, row)]));
}

/** Tags and numbers of a row, without its key. */
function allTags({ tags, numbers }: Listing, row: number): Tags {
  const own = Object.entries(tags[row]).filter(([name]) => name !== KEY_TAG);
  const declared = Object.entries(numbers).map(([name, values]): [string, Json] => [name, values[row]]);
  return Object.fromEntries([...own, ...declared.filter(([, value]) => !Number.isNaN(value))]);
}

/** The rows to delete: those of these keys, or of all keys. */
export async function keyedIds(
  target: Target,
  keys: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<readonly number[]> {
  if (keys === undefined) return (await listKeyed(target, undefined, signal)).ids;
  return (await ownedKeys(target, [...new Set(keys)], signal)).map(keyId);
}

function listKeyed(target: Target, where: string | undefined, signal: AbortSignal | undefined): Promise<Listing> {
  const hasKey = `exists ${KEY_TAG}`;
  return listRows(target, { where: where === undefined ? hasKey : `${hasKey} and (${where})`, signal });
}

/** The keys that have a row of their own. */
async function ownedKeys(target: Target, keys: readonly string[], signal: AbortSignal | undefined): Promise<string[]> {
  const { ids, tags } = await listRows(target, { ids: [...new Set(keys.map(keyId))], signal });
  const owners = new Map(ids.map((id, row) => [id, tags[row][KEY_TAG]]));
  return keys.filter((key) => owners.get(keyId(key)) === key);
}

function isMissing(error: unknown): error is TransferQueueError {
  return error instanceof TransferQueueError && error.code === 'rows_missing';
}

function keysMissing(keys: readonly string[], count: number): TransferQueueError {
  const details = { missing: keys.slice(0, KEYS_SHOWN_MAX), missing_count: count };
  return clientError('keys_missing', undefined, { details });
}
