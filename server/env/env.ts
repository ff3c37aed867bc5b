/**
 * The one seam to clock, chance, disk and network. Production code gets them from an `Env` and from nowhere else, so
 * that tests can stop time, fail a sync or tear a write.
 *
 * Invariants: writes go to explicit offsets, never to a hidden position; a promise of `pwrite` resolves only when every
 * byte was taken by the system; bytes handed to `pwrite` stay untouched until it resolves.
 */
import type { Failpoint } from './failpoints.ts';
import type { Net } from './socket.ts';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with a fraction; only differences mean anything. */
  nowMs(): number;
  /** Milliseconds since 1970. Never used for leases or deadlines. */
  wallMs(): number;
  /** Runs `action` once, after at least `ms`. A pending timer does not keep the process alive. */
  after(ms: number, action: () => void): Timer;
  /** Runs `action` in a later turn of the event loop, after pending I/O. */
  soon(action: () => void): void;
}

/** Gives the event loop a turn: what is long does so between its slices. */
export function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.soon(resolve));
}

export interface Rng {
  /** Unpredictable bytes: keys and ids are made of them. */
  bytes(count: number): Uint8Array;
}

export interface File {
  readonly path: string;
  /** Reads until `into` is full or the file ends; resolves to the number of bytes read. */
  pread(into: Uint8Array, position: number): Promise<number>;
  /** Writes all of `bytes`; rejects with an `FsError` when the system takes fewer. */
  pwrite(bytes: Uint8Array, position: number): Promise<void>;
  /** Forces the file's data to the device. A failure is never retried: see `Env.crash`. */
  datasync(): Promise<void>;
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface OpenOptions {
  /** Makes the file when it is not there. */
  readonly create?: boolean;
  /** Asks for no right to write and makes nothing: the file can be read, no more. */
  readonly readOnly?: boolean;
}

export interface Fs {
  /** Opens a file for reading and writing, or for reading only. */
  open(path: string, options?: OpenOptions): Promise<File>;
  list(directory: string): Promise<string[]>;
  /** Makes a directory, and those above it, when it is not there; durable when it resolves. */
  makeDirectory(directory: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Gives a file another name in one step; a file of that name is replaced. Durable after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  /** Makes creations and removals in a directory durable. */
  syncDirectory(directory: string): Promise<void>;
  /** Bytes that may still be written below a directory. */
  freeBytes(directory: string): Promise<number>;
  /** Takes the lock of a data directory, held until `release` or the end of the process. */
  lock(directory: string): Promise<{ release(): Promise<void> }>;
  /** Differs after each boot of the machine, equal after a mere crash of the process. */
  bootId(): string;
}

export interface Log {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface Env {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly fs: Fs;
  readonly net: Net;
  readonly log: Log;
  /** Null unless a test armed the point; see failpoints.ts. */
  fail(point: Failpoint): Promise<void> | null;
  /** Logs and ends the process at once: after a failed sync or a broken invariant, recovery is the only repair. */
  crash(reason: string, cause: unknown): never;
}

/** What the operating system said about a file. `code` is its errno name, such as `ENOSPC`. */
export class FsError extends Error {
  readonly code: string;
  readonly path: string;

  constructor(code: string, path: string, action: string) {
    super(`${action} ${path}: ${code}`);
    this.name = 'FsError';
    this.code = code;
    this.path = path;
  }
}
