/** Overview, segments and rows as tables. */
import { segmentName } from '../segment/files.ts';
import type { LevelFile } from './manifest.ts';
import type { Overview, PartitionSummary, TaskSummary } from './overview.ts';
import { jsonOf, pairsOf, tableOf, widthOf, type Column, type Output } from './print.ts';
import { partitionText, verdictText } from './print_journal.ts';
import type { RowEvent } from './row_history.ts';
import type { PutOfRow, RowNow } from './row_now.ts';
import type { SegmentSummary } from './segment_list.ts';
import type { Names } from './names.ts';
import { placeText } from './event_text.ts';
import { claimText, countText, namesText, plural, sizeText, timeText } from './words.ts';

export function printOverview(overview: Overview, output: Output): void {
  const { files, journal, liveBytes } = overview;
  const width = widthOf(output);
  const counted = ({ count, bytes }: { count: number; bytes: number }): string =>
    `${plural(count, 'file')}, ${sizeText(bytes)}`;
  const live =
    files.segment.bytes === 0 ? '' : `, ${sizeText(liveBytes)} live (${percent(liveBytes, files.segment.bytes)})`;
  output.write(
    pairsOf([
      ['directory', overview.directory],
      ['format', String(overview.format)],
      ['runs', countText(overview.epoch)],
      ['last LSN', countText(overview.lsn)],
      ['durable up to', countText(overview.watermark)],
      ['checkpoint', overview.checkpointLsn === 0 ? 'none' : countText(overview.checkpointLsn)],
      ['journal', counted(files.journal)],
      ['tree', counted(files.tree)],
      ['segments', `${counted(files.segment)}${live}`],
      [
        'other',
        counted({ count: files.reserve.count + files.strange.count, bytes: files.reserve.bytes + files.strange.bytes }),
      ],
    ]),
  );
  output.write(`\n${tableOf(journalColumns, journal.files, width)}${verdictText(journal.verdict)}`);
  if (overview.partitions.length > 0) output.write(`\n${tableOf(partitionColumns, overview.partitions, width)}`);
  const tasks = overview.partitions.flatMap((partition) => partition.tasks.map((task) => ({ partition, task })));
  if (tasks.length > 0) output.write(`\n${tableOf(taskColumns, tasks, width)}`);
  for (const { message, details } of overview.refusals) {
    output.write(`\na start would be refused: ${message} ${details === undefined ? '' : jsonOf(details)}\n`);
  }
}

const journalColumns: Column<Overview['journal']['files'][number]>[] = [
  { head: 'journal file', text: ({ name }) => name },
  { head: 'bytes', align: 'right', text: ({ size }) => sizeText(size) },
  { head: 'events', align: 'right', text: ({ records }) => countText(records) },
  { head: 'first LSN', align: 'right', text: ({ lsnFirst }) => (lsnFirst === 0 ? '' : countText(lsnFirst)) },
  { head: 'last LSN', align: 'right', text: ({ lsnLast }) => (lsnLast === 0 ? '' : countText(lsnLast)) },
];

const partitionColumns: Column<PartitionSummary>[] = [
  { head: 'partition', text: ({ name }) => name },
  { head: 'number', align: 'right', text: ({ number }) => String(number) },
  { head: 'ack', text: ({ ack }) => ack },
  { head: 'rows', align: 'right', text: ({ rows }) => countText(rows) },
  { head: 'puts', align: 'right', text: ({ extents }) => countText(extents) },
  { head: 'bytes', align: 'right', text: ({ bytes }) => sizeText(bytes) },
  { head: 'sealed', text: ({ sealed }) => (sealed ? 'yes' : '') },
  { head: 'fields', isWide: true, text: ({ fields }) => namesText(fields) },
];

const taskColumns: Column<{ readonly partition: PartitionSummary; readonly task: TaskSummary }>[] = [
  { head: 'partition', text: ({ partition }) => partition.name },
  { head: 'task', text: ({ task }) => task.task },
  { head: 'ready', align: 'right', text: ({ task }) => countText(task.ready) },
  { head: 'leased', align: 'right', text: ({ task }) => countText(task.leased) },
  { head: 'consumed', align: 'right', text: ({ task }) => countText(task.consumed) },
  { head: 'incomplete', align: 'right', text: ({ task }) => countText(task.incomplete) },
  { head: 'dead', align: 'right', text: ({ task }) => countText(task.dead) },
  { head: 'skipped', align: 'right', text: ({ task }) => countText(task.skipped) },
  { head: 'claims', align: 'right', text: ({ task }) => countText(task.claims) },
];

export function printSegments(segments: readonly SegmentSummary[], output: Output): void {
  const columns: Column<SegmentSummary>[] = [
    { head: 'segment', text: ({ segment }) => segmentName(segment) },
    { head: 'bytes', align: 'right', text: ({ size }) => (size === null ? 'missing' : sizeText(size)) },
    { head: 'puts', align: 'right', text: ({ extents }) => countText(extents) },
    { head: 'live', align: 'right', text: ({ liveBytes }) => sizeText(liveBytes) },
    { head: '%', align: 'right', text: ({ liveBytes, size }) => percent(liveBytes, size ?? 0) },
    { head: 'ack', text: ({ levels }) => levels.join(', ') },
    { head: 'partitions', isWide: true, text: ({ partitions }) => namesText(partitions) },
  ];
  output.write(tableOf(columns, segments, widthOf(output)));
  const size = segments.reduce((sum, one) => sum + (one.size ?? 0), 0);
  const live = segments.reduce((sum, one) => sum + one.liveBytes, 0);
  output.write(
    `\n${plural(segments.length, 'segment')}, ${sizeText(size)}, ${sizeText(live)} live (${percent(live, size)})\n`,
  );
}

export function printLevels(files: readonly LevelFile[], output: Output): void {
  const columns: Column<LevelFile>[] = [
    { head: 'level', align: 'right', text: ({ level }) => String(level) },
    { head: 'run', align: 'right', text: ({ level, run }) => (level === 0 ? String(run) : '') },
    { head: 'file', text: ({ file }) => file },
    { head: 'bytes', align: 'right', text: ({ size }) => sizeText(size) },
    { head: 'entries', align: 'right', text: ({ entries }) => countText(entries) },
    { head: 'LSNs', align: 'right', text: ({ lsnMin, lsnMax }) => `${lsnMin}-${lsnMax}` },
    { head: 'keys', isWide: true, text: ({ first, last }) => `${first} to ${last}` },
  ];
  if (files.length > 0) output.write(`${tableOf(columns, files, widthOf(output))}\n`);
  const size = files.reduce((sum, one) => sum + one.size, 0);
  const entries = files.reduce((sum, one) => sum + one.entries, 0);
  output.write(`${plural(files.length, 'file')}, ${sizeText(size)}, ${plural(entries, 'entry', 'entries')}\n`);
}

export function printRowEvents(events: readonly RowEvent[], { names, output }: { names: Names; output: Output }): void {
  const columns: Column<RowEvent>[] = [
    { head: 'lsn', align: 'right', text: ({ header }) => String(header.lsn) },
    { head: 'time', text: ({ header }) => timeText(header.timestamp) },
    { head: 'event', text: ({ event }) => event.type },
    { head: 'ack', text: ({ header }) => header.level },
    { head: 'what', isWide: true, text: ({ what }) => what },
  ];
  const partitions = new Set(events.map(({ event }) => partitionText(event, names)));
  if (events.length > 0) output.write(`${tableOf(columns, events, widthOf(output))}\n`);
  output.write(`${plural(events.length, 'event')}${partitions.size > 1 ? ', of partitions of the same name' : ''}\n`);
}

export function printRowNow(row: RowNow, output: Output): void {
  const putColumns: Column<PutOfRow>[] = [
    { head: 'put', align: 'right', text: ({ put, extent }) => (put === extent ? String(put) : `${put} (${extent})`) },
    { head: 'shows', text: ({ shows }) => namesText(shows) },
    { head: 'hidden', text: ({ hides }) => namesText(hides) },
    { head: 'row', align: 'right', text: ({ batch, ordinal }) => `${batch}:${ordinal}` },
    { head: 'segment', align: 'right', text: ({ segment, offset }) => placeText(segment, offset) },
    { head: 'length', align: 'right', text: ({ length }) => countText(length) },
    { head: 'ack', text: ({ level }) => level },
    { head: 'bytes', isWide: true, text: ({ bytes }) => bytes },
  ];
  output.write(`\n${tableOf(putColumns, row.puts, widthOf(output))}`);
  if (row.tags !== '{}') output.write(`\ntags ${row.tags}\n`);
  const taskColumns: Column<RowNow['tasks'][number]>[] = [
    { head: 'task', text: ({ task }) => task },
    { head: 'state', text: ({ state }) => state },
    { head: 'claim', text: ({ claim }) => (claim === undefined ? '' : claimText(claim)) },
    { head: 'came back', align: 'right', text: ({ returns }) => countText(returns) },
  ];
  if (row.tasks.length > 0) output.write(`\n${tableOf(taskColumns, row.tasks, widthOf(output))}`);
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '' : `${Math.floor((100 * part) / whole)} %`;
}
