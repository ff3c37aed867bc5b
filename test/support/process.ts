/** Real servers for tests: started on a free port, killed by their own process id, never left behind. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
const START_MS_MAX = 30_000;

export interface ServerProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** What it wrote to its standard error so far. */
  log(): string;
  /** Sends a signal to the server itself, also when a tracer runs it. */
  signal(name: NodeJS.Signals): void;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
}

export interface StartOptions {
  readonly directory: string;
  readonly arguments?: readonly string[];
  /** A program with its arguments that runs the server, such as strace. */
  readonly wrapper?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A module that is loaded first, such as a planted bug. */
  readonly preload?: URL;
  /** Asked whenever it wrote to its standard error; kills it at once. */
  readonly killsWhen?: (log: string) => boolean;
  /** Kills it so long after its start, ready or not. */
  readonly killsAfterMs?: number;
}

/** Resolves when the server is ready; rejects with its log when it ends before. */
export function startServer(options: StartOptions): Promise<ServerProcess> {
  const command = [
    ...(options.wrapper ?? []),
    process.execPath,
    ...(options.preload === undefined ? [] : ['--import', options.preload.href]),
    MAIN,
    ...['serve', '--data', options.directory, '--port', '0', '--memory', '64MiB', '--log-level', 'warn'],
    ...(options.arguments ?? []),
  ];
  const child = spawn(command[0], command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    detached: true,
  });
  let log = '';
  child.stderr.on('data', (bytes: Buffer) => {
    log += bytes.toString();
    if (options.killsWhen?.(log)) killGroup(child, 'SIGKILL');
  });
  if (options.killsAfterMs !== undefined) setTimeout(() => killGroup(child, 'SIGKILL'), options.killsAfterMs);
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  return new Promise((resolve, reject) => {
    let out = '';
    const timer = setTimeout(() => {
      killGroup(child, 'SIGKILL');
      reject(new Error(`the server did not start in ${START_MS_MAX} ms: ${log}`));
    }, START_MS_MAX);
    child.stdout.on('data', (bytes: Buffer) => {
      out += bytes.toString();
      const ready = /^tq: ready at (\S+)$/m.exec(out);
      if (ready === null) return;
      clearTimeout(timer);
      resolve({ url: ready[1], child, exited, log: () => log, signal: (name) => killGroup(child, name) });
    });
    void exited.then(({ code, signal }) => {
      clearTimeout(timer);
      reject(new Error(`the server ended with ${code ?? signal}: ${log}`));
    });
  });
}

/** The server leads a process group of its own, with its tracer when there is one. */
function killGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export function temporaryDirectory(name: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `tq-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
