/**
 * The commands of an operator that look at a data directory and change nothing: `tq inspect` and `tq verify`. Each
 * resolves to the exit code of the process.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import { FsError, type Env } from '../env/env.ts';
import { eventTypes, type JournalEvent } from '../journal/events.ts';
import { oldestStart } from '../journal/scan.ts';
import { EXIT_PROBLEMS, EXIT_SOUND, EXIT_USAGE, filesOf, InspectError, withDirectory } from './directory.ts';
import { eventJson } from './event_json.ts';
import { listEvents, type JournalFilter, type JournalListing } from './journal_list.ts';
import { journalStart, listLevels, readableManifest } from './manifest.ts';
import { meterOn } from './meter.ts';
import { Names } from './names.ts';
import { overviewOf } from './overview.ts';
import { jsonOf, type Output } from './print.ts';
import { printEvents, printEventsAsJson } from './print_journal.ts';
import { printReport, reportJson } from './print_report.ts';
import { printLevels, printOverview, printRowEvents, printRowNow, printSegments } from './print_state.ts';
import { readJournalFiles, tryStart } from './reading.ts';
import { rowEvents, type RowEvent } from './row_history.ts';
import { rowNow } from './row_now.ts';
import { listSegments } from './segment_list.ts';
import type { Started } from './start.ts';
import { verifyDirectory } from './verify.ts';
import { countText, timeText } from './words.ts';

export interface Console {
  readonly env: Env;
  readonly out: Output;
  readonly err: Output;
}

export interface Options {
  readonly directory: string;
  readonly json: boolean;
  readonly takesLock: boolean;
}

export function verify(console: Console, options: Options): Promise<number> {
  const { out, err } = console;
  const { directory } = options;
  return looking(console, options, async (env) => {
    const meter = meterOn(err, env.clock);
    const report = await verifyDirectory(env, directory, meter).finally(() => meter.end());
    if (options.json) out.write(`${jsonOf(reportJson(report, directory))}\n`);
    else printReport(report, { directory, output: out });
    return report.isSound ? EXIT_SOUND : EXIT_PROBLEMS;
  });
}

export function overview(console: Console, options: Options): Promise<number> {
  const { out } = console;
  return looking(console, options, async (env) => {
    const found = await overviewOf(env, options.directory, await journalStart(env, options.directory));
    if (options.json) out.write(`${jsonOf(found)}\n`);
    else printOverview(found, out);
    return EXIT_SOUND;
  });
}

export function segments(console: Console, options: Options): Promise<number> {
  const { out } = console;
  return looking(console, options, async (env) => {
    const files = await filesOf(env, options.directory);
    const found = await withState(env, options.directory, (started) => listSegments(started, files));
    if (options.json) out.write(`${jsonOf({ segments: found })}\n`);
    else printSegments(found, out);
    return EXIT_SOUND;
  });
}

export function levels(console: Console, options: Options): Promise<number> {
  const { out } = console;
  return looking(console, options, async (env) => {
    const found = listLevels(await readableManifest(env, options.directory));
    if (options.json) out.write(`${jsonOf({ files: found })}\n`);
    else printLevels(found, out);
    return EXIT_SOUND;
  });
}

export function journal(
  console: Console,
  options: Options,
  filter: Omit<JournalFilter, 'type'> & { readonly type?: string },
): Promise<number> {
  const { out } = console;
  const { directory } = options;
  return looking(console, options, async (env) => {
    const listing: JournalListing = {};
    const source = { env, core: loadCore(), directory: `${directory}/journal` };
    const type = filter.type === undefined ? undefined : eventType(filter.type);
    const { lsn: lsnBefore } = await oldestStart(source);
    const names = new Names();
    // A directory that cannot be started from has a journal all the same.
    if (lsnBefore > 0) await withState(env, directory, (started) => learnNames(names, started)).catch(unlessRefused);
    const start = await journalStart(env, directory).catch(unlessRefused);
    const bootId = start instanceof InspectError ? undefined : start.bootId;
    const events = listEvents(source, { filter: { ...filter, type }, names, listing, bootId });
    if (options.json) await printEventsAsJson(events, { names, output: out });
    else await printEvents(events, { names, output: out, listing });
    if (!options.json && lsnBefore > 0) out.write(goneText(lsnBefore));
    return EXIT_SOUND;
  });
}

export function row(console: Console, options: Options, asked: { partition: string; id: number }): Promise<number> {
  const { out } = console;
  const { directory, json } = options;
  return looking(console, options, async (env) => {
    const source = { env, core: loadCore(), directory: `${directory}/journal` };
    const names = new Names();
    const now = await withState(env, directory, (started) => {
      learnNames(names, started);
      const partition = started.node.parts.state.store.partition(asked.partition);
      return partition === undefined ? null : rowNow(started, partition, asked.id);
    }).catch(unlessRefused);
    const events: RowEvent[] = [];
    const puts = now === null || now instanceof InspectError ? [] : now.puts.map(({ extent }) => extent);
    for await (const event of rowEvents(source, { ...asked, names, puts })) events.push(event);
    const { lsn: lsnBefore } = await oldestStart(source);
    if (json) {
      const history = { events: events.map((event) => rowEventJson(event, names)), events_gone_up_to: lsnBefore };
      const refusal = now instanceof InspectError ? now.message : undefined;
      out.write(`${jsonOf({ ...asked, ...history, now: refusal === undefined ? now : null, refusal })}\n`);
      return EXIT_SOUND;
    }
    printRowEvents(events, { names, output: out });
    if (lsnBefore > 0) out.write(goneText(lsnBefore));
    if (now instanceof InspectError) out.write(`\n${now.message}\n`);
    else if (now === null) out.write(`\nrow ${asked.id} is not there now\n`);
    else printRowNow(now, out);
    return EXIT_SOUND;
  });
}

function unlessRefused(error: unknown): InspectError {
  if (error instanceof InspectError) return error;
  throw error;
}

/** What declare events told that are gone. */
function learnNames(names: Names, { node }: Started): void {
  for (const { id, settings } of node.parts.state.store.partitions()) names.learn({ partition: id, settings });
}

function goneText(lsn: number): string {
  return `events up to LSN ${countText(lsn)} are gone: a checkpoint has what came of them\n`;
}

function rowEventJson({ event, header, file, offset, what }: RowEvent, names: Names): Record<string, unknown> {
  const { lsn, timestamp, level } = header;
  const place = { file, offset, ack: level, what };
  return { lsn, time: timeText(timestamp), type: event.type, ...place, ...eventJson(event, names) };
}

/** The command was used in a way that it does not have. */
export function misused({ err }: Console, message: string): number {
  err.write(`tq: ${message}\n`);
  return EXIT_USAGE;
}

function eventType(text: string): JournalEvent['type'] {
  if (Object.hasOwn(eventTypes, text)) return text as JournalEvent['type'];
  throw new InspectError(`no event is of type ${text}; there are ${Object.keys(eventTypes).join(', ')}`, EXIT_USAGE);
}

/** Runs `look` on the state that a start would make. */
async function withState<T>(env: Env, directory: string, look: (started: Started) => T | Promise<T>): Promise<T> {
  const reading = await readJournalFiles({ env, directory, from: await journalStart(env, directory) });
  const { started, refusals } = await tryStart(env, directory, reading);
  if (started === null) {
    const why = [...refusals, reading.verdict].map((one) => ('message' in one ? one.message : '')).find(Boolean);
    throw new InspectError(`a start would be refused: ${why}; see tq verify`, EXIT_PROBLEMS);
  }
  try {
    return await look(started);
  } finally {
    await started.close();
  }
}

/** Locks the directory, and says why nothing can be said. */
async function looking({ env, err }: Console, options: Options, look: (env: Env) => Promise<number>): Promise<number> {
  try {
    return await withDirectory(env, options, look);
  } catch (error) {
    if (error instanceof FsError) err.write(`tq: cannot ${error.message}\n`);
    else if (error instanceof InspectError) err.write(`tq: ${error.message}\n`);
    else throw error;
    return error instanceof InspectError ? error.exitCode : EXIT_PROBLEMS;
  }
}
