/**
 * Every event in the journal that touched one row. What a checkpoint made superfluous is there only while its file is.
 *
 *   insert, rewrite, move of an extent that has the row          claim of the row, its ack, release or expiry
 *   delete of the row, drop of its partition                     a start that left one of its puts out
 */
import type { InsertEvent, JournalEvent, RewriteEvent } from '../journal/events.ts';
import { JournalScan, oldestStart, type JournalSource } from '../journal/scan.ts';
import type { ListedEvent } from './journal_list.ts';
import type { Names } from './names.ts';
import { claimText, countText, idsText, namesText } from './words.ts';
import { placeText } from './event_text.ts';

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
    for (const record of file.records()) {
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
        return event.ids.includes(this.#id) ? 'the row is deleted' : null;
      case 'claim': {
        const place = event.ids.indexOf(this.#id);
        if (place === -1) return null;
        this.#claims.set(event.claim, event.task);
        const fields = namesText(this.#names.fields(event.partition, event.fields));
        const lease = event.autoAck ? 'acked at once' : `lease ${countText(event.leaseMs)} ms`;
        const whose = `claim ${claimText(event.claim)} of task ${event.task}`;
        return `${whose}: fields ${fields}, attempt ${event.attempts[place]}, ${lease}`;
      }
      case 'ack':
        return this.#end(event.claim, 'acked');
      case 'release':
        return this.#end(event.claim, event.reason === 'expired' ? 'expired' : 'given back');
      case 'descriptor': {
        const voided = [...event.voided].filter((key) => this.#extents.has(key));
        return voided.length === 0 ? null : `a start leaves out put ${idsText(voided)}: a crash took its bytes`;
      }
      case 'drop':
        return this.#extents.size > 0 ? 'the partition is dropped' : null;
      case 'declare':
      case 'seal':
      case 'checkpoint':
        return null;
    }
  }

  #insert({ partition, batches, extent, ackClaim }: InsertEvent, lsn: number): string | null {
    const acked = this.#end(ackClaim, 'acked');
    const cells = this.#cells(partition, batches, lsn);
    if (cells === null) return acked;
    const { segment, offset, length } = extent;
    const place = `${countText(length)} bytes at ${placeText(segment, offset)}`;
    return `put of ${cells}, ${place}${acked === null ? '' : `; ${acked}`}`;
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
