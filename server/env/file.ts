/**
 * Real files: a descriptor, explicit offsets, and the system's word when it takes fewer bytes than it was given.
 *
 * The callback API is used since it costs a third of the promise one on the path of every put.
 *
 * Invariant: a descriptor is used only between its opening and its closing. The system gives its number to the next
 * file at once, so a call that still waited for a thread would reach into that file: closing waits for calls under way,
 * and calls after it are refused.
 */
import { close, constants, fdatasync, fstat, ftruncate, open, read, write, type Stats } from 'node:fs';
import { FsError, type File, type OpenOptions } from './env.ts';

/** One call to the system; longer ones fail beyond 2 GiB. */
const PIECE_SIZE_MAX = 1 << 30;

type Done<T> = (error: NodeJS.ErrnoException | null, value?: T) => void;

function call<T>(path: string, action: string, start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(new FsError(error.code ?? 'EUNKNOWN', path, action));
      else resolve(value as T);
    });
  });
}

class RealFile implements File {
  readonly path: string;
  readonly #fd: number;
  #closed = false;
  #underWay = 0;
  #onIdle: (() => void) | null = null;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  #call<T>(action: string, start: (done: Done<T>) => void): Promise<T> {
    if (this.#closed) return Promise.reject(new FsError('EBADF', this.path, action));
    this.#underWay++;
    return call<T>(this.path, action, (done) =>
      start((error, value) => {
        this.#underWay--;
        if (this.#underWay === 0) this.#onIdle?.();
        done(error, value);
      }),
    );
  }

  pread(into: Uint8Array, position: number): Promise<number> {
    return this.#call('read', (done: Done<number>) => {
      const step = (from: number): void => {
        const length = Math.min(into.length - from, PIECE_SIZE_MAX);
        if (length === 0) return done(null, from);
        read(this.#fd, into, from, length, position + from, (error, count) => {
          if (error) done(error);
          else if (count === 0) done(null, from);
          else step(from + count);
        });
      };
      step(0);
    });
  }

  /** A short write hides its error; writing the rest brings it out. */
  pwrite(bytes: Uint8Array, position: number): Promise<void> {
    return this.#call('write', (done: Done<void>) => {
      const step = (from: number): void => {
        if (from === bytes.length) return done(null);
        const length = Math.min(bytes.length - from, PIECE_SIZE_MAX);
        write(this.#fd, bytes, from, length, position + from, (error, count) => {
          if (error) done(error);
          else if (count === 0) done(Object.assign(new Error('nothing was written'), { code: 'EIO' }));
          else step(from + count);
        });
      };
      step(0);
    });
  }

  datasync(): Promise<void> {
    return this.#call('datasync', (done: Done<void>) => fdatasync(this.#fd, done));
  }

  truncate(size: number): Promise<void> {
    return this.#call('truncate', (done: Done<void>) => ftruncate(this.#fd, size, done));
  }

  size(): Promise<number> {
    return this.#call('stat', (done: Done<number>) => fstat(this.#fd, (error, stat) => done(error, stat?.size)));
  }

  async close(): Promise<void> {
    if (this.#closed) throw new FsError('EBADF', this.path, 'close');
    this.#closed = true;
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    await call(this.path, 'close', (done) => close(this.#fd, done));
  }
}

export async function openRealFile(path: string, options: OpenOptions = {}): Promise<File> {
  const { create = false, readOnly = false } = options;
  if (readOnly) return openToRead(path);
  const flags = constants.O_RDWR | (create ? constants.O_CREAT : 0);
  const fd = await call<number>(path, 'open', (done) => open(path, flags, 0o600, done));
  return new RealFile(path, fd);
}

/** Folders open for reading, and a pipe without a writer would wait for one: neither is a file of ours. */
async function openToRead(path: string): Promise<File> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const fd = await call<number>(path, 'open', (done) => open(path, flags, done));
  try {
    const stat = await call<Stats>(path, 'open', (done) => fstat(fd, done));
    if (stat.isFile()) return new RealFile(path, fd);
    throw new FsError(stat.isDirectory() ? 'EISDIR' : 'EINVAL', path, 'open');
  } catch (error) {
    await call(path, 'close', (done) => close(fd, done));
    throw error;
  }
}
