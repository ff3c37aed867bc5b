/**
 * Real files: a descriptor, explicit offsets, and the system's word when it takes fewer bytes than it was given.
 *
 * The callback API is used since it costs a third of the promise one on the path of every put.
 */
import { close, constants, fdatasync, fstat, ftruncate, open, read, write } from 'node:fs';
import { FsError, type File } from './env.ts';

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

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  pread(into: Uint8Array, position: number): Promise<number> {
    return call(this.path, 'read', (done) => {
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
    return call(this.path, 'write', (done) => {
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
    return call(this.path, 'datasync', (done) => fdatasync(this.#fd, done));
  }

  truncate(size: number): Promise<void> {
    return call(this.path, 'truncate', (done) => ftruncate(this.#fd, size, done));
  }

  size(): Promise<number> {
    return call(this.path, 'stat', (done: Done<number>) => fstat(this.#fd, (error, stat) => done(error, stat?.size)));
  }

  close(): Promise<void> {
    return call(this.path, 'close', (done) => close(this.#fd, done));
  }
}

export async function openRealFile(path: string, create: boolean): Promise<File> {
  const flags = constants.O_RDWR | (create ? constants.O_CREAT : 0);
  const fd = await call<number>(path, 'open', (done) => open(path, flags, 0o600, done));
  return new RealFile(path, fd);
}
