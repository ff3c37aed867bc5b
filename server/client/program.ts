/**
 * The commands that ask a running server, as the command line has them. What they do is loaded when one of them is
 * asked for, so that a server starts without it.
 *
 *   tq top [PARTITION ...]            tq rows PARTITION [ID ...]       tq leases PARTITION
 *   tq dead-letters PARTITION [TASK]  tq why-held PARTITION ROW
 */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { realAsk } from '../env/ask.ts';
import type { Env } from '../env/env.ts';
import { openTerminal } from '../env/terminal.ts';
import { endWithReader, wholeNumber } from '../inspect/program.ts';
import type { Console } from './console.ts';

const DEFAULT_URL = 'http://127.0.0.1:7654';
const INTERVAL_S_MIN = 0.1;
const INTERVAL_S_MAX = 3_600;
const ROWS_SHOWN = 100;

const EXIT_CODES = 'exit codes: 0 done, 1 the server refused or did not answer, 64 not used as meant';

interface PlaceFlags {
  readonly url: string;
  readonly token?: string;
  readonly json?: true;
}

export function addClientCommands(program: Command, env: Env): void {
  addTop(program, env);
  addRows(program);
  addDeadLetters(program);
  command(program, 'leases', 'show who holds which rows of a partition, and for how long')
    .argument('<partition>', 'its name')
    .action(async (partition: string, flags: PlaceFlags) => {
      const { leases } = await import('./leases.ts');
      await run(flags, (console) => leases(console, { partition }));
    });
  command(program, 'why-held', 'say why the bytes of a row are still there')
    .argument('<partition>', 'its name')
    .argument('<row>', 'id of the row', wholeNumber)
    .action(async (partition: string, id: number, flags: PlaceFlags) => {
      const { whyHeld } = await import('./why_held.ts');
      await run(flags, (console) => whyHeld(console, { partition, id }));
    });
}

interface TopFlags extends PlaceFlags {
  /** Seconds. */
  readonly interval: number;
  readonly once?: true;
}

function addTop(program: Command, env: Env): void {
  command(program, 'top', 'watch partitions: how far fields and tasks are, lag, leases, waiters, bytes, rates')
    .argument('[partitions...]', 'names of those to watch; all without any')
    .option('--interval <seconds>', 'how often to look', seconds, 1)
    .option('--once', 'look for one interval, print that and end; so does a top that writes to no terminal')
    .action(async (partitions: string[], flags: TopFlags) => {
      const { top } = await import('./live.ts');
      const { stdin, stdout } = process;
      const once = flags.once === true || (!stdout.isTTY && flags.json !== true);
      const terminal = openTerminal(stdin, stdout, { takesScreen: !once && flags.json !== true });
      const asked = { partitions, intervalMs: flags.interval * 1_000, once };
      await run(flags, (console) => top({ ...console, terminal, clock: env.clock }, asked), terminal.ended);
    });
}

interface RowsFlags extends PlaceFlags {
  readonly where?: string;
  readonly ready?: string;
  readonly fields?: readonly string[];
  readonly limit: number;
}

function addRows(program: Command): void {
  const listing = command(program, 'rows', 'list rows with their tags and numbers, in the order of their arrival')
    .argument('<partition>', 'its name')
    .argument(
      '[ids...]',
      'ids of rows; all without any',
      (text, before: number[]) => [...before, wholeNumber(text)],
      [],
    )
    .option('--where <filter>', `only these, such as 'status == "finished" and reward > 0.5'`)
    .option('--ready <task>', 'only rows that the task could claim now; needs --fields')
    .option('--fields <names>', 'fields that ready rows have, with commas between them', (text) => text.split(','))
    .option('--limit <count>', 'at most so many rows', wholeNumber, ROWS_SHOWN);
  listing.action(async (partition: string, ids: number[], flags: RowsFlags) => {
    const { where, ready: task, fields, limit } = flags;
    if ((task === undefined) !== (fields === undefined)) listing.error('error: --ready and --fields go together');
    const ready = task === undefined || fields === undefined ? undefined : { task, fields };
    const { rows } = await import('./rows.ts');
    await run(flags, (console) => rows(console, { partition, ids, where, ready, limit }));
  });
}

interface DeadLettersFlags extends PlaceFlags {
  readonly limit: number;
  readonly requeue?: true;
}

function addDeadLetters(program: Command): void {
  command(program, 'dead-letters', 'list rows that came back to a task too often')
    .argument('<partition>', 'its name')
    .argument('[task]', 'name of the task; all without it')
    .option('--limit <count>', 'at most so many of each task', wholeNumber, ROWS_SHOWN)
    .option('--requeue', 'make all of them claimable again, from their first attempt')
    .action(async (partition: string, task: string | undefined, flags: DeadLettersFlags) => {
      const { deadLetters, requeue } = await import('./dead_letters.ts');
      const asked = { partition, task, limit: flags.limit };
      await run(flags, (console) => (flags.requeue ? requeue(console, asked) : deadLetters(console, asked)));
    });
}

function command(program: Command, name: string, summary: string): Command {
  return program
    .command(name)
    .summary(summary)
    .description(`${summary}\n\n${EXIT_CODES}`)
    .addOption(new Option('--url <url>', 'server to ask').env('TQ_URL').default(DEFAULT_URL).argParser(httpUrl))
    .addOption(new Option('--token <token>', 'bearer token, which is better left to the environment').env('TQ_TOKEN'))
    .option('--json', 'print JSON: an object, or one a line for lists and for a top that goes on');
}

async function run(
  { url, token = '', json }: PlaceFlags,
  action: (console: Console) => Promise<void>,
  ended?: AbortSignal,
): Promise<void> {
  process.stdout.on('error', endWithReader);
  const [{ asking, printableOutput }, { Server }] = await Promise.all([import('./console.ts'), import('./server.ts')]);
  const server = new Server(realAsk, { url, token }, ended);
  const [out, err] = [process.stdout, process.stderr].map(printableOutput);
  const console = { server, out, err, json: json === true };
  process.exitCode = await asking(console, () => action(console));
}

function httpUrl(text: string): string {
  if (text === '') return DEFAULT_URL;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new InvalidArgumentError(`It is not like ${DEFAULT_URL}.`);
  return text.replace(/\/+$/, '');
}

function seconds(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (value >= INTERVAL_S_MIN && value <= INTERVAL_S_MAX) return value;
  throw new InvalidArgumentError(`It is not a number from ${INTERVAL_S_MIN} to ${INTERVAL_S_MAX}.`);
}
