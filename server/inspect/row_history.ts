/**
 * Every event in the journal that touched one row. What a checkpoint made superfluous is there only while its file is.
 *
 *   insert, rewrite, move of an extent that has the row          claim of the row, its ack, release or expiry
 *   tag of the row, skip by a task, dead letter tried anew       reset of a task
 *   delete of the row, drop of its partition                     a start that left one of its puts out
 */
import type { DeleteEvent, InsertEvent, JournalEvent, RewriteEvent, TagEvent } from '../journal/events.ts';
import { JournalScan, oldestStart, type JournalSource } from '../journal/scan.ts';
import type { ListedEvent } from './journal_list.ts';
import type { Names } from './names.ts';
import { claimedHow, placeText, releaseText } from './event_text.ts';
import { claimText, clipped, countText, idsText, namesText } from './words.ts';

/** Characters of tags that are shown of one event. */
const TAGS_SHOWN_MAX = 200;

export interface RowEvent extends ListedEvent {
  /** What it did to the row. */
  readonly what: string;
}

export interface RowQuestion {
  /** Its name, or `#` and its number. */
  readonly partition: string;
  readonly id: number;
  readonly names: Names;
  /** LSNs of puts that have the row and whose events may be gone. */
  readonly puts?: readonly number[];
}

export async function* rowEvents(
  source: Omit<JournalSource, 'from'>,
  { partition, id, names, puts = [] }: RowQuestion,
): AsyncGenerator<RowEvent, void> {
  const scan = new JournalScan({ ...source, from: await oldestStart(source) });
  const watch = new RowWatch(id, names, puts);
  for await (const file of scan.files()) {
    for await (const record of file.records()) {
      const { event, header } = record;
      if (event.type === 'declare') names.learn(event);
      if ('partition' in event && !names.numbersOf(partition).includes(event.partition)) continue;
      const what = watch.touch(event, header.lsn);
      if (what !== null) yield { ...record, file: file.name, what };
    }
  }
}

/** Knows by which extents and claims later events may be about the row. */
class RowWatch {
  readonly #id: number;
  readonly #names: Names;
  readonly #extents: Set<number>;
  readonly #claims = new Map<number, string>();

  constructor(id: number, names: Names, puts: readonly number[]) {
    this.#extents = new Set(puts);
    this.#id = id;
    this.#names = names;
  }

  get #isThere(): boolean {
    return this.#extents.size > 0;
  }

  /** Null for an event that is about others. */
  touch(event: JournalEvent, lsn: number): string | null {
    switch (event.type) {
      case 'insert':
        return this.#insert(event, lsn);
      case 'rewrite':
        return this.#rewrite(event, lsn);
      case 'move':
        if (!this.#extents.has(event.extent)) return null;
        return `put ${event.extent} lies at ${placeText(event.segment, event.offset)} from now on`;
      case 'delete':
        return event.ids.includes(this.#id) ? deletedText(event) : null;
      case 'claim': {
        const place = event.ids.indexOf(this.#id);
        if (place === -1) return null;
        this.#claims.set(event.claim, event.task);
        const fields = namesText(this.#names.fields(event.partition, event.fields));
        const whose = `claim ${claimText(event.claim)} of task ${event.task}`;
        return `${whose}: fields ${fields}, attempt ${event.attempts[place]}${claimedHow(event)}`;
      }
      case 'ack':
        return this.#end(event.claim, 'acked');
      case 'release':
        return this.#end(event.claim, releaseText(event.reason));
      case 'tag':
        return this.#tag(event);
      case 'skip':
        return event.ids.includes(this.#id) ? `task ${event.task} passes the row for good` : null;
      case 'requeue':
        return event.ids.includes(this.#id) ? `task ${event.task} tries the dead letter anew` : null;
      case 'reset':
        return this.#isThere ? `task ${event.task} begins anew with all rows` : null;
      case 'descriptor': {
        const voided = [...event.voided].filter((key) => this.#extents.has(key));
        return voided.length === 0 ? null : `a start leaves out put ${idsText(voided)}: a crash took its bytes`;
      }
      case 'drop':
        return this.#isThere ? 'the partition is dropped' : null;
      case 'restore':
        return event.last && this.#isThere ? 'the partition takes on a saved state' : null;
      case 'adopt':
      case 'declare':
      case 'seal':
      case 'batch':
      case 'advance':
      case 'checkpoint':
        return null;
    }
  }

  #tag({ ids, tags }: TagEvent): string | null {
    const place = ids.indexOf(this.#id);
    return place === -1 ? null : tagsText(tags.length === 1 ? tags[0] : tags[place]);
  }

  #insert({ partition, batches, extent, ackClaim, tags }: InsertEvent, lsn: number): string | null {
    const acked = this.#end(ackClaim, 'acked');
    const cells = this.#cells(partition, batches, lsn);
    if (cells === null) return acked;
    const { segment, offset, length } = extent;
    const place = `${countText(length)} bytes at ${placeText(segment, offset)}`;
    const tagged = tags?.[batches.flatMap(({ ids }) => [...ids]).indexOf(this.#id)] ?? '';
    const more = [...(tagged === '' ? [] : [tagsText(tagged)]), ...(acked === null ? [] : [acked])];
    return [`put of ${cells}, ${place}`, ...more].join('; ');
  }

  #rewrite({ partition, fromExtent, batches, extent }: RewriteEvent, lsn: number): string | null {
    const cells = this.#cells(partition, batches, lsn);
    if (cells === null) return null;
    const { segment, offset } = extent;
    return `put ${fromExtent} is written anew as ${lsn} without dead rows: ${cells}, at ${placeText(segment, offset)}`;
  }

  #cells(partition: number, batches: RewriteEvent['batches'] | InsertEvent['batches'], lsn: number): string | null {
    const place = batches.findIndex(({ ids }) => ids.includes(this.#id));
    if (place === -1) return null;
    this.#extents.add(lsn);
    const { ids, columns } = batches[place];
    const fields = this.#names.fields(
      partition,
      columns.map(({ field }) => field),
    );
    return `fields ${namesText(fields)}, as row ${ids.indexOf(this.#id)} of ${ids.length} in batch ${place}`;
  }

  #end(claim: number, how: string): string | null {
    const task = this.#claims.get(claim);
    return task === undefined ? null : `claim ${claimText(claim)} of task ${task} is ${how}`;
  }
}

function deletedText({ reason = 'asked' }: DeleteEvent): string {
  const why = { asked: '', released: ': all declared tasks consumed it', evicted: ': evicted' };
  return `the row is deleted${why[reason]}`;
}

function tagsText(tags: string): string {
  return `tags ${clipped(tags, TAGS_SHOWN_MAX)}`;
}
