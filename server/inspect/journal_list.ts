/** The events of the journal that somebody asked for, read from the files that are there. */
import type { JournalEvent } from '../journal/events.ts';
import type { RecordHeader } from '../journal/format.ts';
import { judge, type Verdict } from '../journal/recover.ts';
import { JournalScan, oldestStart, type JournalSource } from '../journal/scan.ts';
import type { Names } from './names.ts';

export interface JournalFilter {
  readonly from?: number;
  readonly to?: number;
  readonly type?: JournalEvent['type'];
  /** A name, or `#` and a number. */
  readonly partition?: string;
  readonly limit?: number;
}

export interface ListedEvent {
  readonly event: JournalEvent;
  readonly header: RecordHeader;
  readonly file: string;
  readonly offset: number;
}

export interface ListOptions {
  readonly filter: JournalFilter;
  readonly names: Names;
  readonly listing: JournalListing;
  /** Of the run that made the checkpoint, whose descriptor may be gone. */
  readonly bootId?: string;
}

/** What a listing learned by the way. */
export interface JournalListing {
  /** Why it ended where it did; undefined while the end was not reached. */
  verdict?: Verdict;
}

/** Also what a checkpoint has made superfluous, as long as its file is there. */
export async function* listEvents(
  source: Omit<JournalSource, 'from'>,
  { filter, names, listing, bootId }: ListOptions,
): AsyncGenerator<ListedEvent, void> {
  const { from = 0, to = Infinity, limit = Infinity } = filter;
  const scan = new JournalScan({ ...source, from: { ...(await oldestStart(source)), bootId } });
  let count = 0;
  for await (const file of scan.files()) {
    for await (const { event, header, offset } of file.records()) {
      if (event.type === 'declare') names.learn(event);
      else if (event.type === 'adopt') names.adopt(event);
      if (header.lsn < from) continue;
      if (header.lsn > to || count >= limit) return;
      if (!isWanted(event, filter, names)) continue;
      count++;
      yield { event, header, file: file.name, offset };
    }
  }
  listing.verdict = judge(scan, source.env.fs.bootId());
}

function isWanted(event: JournalEvent, { type, partition }: JournalFilter, names: Names): boolean {
  if (type !== undefined && event.type !== type) return false;
  if (partition === undefined) return true;
  return 'partition' in event && names.numbersOf(partition).includes(event.partition);
}
