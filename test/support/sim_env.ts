/**
 * An `Env` in memory: a clock that is moved by hand, seeded chance, and a file system that knows what was synced.
 *
 * Files hold two images: `current`, what a process sees, and `durable`, what a power cut leaves. `crash` kills the
 * process only (the page cache survives); `powerCut` keeps durable bytes and lets `mutate` decide about the rest.
 */
import { FsError, type Clock, type Env, type File, type Fs, type Log, type Timer } from '../../server/env/env.ts';

export class SimClock implements Clock {
  #now = 1_000;
  #wall = 1_700_000_000_000;
  readonly #timers = new Set<{ at: number; action: () => void; order: number }>();
  #order = 0;

  nowMs(): number {
    return this.#now;
  }

  wallMs(): number {
    return this.#wall;
  }

  after(ms: number, action: () => void): Timer {
    const timer = { at: this.#now + ms, action, order: this.#order++ };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  soon(action: () => void): void {
    setImmediate(action);
  }

  /** Moves time on, running what falls due in order, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const fallen = [...this.#timers].filter((timer) => timer.at <= end);
      const due = fallen.sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#wall += due.at - this.#now;
      this.#now = Math.max(this.#now, due.at);
      due.action();
      await settle();
    }
    this.#wall += end - this.#now;
    this.#now = end;
    await settle();
  }
}

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** What a name leads to; a file that was unlinked lives on for those who have it open. */
export interface SimFile {
  current: Buffer;
  durable: Buffer;
}

export interface Fault {
  readonly action: 'read' | 'write' | 'datasync' | 'open';
  readonly path: RegExp;
  readonly code: string;
  /** How often it strikes; Infinity for ever. */
  times: number;
  /** Bytes that a failing write leaves behind. */
  readonly partial?: number;
}

/** What a power cut leaves of the changes that were not synced. */
export interface PowerCut {
  /** The bytes of a file. */
  keep(path: string, current: Buffer, durable: Buffer): Buffer;
  /** Whether a creation or removal took place whose directory was not synced; none does by default. */
  keepName?(path: string): boolean;
}

export class SimFs implements Fs {
  files = new Map<string, SimFile>();
  faults: Fault[] = [];
  boot = 'boot-1';
  free = 1e12;
  writes = 0;
  syncs = 0;
  opens = 0;
  /** Called after each change of bytes, names or what is durable: a place where a crash may come. */
  onChange: () => void = () => undefined;
  /** Waited for before a read, write or sync begins: holds back one of them while others go on. */
  gate: (action: Fault['action'], path: string) => Promise<void> = () => Promise.resolve();
  /** Opened and not closed yet, by path. */
  readonly openPaths = new Map<string, number>();
  #durableNames = new Map<string, SimFile>();
  readonly #locks = new Set<string>();

  /** A disk whose data directory has its reserve already, so that a start does not spend its time on making one. */
  static withReserve(directory: string): SimFs {
    const fs = new SimFs();
    fs.files.set(`${directory}/reserve`, { current: reserve, durable: reserve });
    fs.#durableNames.set(`${directory}/reserve`, fs.files.get(`${directory}/reserve`)!);
    return fs;
  }

  #strike(action: Fault['action'], path: string): Fault | undefined {
    const fault = this.faults.find((one) => one.action === action && one.times > 0 && one.path.test(path));
    if (fault !== undefined) fault.times--;
    return fault;
  }

  #check(action: Fault['action'], path: string): void {
    const fault = this.#strike(action, path);
    if (fault !== undefined) throw new FsError(fault.code, path, action);
  }

  async open(path: string, options?: { create?: boolean }): Promise<File> {
    await Promise.resolve();
    this.#check('open', path);
    let found = this.files.get(path);
    if (found === undefined) {
      if (options?.create !== true) throw new FsError('ENOENT', path, 'open');
      found = { current: Buffer.alloc(0), durable: Buffer.alloc(0) };
      this.files.set(path, found);
      this.onChange();
    }
    return this.#handle(path, found);
  }

  #handle(path: string, inode: SimFile): File {
    let isOpen = true;
    this.opens++;
    this.openPaths.set(path, (this.openPaths.get(path) ?? 0) + 1);
    const file = (action: string): SimFile => {
      if (!isOpen) throw new FsError('EBADF', path, action);
      return inode;
    };
    return {
      path,
      pread: async (into, position) => {
        await this.gate('read', path);
        this.#check('read', path);
        const bytes = file('read').current.subarray(position, position + into.length);
        into.set(bytes);
        return bytes.length;
      },
      pwrite: async (bytes, position) => {
        await this.gate('write', path);
        await new Promise((resolve) => setImmediate(resolve));
        this.writes++;
        const fault = this.#strike('write', path);
        this.#write(file('write'), fault === undefined ? bytes : bytes.subarray(0, fault.partial ?? 0), position);
        this.onChange();
        if (fault !== undefined) throw new FsError(fault.code, path, 'write');
      },
      datasync: async () => {
        await this.gate('datasync', path);
        const image = Buffer.from(file('datasync').current);
        await new Promise((resolve) => setImmediate(resolve));
        this.syncs++;
        this.#check('datasync', path);
        inode.durable = image;
        this.onChange();
      },
      truncate: async (size) => {
        await Promise.resolve();
        file('truncate').current = Buffer.from(inode.current.subarray(0, size));
        this.onChange();
      },
      size: async () => Promise.resolve(file('size').current.length),
      close: async () => {
        await Promise.resolve();
        file('close');
        isOpen = false;
        const left = this.openPaths.get(path)! - 1;
        if (left === 0) this.openPaths.delete(path);
        else this.openPaths.set(path, left);
      },
    };
  }

  #write(file: SimFile, bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > file.current.length) file.current = grown(file.current, end);
    file.current.set(bytes, position);
  }

  async list(directory: string): Promise<string[]> {
    return Promise.resolve(namesIn(this.files, directory).map((path) => path.slice(directory.length + 1)));
  }

  async makeDirectory(): Promise<void> {
    await Promise.resolve();
  }

  async unlink(path: string): Promise<void> {
    await Promise.resolve();
    if (!this.files.delete(path)) throw new FsError('ENOENT', path, 'unlink');
    this.onChange();
  }

  async rename(from: string, to: string): Promise<void> {
    await Promise.resolve();
    const file = this.files.get(from);
    if (file === undefined) throw new FsError('ENOENT', from, 'rename');
    this.files.delete(from);
    this.files.set(to, file);
    this.onChange();
  }

  async syncDirectory(directory: string): Promise<void> {
    await Promise.resolve();
    for (const path of namesIn(this.#durableNames, directory)) this.#durableNames.delete(path);
    for (const path of namesIn(this.files, directory)) this.#durableNames.set(path, this.files.get(path)!);
    this.onChange();
  }

  async freeBytes(): Promise<number> {
    return Promise.resolve(this.free);
  }

  async lock(directory: string): Promise<{ release(): Promise<void> }> {
    if (this.#locks.has(directory)) throw new FsError('ELOCKED', directory, 'lock');
    this.#locks.add(directory);
    return Promise.resolve({
      release: async () => {
        this.#locks.delete(directory);
        return Promise.resolve();
      },
    });
  }

  bootId(): string {
    return this.boot;
  }

  /** What a new process finds: all that was written, synced or not. */
  afterCrash(): SimFs {
    const next = this.#next(this.boot, this.files, (file) => file.current);
    for (const [path, file] of this.files) {
      if (!path.endsWith('/reserve')) next.files.get(path)!.durable = Buffer.from(file.durable);
    }
    next.#durableNames = new Map();
    for (const path of this.#durableNames.keys()) {
      const file = next.files.get(path);
      if (file !== undefined) next.#durableNames.set(path, file);
    }
    return next;
  }

  /** What a new boot finds: what was synced, and of the rest what `cut` says. */
  afterPowerCut({ keep, keepName = () => false }: PowerCut): SimFs {
    const names = new Map(this.#durableNames);
    for (const path of new Set([...this.files.keys(), ...names.keys()])) {
      if (this.files.get(path) === names.get(path) || !keepName(path)) continue;
      const file = this.files.get(path);
      if (file === undefined) names.delete(path);
      else names.set(path, file);
    }
    return this.#next(`${this.boot}+`, names, (file, path) => keep(path, file.current, file.durable));
  }

  #next(boot: string, names: ReadonlyMap<string, SimFile>, image: (file: SimFile, path: string) => Buffer): SimFs {
    const next = new SimFs();
    next.boot = boot;
    for (const [path, file] of names) {
      // The reserve is large and never changes once it is there: all images share it.
      const current = path.endsWith('/reserve') ? file.current : Buffer.from(image(file, path));
      next.files.set(path, { current, durable: path.endsWith('/reserve') ? current : Buffer.from(current) });
    }
    next.#durableNames = new Map(next.files);
    return next;
  }
}

/** Memory that `grown` made with room for more behind the bytes. */
const roomy = new WeakSet<ArrayBufferLike>();

/** The same bytes with zeros behind them. */
function grown(bytes: Buffer, size: number): Buffer {
  if (roomy.has(bytes.buffer) && size <= bytes.buffer.byteLength) {
    return Buffer.from(bytes.buffer, 0, size).fill(0, bytes.length);
  }
  const memory = new ArrayBuffer(Math.max(size, 2 * bytes.length));
  roomy.add(memory);
  const larger = Buffer.from(memory, 0, size);
  larger.set(bytes);
  return larger;
}

const RESERVE_SIZE = 16 << 20;
const reserve = Buffer.alloc(RESERVE_SIZE);

function namesIn(files: ReadonlyMap<string, SimFile>, directory: string): string[] {
  const start = `${directory}/`;
  return [...files.keys()].filter((path) => path.startsWith(start) && !path.slice(start.length).includes('/'));
}

/** mulberry32: small, seeded, good enough for choices. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class CrashError extends Error {}

export interface SimEnv extends Env {
  readonly clock: SimClock;
  readonly fs: SimFs;
  /** Reasons of crashes; the first one should have ended the process. */
  readonly crashes: string[];
}

const quiet = (): void => undefined;
export const quietLog: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

export function simEnv(fs = new SimFs(), clock = new SimClock()): SimEnv {
  const random = seededRandom(1);
  const crashes: string[] = [];
  return {
    clock,
    fs,
    log: quietLog,
    fail: () => null,
    crashes,
    rng: { bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256)) },
    net: { listen: () => Promise.reject(new Error('the simulation has no network')) },
    crash(reason): never {
      crashes.push(reason);
      throw new CrashError(reason);
    },
  };
}
