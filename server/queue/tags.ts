/**
 * Patches of tags: what they mean for a queue, whether rows may have them, and what becomes of the rows.
 *
 *   text of a patch --readPatch--> { tags, numbers }      declared numbers go to their columns, the rest is merged
 *
 *   decideTags   all rows can have their patches, or the refusal says which can not, and why
 *   applyTags    merges; what a filter says of the rows is found anew
 *
 * Invariants: a key, once a row has it, stays; what was decided is applied without being checked again, since a row may
 * have other tags in a replay that leaves out puts whose bytes a crash took.
 */
import { KEY_TAG, limits, RESERVED_PREFIX, TAG_NAME_PATTERN } from '@transfer-queue/core/protocol';
import { isObject, type Json, type JsonObject } from '../sampler/json.ts';
import { mergeTags, NO_TAGS, patchTags, TagError, type Tags } from '../sampler/merge_tags.ts';
import type { Refusal } from './events.ts';
import { filterAgain } from './filters.ts';
import { numberIndex } from './numbers.ts';
import { setNumber, setTags, tagsOf } from './page_values.ts';
import { eachPageOfIds, offsetOf, pageOf, slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** JSON texts of patches: one for all rows, or one for each, of which an empty one says nothing. */
export interface TagChange {
  readonly ids: Float64Array;
  readonly tags: readonly string[];
}

interface Patch {
  /** All that it names. */
  readonly names: readonly string[];
  /** Without the declared numbers. */
  readonly tags: JsonObject;
  /** NaN takes a number away. */
  readonly numbers: readonly { readonly number: number; readonly value: number }[];
}

/** Many times what a row can have: a patch may take away more than it brings. */
const PATCH_BYTES_MAX = 4 * limits.tagsBytesMax;

/** Ids that a refusal names. */
const IDS_NAMED_MAX = 16;

const namePattern = new RegExp(TAG_NAME_PATTERN);

/** Whether the rows may be tagged so. Rows that a put is about to bring need not be there. */
export function decideTags(
  queue: PartitionQueue,
  { ids, tags }: TagChange,
  { withPut }: { readonly withPut: boolean },
): Refusal | undefined {
  const { slots } = queue;
  const missing = withPut ? [] : ids.filter((id) => slotOf(slots, id) < 0);
  if (missing.length > 0) {
    const details = { missing: [...missing.slice(0, IDS_NAMED_MAX)], missing_count: missing.length };
    return { kind: 'refuse', code: 'rows_missing', details };
  }
  if (!slots.values.hasRoom(tags)) return { kind: 'refuse', code: 'memory_full' };
  const patchAt = patchReader(queue, tags);
  const merge = merger(mergeTags);
  for (let place = 0; place < ids.length; place += 1) {
    const id = ids[place];
    try {
      const patch = patchAt(place);
      if (patch === undefined) continue;
      const slot = slotOf(slots, id);
      const before = slot < 0 ? NO_TAGS : tagsOf(pageOf(slots, slot)!, offsetOf(slots, slot));
      const key = before[KEY_TAG];
      const keyWanted = patch.tags[KEY_TAG];
      if (key !== undefined && keyWanted !== undefined && key !== keyWanted) {
        return { kind: 'refuse', code: 'key_collision', details: { id, key, asked: keyWanted } };
      }
      merge(before, patch.tags);
    } catch (error) {
      if (!(error instanceof TagError)) throw error;
      return { kind: 'refuse', code: 'tags_invalid', details: { id, at: error.pointer, reason: error.problem } };
    }
  }
  return undefined;
}

/** Rows that are not there are passed over; says how many were. */
export function applyTags(queue: PartitionQueue, { ids, tags }: TagChange): number {
  const { slots } = queue;
  const patchAt = patchReader(queue, tags);
  const merge = merger(patchTags);
  return eachPageOfIds(slots, ids, (page, offsets, places) => {
    const names = new Set<string>();
    let patchBefore: Patch | undefined;
    for (let i = 0; i < offsets.length; i += 1) {
      const patch = patchAt(places[i]);
      if (patch === undefined) continue;
      const before = tagsOf(page, offsets[i]);
      const after = merge(before, patch.tags);
      if (after !== before) setTags(slots, page, offsets[i], after);
      for (const { number, value } of patch.numbers) setNumber(slots, page, number, offsets[i], value);
      if (patch !== patchBefore && page.filters.size > 0) for (const name of patch.names) names.add(name);
      patchBefore = patch;
    }
    if (names.size > 0) filterAgain(queue, page, offsets, names);
  });
}

/** The patch of a place; undefined when there is none. Rows that are tagged alike have the same one. */
function patchReader(queue: PartitionQueue, texts: readonly string[]): (place: number) => Patch | undefined {
  let textBefore = '';
  let patchBefore: Patch | undefined;
  return (place) => {
    const text = texts.length === 1 ? texts[0] : texts[place];
    if (text === textBefore) return patchBefore;
    patchBefore = text === '' ? undefined : readPatch(queue, text);
    textBefore = text;
    return patchBefore;
  };
}

/** Throws TagError. */
function readPatch(queue: PartitionQueue, text: string): Patch {
  if (Buffer.byteLength(text) > PATCH_BYTES_MAX) throw new TagError('', `more than ${PATCH_BYTES_MAX} bytes of JSON`);
  const json = parseJson(text);
  if (!isObject(json)) throw new TagError('', 'tags are a JSON object');
  const names = Object.keys(json);
  const numbers: { number: number; value: number }[] = [];
  for (const name of names) {
    checkName(name, json[name]);
    const number = numberIndex(queue, name);
    if (number >= 0) numbers.push({ number, value: readNumber(name, json[name]) });
  }
  if (numbers.length === 0) return { names, tags: json, numbers };
  const tags = Object.fromEntries(Object.entries(json).filter(([name]) => numberIndex(queue, name) < 0));
  return { names, tags, numbers };
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new TagError('', 'the text is not JSON');
  }
}

function checkName(name: string, value: Json): void {
  if (!namePattern.test(name)) throw new TagError(`/${pointerOf(name)}`, `names of tags are like ${TAG_NAME_PATTERN}`);
  if (!name.startsWith(RESERVED_PREFIX)) return;
  if (name !== KEY_TAG) throw new TagError(`/${name}`, `names that begin with ${RESERVED_PREFIX} are reserved`);
  if (typeof value !== 'string') throw new TagError(`/${name}`, 'the key of a row is a string, and stays');
}

function readNumber(name: string, value: Json): number {
  if (value === null) return NaN;
  if (typeof value === 'number' && Number.isFinite(value)) return value === 0 ? 0 : value;
  throw new TagError(`/${name}`, 'a declared number is a finite number or null');
}

function pointerOf(name: string): string {
  return name.slice(0, 128).replaceAll('~', '~0').replaceAll('/', '~1');
}

type Merge = (tags: Tags, patch: JsonObject) => Tags;

/** Merges as `merge` does, but once for rows, one after the other, that had the same tags and get the same patch. */
function merger(merge: Merge): Merge {
  let last: { tags: Tags; patch: JsonObject; merged: Tags } | undefined;
  return (tags, patch) => {
    if (last?.tags === tags && last.patch === patch) return last.merged;
    const merged = merge(tags, patch);
    last = { tags, patch, merged };
    return merged;
  };
}
