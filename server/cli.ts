/**
 * The command line: `tq serve` runs a server, `tq top` and its like ask one, `tq inspect` and `tq verify` look at a
 * directory without one.
 */
import { createRequire, flushCompileCache } from 'node:module';
import { Command, Option } from 'commander';
import { pino, type Logger } from 'pino';
import { addClientCommands } from './client/program.ts';
import {
  ConfigError,
  printableSettings,
  resolveSettings,
  settings,
  type ConfigSources,
  type Settings,
} from './config.ts';
import { realEnv } from './env/real.ts';
import { readSettingsFile } from './env/settings_file.ts';
import { addInspectCommands } from './inspect/program.ts';
import { serve, type RunningServer } from './serve.ts';

const { version } = createRequire(import.meta.url)('./package.json') as { version: string };
const EXIT_USAGE = 64;
const EXIT_FAILED = 1;

const program = new Command('tq').description('Transfer-Queue storage server').version(version);
// Before the commands are made, which take it over.
program.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT_USAGE));
const command = program
  .command('serve')
  .description('serve a data directory')
  .option('--config <file>', 'settings file (JSON)');
for (const setting of Object.values(settings)) {
  command.addOption(
    new Option(setting.flag, `${setting.about} (${setting.env}; default: ${setting.fallback || 'none'})`),
  );
}
command.action((flags: Record<string, string | boolean>) => run(flags));
const commandEnv = realEnv(pino({ level: 'silent' }));
addClientCommands(program, commandEnv);
addInspectCommands(program, commandEnv);
await program.parseAsync();

async function run({ config, ...flags }: Record<string, string | boolean>): Promise<void> {
  const chosen = settingsOrExit({ flags, env: process.env, file: settingsFileOrExit(config) });
  const log = pino(
    { level: chosen.logLevel, redact: ['token', '*.token', 'authorization', '*.authorization'] },
    pino.destination(2),
  );
  log.info(printableSettings(chosen), 'settings in force');
  try {
    const server = await serve(realEnv(log), chosen);
    // Now, so that no file but those of the data directory is written while it serves.
    flushCompileCache();
    stopOnSignals(server, log);
    process.stdout.write(`tq: ready at ${server.url}\n`);
  } catch (error) {
    process.stderr.write(`tq: ${startFailure(error, chosen)}\n`);
    process.exit(EXIT_FAILED);
  }
}

/** The first signal stops gracefully; later ones change nothing, so that an impatient supervisor loses nothing. */
function stopOnSignals(server: RunningServer, log: Logger): void {
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    server.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'the stop failed');
        process.exit(EXIT_FAILED);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

function settingsOrExit(sources: ConfigSources): Settings {
  try {
    return resolveSettings(sources);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`tq: ${error.message}\n`);
    process.exit(EXIT_USAGE);
  }
}

function settingsFileOrExit(path: string | boolean | undefined): Record<string, unknown> {
  if (typeof path !== 'string') return {};
  try {
    return readSettingsFile(path);
  } catch (error) {
    process.stderr.write(`tq: cannot read the settings file ${path}: ${(error as Error).message}\n`);
    process.exit(EXIT_USAGE);
  }
}

function startFailure(error: unknown, { data, host, port }: Settings): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ELOCKED') return `another process serves ${data}; stop it or choose another --data`;
  if (code === 'EADDRINUSE') return `${host}:${port} is taken; choose another --port, or 0 for a free one`;
  const details = (error as { details?: unknown }).details;
  return `cannot start: ${message}${details === undefined ? '' : ` ${JSON.stringify(details)}`}`;
}
