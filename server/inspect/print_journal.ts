/** Events of the journal, as a table page by page, or as JSON lines. */
import type { JournalEvent } from '../journal/events.ts';
import type { Verdict } from '../journal/recover.ts';
import { eventJson } from './event_json.ts';
import { eventText } from './event_text.ts';
import type { JournalListing, ListedEvent } from './journal_list.ts';
import type { Names } from './names.ts';
import { jsonOf, tableOf, widthOf, type Column, type Output } from './print.ts';
import { plural, timeText } from './words.ts';

/** Rows whose widths are made equal; a table of all events need not fit in memory. */
const PAGE_ROWS = 500;

export function partitionText(event: JournalEvent, names: Names): string {
  return 'partition' in event ? names.partition(event.partition) : '';
}

export async function printEventsAsJson(
  events: AsyncIterable<ListedEvent>,
  { names, output }: { names: Names; output: Output },
): Promise<void> {
  for await (const { event, header, file, offset } of events) {
    const { lsn, timestamp, level, epoch, watermark } = header;
    const partition = 'partition' in event ? { partition: names.partition(event.partition) } : {};
    const place = { file, offset, ack: level, epoch, watermark };
    const time = timeText(timestamp);
    output.write(`${jsonOf({ lsn, time, type: event.type, ...partition, ...place, ...eventJson(event, names) })}\n`);
  }
}

export async function printEvents(
  events: AsyncIterable<ListedEvent>,
  { names, output, listing }: { names: Names; output: Output; listing: JournalListing },
): Promise<void> {
  const columns: Column<ListedEvent>[] = [
    { head: 'lsn', align: 'right', text: ({ header }) => String(header.lsn) },
    { head: 'time', text: ({ header }) => timeText(header.timestamp) },
    { head: 'event', text: ({ event }) => event.type },
    { head: 'ack', text: ({ header }) => header.level },
    { head: 'partition', text: ({ event }) => partitionText(event, names) },
    { head: 'what', isWide: true, text: ({ event }) => eventText(event, names) },
  ];
  let count = 0;
  let page: ListedEvent[] = [];
  const flush = (): void => {
    if (page.length > 0) output.write(tableOf(columns, page, widthOf(output)));
    page = [];
  };
  for await (const event of events) {
    count++;
    page.push(event);
    if (page.length === PAGE_ROWS) flush();
  }
  flush();
  output.write(`${count === 0 ? '' : '\n'}${plural(count, 'event')}\n`);
  if (listing.verdict !== undefined) output.write(verdictText(listing.verdict));
}

/** What a start would do about the end of the journal; nothing when it is sound. */
export function verdictText(verdict: Verdict): string {
  if (verdict.outcome === 'sound') return '';
  if (verdict.outcome === 'refuse') {
    return `the journal cannot be read on: ${verdict.message} ${jsonOf(verdict.details)}; a start would be refused\n`;
  }
  const { file, offset, size, reason } = verdict.cut;
  return `a start would cut ${file} at ${offset}: ${plural(size, 'byte')} of ${reason}\n`;
}
