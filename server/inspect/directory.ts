/**
 * A data directory that somebody looks at: its lock, and which files lie in it.
 *
 * Invariants: nothing is written but the lock's socket, which goes away again; whoever looks without the lock does so
 * at his own risk, since a server may change what he reads.
 */
import { FsError, type Env } from '../env/env.ts';
import { fileNumber } from '../journal/format.ts';
import { segmentNumber } from '../segment/files.ts';
import { readingEnv } from './reading_fs.ts';

export const EXIT_SOUND = 0;
export const EXIT_PROBLEMS = 1;
/** As sysexits.h has them: the command was used wrongly, and try again later. */
export const EXIT_USAGE = 64;
export const EXIT_LOCKED = 75;

/** Nothing can be said about the directory. The message is for people, the exit code for scripts. */
export class InspectError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.name = 'InspectError';
    this.exitCode = exitCode;
  }
}

/** What the system says of a directory in which no lock can be made: on a read-only device, or of another user. */
const NOT_WRITABLE = new Set(['EACCES', 'EPERM', 'EROFS']);
const FOLDERS = ['journal', 'segments', 'tree'] as const;

/** Runs `look` while the directory is locked, or without its lock when the caller insists; it can only read. */
export async function withDirectory<T>(
  env: Env,
  { directory, takesLock }: { directory: string; takesLock: boolean },
  look: (env: Env) => Promise<T>,
): Promise<T> {
  await mustBeData(env, directory);
  const lock = takesLock ? await lockOf(env, directory) : null;
  try {
    return await look(readingEnv(env));
  } finally {
    await lock?.release();
  }
}

async function mustBeData(env: Env, directory: string): Promise<void> {
  const names = await env.fs.list(directory).catch((error: unknown) => {
    throw new InspectError(`cannot read ${directory}: ${codeOf(error)}`, EXIT_USAGE);
  });
  const journal = await env.fs.list(`${directory}/journal`).catch(() => null);
  if (journal !== null) return;
  const what = names.length === 0 ? 'is empty' : 'has no journal';
  throw new InspectError(`${directory} is not a data directory: it ${what}`, EXIT_USAGE);
}

async function lockOf(env: Env, directory: string): Promise<{ release(): Promise<void> }> {
  try {
    return await env.fs.lock(directory);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ELOCKED') {
      throw new InspectError(`another process uses ${directory}: stop it, or look at a copy`, EXIT_LOCKED);
    }
    const advice = NOT_WRITABLE.has(code) ? '; if no server runs on it, look without the lock: --no-lock' : '';
    throw new InspectError(`cannot lock ${directory}: ${code}${advice}`, EXIT_LOCKED);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof FsError) return error.code;
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

/** What a file is, by its name. `strange` files are not ours. */
export type FileKind = 'journal' | 'segment' | 'tree' | 'mark' | 'reserve' | 'lock' | 'strange';

export interface FoundFile {
  /** Relative to the data directory. */
  readonly path: string;
  readonly kind: FileKind;
  readonly size: number;
}

/** Of files that stand in no folder, by their names. */
const KINDS: Readonly<Record<string, FileKind>> = {
  reserve: 'reserve',
  'lock.sock': 'lock',
  'journal.synced': 'mark',
  'journal.durable': 'mark',
};

/** All files of a directory, by folder and name. */
export async function filesOf(env: Env, directory: string): Promise<FoundFile[]> {
  const found: FoundFile[] = [];
  const names = (await env.fs.list(directory)).filter((name) => !FOLDERS.some((folder) => folder === name));
  for (const path of names.sort()) {
    found.push({ path, kind: KINDS[path] ?? 'strange', size: await sizeOf(env, `${directory}/${path}`) });
  }
  for (const folder of FOLDERS) {
    const inside = await env.fs.list(`${directory}/${folder}`).catch(() => []);
    for (const name of inside.sort()) {
      const path = `${folder}/${name}`;
      found.push({ path, kind: kindOf(folder, name), size: await sizeOf(env, `${directory}/${path}`) });
    }
  }
  return found;
}

function kindOf(folder: (typeof FOLDERS)[number], name: string): FileKind {
  if (folder === 'tree') return 'tree';
  const isOurs = folder === 'journal' ? fileNumber(name) !== null : segmentNumber(name) !== null;
  if (!isOurs) return 'strange';
  return folder === 'journal' ? 'journal' : 'segment';
}

/** 0 for what cannot be opened, such as sockets and folders. */
async function sizeOf(env: Env, path: string): Promise<number> {
  try {
    const file = await env.fs.open(path);
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  } catch {
    return 0;
  }
}
