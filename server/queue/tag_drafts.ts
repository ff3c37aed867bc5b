/**
 * What patches make of the tags of rows, found out before it is decided: in steps, since a decision is one turn of the
 * event loop, and to read the patches of many rows takes too long for one.
 *
 *   text --read--> patch          tags that the row has + patch --merge--> tags that it will have
 *
 * The decision takes what is here where a row still has the tags that were merged into, and merges anew elsewhere; the
 * apply takes it from the decision. A replay does without: it reads and merges the same texts.
 *
 * Invariants: drafts are no state; tags are frozen, so that a merge into the same object comes to the same.
 */
import type { Steps } from '../env/slice.ts';
import { mergeTags, NO_TAGS, patchTags, TagError, type Tags } from '../sampler/merge_tags.ts';
import { growthOf, tagsOf } from './page_values.ts';
import { PatchReader, type Patch } from './patches.ts';
import { offsetOf, pageOf, slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';

export interface TagChange {
  readonly ids: Float64Array;
  /** JSON texts of patches: one for all rows, or one for each, of which an empty one says nothing. */
  readonly tags: readonly string[];
  /** Which of the texts is the one of the first row. Default: the first. */
  readonly from?: number;
  /** Of these texts; without effect on what comes of them. */
  readonly drafts?: TagDrafts;
}

/** What a step reads, in letters; a row counts as some more. Takes less than a millisecond. */
const STEP_LETTERS = 16_384;
const ROW_LETTERS = 64;

export class TagDrafts {
  readonly #queue: PartitionQueue;
  readonly #texts: readonly string[];
  readonly #numberCount: number;
  readonly #reader: PatchReader;
  /** By place of the text. */
  readonly #patches: (Patch | undefined)[];
  /** By place of the row: its tags, what its patch makes of them, and how much heavier that is. */
  readonly #before: Tags[];
  readonly #after: Tags[];
  readonly #growth: Float64Array;

  constructor(queue: PartitionQueue, texts: readonly string[], rows: number) {
    this.#queue = queue;
    this.#texts = texts;
    this.#numberCount = numberCountOf(queue);
    this.#reader = new PatchReader(queue);
    this.#patches = new Array<Patch | undefined>(texts.length);
    this.#before = new Array<Tags>(rows);
    this.#after = new Array<Tags>(rows);
    this.#growth = new Float64Array(rows);
  }

  /** Whether they are of these texts, as the queue is declared now: numbers are only added. */
  fits(queue: PartitionQueue, texts: readonly string[]): boolean {
    return queue === this.#queue && texts === this.#texts && numberCountOf(queue) === this.#numberCount;
  }

  /** The patch of a row; undefined when there is none. Throws TagError. */
  patchAt(place: number): Patch | undefined {
    const at = this.#texts.length === 1 ? 0 : place;
    return (this.#patches[at] ??= this.#reader.read(this.#texts[at]));
  }

  /** The tags of the row once they are merged, if they may be. Throws TagError. */
  merged(place: number, tags: Tags): Tags {
    if (this.#before[place] === tags) return this.#after[place];
    const after = merge(this.patchAt(place)!, tags, mergeTags);
    this.#before[place] = tags;
    this.#after[place] = after;
    this.#growth[place] = after === tags ? 0 : growthOf(tags, after);
    return after;
  }

  /** The same, whether they may be or not: that was decided. */
  applied(place: number, tags: Tags): Tags {
    return this.#before[place] === tags ? this.#after[place] : merge(this.patchAt(place)!, tags, patchTags);
  }

  /** How much heavier the row is with them. */
  growth(place: number, tags: Tags, applied: Tags): number {
    return this.#before[place] === tags ? this.#growth[place] : growthOf(tags, applied);
  }
}

/** Those of the change, if they are still right. */
export function draftsOf(queue: PartitionQueue, { ids, tags, drafts }: TagChange): TagDrafts {
  return drafts?.fits(queue, tags) === true ? drafts : new TagDrafts(queue, tags, ids.length);
}

/** Ends early where a decision will say why; undefined without a queue, of which there may be another one by then. */
export function* draftTags(
  { ids, tags }: TagChange,
  queueNow: () => PartitionQueue | undefined,
): Steps<TagDrafts | undefined> {
  const queue = queueNow();
  if (queue === undefined) return undefined;
  const drafts = new TagDrafts(queue, tags, ids.length);
  let letters = 0;
  for (let place = 0; place < ids.length; place += 1) {
    try {
      if (drafts.patchAt(place) !== undefined) drafts.merged(place, tagsOfId(queue, ids[place]));
    } catch (error) {
      if (!(error instanceof TagError)) throw error;
      break;
    }
    letters += ROW_LETTERS + (tags.length === 1 ? 0 : tags[place].length);
    if (letters < STEP_LETTERS) continue;
    letters = 0;
    yield;
    if (queueNow() !== queue) break;
  }
  return drafts;
}

/** Of a row that is not there: none. */
export function tagsOfId({ slots }: PartitionQueue, id: number): Tags {
  const slot = slotOf(slots, id);
  return slot < 0 ? NO_TAGS : tagsOf(pageOf(slots, slot)!, offsetOf(slots, slot));
}

/** Once for rows, one after the other, that have the same tags and get the same patch. */
function merge(patch: Patch, tags: Tags, mergeWith: typeof patchTags): Tags {
  if (patch.before === tags) return patch.after!;
  const after = mergeWith(tags, patch.tags);
  patch.before = tags;
  patch.after = after;
  return after;
}

function numberCountOf({ settings }: PartitionQueue): number {
  return settings.numbers?.length ?? 0;
}
