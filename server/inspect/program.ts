/**
 * `tq verify` and `tq inspect` as the command line has them. What they do is loaded when one of them is asked for, so
 * that a server starts without it.
 *
 *   tq verify DIR
 *   tq inspect DIR [overview | journal | segments | levels | row PARTITION ID]
 */
import { Argument, InvalidArgumentError, type Command } from 'commander';
import type { Env } from '../env/env.ts';
import type { Console } from './commands.ts';

const views = ['overview', 'journal', 'segments', 'levels', 'row'] as const;
type View = (typeof views)[number];

const NO_LOCK = 'read a copy that cannot be written, or what a server changes meanwhile, at your own risk';

interface InspectFlags {
  readonly json?: true;
  readonly lock: boolean;
  readonly from?: number;
  readonly to?: number;
  readonly type?: string;
  readonly partition?: string;
  readonly limit?: number;
}

export function addInspectCommands(program: Command, env: Env): void {
  const console: Console = { env, out: process.stdout, err: process.stderr };
  program
    .command('verify')
    .summary('check a data directory whose server is stopped')
    .description(
      'check all of a data directory whose server is stopped, and change nothing\n\n' +
        'exit codes: 0 sound, 1 problems found, 64 not used as meant, 75 in use or cannot be locked',
    )
    .argument('<dir>', 'data directory')
    .option('--json', 'print one JSON object')
    .option('--no-lock', NO_LOCK)
    .action(async (directory: string, { json, lock }: InspectFlags) => {
      process.stdout.on('error', endWithReader);
      const { verify } = await import('./commands.ts');
      process.exitCode = await verify(console, { directory, json: json === true, takesLock: lock });
    });
  program
    .command('inspect')
    .description('show what is in a data directory whose server is stopped')
    .argument('<dir>', 'data directory')
    .addArgument(new Argument('[view]', 'what to show').choices(views).default('overview'))
    .argument('[partition]', 'for a row: the name of its partition')
    .argument('[id]', 'for a row: its id', wholeNumber)
    .option('--json', 'print JSON: an object, or one a line for the journal')
    .option('--no-lock', NO_LOCK)
    .option('--from <lsn>', 'journal: the first event', wholeNumber)
    .option('--to <lsn>', 'journal: the last event', wholeNumber)
    .option('--type <type>', 'journal: events of one type, such as insert or claim')
    .option('--partition <name>', 'journal: events of one partition')
    .option('--limit <count>', 'journal: at most so many events', wholeNumber)
    .action(
      (directory: string, view: View, partition: string | undefined, id: number | undefined, flags: InspectFlags) =>
        inspect(console, directory, { view, partition, id, flags }),
    );
}

async function inspect(
  console: Console,
  directory: string,
  asked: { view: View; partition: string | undefined; id: number | undefined; flags: InspectFlags },
): Promise<void> {
  const { json, lock, ...filter } = asked.flags;
  const options = { directory, json: json === true, takesLock: lock };
  process.stdout.on('error', endWithReader);
  const commands = await import('./commands.ts');
  const { view, partition, id } = asked;
  if ((view === 'row') !== (partition !== undefined && id !== undefined)) {
    process.exitCode = commands.misused(console, 'a row is asked for as: tq inspect DIR row PARTITION ID');
  } else if (view === 'row')
    process.exitCode = await commands.row(console, options, { partition: partition!, id: id! });
  else if (view === 'journal') process.exitCode = await commands.journal(console, options, filter);
  else process.exitCode = await commands[view](console, options);
}

/** Whoever reads the output may have seen enough, as `head` does. */
export function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
}

export function wholeNumber(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError('It is not a whole number.');
}
