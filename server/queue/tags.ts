/**
 * Patches of tags: whether rows may have them, and what becomes of the rows.
 *
 *   draftTags    what the patches make of the tags, found out before, in steps
 *   decideTags   all rows can have their patches, or the refusal says which can not, and why
 *   applyTags    merges; declared numbers go to their columns; what a filter says of the rows is found anew
 *
 * Invariants: a key, once a row has it, stays; what was decided is applied without being checked again, since a row may
 * have other tags in a replay that leaves out puts whose bytes a crash took.
 */
import { KEY_TAG } from '@transfer-queue/core/protocol';
import { TagError } from '../sampler/merge_tags.ts';
import type { Refusal } from './events.ts';
import { filterAgain } from './filters.ts';
import { setNumber, setTags, tagsOf } from './page_values.ts';
import type { Patch } from './patches.ts';
import { eachPageOfIds, slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';
import { draftsOf, tagsOfId, type TagChange } from './tag_drafts.ts';

/** Ids that a refusal names. */
const IDS_NAMED_MAX = 16;

/** Whether the rows may be tagged so. Rows that a put is about to bring need not be there. */
export function decideTags(
  queue: PartitionQueue,
  change: TagChange,
  { withPut }: { readonly withPut: boolean },
): Refusal | undefined {
  const { slots } = queue;
  const { ids, tags, from = 0 } = change;
  const missing = withPut ? [] : ids.filter((id) => slotOf(slots, id) < 0);
  if (missing.length > 0) {
    const details = { missing: [...missing.slice(0, IDS_NAMED_MAX)], missing_count: missing.length };
    return { kind: 'refuse', code: 'rows_missing', details };
  }
  if (!slots.values.hasRoom(tags)) return { kind: 'refuse', code: 'memory_full' };
  const drafts = draftsOf(queue, change);
  for (let place = 0; place < ids.length; place += 1) {
    const id = ids[place];
    try {
      const patch = drafts.patchAt(from + place);
      if (patch === undefined) continue;
      const before = tagsOfId(queue, id);
      const key = before[KEY_TAG];
      const keyWanted = patch.tags[KEY_TAG];
      if (key !== undefined && keyWanted !== undefined && key !== keyWanted) {
        return { kind: 'refuse', code: 'key_collision', details: { id, key, asked: keyWanted } };
      }
      drafts.merged(from + place, before);
    } catch (error) {
      if (!(error instanceof TagError)) throw error;
      return { kind: 'refuse', code: 'tags_invalid', details: { id, at: error.pointer, reason: error.problem } };
    }
  }
  return undefined;
}

/** Rows that are not there are passed over; says how many were. */
export function applyTags(queue: PartitionQueue, change: TagChange): number {
  const { slots } = queue;
  const { ids, from = 0 } = change;
  const drafts = draftsOf(queue, change);
  return eachPageOfIds(slots, ids, (page, offsets, places) => {
    const names = new Set<string>();
    let patchBefore: Patch | undefined;
    for (let i = 0; i < offsets.length; i += 1) {
      const place = from + places[i];
      const patch = drafts.patchAt(place);
      if (patch === undefined) continue;
      const before = tagsOf(page, offsets[i]);
      const after = drafts.applied(place, before);
      if (after !== before) setTags(slots, page, offsets[i], after, drafts.growth(place, before, after));
      for (const { number, value } of patch.numbers) setNumber(slots, page, number, offsets[i], value);
      if (patch === patchBefore || page.filters.size === 0) continue;
      for (const name of Object.keys(patch.tags)) names.add(name);
      for (const { name } of patch.numbers) names.add(name);
      patchBefore = patch;
    }
    if (names.size > 0) filterAgain(queue, page, offsets, names);
  });
}
