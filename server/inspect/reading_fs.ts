/**
 * A file system for those who only look: whatever is opened is opened for reading, so that a directory without the
 * right to write, or on a device that is read-only, can be looked at; whatever would change something is refused.
 */
import { FsError, type Env, type File, type Fs } from '../env/env.ts';

export class ReadingFs implements Fs {
  readonly #base: Fs;

  constructor(base: Fs) {
    this.#base = base;
  }

  open(path: string): Promise<File> {
    return this.#base.open(path, { readOnly: true });
  }

  list(directory: string): Promise<string[]> {
    return this.#base.list(directory);
  }

  makeDirectory(directory: string): Promise<void> {
    return refused(directory, 'make');
  }

  unlink(path: string): Promise<void> {
    return refused(path, 'unlink');
  }

  rename(from: string): Promise<void> {
    return refused(from, 'rename');
  }

  syncDirectory(directory: string): Promise<void> {
    return refused(directory, 'sync');
  }

  freeBytes(directory: string): Promise<number> {
    return this.#base.freeBytes(directory);
  }

  /** The one thing that is made: its socket goes with its holder. */
  lock(directory: string): Promise<{ release(): Promise<void> }> {
    return this.#base.lock(directory);
  }

  bootId(): string {
    return this.#base.bootId();
  }
}

/** The same environment, but for its file system. */
export function readingEnv(env: Env): Env {
  const { clock, rng, net, log } = env;
  return {
    ...{ clock, rng, net, log },
    fs: new ReadingFs(env.fs),
    fail: (point) => env.fail(point),
    crash: (reason, cause) => env.crash(reason, cause),
  };
}

function refused(path: string, action: string): Promise<never> {
  return Promise.reject(new FsError('EROFS', path, action));
}
