/**
 * Tags of a row: a small JSON object, changed by merge patches (RFC 7396).
 *
 *   patch has                     tags then have
 *   "k": null                     no k
 *   "k": { ... }                  in k what merging says, from {} when k was no object
 *   "k": anything else            this as k; lists are replaced whole
 *   no k                          k as before
 *
 * The bounds hold for the merged tags; those of depth and keys also for the patch, so that a refusal does not depend
 * on what the row had. Size and count are bounds of what is taken in, not of what rows have: a replay that leaves out
 * what a crash took merges checked patches into other tags. Refused are also what no client could read back:
 * `__proto__` as a key (assigned to an object of JavaScript it changes what the object is), numbers beyond a double
 * (JSON would make null of them), halves of surrogate pairs (not to be written as UTF-8).
 *
 * Invariants: tags are frozen to the bottom, so rows may share them; a merge that changes nothing gives the same
 * object; parts that did not change are shared with the tags before.
 */
import { isList, isObject, type Json, type JsonObject } from './json.ts';

export const tagLimits = { bytesMax: 4_096, depthMax: 8, keysMax: 256, keyBytesMax: 128 } as const;

export type Tags = JsonObject;

/** The tags of a row that has none. */
export const NO_TAGS: Tags = Object.freeze({});

/** Why a patch is refused, and where in it: a JSON pointer, empty for the whole. Fit for the details of a refusal. */
export class TagError extends Error {
  readonly pointer: string;
  readonly problem: string;

  constructor(pointer: string, problem: string) {
    super(`tags${pointer === '' ? '' : ` at ${pointer}`}: ${problem}`);
    this.name = 'TagError';
    this.pointer = pointer;
    this.problem = problem;
  }
}

/** Tags from nothing are tags merged into none: `mergeTags(NO_TAGS, value)`. Throws TagError. */
export function mergeTags(tags: Tags, patch: Json): Tags {
  if (!isObject(patch)) throw new TagError('', 'tags are a JSON object');
  check(patch, { path: [], keys: 0, values: 0, isBounded: true });
  const merged = mergeObject(tags, patch);
  if (merged === tags || sizeMost(merged) <= SIZE_NEVER_TOO_LARGE) return merged;
  const size = Buffer.byteLength(JSON.stringify(merged));
  const { bytesMax } = tagLimits;
  if (size > bytesMax) throw new TagError('', `${size} bytes as JSON text, at most ${bytesMax} are allowed`);
  checkKeyCount(keyCountOf(merged));
  return merged;
}

/** The same of a patch that was checked before, whatever the tags are now: they may exceed the bounds by that. */
export function patchTags(tags: Tags, patch: JsonObject): Tags {
  return mergeObject(tags, patch);
}

/** Tags that `patchTags` may have made: of any size and count. Throws TagError. */
export function patchedTags(value: Json): Tags {
  if (!isObject(value)) throw new TagError('', 'tags are a JSON object');
  check(value, { path: [], keys: 0, values: 0, isBounded: false });
  return mergeObject(NO_TAGS, value);
}

function mergeObject(before: Json | undefined, patch: JsonObject): JsonObject {
  const base = isObject(before) ? before : NO_TAGS;
  const merged: Record<string, Json> = {};
  let isChanged = false;
  for (const key of Object.keys(base)) {
    if (Object.hasOwn(patch, key)) {
      isChanged = mergeKey(merged, key, base[key], patch[key]) || isChanged;
    } else {
      merged[key] = base[key];
    }
  }
  for (const key of Object.keys(patch)) {
    if (!Object.hasOwn(base, key)) isChanged = mergeKey(merged, key, undefined, patch[key]) || isChanged;
  }
  return isChanged ? Object.freeze(merged) : base;
}

/** Says whether it changed anything. */
function mergeKey(merged: Record<string, Json>, key: string, before: Json | undefined, patch: Json): boolean {
  if (patch === null) return before !== undefined;
  if (isObject(patch)) merged[key] = mergeObject(before, patch);
  else merged[key] = before !== undefined && isEqual(before, patch) ? before : frozen(patch);
  return merged[key] !== before;
}

function isEqual(a: Json, b: Json): boolean {
  if (isList(a)) return isList(b) && a.length === b.length && a.every((item, at) => isEqual(item, b[at]));
  if (!isObject(a) || !isObject(b)) return a === b;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key]));
}

/** A copy, as the value is the caller's; and without -0, of which JSON text makes 0. */
function frozen(value: Json): Json {
  if (isList(value)) return Object.freeze(value.map(frozen));
  if (isObject(value)) {
    return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, frozen(inner)])));
  }
  return value === 0 ? 0 : value;
}

/** Where a check is, and what it has seen so far: it ends early in a patch that is far too large. */
interface Check {
  readonly path: string[];
  keys: number;
  values: number;
  /** Whether size and count matter, beside the shape. */
  readonly isBounded: boolean;
}

/** A key with its value takes ten bytes at least, as `sizeMost` counts. */
const SIZE_NEVER_TOO_LARGE = Math.min(tagLimits.bytesMax, 10 * tagLimits.keysMax);

/** The JSON text has no more bytes, which a look tells that costs less than the text: six a character, 25 a number. */
function sizeMost(value: Json): number {
  if (typeof value === 'string') return 2 + 6 * value.length;
  if (typeof value !== 'object' || value === null) return 25;
  let size = 2;
  if (isList(value)) for (const item of value) size += 1 + sizeMost(item);
  else for (const key in value) size += 4 + 6 * key.length + sizeMost(value[key]);
  return size;
}

/** Merging makes nothing deeper than tags and patch were, so that the depth of the patch is all there is to check. */
function check(value: Json, state: Check): void {
  state.values += 1;
  if (state.isBounded && state.values > tagLimits.bytesMax) {
    throw failure([], `more values than ${tagLimits.bytesMax} bytes can hold`);
  }
  if (typeof value === 'string' && !value.isWellFormed()) {
    throw failure(state.path, 'a string has half of a surrogate pair');
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw failure(state.path, 'a number is too large for a double, or none');
  }
  if (isList(value)) {
    checkDepth(state);
    value.forEach((item, at) => checkInner(item, `${at}`, state));
  } else if (isObject(value)) {
    checkDepth(state);
    for (const key of Object.keys(value)) {
      checkKey(key, state);
      checkInner(value[key], key, state);
    }
  }
}

function checkInner(value: Json, key: string, state: Check): void {
  state.path.push(key);
  check(value, state);
  state.path.pop();
}

function checkDepth({ path }: Check): void {
  const { depthMax } = tagLimits;
  if (path.length === depthMax) throw failure(path, `objects and lists nest deeper than ${depthMax}`);
}

function checkKey(key: string, state: Check): void {
  const { keyBytesMax } = tagLimits;
  state.keys += 1;
  if (state.isBounded) checkKeyCount(state.keys);
  if (key === '') throw failure(state.path, 'a key is empty');
  if (key === '__proto__') throw failure(state.path, 'no key may be __proto__');
  if (!key.isWellFormed()) throw failure(state.path, 'a key has half of a surrogate pair');
  if (3 * key.length > keyBytesMax && Buffer.byteLength(key) > keyBytesMax)
    throw failure(state.path, `a key has more than ${keyBytesMax} bytes`);
}

function checkKeyCount(count: number): void {
  const { keysMax } = tagLimits;
  if (count > keysMax) throw failure([], `more than ${keysMax} keys in all`);
}

function keyCountOf(value: Json): number {
  const inner: readonly Json[] = isObject(value) ? Object.values(value) : isList(value) ? value : [];
  return inner.reduce((sum: number, one) => sum + keyCountOf(one), isObject(value) ? inner.length : 0);
}

function failure(path: readonly string[], problem: string): TagError {
  return new TagError(path.map((key) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''), problem);
}
